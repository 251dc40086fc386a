"""The owner's page on the real server: people, batches, gold, settings, events, the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_web.served import PASSWORD, Annotator, Served, serve
from annotation_web.test_nginx import annotating, free_port, nginx
from annotation_web.test_review_page import HAPPY, SAD, answer, sign_in
from openaffect.collection import add_dataset
from openaffect.dataset import Dataset
from openaffect.labels import Expression
from openaffect.project import accounts, create_project, frozen
from openaffect.project.schema import faces
from openaffect.synthetic.dataset import synthesize_dataset

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PARTS = ["dashboard", "people", "batches", "gold", "settings", "events"]


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("two") / "two"
    counts = {None: {Expression.HAPPY: 1, Expression.SAD: 1}}
    return synthesize_dataset(place, counts, size=128, seed=9, workers=1)


@pytest.fixture(scope="module")
def more_faces(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five faces, two of which have the names of `two_faces`: a project takes the other three."""
    place = tmp_path_factory.mktemp("more") / "more"
    return synthesize_dataset(place, {None: {Expression.FEAR: 5}}, size=128, seed=10, workers=1)


@pytest.fixture
def owned(tmp_path: Path, two_faces: Dataset) -> Iterator[Served]:
    """A project of Ada with two faces in a batch; Ben annotates."""
    with serve(tmp_path / "faces", two_faces, people=("Ada", "Ben")) as served:
        yield served


class Owner:
    """A person at the owner's page."""

    def __init__(self, served: Served, context: Any, part: str, name: str | None = "Ada") -> None:
        self.served = served
        if name is not None:
            sign_in(served, context, name)
        self.page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.open(part)

    def open(self, part: str) -> Owner:
        self.page.goto("about:blank")
        self.page.goto(f"{self.served.address}manage#{part}")
        return self.on(part)

    def on(self, part: str) -> Owner:
        self.page.locator(f"#panel-{part}:not([hidden])").wait_for()
        self.page.wait_for_load_state("networkidle")
        return self

    def hears(self, text: str) -> Owner:
        """Wait until the page says so."""
        self.page.locator("#done", has_text=text).wait_for()
        return self

    def is_told(self, text: str, box: str = "#problem") -> Owner:
        """Wait until the page says what went wrong."""
        self.page.locator(box, has_text=text).wait_for()
        return self

    def rows(self, box: str) -> list[str]:
        """The rows of a table, each in one line."""
        found = self.page.locator(f"{box} tbody tr").all_inner_texts()
        return [" ".join(row.split()) for row in found]

    def row_of(self, name: str) -> str:
        [row] = [row for row in self.rows("#people-table") if row.startswith(name)]
        return row

    def invite(self, name: str, role: str = "annotator") -> str:
        """Invite a person; the one-time link."""
        self.page.fill("#invite-name", name)
        self.page.select_option("#invite-role", role)
        self.page.locator("#invite button").click()
        self.page.locator("#link-head", has_text=name).wait_for()
        self.page.locator("#people-table bdi", has_text=name).wait_for()
        link: str = self.page.locator("#link-address").input_value()
        return link

    def change(self, name: str) -> Owner:
        """Open the dialog of a person."""
        row = self.page.locator("#people-table tr", has_text=name)
        row.get_by_role("button", name="Change").click()
        self.page.locator("#person[open]").wait_for()
        return self

    def click(self, name: str) -> Owner:
        self.page.get_by_role("button", name=name, exact=True).click()
        return self


@pytest.fixture
def owner(owned: Served, context: Any) -> Iterator[Owner]:
    made = Owner(owned, context, "people")
    yield made
    assert made.errors == []


def test_who_is_invited_signs_in_by_the_link_in_another_browser(owned, owner, chromium):
    link = owner.invite("Cem", "reviewer")
    assert link.startswith(f"{owned.address}#link=")
    assert "It is good until" in owner.page.locator("#link-expires").inner_text()
    assert "reviewer invited" in owner.row_of("Cem")
    other = chromium.new_context()
    page = other.new_page()
    page.goto(link)
    page.locator("#link-title", has_text="Cem").wait_for()
    page.fill("#link-password", PASSWORD)
    page.fill("#link-again", PASSWORD)
    page.locator("#link button").click()
    page.locator("#instructions-read").wait_for()
    other.close()
    owner.open("people")
    assert "reviewer active" in owner.row_of("Cem")


