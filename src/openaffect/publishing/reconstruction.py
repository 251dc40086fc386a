"""`fetch`: a release without pictures becomes a dataset again, each picture from its own source.

What comes is compared with what was released: the same bytes, or the same picture saved again in the
same size; anything else is not taken, for boxes and labels would be of another picture. Downloads
are kept beside the destination until all are done, so that a fetch that was killed goes on. One that
was finished goes on, too: what is in its dataset is not asked for again.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from openaffect import schemas, tables
from openaffect.addresses import Allowed
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.documents import read_json
from openaffect.download import download
from openaffect.errors import (
    DestinationExists,
    DownloadError,
    FormatError,
    ImageError,
    InputError,
    MismatchError,
)
from openaffect.face_row import FaceRow
from openaffect.faces.near_search import count_bits
from openaffect.faces.signatures import HASH_VERSION, sign_face
from openaffect.image_headers import suffix_of_format
from openaffect.image_links import check_links
from openaffect.images import MAX_BYTES, read_image
from openaffect.labels import Expression
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.publishing.hosts import HostTurns, take_turns
from openaffect.publishing.manifest import FILE as MANIFEST
from openaffect.publishing.manifest import hash_file
from openaffect.publishing.outcomes import (
    FILE,
    RELEASE,
    TAKEN,
    Earlier,
    Outcome,
    name_release,
    read_earlier,
    read_outcomes,
)
from openaffect.publishing.release import TABLE
from openaffect.storage import atomic_file
from openaffect.unfinished import refuse_unfinished, unfinished_folder
from openaffect.withdrawals import DISTANCE, Withdrawals, find_withdrawn, write_withdrawn
from openaffect.withdrawals import FILE as WITHDRAWN

_SECONDS = 60.0  # for one picture
_OWN = ("dhash", "hash_version")  # columns of a release that are for this comparison


@dataclass(slots=True)
class FetchSummary:
    """What a fetch brought: number of faces by outcome, and how many there are in the dataset."""

    faces: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


def fetch_release(
    release: str | Path,
    path: str | Path,
    *,
    withdrawn: Sequence[str | Path] = (),
    workers: int = 8,
    per_host: int = 2,
    resume: bool = False,
    overwrite: bool = False,
    allow: Allowed = (),
    on_progress: OnProgress | None = None,
) -> FetchSummary:
    """Load the pictures of a release from their addresses, and write a dataset.

    Args:
        release: its folder.
        path: the dataset folder to make; its `fetch.csv` names the outcome of every face.
        withdrawn: other `withdrawn.csv` files to obey, beside the release's own.
        workers: downloads at the same time.
        per_host: of these, from the same host.
        resume: go on with a fetch that was interrupted, or that is done and brought not everything;
            what failed then is tried again, and what came is not asked for once more.
        overwrite: replace an existing dataset, and drop an unfinished fetch.
        allow: numbers and ports that may be opened although they are not public.
        on_progress: called with the number of addresses done so far.

    Raises:
        DestinationExists: the dataset, or an unfinished fetch without `resume`, is there.
        FormatError: no release, or its table is not as its manifest says.
        MismatchError: what is resumed is of another release.
        InputError: not one picture came as it was released, or other datasets link to the images of
            the one that would be replaced.
    """
    release, path = Path(release), Path(path)
    table = _open_table(release)
    known = find_withdrawn(release, *withdrawn)
    jobs = _jobs(table, known)
    if not jobs:
        raise InputError(
            f"no face of {release} has an address to fetch from, but for those that were withdrawn; its "
            "pictures, if it has any, are in the folders of its layouts"
        )
    unfinished = refuse_unfinished(path, resume=resume, overwrite=overwrite)
    earlier = _read_earlier(path, table, unfinished=unfinished) if resume else None
    if earlier is None and path.exists() and not unfinished and not overwrite:
        raise DestinationExists(path)
    check_links(path)
    earlier = earlier or Earlier()
    work = _open_work(unfinished_folder(path), table, keep=unfinished and resume)
    done = earlier.settled | read_outcomes(work)
    todo = [(url, jobs[url]) for url in take_turns(jobs) if url not in done]
    count = len(jobs) - len(todo)
    source = _Source(HostTurns(per_host), allow, earlier.pictures)
    fetch = functools.partial(_fetch, work, known, source)
    with (work / "outcomes.jsonl").open("a", encoding="utf-8") as log:
        for url, outcome in map_in_order(fetch, todo, workers=workers, ahead=workers):
            done[url] = outcome
            log.write(json.dumps({"url": url, **dataclasses.asdict(outcome)}) + "\n")
            log.flush()
            count += 1
            if on_progress is not None:
                on_progress(Progress("fetching", count, len(jobs)))
    summary = _write(table, known, done, work, release, path, overwrite=overwrite)
    shutil.rmtree(work)
    return summary


def _open_table(release: Path) -> Dataset:
    folder = release / TABLE
    if not (folder / "dataset.json").is_file():
        raise FormatError(f"expected a release at {release}, but it has no folder {TABLE}")
    manifest = release / MANIFEST
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"expected a {MANIFEST} in {release}, but there is none") from error
    hashes = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in (f"{TABLE}/faces.parquet", WITHDRAWN):
        if not (release / name).is_file() or hashes.get(name) != hash_file(release / name):
            raise FormatError(
                f"{release / name} is not as {MANIFEST} says: the release was changed or is damaged; "
                "get it anew"
            )
    return open_dataset(folder)


def _read_earlier(path: Path, table: Dataset, *, unfinished: bool) -> Earlier | None:
    try:
        return read_earlier(path, table)
    except MismatchError:
        if unfinished:  # it was about to replace what is there
            return None
        raise


def _open_work(folder: Path, table: Dataset, *, keep: bool) -> Path:
    plan = name_release(table)
    if keep:
        before = read_json(folder / "plan.json", dict[str, Any])
        if before != plan:
            raise MismatchError(
                f"cannot resume {folder}: it is of another release; start again with --overwrite"
            )
        return folder
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "files").mkdir(parents=True)
    with atomic_file(folder / "plan.json") as temporary:
        temporary.write_text(json.dumps(plan), encoding="utf-8")
    return folder


@dataclass(frozen=True, slots=True)
class _Source:
    """Where pictures come from.

    Attributes:
        turns: at the hosts of their addresses.
        allow: see `fetch_release`.
        pictures: that an earlier fetch brought, by address.
    """

    turns: HostTurns
    allow: Allowed
    pictures: dict[str, Path]


@dataclass(frozen=True, slots=True)
class _Job:
    """One address, and what should come from it."""

    sha256: str | None
    dhash: int | None
    size: tuple[int, int] | None


def _jobs(table: Dataset, known: Withdrawals) -> dict[str, _Job]:
    """Each address once, but for those of faces that were withdrawn."""
    jobs: dict[str, _Job] = {}
    for row in _rows(table):
        if row["url"] is not None and row["url"] not in jobs and _withdrawn(row, known) is None:
            digits = row.get("dhash") if row.get("hash_version") == HASH_VERSION else None
            width, height = row.get("width"), row.get("height")
            size = (width, height) if width and height else None
            jobs[row["url"]] = _Job(row.get("sha256"), int(digits, 16) if digits else None, size)
    return jobs


def _rows(table: Dataset) -> Iterator[dict[str, Any]]:
    return tables.iterate_rows(table.faces, table.faces.column_names)


def _withdrawn(row: dict[str, Any], known: Withdrawals) -> str | None:
    match = known.find(face_id=row["face_id"], url=row["url"], sha256=row.get("sha256"))
    return None if match is None else str(match)


def _fetch(
    work: Path, known: Withdrawals, source: _Source, item: tuple[str, _Job]
) -> tuple[str, Outcome]:
    url, job = item
    try:
        data = _read_picture(source, url)
        outcome = _judge(data, job, known)
        suffix = suffix_of_format(data[:32])
    except (DownloadError, ImageError) as error:
        return url, Outcome("failed", str(error))
    if outcome.outcome not in TAKEN:
        return url, outcome
    name = f"{hashlib.sha256(data).hexdigest()}.{suffix}"
    with atomic_file(work / "files" / name) as temporary:
        temporary.write_bytes(data)
    return url, dataclasses.replace(outcome, file=name)


def _read_picture(source: _Source, url: str) -> bytes:
    """The picture that an earlier fetch brought, if it is still as it came, or what the address gives."""
    path = source.pictures.get(url)
    if path is not None and path.is_file():
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == path.stem:
            return data
    with source.turns.turn(url):
        return download(url, max_bytes=MAX_BYTES, seconds=_SECONDS, allow=source.allow)


def _judge(data: bytes, job: _Job, known: Withdrawals) -> Outcome:
    """Whether what came is what was released."""
    digest = hashlib.sha256(data).hexdigest()
    image = read_image(data, where="what came")
    signature = sign_face(image)
    match = known.find(sha256=digest, signature=signature)
    if match is not None:
        return Outcome("withdrawn", str(match))
    if digest == job.sha256:
        return Outcome("same")
    if job.dhash is None:
        return Outcome("changed", "other bytes, and no perceptual hash to compare")
    height, width = image.shape[:2]
    if job.size is not None and job.size != (width, height):
        return Outcome("changed", f"{width} × {height} pixels, not {job.size[0]} × {job.size[1]}")
    bits = int(count_bits(np.array([signature.dhash ^ job.dhash], np.uint64))[0])
    if bits <= DISTANCE:
        return Outcome("saved again", f"{bits} of 64 bits differ")
    return Outcome("changed", f"another picture: {bits} of 64 bits differ")


def _write(
    table: Dataset,
    known: Withdrawals,
    done: dict[str, Outcome],
    work: Path,
    release: Path,
    path: Path,
    *,
    overwrite: bool,
) -> FetchSummary:
    summary = FetchSummary()
    others = [
        one
        for one in table.faces.schema
        if one.name not in schemas.FACES.names and one.name not in _OWN
    ]
    ends = [(row, _outcome_of(row, known, done)) for row in _rows(table)]
    summary.outcomes.update(outcome.outcome for _, outcome in ends)
    summary.faces = sum(summary.outcomes[name] for name in TAKEN)
    if not summary.faces:
        first = next((one.detail for _, one in ends if one.detail), "")
        counts = ", ".join(f"{name} {count}" for name, count in summary.outcomes.most_common())
        raise InputError(
            f"not one picture of {release} came as it was released ({counts})"
            + (f"; first: {first}" if first else "")
            + "; try again with --resume"
        )
    with write_dataset(
        path,
        name=table.info.name,
        license=table.info.license,
        shareable=table.info.shareable,
        source=f"fetched from {table.info.source}",
        legal=table.info.legal,
        hard_links=True,
        overwrite=overwrite or unfinished_folder(path).exists(),
    ) as writer:
        writer.add_columns(pa.schema(others))
        text = json.dumps(name_release(table)) + "\n"
        (writer.folder / RELEASE).write_text(text, encoding="utf-8")
        with (writer.folder / FILE).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["face_id", "url", "outcome", "detail"])
            for row, outcome in ends:
                rows.writerow([row["face_id"], row["url"], outcome.outcome, outcome.detail])
                if outcome.outcome in TAKEN:
                    columns = {one.name: row[one.name] for one in others}
                    digest = outcome.file.partition(".")[0]
                    columns |= {"sha256": digest} if "sha256" in columns else {}
                    writer.add(_face_row(row, columns), "", picture=work / "files" / outcome.file)
        if len(known):
            write_withdrawn(known, writer.folder / WITHDRAWN)
    return summary


def _outcome_of(row: dict[str, Any], known: Withdrawals, done: dict[str, Outcome]) -> Outcome:
    why = _withdrawn(row, known)
    if why is not None:
        return Outcome("withdrawn", why)
    if row["url"] is None:
        return Outcome("no address")
    return done[row["url"]]


def _face_row(row: dict[str, Any], columns: dict[str, Any]) -> FaceRow:
    apart = ("landmarks", "expression", "extra")
    known = {name: row[name] for name in schemas.FACES.names if name not in apart}
    name, points = row["expression"], row["landmarks"]
    return FaceRow(
        **known,
        landmarks=None if points is None else np.array(points, np.float32),
        expression=None if name is None else Expression(name),
        columns=columns,
    )
