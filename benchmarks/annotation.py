"""How fast annotators get their next face, alone and by the hundred, and what a killed server loses.

    python benchmarks/annotation.py [--faces 500000] [--database sqlite|postgresql] [--seconds 20]
        [--workers 1] [--workers 2]

Rows are generated; every face shares one synthetic image. For each database it prints

- the milliseconds of finding and taking the next face, by one client and by 50 threads that never
  wait, and how many of 10,000 faces that were drawn at once were given twice;
- requests per second and milliseconds of "store an answer and get the next face" over HTTP, with
  annotators who think for 3 seconds on average, counted from the moment at which each request was
  to be sent; the load comes from the same computer;
- the processor time of the server per answer, and how many connections of PostgreSQL it held;
- the same with the server killed three times: answers that were lost or stored twice by the
  clients' own logs, and the longest time until a client was answered again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import postgres
from openaffect.images import encode_image
from openaffect.project import Project, accounts, assignments, create_project, open_project, schema
from openaffect.synthetic import synthesize_face
from openaffect.texts import counted
from openaffect.web.annotation.service import name_cookie
from openaffect.web.annotation.texts import instructions_version

BATCH = 10_000
THINK_S = 3.0
WARM_UP_S = 10.0
LABELS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=500_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--annotators", type=int, help="50 on SQLite, 200 on PostgreSQL")
    parser.add_argument("--workers", type=int, action="append", help="one by default")
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    for kind in options.database or ("sqlite", "postgresql"):
        with database(kind) as url, tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "large"
            count = options.annotators or (50 if kind == "sqlite" else 200)
            with create_project(path, database=url) as project:
                start = time.perf_counter()
                generate(project, options.faces)
                print(f"{kind}: {options.faces:,} faces in {time.perf_counter() - start:.0f} s")
                measure_draws(project)
                cookies = make_people(project, count)
            for workers in options.workers or [1]:
                with open_project(path) as project, serving(path, options.port, workers) as server:
                    print(f"  {counted(workers, 'process', 'processes')}:")
                    measure_load(server, project, cookies, options.seconds)


def measure_load(server: Server, project: Project, cookies: list[str], seconds: float) -> None:
    """Print how fast annotators get their next face, and what a killed server loses."""
    before = server.processor_seconds()
    load = asyncio.run(run_load(server, cookies, seconds, kills=0))
    load.tell(f"{len(cookies)} annotators, {seconds:.0f} s")
    spent = 1e3 * (server.processor_seconds() - before) / len(load.acknowledged)
    print(f"    the server takes {spent:.1f} ms of a processor per answer")
    if not project.database.is_sqlite:
        print(f"    and {count_connections(project)} connections of the database")
    load = asyncio.run(run_load(server, cookies, seconds, kills=3))
    load.tell("the same, the server killed 3 times")
    check_rows(project, load)


def count_connections(project: Project) -> int:
    """Those of others to the database."""
    with project.database.read() as connection:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return int(connection.execute(sa.text(statement)).scalar_one()) - 1


# ---- rows -----------------------------------------------------------------------------------


@contextlib.contextmanager
def database(kind: str) -> Iterator[str | None]:
    """The address of an empty database, None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    with tempfile.TemporaryDirectory() as shared:
        folder = postgres.server(Path(shared))
        url = postgres.make_database(folder)
        try:
            yield url
        finally:
            postgres.stop(Path(shared))


def generate(project: Project, count: int) -> None:
    """Faces of one image, a batch of all of them, and their tasks."""
    at = datetime.datetime.now(datetime.UTC)
    data = encode_image(synthesize_face("happy", seed=1, size=256).image, ".jpg")
    sha256, suffix = project.store.put(data)
    chance = random.Random(0)
    with project.database.write() as connection:
        values = {"sha256": sha256, "suffix": suffix, "bytes": len(data), "source": "s"}
        connection.execute(
            sa.insert(schema.images).values(**values, name="one", width=256, height=256, at=at)
        )
        batch = {"name": "all", "state": "open", "overlap": 1, "overlap_share": 0.0, "at": at}
        connection.execute(
            sa.insert(schema.batches).values(
                **batch, balanced_by="random", faces=count, wanted=count
            )
        )
    for first in range(1, count + 1, BATCH):
        numbers = range(first, min(first + BATCH, count + 1))
        faces = [{"face_id": f"f{n}", "image_id": 1, "source": "s", "at": at} for n in numbers]
        tasks = [
            {
                "face_id": n,
                "batch_id": 1,
                "wanted": 1,
                "given": 0,
                "done": 0,
                "level": n // 1_000,
                "place": chance.random(),
            }
            for n in numbers
        ]
        with project.database.write() as connection:
            connection.execute(sa.insert(schema.faces), faces)
            connection.execute(sa.insert(schema.tasks), tasks)
    with project.database.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT"
    ) as connection:
        if not project.database.is_sqlite:
            connection.execute(sa.text("ANALYZE"))


