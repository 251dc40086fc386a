"""Nothing is lost and nothing stored twice: no connection, no server, no session, two tabs."""

from __future__ import annotations

import time

import pytest

from annotation_web.served import PASSWORD, wait_for_rows
from web_builders import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


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
