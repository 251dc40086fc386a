"""A project of synthetic faces on a real server, and a person who works there with a browser."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from annotation_web.proxy import Proxy
from openaffect.annotation.batches import make_first_batch
from openaffect.collection import add_dataset
from openaffect.dataset import Dataset
from openaffect.project import Project, accounts, create_project, schema
from openaffect.project.project import change_settings
from openaffect.web.annotation.app import make_app
from web_builders import running, wait_until

PASSWORD = "a long password"


class Served:
    """A project, its server behind a proxy, and what both can be made to do.

    Attributes:
        project: with a batch of all its faces.
        proxy: between the browser and the server.
    """

    def __init__(self, project: Project, *, with_accounts: bool) -> None:
        self.project = project
        self.proxy = Proxy(0)
        self._with_accounts = with_accounts
        self._server = contextlib.ExitStack()

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.proxy.port}/"

    def start(self) -> None:
        """A server, as a new process would be: it knows what the database knows."""
        app = make_app(self.project, without_accounts=not self._with_accounts)
        self.proxy.mend(self._server.enter_context(running(app, timeout_graceful_shutdown=1)))

    def stop(self) -> None:
        """End every connection, and the server."""
        self.proxy.cut()
        self._server.close()

    def rows(self) -> list[dict[str, Any]]:
        """Every row that people at the page made, in the order in which they were stored."""
        table = schema.annotations
        statement = (
            sa.select(table)
            .where(table.c.assignment_id.is_not(None))  # the dataset had labels of its own
            .order_by(table.c.at, table.c.id)
        )
        with self.project.database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]

    def said(self) -> list[str]:
        """The expressions of the rows that are not void, in their order."""
        return [row["expression"] for row in self.rows() if not row["void"]]

    def standing(self) -> list[str]:
        """The expressions of the rows that nobody withdrew."""
        rows = self.rows()
        gone = {row["replaces"] for row in rows if row["void"]}
        return [r["expression"] for r in rows if not r["void"] and r["id"] not in gone]


@contextlib.contextmanager
def serve(
    folder: Path, dataset: Dataset, *, people: tuple[str, ...] = (), **settings: Any
) -> Iterator[Served]:
    """A project with the faces of a dataset, served; `settings` as `annotation__region_shown`.

    Args:
        folder: that will be the project.
        dataset: whose faces it has.
        people: names of those who have an account with `PASSWORD`, the first as owner; without
            any, one person works without an account.
        settings: with two underscores for the dot.
    """
    # No face comes twice but where a test asks for it.
    chosen = {"quality.gold_share": 0.0, "quality.repeat_share": 0.0}
    chosen |= {key.replace("__", "."): value for key, value in settings.items()}
    with create_project(folder) as project:
        add_dataset(project, dataset)
        changed = change_settings(project, chosen)
        make_first_batch(changed)
        for name in people:
            link = accounts.invite(changed, name, "owner" if name == people[0] else "annotator")
            accounts.use_link(changed, link.token, accounts.hash_password(PASSWORD))
        served = Served(changed, with_accounts=bool(people))
        with served.proxy.running():
            served.start()
            try:
                yield served
            finally:
                served.stop()


class Annotator:
    """A person at the page: does what people do, and waits for what they would wait for.

    Attributes:
        page: Playwright's.
        errors: of scripts, and what the content security policy refused.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)

    def _note(self, message: Any) -> None:
        # Lost connections and refused answers are on purpose.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def open(self, served: Served, *, name: str | None = None) -> Annotator:
        """Open the page, sign in if there is a name, and go on to the first face."""
        self.page.goto(served.address)
        if name is not None:
            self.sign_in(name)
        shown = "[data-screen=%s]:not([hidden])"
        for screen, button in (
            ("instructions", "#instructions-read"),
            ("warning", "#warning-start"),
        ):
            later = ", ".join(shown % one for one in (screen, "warning", "work"))
            self.page.locator(later).first.wait_for()
            if self.page.locator(shown % screen).count():
                self.page.click(button)
                self.page.locator(shown % screen).wait_for(state="detached")
        return self.on_face()

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Fill in the form that lies over the page."""
        self.page.fill("#name", name)
        self.page.fill("#password", password)
        self.page.keyboard.press("Enter")
        self.page.locator("#sign-in:not([open])").wait_for(state="attached")

    def on_face(self) -> Annotator:
        """Wait until a face is on the screen."""
        self.page.locator("#face[aria-busy=false] img").wait_for()
        return self

    @property
    def face(self) -> str:
        """What tells the picture on the screen from others."""
        shown: str = self.page.locator("#picture img").get_attribute("src")
        return shown

    def press(self, *keys: str) -> Annotator:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def answer(self, *keys: str) -> Annotator:
        """Press keys, Enter, and wait for the next face."""
        before = self.face
        self.press(*keys, "Enter")
        self.page.wait_for_function(
            "before => document.querySelector('#picture img')?.getAttribute('src') !== before",
            arg=before,
        )
        return self.on_face()

    def all_sent(self) -> Annotator:
        """Wait until the page says that everything is saved."""
        self.page.locator("#sent-text", has_text="Everything is saved").wait_for()
        return self

    @property
    def pressed(self) -> list[str]:
        """The actions of the buttons that are pressed."""
        shown: list[str] = self.page.locator("#work [aria-pressed=true]").evaluate_all(
            "all => all.map((one) => one.dataset.action)"
        )
        return shown

    @property
    def point(self) -> tuple[str, str]:
        """Valence and arousal as they are shown."""
        return tuple(self.page.locator(f"#{one}").text_content() for one in ("valence", "arousal"))

    @property
    def messages(self) -> str:
        """What the page says of the face."""
        said: str = self.page.locator("#messages").text_content()
        return said


def wait_for_rows(served: Served, count: int) -> None:
    """Wait until so many rows are stored."""
    wait_until(lambda: len(served.rows()) >= count)