def make_people(project: Project, count: int) -> list[str]:
    """Annotators who are signed in; the cookies of their sessions."""
    accounts.invite(project, "owner", "owner")
    cookies = []
    for number in range(count):
        link = accounts.invite(project, f"annotator {number}", simulated=True)
        token = accounts.use_link(project, link.token, "no password")
        cookies.append(f"{name_cookie(project)}={token}")
        accounts.change_preferences(project, link.person.id, instructions=instructions_version())
    return cookies


# ---- the next face --------------------------------------------------------------------------


def measure_draws(project: Project) -> None:
    """Print how long the next face takes, and whether one was given twice."""
    people = [accounts.invite(project, f"drawer {n}").person.id for n in range(50)]
    alone = draw(project, people[0], 1_000, random.Random(1))
    print(f"  next face, one client   {spread([seconds for seconds, _ in alone])}")
    results: list[list[tuple[float, int | None]]] = [[] for _ in people]

    def work(place: int) -> None:
        results[place] = draw(project, people[place], 200, random.Random(place))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(people))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [one for part in results for one in part]
    given = Counter(face for _, face in (*alone, *found) if face is not None)
    twice = sum(count > 1 for count in given.values())
    print(f"  next face, 50 threads   {spread([seconds for seconds, _ in found])}")
    print(f"  {len(found):,} drawn at once, {twice} given twice")


def draw(
    project: Project, person: int, count: int, chance: random.Random
) -> list[tuple[float, int | None]]:
    """Draw faces one by one; the seconds of each, from asking for the transaction to its end."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        with project.database.write() as connection:
            face = assignments.draw_work(connection, person, 1, chance.random())
        found.append((time.perf_counter() - start, face))
    return found


# ---- load -----------------------------------------------------------------------------------


class Server:
    """The annotation server as a process, which can be killed and started again."""

    def __init__(self, path: Path, port: int, workers: int) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "openaffect", "annotate", str(path)]
        self._command += ["--port", str(port), "--workers", str(workers)]
        self._process: subprocess.Popen[bytes] | None = None
        self.started = 0.0

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that all of its processes are killed together
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b"annotating at" in line:
                self.started = time.monotonic()
                return
            print("  " + line.decode().rstrip())
        raise SystemExit("the server did not start")

    def processor_seconds(self) -> float:
        """That its processes have taken so far; 0 where the system does not say."""
        assert self._process is not None
        own = self._process.pid
        try:
            children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
            found = [Path(f"/proc/{pid}/stat").read_text() for pid in (own, *children)]
        except OSError:
            return 0.0
        numbers = [one.rpartition(")")[2].split() for one in found]
        return sum(int(one[11]) + int(one[12]) for one in numbers) / os.sysconf("SC_CLK_TCK")

    def kill(self, how: signal.Signals) -> None:
        """End all of its processes by a signal."""
        assert self._process is not None
        os.killpg(self._process.pid, how)
        self._process.wait()


@contextlib.contextmanager
def serving(path: Path, port: int, workers: int) -> Iterator[Server]:
    server = Server(path, port, workers)
    server.start()
    try:
        yield server
    finally:
        server.kill(signal.SIGTERM)


@dataclass
class Load:
    """What the clients saw.

    Attributes:
        seconds: of the measured time.
        latencies: seconds from the moment at which a request was to be sent to its answer.
        acknowledged: ids of the answers that the server has confirmed.
        back: seconds from each start of the server to the first answer of each client.
        errors: answers other than 200.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def tell(self, what: str) -> None:
        rate = len(self.latencies) / self.seconds
        print(f"  {what}: {rate:.1f} requests/s, {spread(self.latencies)}")
        if self.errors:
            print(f"    other answers: {dict(self.errors)}")
        if self.back:
            print(f"    all clients back within {max(self.back):.1f} s of a restart")


