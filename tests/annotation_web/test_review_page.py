"""The reviewer's page on the real server: the queue, all answers, a decision by keyboard."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_web.served import PASSWORD, Served, serve
from openaffect.dataset import Dataset
from openaffect.labels import Expression
from openaffect.project import accounts, gold, schema
from openaffect.synthetic.dataset import synthesize_dataset

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COMMENT = "<i>tears</i> \u202eor rain"
HAPPY = {"expression": "happy", "valence": 0.5, "arousal": 0.1}
SAD = {"expression": "sad", "valence": -0.5, "arousal": -0.2}


@pytest.fixture(scope="module")
def three_faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("three") / "three"
    counts = {None: {Expression.HAPPY: 3}}
    return synthesize_dataset(place, counts, size=128, seed=8, workers=1)


@pytest.fixture
def disputed(tmp_path: Path, three_faces: Dataset, chromium: Any) -> Iterator[Served]:
    """Ada owns three faces, Ben finds all happy, Cem all sad; Ben has flagged his first one."""
    people, share = ("Ada", "Ben", "Cem"), {"annotation__overlap_share": 1.0}
    with serve(tmp_path / "faces", three_faces, people=people, **share) as served:
        flagged = {"flag": True, "comment": COMMENT, "occluded": True}
        answer(served, chromium, "Ben", [HAPPY | flagged, HAPPY, HAPPY | {"valence": -0.5}])
        answer(served, chromium, "Cem", [SAD] * 3)
        yield served


def sign_in(served: Served, context: Any, name: str) -> Any:
    """A session for all tabs of a context; requests with it."""
    said = context.request.post(
        f"{served.address}v1/session", data={"name": name, "password": PASSWORD}
    )
    assert said.ok, said.text()
    return context.request


def answer(served: Served, chromium: Any, name: str, said: list[dict[str, Any]]) -> None:
    """Answer the faces that are given to a person, in their order."""
    context = chromium.new_context()
    request = sign_in(served, context, name)
    request.post(f"{served.address}v1/me/instructions", data={"version": "1"})
    faces = request.post(f"{served.address}v1/faces/next", data={"held": []}).json()["faces"]
    assert len(faces) == len(said)
    for face, one in zip(faces, said, strict=True):
        row = {"id": new_id(), "assignment": face["assignment"], "seconds": 2.5, **one}
        done = request.post(f"{served.address}v1/annotations", data=row)
        assert done.ok, done.text()
    context.close()


def new_id() -> str:
    """A UUIDv7."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    number = number & ~(0xF << 76) | 7 << 76
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 2 << 62))


class Reviewer:
    """A person at the reviewer's page."""

    def __init__(self, served: Served, context: Any, name: str = "Ada") -> None:
        sign_in(served, context, name)
        self.page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{served.address}review")
        self.on_face()

    def on_face(self) -> Reviewer:
        self.page.locator("#picture[src]").wait_for()
        return self

    def press(self, *keys: str) -> Reviewer:
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def hears(self, text: str) -> Reviewer:
        """Wait until the page says so."""
        self.page.locator("#done", has_text=text).wait_for()
        return self

    def text(self, selector: str) -> str:
        found: str = self.page.locator(selector).inner_text()
        return found


@pytest.fixture
def reviewer(disputed: Served, context: Any) -> Iterator[Reviewer]:
    made = Reviewer(disputed, context)
    yield made
    assert made.errors == []


def reviews(served: Served) -> list[dict[str, Any]]:
    statement = sa.select(schema.annotations).where(schema.annotations.c.kind == "review")
    with served.project.database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(statement)]


def gold_counts(served: Served) -> dict[str, int]:
    with served.project.database.read() as connection:
        return gold.count_gold(connection)


def test_a_face_is_settled_and_made_gold_by_the_keyboard_alone(disputed, reviewer):
    first = reviewer.text("#seen-head")
    assert reviewer.text("#place") == "Face 1. In all to review: 3"
    reviewer.press("3", "ArrowUp", "ArrowUp", "Shift+ArrowLeft", "o", "g", "c")
    reviewer.page.keyboard.type("1dbjk")  # letters here, no keys
    reviewer.press("Escape", "Enter")
    reviewer.hears("Settled: Surprise, and made a gold face. To review: 2")
    [row] = reviews(disputed)
    assert (row["expression"], row["valence"], row["arousal"]) == ("surprise", -0.01, 0.1)
    assert (bool(row["occluded"]), row["comment"]) == (True, "1dbjk")
    assert 0 < row["seconds"] < 60
    assert gold_counts(disputed) == {"surprise": 1}
    assert reviewer.text("#seen-head") != first
    assert reviewer.page.locator("#categories [aria-pressed=true]").count() == 0
    assert reviewer.page.locator("#occluded, #gold").evaluate_all(
        "all => all.map(x => x.checked)"
    ) == [
        False,
        False,
    ]