def test_a_link_is_shown_once_and_copied(owned, context, owner):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    link = owner.invite("Cem")
    assert owner.page.evaluate("document.activeElement.id") == "link-head"
    owner.click("Copy")
    owner.page.locator("#link-copied", has_text="Copied.").wait_for()
    assert owner.page.evaluate("navigator.clipboard.readText()") == link
    owner.click("I have it")
    assert owner.page.locator("#link-box").is_hidden()
    assert owner.page.locator("#link-address").input_value() == ""
    owner.open("people")
    token = link.partition("#link=")[2]
    assert token not in owner.page.content()
    # A new link ends the old one.
    owner.change("Cem").click("Make a new link")
    owner.page.locator("#link-head", has_text="The invitation of Cem").wait_for()
    again = owner.page.locator("#link-address").input_value()
    assert again != link
    said = context.request.post(f"{owned.address}v1/link", data={"token": token})
    assert said.status == 404


def test_a_taken_name_is_refused_and_stays_in_the_form(owner):
    owner.page.fill("#invite-name", "Ben")
    owner.page.locator("#invite button").click()
    owner.is_told("the name 'Ben' is taken")
    assert owner.page.locator("#invite-name").input_value() == "Ben"
    assert owner.page.locator("#link-box").is_hidden()


def test_names_are_text_and_their_marks_turn_nothing_around(owned, owner):
    name = "<b>\u05d0\u05d1</b>"
    owner.invite(name)
    assert owner.page.locator("#people-table bdi", has_text=name).count() == 1
    assert owner.page.locator("#people-table b").count() == 0
    owner.change(name)
    assert owner.page.locator("#person-head bdi").first.text_content() == name


def test_roles_change_and_the_last_owner_stays(owned, owner):
    owner.change("Ben")
    owner.page.select_option("#person-role", "owner")
    assert "do everything" in owner.page.locator("#person-role-means").inner_text()
    owner.click("Save the role").hears("Ben has the role owner now.")
    assert "owner active" in owner.row_of("Ben")
    assert owner.page.evaluate("document.activeElement.textContent") == "Change …"
    owner.change("Ben")
    owner.page.select_option("#person-role", "annotator")
    owner.click("Save the role").hears("Ben has the role annotator now.")
    owner.change("Ada").click("Revoke access").is_told("the last owner stays", "#person-problem")
    owner.click("Close")
    assert "owner active" in owner.row_of("Ada")


def test_access_is_revoked_and_comes_back_by_a_link(owned, owner):
    owner.change("Ben").click("Revoke access").hears("Ben has no access any more.")
    assert "revoked" in owner.row_of("Ben")
    owner.change("Ben")
    assert (
        owner.page.locator("#person-link, #person-revoke, #person-resume").evaluate_all(
            "all => all.map(x => x.checkVisibility())"
        )
        == [False] * 3
    )
    owner.click("Give access again")
    owner.page.locator("#link-head", has_text="The invitation of Ben").wait_for()
    assert "invited" in owner.row_of("Ben")


def test_a_paused_person_is_resumed(owned, owner):
    ben = accounts.find_person(owned.project, "Ben")
    assert ben is not None
    with owned.project.database.write() as connection:
        accounts.pause(connection, ben, "too many wrong answers")
    owner.open("people")
    assert "paused too many wrong answers" in owner.row_of("Ben")
    owner.change("Ben").click("Resume the work").hears("Ben can work again.")
    assert "annotator active" in owner.row_of("Ben")


@pytest.mark.parametrize(("choice", "left"), [("keep", 2), ("void", 0)])
def test_consent_is_withdrawn_with_the_answers_kept_or_void(owned, chromium, owner, choice, left):
    answer(owned, chromium, "Ben", [HAPPY, SAD])
    ben = accounts.find_person(owned.project, "Ben")
    assert ben is not None
    with owned.project.database.write() as connection:
        for name, people in (("faces-1.0", [ben.pseudonym]), ("faces-1.1", ["another"])):
            facts: dict[str, Any] = {"name": name, "path": f"/{name}", "content": "", "options": {}}
            frozen.record_dataset(connection, **facts, numbers=[1], people=people)
    owner.change("Ben")
    owner.page.locator("#person summary").click()
    owner.click("Withdraw consent")  # neither chosen nor sure
    assert owner.page.locator("#person[open]").count() == 1
    owner.page.check(f"#withdraw-{choice}")
    owner.click("Withdraw consent")
    assert owner.page.locator("#person[open]").count() == 1
    assert len(owned.standing()) == 2
    owner.page.check("#withdraw-sure")
    owner.click("Withdraw consent").hears("The name and the account are deleted.")
    owner.hears("and stay as they are: faces-1.0. Freeze")
    assert len(owned.standing()) == left
    assert "Ben" not in owner.page.locator("#people-table").inner_text()
    assert "withdrawn" in owner.row_of(ben.pseudonym)


