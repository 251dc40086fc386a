"""The road from queries to faces, on real photographs; what it prints is in docs/collecting.md.

    OPENAFFECT_TEST_DATA=… python runs/collect_photos.py WORK

Two search engines on this computer speak Openverse's and Wikimedia Commons' language, at the pace that those
allow. They find photographs of `photos.zip` on servers that behave as servers do, among them
planted copies, rules and faults. So every number of the funnel is known beforehand; it is compared with
what the project says, and the exit status is 1 where one differs.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import sqlalchemy as sa

import openaffect
from openaffect.collection import detect_faces
from openaffect.collection.collecting import collect_images
from openaffect.forgetting import forget
from openaffect.labels import EMOTIONS
from openaffect.project import Project, create_project, schema
from openaffect.project.project import change_settings
from openaffect.project.queries import Query, set_queries
from openaffect.project.rows import StoredAnnotation, insert_annotations

GOOD, EXACT, ALTERED, ELSEWHERE = 260, 20, 20, 30
CLOSED, NOAI, RESERVED, DISALLOWED, LISTED = 20, 10, 10, 10, 5
PAGES, MISSING, UNLICENSED, FORGOTTEN, AGAIN = 5, 5, 12, 4, 3
LICENSES = (("by", "4.0"), ("by-sa", "2.0"), ("cc0", "1.0"), ("by-nc", "4.0"), ("by-nd", "2.0"))
LEGAL = {
    "legal.controller": "A laboratory",
    "legal.purpose": "to show the funnel",
    "legal.legal_basis": "licenses of the photographs",
    "legal.ethics_approval": "not needed: no new data",
    "legal.retention": "deleted after the run",
}

Answer = tuple[int, dict[str, str], bytes]


def main() -> None:
    """Collect, detect, freeze and release, in a folder of their own."""
    work = Path(sys.argv[1])
    archive = Path(os.environ["OPENAFFECT_TEST_DATA"]) / "photos.zip"
    photos = read_photos(archive, work / "photos", GOOD + ELSEWHERE)
    with contextlib.ExitStack() as stack:
        web = Web(stack, photos)
        project = stack.enter_context(make_project(work / "faces", photos))
        began = time.perf_counter()
        for name in ("openverse", "commons"):
            done = collect_images(project, name, base=web.engines[name].base, allow=web.ports())
            print(f"{name}: {json.dumps(done.describe())}", flush=True)
        seconds = time.perf_counter() - began
        detect_faces(project)
        wrong = compare(project, web)
        print(f"collected in {seconds:.0f} s, most of it at the pace of the engines")
        wrong += release(project, work)
    print("every number is as planned" if not wrong else f"{wrong} numbers are not as planned")
    raise SystemExit(wrong != 0)


def read_photos(archive: Path, folder: Path, count: int) -> list[bytes]:
    """Photographs of different people, as they lie in the archive."""
    dataset, _ = openaffect.import_dataset("csv", archive, folder, overwrite=True)
    first: dict[str, Path] = {}
    for path in sorted(dataset.image_paths):
        first.setdefault(path.stem.rstrip("0123456789_-"), path)
    found = [path.read_bytes() for path in first.values()]
    return list(dict.fromkeys(found))[:count]


def alter(photo: bytes) -> bytes:
    """The photograph at seven tenths of its size, compressed again."""
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    small = cv2.resize(image, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()


def make_project(path: Path, photos: list[bytes]) -> Project:
    """A project with a query for each expression, from which four photographs were removed on request."""
    project = create_project(path, contact="lab@example.org")
    set_queries(project, [Query(f"{one.value} person", "en", one.value) for one in EMOTIONS])
    (path / "hosts").mkdir()
    (path / "hosts" / "agencies.txt").write_text("agency.example\n", encoding="utf-8")
    hashes = [hashlib.sha256(photo).hexdigest() for photo in photos[GOOD - FORGOTTEN : GOOD]]
    forget(project, hashes, because="the people in them have asked")
    return change_settings(project, {"collect.per_host": 50.0, **LEGAL})


class Server:
    """Answers on a free port of this computer."""

    def __init__(self, stack: contextlib.ExitStack, answer: Callable[[str], Answer]) -> None:
        self.asked: Counter[str] = Counter()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(inner) -> None:  # noqa: N805 - the server is `self`
                self.asked[urlsplit(inner.path).path] += 1
                status, headers, body = answer(inner.path)
                inner.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    inner.send_header(name, value)
                inner.end_headers()
                inner.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        self.base = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        stack.callback(server.shutdown)


def give(files: dict[str, bytes], **headers: str) -> Callable[[str], Answer]:
    """Answers of a host with these files."""

    def answer(path: str) -> Answer:
        if path not in files:
            return 404, {}, b""
        return 200, {} if path == "/robots.txt" else headers, files[path]

    return answer


class Web:
    """The hosts of the photographs, and the engines that know them."""

    def __init__(self, stack: contextlib.ExitStack, photos: list[bytes]) -> None:
        files = {f"/{n}.jpg": photo for n, photo in enumerate(photos)}
        files |= {f"/copy-{n}.jpg": photos[n] for n in range(EXACT)}
        files |= {f"/altered-{n}.jpg": alter(photos[n]) for n in range(EXACT, EXACT + ALTERED)}
        files |= {f"/page-{n}.jpg": b"<!DOCTYPE html><title>photo" for n in range(PAGES)}
        closed = b"User-agent: *\nDisallow: /"
        self.hosts = {
            "good": Server(stack, give(files)),
            "closed": Server(stack, lambda path: (404 if path == "/robots.txt" else 403, {}, b"")),
            "noai": Server(stack, give(files, **{"X-Robots-Tag": "noai, noimageai"})),
            "reserved": Server(stack, give(files, **{"tdm-reservation": "1"})),
            "disallowed": Server(stack, give({**files, "/robots.txt": closed})),
        }
        self.results = self._plan()
        self.engines = {
            "openverse": Server(stack, self._openverse),
            "commons": Server(stack, self._commons),
        }

    def ports(self) -> set[tuple[str, int]]:
        """What may be opened although it is on this computer."""
        servers = (*self.hosts.values(), *self.engines.values())
        return {("127.0.0.1", server.port) for server in servers}

    def _plan(self) -> list[str]:
        """The addresses that Openverse finds, each once."""
        good = self.hosts["good"].base
        urls = [f"{good}/{n}.jpg" for n in range(GOOD)]
        urls += [f"{good}/copy-{n}.jpg" for n in range(EXACT)]
        urls += [f"{good}/altered-{n}.jpg" for n in range(EXACT, EXACT + ALTERED)]
        urls += [f"{good}/page-{n}.jpg" for n in range(PAGES)]
        urls += [f"{good}/missing-{n}.jpg" for n in range(MISSING)]
        for name, count in (
            ("closed", CLOSED),
            ("noai", NOAI),
            ("reserved", RESERVED),
            ("disallowed", DISALLOWED),
        ):
            urls += [f"{self.hosts[name].base}/{n}.jpg" for n in range(count)]
        return urls + [f"http://images.agency.example/{n}.jpg" for n in range(LISTED)]

    def _openverse(self, path: str) -> Answer:
        asked = parse_qs(urlsplit(path).query)
        place = [one.value for one in EMOTIONS].index(asked["q"][0].split()[0])
        share = -(-len(self.results) // len(EMOTIONS))
        first = place * share
        # The first results of a query are also the last of the one before.
        found = self.results[max(0, first - AGAIN) : first + share]
        page = int(asked["page"][0])
        results = [
            {
                "title": f"Photograph {url}",
                "url": url,
                "foreign_landing_url": "https://photos.example/1",
                "creator": "Ada &amp; Ben",
                **self._license(url),
            }
            for url in found[20 * (page - 1) : 20 * page]
        ]
        answer = {"result_count": len(found), "page_count": -(-len(found) // 20), "page": page}
        return 200, {}, json.dumps({**answer, "page_size": 20, "results": results}).encode()

    def _license(self, url: str) -> dict[str, str]:
        license, version = LICENSES[self.results.index(url) % len(LICENSES)]
        return {"license": license, "license_version": version}

    def _commons(self, path: str) -> Answer:
        asked = parse_qs(urlsplit(path).query)
        if "happy person" not in asked["gsrsearch"][0]:
            return 200, {}, b'{"batchcomplete": true}'
        good = self.hosts["good"].base
        known = [(f"{good}/{n}.jpg", "CC BY 4.0") for n in range(40)]
        new = [(f"{good}/{n}.jpg", "CC0") for n in range(GOOD, GOOD + ELSEWHERE)]
        unlicensed = [(f"{good}/fair-{n}.jpg", "Fair use") for n in range(UNLICENSED)]
        found = known + new + unlicensed
        start = int(asked.get("gsroffset", ["0"])[0])
        pages = [
            {
                "index": start + place,
                "title": f"File:{url}",
                "imageinfo": [
                    {"url": url, "extmetadata": {"LicenseShortName": {"value": license}}}
                ],
            }
            for place, (url, license) in enumerate(found[start : start + 50], 1)
        ]
        answer: dict[str, Any] = {"query": {"pages": pages}}
        if start + 50 < len(found):
            answer["continue"] = {"gsroffset": start + 50, "continue": "gsroffset||"}
        return 200, {}, json.dumps(answer).encode()


def compare(project: Project, web: Web) -> int:
    """Print the funnel beside its plan; how many numbers differ."""
    status = project.status()
    download = status["steps"]["download"]
    refused, failed = download["refused"], download["failed"]
    copies = list(find_copies(project))
    expected = len(web.results)
    overlap = AGAIN * (len(EMOTIONS) - 1)
    stored = GOOD - FORGOTTEN + ALTERED + ELSEWHERE
    table = [
        ("results of the engines", expected + overlap + 40 + ELSEWHERE + UNLICENSED, None),
        ("addresses", expected + ELSEWHERE + UNLICENSED - FORGOTTEN, status["found"]["urls"]),
        ("refused: robots.txt", DISALLOWED, refused.get("robots.txt")),
        ("refused: X-Robots-Tag", NOAI, refused.get("X-Robots-Tag")),
        ("refused: TDMRep", RESERVED, refused.get("TDMRep")),
        ("refused: on a list of hosts", LISTED, refused.get("host list agencies")),
        ("refused: no known license", UNLICENSED, refused.get("unknown license")),
        ("failed: no image", PAGES, failed.get("no image")),
        ("failed: HTTP 404", MISSING, failed.get("HTTP 404")),
        (
            "failed: HTTP 403, then left alone",
            CLOSED,
            failed.get("HTTP 403", 0) + failed.get("host left alone", 0),
        ),
        ("bytes that were there", EXACT, status["found"]["known_images"]),
        ("images", stored, status["images"]["total"]),
        ("copies of other images", ALTERED, len(copies)),
        ("of them, planted ones", ALTERED, sum(planted for planted in copies)),
        (
            "images searched for faces",
            stored - ALTERED,
            status["steps"]["detect"]["done"],
        ),
    ]
    with project.database.read() as connection:
        hits = connection.execute(sa.select(sa.func.count()).select_from(schema.hits)).scalar_one()
    # The hits of forgotten addresses are not kept.
    table[0] = ("results that are kept", int(table[0][1]) - forgotten_hits(web), hits)
    wrong = 0
    print(f"{'':34} planned  found")
    for name, planned, found in table:
        print(f"{name:34} {planned:7,} {found or 0:6,}{'' if planned == found else '  DIFFERS'}")
        wrong += planned != found
    print(f"without a face: {status['images']['without_faces']}; faces: {status['faces']['total']}")
    print(f"times that the closed host was asked for an image: {asked_closed(web)}")
    return wrong


def forgotten_hits(web: Web) -> int:
    """Results whose address gave a forgotten photograph."""
    share = -(-len(web.results) // len(EMOTIONS))
    found = 0
    for number in range(GOOD - FORGOTTEN, GOOD):
        again = any(
            place * share - AGAIN <= number < place * share for place in range(1, len(EMOTIONS))
        )
        found += 1 + again
    return found


def asked_closed(web: Web) -> int:
    """How often the closed host was asked for an image."""
    asked = web.hosts["closed"].asked
    return sum(count for path, count in asked.items() if path.endswith(".jpg"))


def find_copies(project: Project) -> Iterator[bool]:
    """For each image that is known as a copy, whether it is a planted one, of its own photograph."""
    images = schema.images.alias()
    statement = sa.select(schema.images.c.url, images.c.url).join(
        images, images.c.id == schema.images.c.copy_of
    )
    with project.database.read() as connection:
        for copy, original in connection.execute(statement):
            yield copy.replace("altered-", "") == original


def label(project: Project) -> None:
    """Let the expression that was searched for stand for a label: nobody has looked here."""
    statement = sa.select(schema.faces.c.face_id, schema.images.c.intended).join(
        schema.images, schema.images.c.id == schema.faces.c.image_id
    )
    with project.database.write() as connection:
        rows = [
            StoredAnnotation(face_id, "simulated", expression=intended, origin="simulated")
            for face_id, intended in connection.execute(statement).all()
        ]
        insert_annotations(connection, rows)


def release(project: Project, work: Path) -> int:
    """Freeze and release; pictures of a license with ND or NC are left out of it."""
    label(project)
    dataset = openaffect.freeze_project(
        project,
        work / "dataset",
        openaffect.FreezeOptions(splits="drawn", validation="10%", test="10%"),
        overwrite=True,
    ).dataset
    done = openaffect.release_dataset(
        work / "dataset", work / "release", openaffect.ReleaseOptions(), overwrite=True
    )
    licenses = Counter(dataset.column("license").to_pylist())
    may = sum(count for name, count in licenses.items() if not ("ND" in name or "NC" in name))
    print(f"frozen: {len(dataset)} faces, {dict(sorted(licenses.items()))}")
    print(f"released: {done.faces} faces, {done.pictures} with a picture, planned {may}")
    return int(done.pictures != may)


if __name__ == "__main__":
    main()