def test_nothing_is_settled_without_an_expression(disputed, reviewer):
    reviewer.press("ArrowUp", "Enter").hears("Choose an expression first.")
    assert reviews(disputed) == []
    reviewer.press("9", "Enter").hears("Settled: Uncertain")
    [row] = reviews(disputed)
    assert (row["expression"], row["valence"], row["arousal"]) == ("uncertain", None, None)
    assert gold_counts(disputed) == {}


def test_all_points_are_on_one_circumplex_told_apart_by_letters(reviewer):
    page = reviewer.page
    letters = page.locator("#circumplex .mark-text").all_text_contents()
    assert letters == ["A", "B", "C"]  # the first is the label that the face was imported with
    places = page.locator("#circumplex .mark").evaluate_all(
        "all => all.map(x => x.getAttribute('transform'))"
    )
    assert "translate(-50 20)" in places  # Cem's: valence −0.5, arousal −0.2, drawn downward
    said = reviewer.text("#why")
    assert "Happy" in said
    assert "Sad" in said
    # Its own point is beside them, and takes nothing away.
    reviewer.press("1", "ArrowRight")
    assert page.locator("#circumplex .mark-text").count() == 3
    assert page.locator("#circumplex .cross").count() == 1
    assert reviewer.text("#point") == "Valence +0.05, arousal 0.00"
    reviewer.press("ArrowLeft", "ArrowLeft")
    assert "outside the expected region" in reviewer.text("#point")


def test_letters_of_near_points_do_not_lie_over_each_other(
    tmp_path, three_faces, chromium, context
):
    people, share = ("Ada", "Ben", "Cem"), {"annotation__overlap_share": 1.0}
    with serve(tmp_path / "p", three_faces, people=people, **share) as served:
        answer(served, chromium, "Ben", [HAPPY] * 3)
        answer(served, chromium, "Cem", [HAPPY | {"expression": "surprise"}] * 3)
        page = Reviewer(served, context).page
        a, b = (page.locator("#circumplex .mark-text").nth(n).bounding_box() for n in (1, 2))
        assert abs(a["x"] - b["x"]) > a["width"] or abs(a["y"] - b["y"]) > a["height"]


def test_an_answer_goes_back_with_a_note_and_its_person_reads_it(disputed, reviewer, chromium):
    reviewer.press("b")
    page = reviewer.page
    page.locator("#send-back[open]").wait_for()
    assert page.locator("#send-back-answers").inner_text().startswith("B ")  # no imported label
    reviewer.press("Space", "Tab")
    page.keyboard.type("Look at the eyes")
    reviewer.press("Tab", "Enter").hears("Sent back with your note. To review: 2")
    assert page.locator("#send-back[open]").count() == 0
    # B is who answered first: Ben.
    context = chromium.new_context()
    request = sign_in(disputed, context, "Ben")
    [face] = request.post(f"{disputed.address}v1/faces/next", data={"held": []}).json()["faces"]
    assert face["note"] == "Look at the eyes"
    context.close()


def test_escape_leaves_sending_back_and_a_note_is_needed(disputed, reviewer):
    reviewer.press("b", "Space", "Tab", "Tab", "Enter")
    assert reviewer.page.locator("#send-back[open]").count() == 1
    assert reviewer.page.evaluate("document.activeElement.id") == "note"
    reviewer.press("Escape", "j")
    assert reviewer.text("#place").startswith("Face 2.")
    with disputed.project.database.read() as connection:
        kinds = connection.execute(sa.select(schema.events.c.kind)).scalars().all()
    assert "send_back" not in kinds