def test_a_batch_is_planned_first_and_then_made(owned, owner, more_faces):
    add_dataset(owned.project, more_faces)
    page = owner.open("batches").page
    assert page.locator("#batches-without").inner_text() == "Faces in no batch: 3"
    assert page.locator("#batch-overlap").input_value() == "2"
    page.fill("#batch-name", "fearful/")
    page.fill("#batch-share", "0.5")
    page.get_by_label("Ben").check()
    owner.click("Plan it").is_told("without a slash")
    page.fill("#batch-name", "fearful")
    owner.click("Plan it")
    page.locator(
        "#batch-planned-text", has_text="Faces: 3. Of them by 2 people each: 2."
    ).wait_for()
    assert len(owner.rows("#batches-table")) == 1
    page.fill("#batch-limit", "2")  # the plan was of another form
    assert page.locator("#batch-planned").is_hidden()
    owner.click("Plan it")
    page.locator(
        "#batch-planned-text", has_text="Faces: 2. Of them by 2 people each: 1."
    ).wait_for()
    owner.click("Make this batch").hears("The batch fearful is made. Faces: 2.")
    made = owner.rows("#batches-table")[1]
    assert made.startswith("fearful open 0 of 3 (0.0%) 2 50.0% by 2 people")
    assert "Ben" in made
    assert page.locator("#batches-without").inner_text() == "Faces in no batch: 1"


def test_a_batch_is_closed_opened_and_given_to_others(owned, owner):
    page = owner.open("batches").page
    owner.click("Close it: all").hears("The batch all is closed")
    assert owner.rows("#batches-table")[0].startswith("all closed")
    owner.click("Open it: all").hears("The batch all is open")
    assert "everybody" in owner.rows("#batches-table")[0]
    owner.click("People …: all")
    page.locator("#workers").get_by_label("Ada").check()
    owner.click("Save").hears("The people of the batch all are changed.")
    row = owner.rows("#batches-table")[0]
    assert "Ada" in row
    assert "everybody" not in row
    owner.click("People …: all")
    assert page.locator("#workers").get_by_label("Ada").is_checked()
    page.locator("#workers").get_by_label("Ada").uncheck()
    owner.click("Save")
    page.locator("#batches-table tr", has_text="everybody").wait_for()


def test_gold_comes_from_a_file_whose_bad_rows_are_named(owned, owner, tmp_path):
    with owned.project.database.read() as connection:
        first, second = connection.execute(sa.select(faces.c.face_id)).scalars()
    path = tmp_path / "gold.csv"
    path.write_text(
        f"face_id,expression,valence,arousal\n{first},happy,0.5,0.1\n{second},hapy,,\n<b>,sad,,\n"
    )
    page = owner.open("gold").page
    assert "there are none yet" in page.locator("#gold-table").inner_text()
    page.set_input_files("#gold-file", path)
    owner.click("Add the rows")
    page.locator("#gold-added-head", has_text="Added: 1. Known before: 0. Rejected: 2.").wait_for()
    assert owner.rows("#gold-rejected") == [
        "3 expression 'hapy' is none of the project's",
        "4 no face has the face_id <b>",
    ]
    assert owner.rows("#gold-table") == ["Happy 1"]
    path.write_text("name,expression\na,happy\n")
    page.set_input_files("#gold-file", path)
    owner.click("Add the rows").is_told("expected a CSV head of face_id, expression")


def test_gold_comes_from_settled_reviews(owned, owner, chromium, context):
    answer(owned, chromium, "Ben", [HAPPY | {"flag": True}, SAD])
    [item] = context.request.get(f"{owned.address}v1/review").json()["items"]
    settled = {"id": "01900000-0000-7000-8000-000000000001", **HAPPY}
    said = context.request.post(f"{owned.address}v1/review/{item['face']}/settle", data=settled)
    assert said.ok, said.text()
    page = owner.open("gold").page
    owner.click("Take the settled faces")
    page.locator("#gold-added-head", has_text="Added: 1. Known before: 0. Rejected: 0.").wait_for()
    owner.click("Take the settled faces")
    page.locator("#gold-added-head", has_text="Added: 0. Known before: 1.").wait_for()
    assert owner.rows("#gold-table") == ["Happy 1"]