async def run_load(server: Server, cookies: list[str], seconds: float, kills: int) -> Load:
    """Annotators who answer for a while."""
    load = Load(seconds=seconds)
    begin = time.monotonic() + WARM_UP_S
    end = begin + seconds
    async with aiohttp.ClientSession(
        base_url=server.address, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        clients = [
            asyncio.create_task(annotate(session, server, cookie, load, begin, end, seed))
            for seed, cookie in enumerate(cookies)
        ]
        for number in range(kills):
            await asyncio.sleep(
                max(0.0, begin + (number + 0.5) * seconds / kills - time.monotonic())
            )
            server.kill(signal.SIGKILL)
            await asyncio.to_thread(server.start)
        await asyncio.gather(*clients)
    return load


async def annotate(
    session: aiohttp.ClientSession,
    server: Server,
    cookie: str,
    load: Load,
    begin: float,
    end: float,
    seed: int,
) -> None:
    """One annotator: think, answer, get the next face; an answer is sent until it is confirmed."""
    chance = random.Random(seed)
    faces: list[int] = []
    intended = time.monotonic() + chance.random() * THINK_S
    for _ in itertools.count():
        if intended > end:
            return
        await asyncio.sleep(max(0.0, intended - time.monotonic()))
        if not faces:
            path: str = "/v1/faces/next"
            body: dict[str, Any] = {"held": []}
        else:
            name = uuid7(chance)
            path = "/v1/annotations"
            body = answer(name, faces, chance)
        reply = await send(session, server, path, body, {"Cookie": cookie}, load)
        finished = time.monotonic()
        if path == "/v1/annotations":
            if reply is not None:
                load.acknowledged.append(name)
                if begin <= intended <= end:
                    load.latencies.append(finished - intended)
            faces.pop(0)
        faces += [one["assignment"] for one in (reply or {}).get("faces", [])]
        intended = finished + chance.expovariate(1 / THINK_S)


def answer(name: str, faces: list[int], chance: random.Random) -> dict[str, Any]:
    return {
        "id": name,
        "assignment": faces[0],
        "expression": chance.choice(LABELS),
        "valence": round(chance.uniform(-0.7, 0.7), 2),
        "arousal": 0.1,
        "seconds": 3.0,
        "held": faces[1:],
    }


async def send(
    session: aiohttp.ClientSession,
    server: Server,
    path: str,
    body: dict[str, Any],
    headers: dict[str, str],
    load: Load,
) -> dict[str, Any] | None:
    """Send a request until it is answered; None where the answer is a refusal."""
    failed = 0.0
    while True:
        try:
            async with session.post(path, json=body, headers=headers) as response:
                reply: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, OSError):
            failed = failed or time.monotonic()
            await asyncio.sleep(0.25)
            continue
        if failed and server.started > failed:
            load.back.append(time.monotonic() - server.started)
        if response.status == 200:
            return reply
        load.errors[f"{response.status} {reply.get('error')}"] += 1
        if response.status != 503:
            return None
        await asyncio.sleep(0.5)


def check_rows(project: Project, load: Load) -> None:
    """Print how many confirmed answers are not there, or there twice."""
    column = schema.annotations.c
    with project.database.read() as connection:
        stored = Counter(connection.execute(sa.select(column.id)).scalars())
        twice = connection.execute(
            sa.select(sa.func.count()).select_from(
                sa.select(column.face_id)
                .where(~column.void, column.kind == "work")
                .group_by(column.face_id)
                .having(sa.func.count() > 1)
                .subquery()
            )
        ).scalar_one()
    lost = sum(name not in stored for name in load.acknowledged)
    print(f"    {len(load.acknowledged):,} confirmed, {lost} lost, {twice} faces answered twice")


def uuid7(chance: random.Random) -> str:
    value = (int(time.time() * 1000) << 80) | chance.getrandbits(80)
    return str(uuid.UUID(int=value & ~(0xF << 76) & ~(3 << 62) | 7 << 76 | 2 << 62))


def spread(seconds: list[float]) -> str:
    """p50, p99 and the longest in milliseconds."""
    if len(seconds) < 2:
        return "too few"
    cuts = statistics.quantiles(seconds, n=100)
    return (
        f"p50 {1e3 * cuts[49]:.1f} ms, p99 {1e3 * cuts[98]:.1f} ms, "
        f"longest {1e3 * max(seconds):.1f} ms"
    )


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    main()