def test_the_queue_is_walked_in_both_directions_and_drafts_stay(reviewer):
    first = reviewer.text("#seen-head")
    reviewer.press("k").hears("This is the first face.")
    reviewer.press("5", "j")
    second = reviewer.text("#seen-head")
    assert second != first
    assert reviewer.page.locator("#categories [aria-pressed=true]").count() == 0
    reviewer.press("j", "j").hears("This is the last face.")
    reviewer.press("k", "k")
    assert reviewer.text("#seen-head") == first
    pressed = reviewer.page.locator("#categories [aria-pressed=true]")
    assert pressed.get_attribute("value") == "disgust"


def test_the_queue_is_filtered_by_reason_and_says_when_it_is_empty(disputed, reviewer):
    page = reviewer.page
    page.get_by_role("button", name="Flagged").click()
    page.locator("[data-reason=flag][aria-pressed=true]").wait_for()
    page.locator("#why", has_text="Flagged").wait_for()
    reviewer.press("d").hears("Dismissed: the answers stay as they are. To review: 2")
    assert page.locator("#empty").inner_text() == "There is nothing to review for this reason."
    assert page.locator("#item").is_hidden()
    page.get_by_role("button", name="All reasons").click()
    reviewer.on_face()
    reviewer.press("d").hears("To review: 1")
    reviewer.press("d").hears("To review: 0")
    assert "There is nothing to review." in page.locator("#empty").inner_text()
    assert reviews(disputed) == []
    reviewer.press("d", "Enter", "b", "j", "p", "l", "1", "ArrowUp")  # on nothing: nothing


def test_the_queue_goes_on_after_the_first_twenty(tmp_path, forty_faces, chromium, context):
    with serve(tmp_path / "p", forty_faces, people=("Ada", "Ben")) as served:
        for _ in range(5):  # five faces are given at a time
            answer(served, chromium, "Ben", [HAPPY | {"flag": True}] * 5)
        reviewer = Reviewer(served, context)
        first = reviewer.text("#seen-head")
        for place in range(2, 26):
            reviewer.press("j")
            reviewer.page.locator("#place", has_text=f"Face {place}.").wait_for()
        assert reviewer.text("#place") == "Face 25. In all to review: 25"
        reviewer.press("j").hears("This is the last face.")
        # Decided one after the other, all but the first: it comes back at the end.
        reviewer.page.reload()
        reviewer.on_face().press("j")
        seen = []
        for left in range(24, 0, -1):
            seen.append(reviewer.text("#seen-head"))
            reviewer.press("d").hears(f"To review: {left}")
        assert first not in seen
        assert len(set(seen)) == 24
        assert reviewer.text("#seen-head") == first


def test_an_answer_is_taken_over(disputed, reviewer):
    reviewer.page.get_by_role("button", name="Take over: C").click()
    reviewer.press("Enter").hears("Settled: Sad")
    [taken] = reviews(disputed)
    assert (taken["expression"], taken["valence"], taken["arousal"]) == ("sad", -0.5, -0.2)


def test_comments_are_text_and_their_marks_turn_nothing_around(reviewer):
    page = reviewer.page
    page.get_by_role("button", name="Flagged").click()
    comment = page.locator("#answers bdi.comment", has_text="tears")
    assert comment.text_content() == COMMENT
    assert page.locator("#answers i").count() == 0
    assert "Flag, Occluded" in page.locator("#answers tr", has_text="tears").inner_text()


def test_a_decision_whose_answer_was_lost_is_stored_once(disputed, reviewer):
    page = reviewer.page

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/settle", lose)
    reviewer.press("6", "Enter")
    page.locator("#problem", has_text="The server does not answer").wait_for()
    assert reviewer.text("#place").startswith("Face 1.")
    page.unroute("**/settle")
    reviewer.press("Enter").hears("Settled: Anger. To review: 2")
    assert page.locator("#problem").is_hidden()
    assert [row["expression"] for row in reviews(disputed)] == ["anger"]


def test_a_server_that_is_away_takes_no_decision_from_the_screen(disputed, reviewer):
    disputed.stop()
    reviewer.press("2", "Enter")
    reviewer.page.locator("#problem", has_text="does not answer").wait_for()
    disputed.start()
    reviewer.press("Enter").hears("Settled: Sad. To review: 2")
    assert [row["expression"] for row in reviews(disputed)] == ["sad"]