def test_a_changed_setting_is_shown_and_becomes_an_event(owned, owner):
    page = owner.open("settings").page
    save = page.get_by_role("button", name="Save the changes")
    assert save.is_disabled()
    overlap = page.get_by_label("annotation.overlap", exact=True)
    assert overlap.get_attribute("type") == "number"
    shown = page.get_by_label("annotation.region_shown")
    assert shown.get_attribute("type") == "checkbox"
    assert shown.get_attribute("aria-describedby") == "setting-annotation.region_shown-means"
    overlap.fill("0")
    save.click()
    owner.is_told("annotation.overlap")
    assert overlap.input_value() == "0"
    overlap.fill("3")
    shown.check()
    save.click()
    page.locator("#settings-changed").wait_for()
    assert sorted(page.locator("#settings-list li").all_inner_texts()) == [
        "annotation.overlap: from 2 to 3",
        "annotation.region_shown: from off to on",
    ]
    assert save.is_disabled()
    page.get_by_role("link", name="Events").click()
    owner.on("events")
    page.locator("#events-table tr").first.wait_for()
    newest = " ".join(owner.rows("#events-table")[:2])
    assert "annotation.overlap" in newest
    assert "annotation.region_shown" in newest
    owner.open("settings")
    assert overlap.input_value() == "3"
    overlap.fill("4")
    page.get_by_role("button", name="Discard them").click()
    page.locator("#settings-save:disabled").wait_for()
    assert overlap.input_value() == "3"


def test_older_events_follow(owned, owner):
    for _ in range(60):
        with owned.project.database.write() as connection:
            ben = accounts.find_person(owned.project, "Ben")
            assert ben is not None
            accounts.pause(connection, ben, "again")
    page = owner.open("events").page
    assert len(owner.rows("#events-table")) == 50
    owner.click("Older events")
    page.locator("#events-older").wait_for(state="hidden")
    rows = owner.rows("#events-table")
    assert len(rows) > 60
    assert "Ada" not in rows[0]
    assert "because: again" in rows[0]


def test_the_dashboard_counts_and_its_drawings_have_tables(owned, owner, chromium):
    answer(owned, chromium, "Ben", [HAPPY, HAPPY])
    page = owner.open("dashboard").page
    done = page.locator("#figure-done").inner_text()
    assert done.split() == ["Done", "100.0%", "Answers:", "2", "of", "2"]
    assert "none" in page.locator("#figure-left").inner_text()
    ben = next(row for row in owner.rows("#dashboard-people") if row.startswith("Ben"))
    assert ben.endswith("active 2 2 2.5")
    expressions = owner.rows("#dashboard-expressions")
    assert "Happy 2 100.0%" in expressions
    assert "Sad 0 0.0%" in expressions
    # One cell, for both points lie in it: valence 0.5 … 0.6, arousal 0.1 … 0.2.
    cells = page.locator("#dashboard-density .cell")
    assert cells.count() == 1
    assert [float(cells.get_attribute(key)) for key in ("x", "y", "width")] == pytest.approx(
        [50, -20, 10]
    )
    page.locator("#dashboard-density summary").click()
    [row] = [row for row in owner.rows("#dashboard-density") if row.startswith("+0.10")]
    assert row.split()[3:].index("2") == 15
    page.locator("#dashboard-days summary").click()
    days = owner.rows("#dashboard-days")
    assert len(days) == 30
    assert days[0].endswith(" 2")
    assert (
        "Answers in 30 days: 2. At most on one day: 2."
        in page.locator("#dashboard-days").inner_text()
    )


def test_parts_are_links_that_the_keyboard_follows(owned, owner):
    page = owner.open("dashboard").page
    links = page.locator("#tabs a")
    assert [link.get_attribute("href") for link in links.all()] == [f"#{part}" for part in PARTS]
    links.nth(3).focus()
    page.keyboard.press("Enter")
    owner.on("gold")
    assert page.locator("#tabs [aria-current=page]").inner_text() == "Gold"
    assert page.evaluate("document.activeElement.id") == "gold-head"
    assert page.title() == "Gold · faces"
    page.go_back()
    owner.on("dashboard")
    assert page.locator("#panel-gold").is_hidden()


