"""How fast `collect` downloads, beside a bare aiohttp loop, and what it keeps in memory.

A server on this computer gives images of about 50 kB, each with other bytes. In each round the same
images are downloaded three times, in turn:

- bare: an aiohttp loop that hashes every body and writes it to a file of its own;
- download: `collect` without its decoding: rules, SHA-256, store on disk, rows;
- whole: `collect` as it is, with decoding and signatures; beside it, decoding and signatures alone, on
  as many threads.

The server is another process on the same cores. `--memory` downloads 1,000 and then 50,000 images, each in
a process of its own, and prints their peaks.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import cv2
import numpy as np
from aiohttp import web

from openaffect.collection import sessions
from openaffect.collection.downloads import ImageDownloader
from openaffect.collection.examination import Examined, examine_image
from openaffect.collection.fetcher import ImageFetcher
from openaffect.collection.hosts import HostLists
from openaffect.collection.license_filter import parse_licenses
from openaffect.image_headers import suffix_of_format
from openaffect.images import encode_image
from openaffect.project import Project, create_project
from openaffect.project.project import change_settings
from openaffect.project.rows import ImageRow
from openaffect.project.settings import CollectSettings
from openaffect.project.urls import HitRow, add_hits
from openaffect.withdrawals import Withdrawals

CONNECTIONS = 32
PICTURES = 40


def draw_pictures() -> list[bytes]:
    """JPEGs of about 50 kB, 640 × 480."""
    random = np.random.default_rng(1)
    found = []
    for _ in range(PICTURES):
        coarse = random.integers(0, 256, (12, 16, 3), np.uint8)
        image = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
        noisy = image.astype(np.int16) + random.integers(-14, 15, image.shape)
        found.append(encode_image(np.clip(noisy, 0, 255).astype(np.uint8), ".jpg", quality=80))
    return found


def make_picture(pictures: list[bytes], number: int) -> bytes:
    """The picture of an address: its bytes are its own, its pixels are shared."""
    return pictures[number % PICTURES] + number.to_bytes(8, "big")


def serve(pipe: Connection) -> None:
    """Answer on a free port of this computer until the process is ended."""
    pictures = draw_pictures()

    async def answer(request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        return web.Response(body=make_picture(pictures, number), content_type="image/jpeg")

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{number:\\d+}.jpg", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


@contextmanager
def open_server() -> Iterator[int]:
    """The port of a server in another process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def download_bare(port: int, images: int, first: int) -> float:
    """Seconds that a loop takes that hashes and writes."""

    async def run(folder: Path) -> None:
        numbers = iter(range(first, first + images))
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS)
        ) as session:

            async def work() -> None:
                for number in numbers:
                    async with session.get(f"http://127.0.0.1:{port}/{number}.jpg") as answer:
                        data = await answer.read()
                    name = hashlib.sha256(data).hexdigest()
                    (folder / f"{name}.jpg").write_bytes(data)

            await asyncio.gather(*(work() for _ in range(CONNECTIONS)))

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        asyncio.run(run(Path(folder)))
        return time.perf_counter() - began


class HashOnly(ImageDownloader):
    """A downloader that does not decode."""

    def _examine(self, data: bytes, row: ImageRow) -> Examined:
        sha256 = hashlib.sha256(data).hexdigest()
        found = ImageRow(
            sha256, suffix_of_format(data[:32]), len(data), row.source, row.name, url=row.url
        )
        return Examined(found)


def fill(folder: Path, port: int, images: int, first: int) -> Project:
    """A project in whose queue the images are."""
    project = create_project(folder)
    numbers = range(first, first + images)
    for start in range(0, images, 1_000):
        part = numbers[start : start + 1_000]
        rows = [
            HitRow("list", f"http://127.0.0.1:{port}/{number}.jpg", license="CC0-1.0")
            for number in part
        ]
        with project.database.write() as connection:
            add_hits(connection, rows)
    settings = {
        "contact": "benchmark@example.org",
        "collect.per_host": 10_000.0,
        "collect.connections": CONNECTIONS,
    }
    return change_settings(project, settings)


def collect(port: int, images: int, first: int, kind: type[ImageDownloader]) -> float:
    """Seconds that the queue takes."""
    allow = {("127.0.0.1", port)}

    async def run(project: Project) -> None:
        settings = project.settings.collect
        async with sessions.open_session(
            project.settings.contact, allow, connections=CONNECTIONS
        ) as session:
            fetcher = ImageFetcher(session, settings, lists=HostLists({}), allow=allow)
            downloader = kind(project, fetcher, parse_licenses("open"), owner="benchmark.1.1")
            await downloader.run()
            assert downloader.summary.stored == images, downloader.summary

    with (
        tempfile.TemporaryDirectory() as folder,
        fill(Path(folder) / "p", port, images, first) as project,
    ):
        began = time.perf_counter()
        asyncio.run(run(project))
        return time.perf_counter() - began


def examine_alone(images: int, first: int) -> float:
    """Seconds that decoding and signatures take by themselves."""
    pictures = draw_pictures()
    row, settings, withdrawn = ImageRow("", "", 0, "", ""), CollectSettings(), Withdrawals()

    def look(number: int) -> None:
        found = examine_image(make_picture(pictures, number), row, settings, withdrawn)
        assert found.image is not None

    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(look, range(first, first + images)))
    return time.perf_counter() - began


def measure_memory(port: int, images: int, pipe: Connection) -> None:
    """Send the peak of this process in MB after so many images."""
    collect(port, images, 10_000_000, ImageDownloader)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024)


def compare_memory(port: int, sizes: tuple[int, ...]) -> None:
    peaks = []
    for images in sizes:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=measure_memory, args=(port, images, theirs)
        )
        process.start()
        peaks.append(ours.recv())
        process.join()
        print(f"{images:,} images: peak {peaks[-1]:.0f} MB", flush=True)
    print(f"ratio {peaks[-1] / peaks[0]:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_500, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    images = options.images
    with open_server() as port:
        if options.memory:
            compare_memory(port, (1_000, 50_000))
            return
        download_bare(port, 200, 0)
        ratios: dict[str, list[float]] = {"download": [], "whole": []}
        for number in range(options.rounds):
            first = (number + 1) * 1_000_000
            bare = download_bare(port, images, first)
            light = collect(port, images, first, HashOnly)
            alone = examine_alone(images, first)
            whole = collect(port, images, first, ImageDownloader)
            ratios["download"].append(bare / light)
            ratios["whole"].append(alone / whole)
            print(
                f"round {number + 1}: images per second: bare {images / bare:,.0f}, download "
                f"{images / light:,.0f}, decode and sign alone {images / alone:,.0f}, whole "
                f"{images / whole:,.0f}",
                flush=True,
            )
    print(f"download: {statistics.median(ratios['download']):.2f} × bare")
    print(f"whole: {statistics.median(ratios['whole']):.2f} × decode and sign alone")


if __name__ == "__main__":
    main()