def test_a_double_enter_decides_one_face(disputed, reviewer):
    held = []

    def hold(route):  # the server's answer takes its time
        held.append(route)

    reviewer.page.route("**/settle", hold)
    reviewer.press("1", "Enter", "Enter", "Enter")
    reviewer.page.wait_for_timeout(300)
    assert len(held) == 1
    held[0].continue_()
    reviewer.hears("Settled: Happy. To review: 2")
    assert len(reviews(disputed)) == 1


def test_the_picture_keeps_its_size_and_shows_landmarks_and_the_photograph(reviewer):
    page = reviewer.page
    before = page.locator("#stage").bounding_box()
    reviewer.press("l")
    assert page.locator("#stage circle").count() == 68
    reviewer.press("p")
    page.locator("#picture[alt='The whole photograph']").wait_for()
    assert page.locator("#stage circle").count() == 0
    reviewer.press("j").on_face()
    page.locator("#picture[alt='The face under review']").wait_for()
    page.locator("#stage circle").first.wait_for()
    assert page.locator("#stage").bounding_box() == before


def test_the_keys_are_shown_and_a_persons_own_keys_hold(disputed, context):
    sign_in(disputed, context, "Ada")
    mine = {"happy": "KeyH", "sad": "KeyJ"}  # J walks the queue here
    context.request.patch(f"{disputed.address}v1/me", data={"keys": mine})
    reviewer = Reviewer(disputed, context)
    reviewer.press("?")
    rows = [
        " ".join(row.split()) for row in reviewer.page.locator("#keys tbody tr").all_inner_texts()
    ]
    assert "Happy H" in rows
    assert "Next face J" in rows
    reviewer.press("Escape", "h")
    pressed = reviewer.page.locator("#categories [aria-pressed=true]")
    assert pressed.get_attribute("value") == "happy"
    reviewer.press("j")
    assert reviewer.text("#place").startswith("Face 2.")


def test_who_is_not_signed_in_comes_to_the_sign_in(disputed, context):
    page = context.new_page()
    page.goto(f"{disputed.address}review")
    page.locator("#name").wait_for()
    assert page.url == disputed.address


def test_an_annotator_is_told_that_the_page_is_not_theirs(disputed, context):
    sign_in(disputed, context, "Ben")
    page = context.new_page()
    page.goto(f"{disputed.address}review")
    page.locator("#problem", has_text="not for the role annotator").wait_for()
    assert (
        page.locator("#queue, #item, #to-review, #to-manage").evaluate_all(
            "all => all.map(x => x.checkVisibility())"
        )
        == [False] * 4
    )


def test_a_reviewer_sees_the_review_and_nothing_of_the_owners(disputed, context):
    ben = accounts.find_person(disputed.project, "Ben")
    assert ben is not None
    accounts.change_role(disputed.project, ben.id, "reviewer")
    page = Reviewer(disputed, context, "Ben").page
    assert page.locator("#to-manage").is_hidden()
    page.goto(f"{disputed.address}manage")
    page.locator("#problem", has_text="not for the role reviewer").wait_for()
    assert page.locator("#tabs").is_hidden()


def test_a_session_that_ends_takes_nothing_away(disputed, reviewer, context):
    reviewer.press("7")
    context.clear_cookies()
    reviewer.press("Enter")
    reviewer.page.locator("#problem", has_text="You are signed out").wait_for()
    sign_in(disputed, context, "Ada")
    reviewer.press("Enter").hears("Settled: Contempt")
    assert len(reviews(disputed)) == 1


@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_the_page_fits_every_width_and_axe_finds_nothing(disputed, context, chromium, language):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    sign_in(disputed, context, "Ada")
    context.request.patch(f"{disputed.address}v1/me", data={"language": language})
    cookies = context.cookies()
    found, wide = {}, {}
    for scheme in ("light", "dark"):
        made = chromium.new_context(color_scheme=scheme, bypass_csp=True)  # axe is a script
        made.add_cookies(cookies)
        page = made.new_page()
        for width in (1300, 650, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{disputed.address}review")
            page.locator("#picture[src]").wait_for()
            page.keyboard.press("1")
            page.keyboard.press("ArrowRight")
            wide[scheme, width] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            for key in ("", "b", "?"):
                if key:
                    page.keyboard.press(key)
                violations = axe.run(page).response["violations"]
                found[scheme, width, key] = [one["id"] for one in violations]
                page.keyboard.press("Escape")
        made.close()
    assert len(found) == 18
    assert {place: ids for place, ids in found.items() if ids} == {}
    assert set(wide.values()) == {0}