def test_without_accounts_the_page_says_how_to_get_them(tmp_path, two_faces, context):
    with serve(tmp_path / "p", two_faces) as served:
        owner = Owner(served, context, "people", name=None)
        assert (
            "openaffect annotate PROJECT --owner NAME"
            in owner.page.locator("#people-local").inner_text()
        )
        assert owner.page.locator("#people-accounts").is_hidden()
        owner.open("batches")
        assert owner.rows("#batches-table")[0].startswith("all open")
        assert owner.page.locator("#batch-people-field").is_hidden()
        assert owner.page.get_by_role("button", name="People").count() == 0
        for part in ("dashboard", "gold", "settings", "events"):
            owner.open(part)
            assert owner.page.locator("#problem").is_hidden()
        assert owner.errors == []


def test_a_session_that_ends_takes_no_written_word_away(owned, owner, context):
    owner.page.fill("#invite-name", "Cem")
    context.clear_cookies()
    owner.page.locator("#invite button").click()
    owner.is_told("You are signed out")
    other = Annotator(context.new_page())
    with context.expect_page() as opened:
        owner.page.get_by_role("link", name="Sign in in another tab").click()
    assert opened.value.url == owned.address
    other.page.goto(owned.address)
    other.sign_in("Ada")
    owner.page.locator("#invite button").click()
    owner.page.locator("#link-head", has_text="Cem").wait_for()


def test_a_server_that_is_away_is_said_and_the_plan_stays(owned, owner, more_faces):
    add_dataset(owned.project, more_faces)
    page = owner.open("batches").page
    page.fill("#batch-name", "later")
    owner.click("Plan it")
    page.locator("#batch-planned").wait_for()
    owned.stop()
    owner.click("Make this batch").is_told("The server does not answer.")
    owned.start()
    owner.click("Make this batch").hears("The batch later is made. Faces: 3.")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_page_fits_every_width_and_axe_finds_nothing(owned, owner, chromium, context, language):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    answer(owned, chromium, "Ben", [HAPPY, SAD])
    context.request.patch(f"{owned.address}v1/me", data={"language": language})
    cookies = context.cookies()
    found: dict[tuple[Any, ...], list[str]] = {}
    wide: dict[tuple[Any, ...], int] = {}
    for scheme in ("light", "dark"):
        made = chromium.new_context(color_scheme=scheme, bypass_csp=True)  # axe is a script
        made.add_cookies(cookies)
        page = made.new_page()
        for width in (1300, 390) if scheme == "light" else (1300,):
            page.set_viewport_size({"width": width, "height": 900})
            for part in PARTS:
                page.goto("about:blank")
                page.goto(f"{owned.address}manage#{part}")
                page.wait_for_load_state("networkidle")
                page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                place = (scheme, width, part)
                wide[place] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                found[place] = [one["id"] for one in axe.run(page).response["violations"]]
                if part == "people":
                    page.locator("[id^=change-]").last.click()
                    found[(*place, "person")] = [
                        one["id"] for one in axe.run(page).response["violations"]
                    ]
        made.close()
    assert len(found) == 21
    assert {place: ids for place, ids in found.items() if ids} == {}
    assert set(wide.values()) == {0}


def test_behind_a_proxy_with_a_path_an_invitation_leads_through_it(tmp_path, two_faces, chromium):
    with create_project(tmp_path / "faces") as project:
        add_dataset(project, two_faces)
    port, behind = free_port(), free_port()
    origin = f"https://localhost:{port}"
    options = ["--port", str(behind), "--owner", "Ada", "--origin", origin]
    options += ["--root-path", "/faces", "--proxy", "127.0.0.1"]
    with (
        annotating(project.path, *options) as lines,
        nginx(tmp_path / "n", port, behind, strip=True),
    ):
        context = chromium.new_context(ignore_https_errors=True)
        page = context.new_page()
        page.goto(next(word for word in lines[-1].split() if "#link=" in word))
        page.fill("#link-password", PASSWORD)
        page.fill("#link-again", PASSWORD)
        page.locator("#link button").click()
        page.locator("#to-manage").click()
        page.locator("#figures dd").first.wait_for()
        assert page.url == f"{origin}/faces/manage"
        page.locator("#tabs a[href='#people']").click()
        page.fill("#invite-name", "Ben")
        page.locator("#invite button").click()
        page.locator("#link-head", has_text="Ben").wait_for()
        link = page.locator("#link-address").input_value()
        assert link.startswith(f"{origin}/faces/#link=")
        page.locator("#to-review").click()
        page.locator("#empty", has_text="There is nothing to review.").wait_for()
        context.clear_cookies()
        page.goto(f"{origin}/faces/manage")
        page.locator("#name").wait_for()
        assert page.url == f"{origin}/faces/"
        page.goto("about:blank")
        page.goto(link)
        page.locator("#link-title", has_text="Ben").wait_for()
        context.close()
