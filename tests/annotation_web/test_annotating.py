"""One person at the page, on the real server: choosing, saving, taking back, and nothing lost."""

from __future__ import annotations

import time
import uuid

import pytest
import sqlalchemy as sa

from annotation_web.served import PASSWORD, serve, wait_for_rows
from openaffect.project import accounts, review, schema
from web_builders import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_faces_are_annotated_by_the_keyboard_alone(served, annotator):
    page = annotator.page
    page.goto(served.address)
    page.locator("#instructions-read").wait_for()
    page.locator("body").press("Shift+Tab")  # the last thing that takes the focus
    annotator.press("Enter")
    page.locator("#warning-start").wait_for()
    annotator.press("Enter")
    annotator.on_face()
    annotator.answer("1", *["ArrowRight"] * 3, "ArrowUp")
    annotator.answer("Numpad2", "ArrowLeft", "Shift+ArrowDown", "o", "g")
    annotator.answer("9")
    annotator.answer("n")
    annotator.answer("-")
    annotator.answer("3", "ArrowUp", "c", *"odd", "Control+Enter")
    annotator.all_sent()
    rows = served.rows()
    assert [(r["expression"], r["valence"], r["arousal"]) for r in rows] == [
        ("happy", 0.15, 0.05),
        ("sad", -0.05, -0.01),
        ("uncertain", None, None),
        ("no_face", None, None),
        ("no_face", None, None),
        ("surprise", 0.0, 0.05),
    ]
    assert [(bool(r["occluded"]), r["flag"] is not None) for r in rows[:3]] == [
        (False, False),
        (True, True),
        (False, False),
    ]
    assert rows[5]["comment"] == "odd"
    assert [uuid.UUID(r["id"]).version for r in rows] == [7] * 6
    assert len({r["face_id"] for r in rows}) == 6


