"""Make the pictures of docs/annotating.md: the annotator's page, with synthetic faces.

    python docs/make_annotation_pictures.py

Needs Playwright and Chromium. No face is chosen by hand.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import sync_playwright

from openaffect.annotation.batches import make_first_batch
from openaffect.annotation.gold import add_gold
from openaffect.collection import add_dataset
from openaffect.dataset import Dataset
from openaffect.labels import EMOTIONS
from openaffect.project import Project, create_project
from openaffect.project.project import change_settings
from openaffect.synthetic.dataset import synthesize_dataset
from openaffect.web.annotation.app import make_app

FOLDER = Path(__file__).parent / "pictures"
SEED = 12


@contextlib.contextmanager
def serving(project: Project) -> Iterator[str]:
    """The address of a project's page, without accounts."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        config = uvicorn.Config(make_app(project, without_accounts=True), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def filled(path: Path, drawn: Dataset) -> Iterator[Project]:
    """A project with faces to annotate."""
    with create_project(path) as made:
        add_dataset(made, drawn)
        make_first_batch(made)
        yield made


def open_page(browser: Any, address: str, **options: Any) -> Any:
    """The page with a face on it."""
    page = browser.new_context(locale="en-US", **options).new_page()
    page.goto(address)
    page.locator("#instructions-read:visible, #warning-start:visible").first.wait_for()
    if page.locator("#instructions-read").is_visible():
        page.click("#instructions-read")
    page.click("#warning-start")
    page.locator("#face[aria-busy=false] img").wait_for()
    return page


def shoot(page: Any, name: str) -> None:
    """Write what is on the screen."""
    page.screenshot(path=FOLDER / f"{name}.jpg", type="jpeg", quality=85)


def press(page: Any, *keys: str) -> None:
    """Press keys, one after the other."""
    for key in keys:
        page.keyboard.press(key)


def take_pictures(browser: Any, project: Project) -> None:
    """The page on a computer, on a telephone, in Arabic, with its keys, and in training."""
    with serving(project) as address:
        page = open_page(browser, address, viewport={"width": 1300, "height": 830})
        press(page, "6", *["ArrowLeft"] * 10, *["ArrowUp"] * 12)
        shoot(page, "annotating")
        page.select_option("#language", "ar")
        page.locator("html[dir=rtl]").wait_for()
        page.locator("#face[aria-busy=false] img").wait_for()
        shoot(page, "annotating-arabic")
        page.select_option("#language", "en")
        page.locator("html[dir=ltr]").wait_for()
        press(page, "?")
        page.locator("#keys-dialog[open]").wait_for()
        shoot(page, "annotating-keys")
        page.close()
        page = open_page(browser, address, viewport={"width": 390, "height": 844}, has_touch=True)
        page.locator("[data-action=anger]").tap()
        page.evaluate("scrollTo(0, 0)")
        shoot(page, "annotating-phone")
        page.close()


def take_training_picture(browser: Any, project: Project) -> None:
    """What a training face says after a wrong answer."""
    with serving(project) as address:
        page = open_page(browser, address, viewport={"width": 1300, "height": 830})
        press(page, "6", *["ArrowLeft"] * 10, *["ArrowUp"] * 10, "Enter")
        page.locator("#messages", has_text="Expected").wait_for()
        shoot(page, "annotating-training")
        page.close()


def main() -> None:
    """Draw the faces, serve them, and take the pictures."""
    FOLDER.mkdir(exist_ok=True)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        place = Path(folder)
        counts = {None: dict.fromkeys(EMOTIONS, 2)}
        drawn = synthesize_dataset(place / "drawn", counts, size=448, seed=SEED)
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with filled(place / "faces in the wild", drawn) as made:
            take_pictures(browser, change_settings(made, {"annotation.region_shown": True}))
        with filled(place / "training", drawn) as made:
            rows = [
                f"{face},{EMOTIONS[number]},{valence:.2f},{arousal:.2f}"
                for face, number, (valence, arousal) in zip(
                    drawn.ids, drawn.expression_ids, drawn.affect, strict=True
                )
            ]
            add_gold(made, "\n".join(["face_id,expression,valence,arousal", *rows]))
            training = {"quality.training_rounds": 3, "quality.training_faces": 16}
            take_training_picture(browser, change_settings(made, training))
        browser.close()


if __name__ == "__main__":
    main()