def test_seconds_run_from_the_painted_picture_without_the_time_that_the_tab_was_hidden(
    served, annotator
):
    annotator.open(served)
    page = annotator.page
    page.wait_for_timeout(600)
    hide = """hidden => {
      Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    page.wait_for_timeout(2000)
    page.evaluate(hide, False)
    annotator.answer("9").all_sent()
    [row] = served.rows()
    assert 0.6 <= row["seconds"] < 2.0


def test_nothing_is_saved_without_an_expression_and_without_a_point_only_when_asked_twice(
    served, annotator
):
    annotator.open(served)
    first = annotator.face
    annotator.press("Enter")
    assert "Choose an expression first" in annotator.messages
    annotator.press("8", "Enter")
    assert "Save again to save without one" in annotator.messages
    annotator.press("1", "Enter")  # another choice: asked again
    assert annotator.face == first
    annotator.answer()
    annotator.all_sent()
    assert [(r["expression"], r["valence"]) for r in served.rows()] == [("happy", None)]


def test_uncertain_takes_no_point(served, annotator):
    annotator.open(served)
    annotator.press("1", "ArrowRight")
    assert annotator.point == ("+0.05", "0.00")
    annotator.press("9")
    assert annotator.point == ("–", "–")
    annotator.press("ArrowRight")
    assert annotator.point == ("–", "–")
    assert "takes no point" in annotator.messages
    box = annotator.page.locator(".circumplex").bounding_box()
    annotator.page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)
    assert annotator.point == ("–", "–")


def test_no_point_outside_the_disc_can_be_chosen(served, annotator):
    annotator.open(served)
    annotator.press("1", *["ArrowRight"] * 16, *["ArrowUp"] * 25)
    assert annotator.point == ("+0.80", "+0.60")
    annotator.press("ArrowRight", "Shift+ArrowRight")
    assert annotator.point == ("+0.80", "+0.60")
    box = annotator.page.locator(".circumplex").bounding_box()
    annotator.page.mouse.click(box["x"] + box["width"] * 0.97, box["y"] + box["height"] * 0.03)
    valence, arousal = (float(text) for text in annotator.point)
    assert 0.96 < valence**2 + arousal**2 <= 1
    annotator.answer().all_sent()
    assert [(r["valence"], r["arousal"]) for r in served.rows()] == [(valence, arousal)]


def test_the_region_is_drawn_warns_and_is_recorded(tmp_path, forty_faces, annotator):
    with serve(tmp_path / "p", forty_faces, annotation__region_shown=True) as served:
        annotator.open(served)
        region = annotator.page.locator("#circumplex .region")
        assert region.is_hidden()
        annotator.press("1", "ArrowLeft")
        assert region.is_visible()
        assert "outside the region that is expected of Happy" in annotator.messages
        annotator.press("ArrowRight")
        assert "outside" not in annotator.messages
        annotator.answer("ArrowLeft")
        annotator.answer("9")  # it has no region
        annotator.answer("1", "9")  # it was drawn for a moment
        annotator.all_sent()
        assert [bool(r["region_shown"]) for r in served.rows()] == [True, False, True]


def test_a_hidden_region_neither_shows_nor_warns_and_that_is_recorded(served, annotator):
    annotator.open(served)
    annotator.press("1", "ArrowLeft")
    assert annotator.page.locator("#circumplex .region").is_hidden()
    assert annotator.messages == ""
    annotator.answer().all_sent()
    assert [bool(r["region_shown"]) for r in served.rows()] == [False]


def test_what_a_model_says_is_shown_and_recorded_but_never_chosen(tmp_path, forty_faces, annotator):
    with serve(tmp_path / "p", forty_faces, annotation__prelabel_shown=True) as served:
        said = {"expression": "sad", "valence": -0.5, "arousal": -0.25}
        numbers: list[int] = []
        with served.project.database.write() as connection:
            numbers += connection.execute(sa.select(schema.tasks.c.face_id)).scalars()
            for number in numbers[::2]:
                where = schema.tasks.c.face_id == number
                connection.execute(sa.update(schema.tasks).where(where).values(prelabel=said))
        annotator.open(served)
        shown = []
        for _ in range(6):
            drawn = annotator.page.locator(".circumplex .prelabel").count() == 1
            says = "A model says: Sad (−0.50, −0.25)" in annotator.messages
            assert drawn == says
            assert annotator.pressed == []
            shown.append(says)
            annotator.answer("9")
        annotator.all_sent()
        rows = served.rows()
        assert [bool(row["prelabel_shown"]) for row in rows] == shown
        assert shown == [row["face_id"] in numbers[::2] for row in rows]
        assert set(shown) == {True, False}


def test_answers_are_taken_back_to_any_depth_and_given_again(served, annotator):
    annotator.open(served)
    for key in "1234":
        annotator.answer(key, "ArrowUp")
    annotator.all_sent()
    annotator.press("Backspace", "Control+z", "Backspace")
    annotator.page.locator("[data-action=sad][aria-pressed=true]").wait_for()
    assert annotator.point == ("0.00", "+0.05")
    assert served.standing() == ["happy"]
    annotator.press("Control+Shift+Z")
    annotator.page.locator("[data-action=surprise][aria-pressed=true]").wait_for()
    annotator.answer("7").all_sent()  # the next one is changed
    annotator.page.locator("[data-action=fear][aria-pressed=true]").wait_for()
    annotator.press("Control+Shift+Z")
    annotator.page.locator("#work [aria-pressed=true]").wait_for(state="detached")
    annotator.all_sent()
    assert served.standing() == ["happy", "sad", "contempt", "fear"]
    rows = [row for row in served.rows() if not row["void"]]
    assert len(rows) == 7  # nothing was overwritten
    assert len({row["face_id"] for row in rows}) == 4
    assert len([row for row in served.rows() if row["void"]]) == 3
    annotator.press("Control+Shift+Z")
    assert "no answer to redo" in annotator.messages


def test_what_was_chosen_for_the_face_on_the_screen_is_there_after_an_undo(served, annotator):
    annotator.open(served).answer("1", "ArrowUp").all_sent()
    annotator.press("6", "ArrowLeft", "o")
    annotator.press("Backspace")
    annotator.page.locator("[data-action=happy][aria-pressed=true]").wait_for()
    annotator.answer()
    assert annotator.pressed == ["anger", "occluded"]
    assert annotator.point == ("−0.05", "0.00")


def test_undo_goes_on_after_a_reload(served, annotator):
    annotator.open(served).answer("1", "ArrowUp").answer("2", "ArrowDown").all_sent()
    annotator.page.reload()
    annotator.on_face()
    annotator.press("Backspace")
    annotator.page.locator("[data-action=sad][aria-pressed=true]").wait_for()
    annotator.press("Backspace")
    annotator.page.locator("[data-action=happy][aria-pressed=true]").wait_for()
    assert served.standing() == []
    annotator.press("Backspace")
    annotator.page.locator("#messages", has_text="There is no answer to undo").wait_for()


def test_a_skipped_face_comes_again_when_it_is_asked_for(tmp_path, forty_faces, annotator):
    with serve(tmp_path / "p", forty_faces) as served:
        annotator.open(served)
        annotator.press("Space")
        annotator.page.locator("#left", has_text="Skipped: 1").wait_for()
        for _ in range(39):
            annotator.on_face().press("9", "Enter")
            annotator.page.locator("#picture img, [data-screen=done]:visible").first.wait_for()
        annotator.page.locator("#done-unskip").wait_for()
        assert len(served.rows()) == 39
        annotator.page.click("#done-unskip")
        annotator.on_face().press("9", "Enter")
        annotator.page.locator("#done-check").wait_for()
        assert len({row["face_id"] for row in served.rows()}) == 40
        assert annotator.page.locator("#done-unskip").is_hidden()


def test_answers_given_without_a_connection_are_stored_once(served, annotator, context):
    annotator.open(served).answer("0", "ArrowUp").all_sent()
    context.set_offline(True)
    for key in "123":
        annotator.answer(key, "ArrowUp")
    annotator.page.locator("#sent-text", has_text="Waiting to be sent: 3").wait_for()
    annotator.press("Backspace")
    assert "Undo needs the connection" in annotator.messages
    sent = []
    annotator.page.on("request", lambda one: sent.append(one) if one.method == "POST" else None)
    context.set_offline(False)
    annotator.all_sent()
    assert served.said() == ["neutral", "happy", "sad", "surprise"]
    # The server is told of all that wait, so that it gives none of those faces again.
    first = next(one.post_data_json for one in sent if one.url.endswith("/v1/annotations"))
    waiting = [row["assignment_id"] for row in served.rows()[1:]]
    assert set(waiting) <= set(first["held"])


def test_an_answer_whose_confirmation_was_lost_is_stored_once(served, annotator):
    annotator.open(served)
    served.proxy.delay = 1.0  # stored at once, confirmed late
    annotator.press("1", "ArrowUp", "Enter")
    wait_for_rows(served, 1)
    served.proxy.cut()
    served.proxy.delay = 0.0
    annotator.page.locator("#sent-text", has_text="No connection").wait_for()
    served.proxy.mend()
    annotator.all_sent()
    assert served.said() == ["happy"]


def test_answers_survive_the_tab_and_a_restart_of_the_server(served, annotator, new_annotator):
    annotator.open(served).answer("1", "ArrowUp").all_sent()
    served.stop()
    annotator.answer("2", "ArrowUp").answer("3", "ArrowUp")
    annotator.page.locator("#sent-text", has_text="Waiting to be sent: 2").wait_for()
    annotator.page.close()
    served.start()
    again = new_annotator()
    again.open(served).all_sent()
    assert served.said() == ["happy", "sad", "surprise"]
    again.answer("4", "ArrowUp").all_sent()
    assert len({row["face_id"] for row in served.rows()}) == 4


def test_a_page_that_is_open_while_the_server_restarts_is_back_within_ten_seconds(
    served, annotator
):
    annotator.open(served)
    served.stop()
    for _ in range(5):  # all that are in memory
        annotator.press("9", "Enter")
        annotator.page.wait_for_timeout(50)
    annotator.page.locator("#face-wait", has_text="when the connection is back").wait_for()
    annotator.page.wait_for_timeout(4000)
    served.start()
    start = time.monotonic()
    annotator.on_face().all_sent()
    assert time.monotonic() - start < 10
    assert served.said() == ["uncertain"] * 5
    assert len({row["face_id"] for row in served.rows()}) == 5


def test_an_expired_session_asks_to_sign_in_on_top_and_goes_on(with_accounts, annotator, context):
    annotator.open(with_accounts, name="Ada").answer("1", "ArrowUp").all_sent()
    context.clear_cookies()
    annotator.answer("2", "ArrowUp")
    annotator.page.locator("#sign-in[open]").wait_for()
    annotator.press("Escape")
    assert annotator.page.locator("#sign-in[open]").is_visible()
    annotator.page.fill("#password", "not the password")
    annotator.press("Enter")
    annotator.page.locator("#sign-in-problem", has_text="wrong").wait_for()
    # The server lets nobody try again at once.
    wait_until(lambda: _sign_in(annotator), 30)
    annotator.all_sent()
    assert with_accounts.said() == ["happy", "sad"]
    annotator.answer("3", "ArrowUp").all_sent()


def _sign_in(annotator) -> bool:
    annotator.page.fill("#password", PASSWORD)
    annotator.press("Enter")
    annotator.page.wait_for_timeout(500)
    return annotator.page.locator("#sign-in[open]").count() == 0


def test_the_answers_of_one_person_are_never_sent_by_another(with_accounts, annotator, context):
    annotator.open(with_accounts, name="Ada")
    with_accounts.proxy.cut()
    annotator.answer("1", "ArrowUp")
    annotator.page.locator("#sent-text", has_text="Waiting to be sent: 1").wait_for()
    with_accounts.proxy.mend()
    context.clear_cookies()
    annotator.page.locator("#sign-in[open]").wait_for()
    with annotator.page.expect_navigation():
        annotator.sign_in("Ben")
    annotator.page.locator("#instructions-read").click()
    annotator.page.locator("#warning-start").click()
    annotator.on_face().answer("2", "ArrowUp").all_sent()
    assert with_accounts.said() == ["sad"]
    annotator.page.click("#open-settings")
    with annotator.page.expect_navigation():
        annotator.page.click("#sign-out")
    annotator.sign_in("Ada")
    annotator.page.locator("#warning-start").click()
    annotator.on_face().all_sent()
    assert sorted(with_accounts.said()) == ["happy", "sad"]
    by = {row["expression"]: row["annotator_id"] for row in with_accounts.rows()}
    assert by["happy"] != by["sad"]


def test_two_tabs_are_told_and_only_one_works(served, annotator, new_annotator):
    annotator.open(served).answer("1", "ArrowUp").all_sent()
    other = new_annotator()
    other.page.goto(served.address)
    other.page.locator("#warning-start").click()
    other.page.locator("[data-screen=tabs]").wait_for()
    other.page.click("#tabs-here")
    other.on_face()
    annotator.page.locator("[data-screen=tabs]").wait_for()
    other.answer("2", "ArrowUp").all_sent()
    annotator.page.click("#tabs-here")
    annotator.on_face().answer("3", "ArrowUp").all_sent()
    other.page.locator("[data-screen=tabs]").wait_for()
    assert served.said() == ["happy", "sad", "surprise"]
    assert len({row["face_id"] for row in served.rows()}) == 3


def test_an_answer_that_the_server_refuses_is_shown_and_kept(served, annotator, context):
    annotator.open(served)
    refuse = '{"error": "conflict", "message": "another answer has this id"}'
    asked = []

    def answer(route):
        asked.append(route.request.url)
        route.fulfill(status=409, content_type="application/json", body=refuse)

    context.route("**/v1/annotations", answer)
    annotator.answer("1", "ArrowUp")
    annotator.page.locator("#sent-text", has_text="not taken: 1").wait_for()
    assert "Everything" not in annotator.page.locator("#sent-text").text_content()
    annotator.page.reload()
    annotator.on_face()
    annotator.page.locator("#sent-text", has_text="not taken: 1").wait_for()
    assert len(asked) == 1  # never again by itself
    annotator.page.click("#show-refused")
    item = annotator.page.locator("#refused-list li")
    assert "Happy · Valence 0.00, arousal +0.05" in item.text_content()
    assert "another answer has this id" in item.text_content()
    item.locator("button", has_text="Set aside").click()
    annotator.page.locator("#sent-text", has_text="Everything is saved").wait_for(state="attached")
    context.unroute("**/v1/annotations")
    item.locator("button", has_text="Send again").click()
    wait_for_rows(served, 1)
    assert served.said() == ["happy"]


def test_a_server_whose_disk_is_full_is_asked_again_and_the_person_is_told(
    served, annotator, context
):
    annotator.open(served)
    full = '{"error": "database_full", "message": "the disk of the server is full"}'
    asked = []

    def answer(route):
        asked.append(time.monotonic())
        headers = {"Retry-After": "2", "Content-Type": "application/json"}
        route.fulfill(status=503, headers=headers, body=full)

    context.route("**/v1/annotations", answer)
    annotator.answer("1", "ArrowUp").answer("2", "ArrowUp")
    line = annotator.page.locator("#sent-text", has_text="cannot store answers now")
    line.wait_for()
    annotator.page.wait_for_timeout(2500)
    assert "Waiting to be sent: 2" in line.text_content()
    context.unroute("**/v1/annotations")
    annotator.all_sent()
    assert served.said() == ["happy", "sad"]
    assert len(asked) >= 2
    assert asked[1] - asked[0] >= 1.9


def test_a_browser_that_keeps_nothing_says_so_and_sends_all_the_same(served, annotator, context):
    annotator.page.add_init_script(
        "Object.defineProperty(window, 'indexedDB', { get() { throw new Error('private'); } })"
    )
    annotator.open(served)
    assert "This browser keeps nothing" in annotator.messages
    annotator.answer("1", "ArrowUp").all_sent()
    assert served.said() == ["happy"]
    assert "This browser keeps nothing" in annotator.messages


def test_a_face_that_a_reviewer_sent_back_comes_with_the_note_and_the_answer(served, annotator):
    annotator.open(served).answer("1", "ArrowUp", "g").all_sent()
    [row] = served.rows()
    with served.project.database.write() as connection:
        review.send_back(
            connection, row["face_id"], row["id"], "Is it <b>surprise</b>?", served.project.settings
        )
    annotator.page.reload()
    annotator.on_face()
    for _ in range(5):
        if "Is it <b>surprise</b>?" in annotator.messages:
            break
        annotator.answer("9")
    assert "asks you to look again: Is it <b>surprise</b>?" in annotator.messages
    assert annotator.pressed == ["happy", "flag"]
    assert annotator.page.locator("[data-action=redo]").is_disabled()
    annotator.answer("3").all_sent()
    last = served.rows()[-1]
    assert (last["expression"], last["replaces"]) == ("surprise", row["id"])


def test_a_link_invites_and_leaves_the_address_bar(with_accounts, annotator):
    link = accounts.invite(with_accounts.project, "Cleo", "annotator")
    page = annotator.page
    page.goto(f"{with_accounts.address}#link={link.token}")
    page.locator("#link-title", has_text="Welcome, Cleo").wait_for()
    assert page.url == with_accounts.address
    assert "as annotator" in page.locator("#link-text").text_content()
    page.fill("#link-password", "short")
    page.fill("#link-again", "short")
    annotator.press("Enter")
    page.locator("#link-problem", has_text="ten characters").wait_for()
    page.fill("#link-password", PASSWORD)
    page.fill("#link-again", PASSWORD + "!")
    annotator.press("Enter")
    page.locator("#link-problem", has_text="differ").wait_for()
    page.fill("#link-again", PASSWORD)
    annotator.press("Enter")
    page.locator("#instructions-read").wait_for()
    assert page.locator("#pages").is_hidden()  # review and manage are not for annotators
    page.goto("about:blank")
    page.goto(f"{with_accounts.address}#link={link.token}")
    page.locator("#link-text", has_text="was used").wait_for()


def test_keys_are_changed_and_stay_changed(served, annotator):
    annotator.open(served).press("?")
    page = annotator.page
    page.click("[data-change=happy]")
    annotator.press("2")
    page.locator("#keys-say", has_text="belongs to Sad").wait_for()
    page.click("[data-change=happy]")
    annotator.press("h")
    page.locator("#keys-say", has_text="is now H").wait_for()
    annotator.press("Escape")
    page.reload()
    annotator.on_face().press("1")
    assert annotator.pressed == []
    annotator.press("h")
    assert annotator.pressed == ["happy"]


def test_an_answer_is_saved_by_itself_if_that_is_chosen(served, annotator):
    annotator.open(served)
    page = annotator.page
    page.click("#open-settings")
    page.check("#auto-save")
    annotator.press("Escape")
    box = page.locator(".circumplex").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    annotator.press("1", "ArrowRight", "ArrowRight")
    page.wait_for_timeout(200)
    assert served.rows() == []  # arrows never save
    page.mouse.click(*middle)
    wait_for_rows(served, 1)
    annotator.press("ArrowRight", "2")
    wait_for_rows(served, 2)
    annotator.press("9")
    wait_for_rows(served, 3)
    assert [(r["expression"], r["valence"]) for r in served.rows()] == [
        ("happy", 0.0),
        ("sad", 0.05),
        ("uncertain", None),
    ]


def test_keys_are_letters_while_somebody_writes(served, annotator):
    annotator.open(served)
    first = annotator.face
    annotator.press("c", "1", "9", "Space", "Enter", "Backspace")
    assert annotator.page.locator("#comment").input_value() == "19 "
    annotator.press("Escape")
    annotator.page.focus("#language")
    annotator.press("1", "Enter", "Escape")
    assert (annotator.pressed, annotator.face) == ([], first)
    assert "Choose" not in annotator.messages


def test_the_first_key_after_a_dialog_is_the_pages(served, annotator):
    annotator.open(served).press("9", "c")
    before = annotator.face
    # Without a frame between them: the focus still is in the dialog that was closed.
    annotator.page.evaluate(
        """async () => {
          document.getElementById("comment").value = "odd";
          for (const ctrlKey of [true, false]) {
            const key = { key: "Enter", code: "Enter", ctrlKey, bubbles: true, cancelable: true };
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", key));
            for (let turn = 0; turn < 5; turn += 1) await null;
          }
        }"""
    )
    annotator.on_face().all_sent()
    assert annotator.face != before
    assert [row["comment"] for row in served.rows()] == ["odd"]


def test_photograph_landmarks_and_zoom_are_for_one_face(served, annotator):
    annotator.open(served)
    page, first = annotator.page, annotator.face
    annotator.press("l")
    assert page.locator("#landmarks circle").count() == 68
    annotator.press("+", "+")
    assert page.locator("#face").get_attribute("class") == "zoom-2"
    annotator.press("_")
    assert page.locator("#face").get_attribute("class") == "zoom-1"
    annotator.press("p")
    page.locator("#picture img[alt='The whole photograph']").wait_for()
    assert page.locator("#landmarks").is_hidden()
    annotator.press("p")
    assert annotator.face == first
    annotator.press("l", "+")
    annotator.answer("9")
    assert page.locator("#landmarks").is_hidden()
    assert page.locator("#face").get_attribute("class") == "zoom-0"
    assert annotator.pressed == []
