"""Forgetting: what somebody asks to be taken away goes, and does not come back.

An address, a face or a file stands for its whole image: the person is in it. The image, its faces
and all that was said of them are deleted; hashes stay (`openaffect.withdrawals`), by which it is
known when it comes again.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.documents import read_bytes
from openaffect.errors import FormatError, ImageError, InputError
from openaffect.faces.near_search import ALIKE
from openaffect.faces.signatures import HASH_VERSION, Signature, correlate, mirror, sign_face
from openaffect.image_links import list_releases
from openaffect.images import read_image
from openaffect.project import Project, forgotten, frozen, tombstones
from openaffect.project.database import Connection
from openaffect.project.rows import record_event
from openaffect.storage import atomic_file
from openaffect.withdrawals import FILE as WITHDRAWN
from openaffect.withdrawals import (
    Withdrawal,
    Withdrawals,
    describe_withdrawal,
    find_withdrawn,
    normalize_url,
    read_withdrawn,
    write_withdrawn,
)

_is_sha256 = re.compile("[0-9a-f]{64}").fullmatch
_LONGEST_REASON = 1_000  # characters


@dataclass(frozen=True, slots=True)
class NearImage:
    """An image of the project that looks like a forgotten one.

    Attributes:
        sha256: of its file.
        face_ids: its faces.
        distance: bits in which the difference hashes differ.
        is_copy: whether the thumbnails are alike, too: it is forgotten as well; else it is kept.
    """

    sha256: str
    face_ids: tuple[str, ...]
    distance: int
    is_copy: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """A dataset that was frozen with forgotten faces.

    Attributes:
        path: where it was written.
        faces: how many of the forgotten faces it holds.
        is_there: whether it is still there; it then has their hashes in its `withdrawn.csv`.
        releases: folders of the releases that were made of it, as far as it knows.
    """

    path: str
    faces: int
    is_there: bool
    releases: tuple[str, ...] = ()


@dataclass(slots=True)
class ForgetSummary:
    """What was, or would be, forgotten.

    Attributes:
        images, faces: how many.
        urls: addresses that were found and brought no image; they are not downloaded any more.
        near: images that look like one of them.
        unknown: addresses and hashes of which the project has nothing: they cannot come any more.
        datasets: that hold some of the faces.
        tombstones: hashes that were added.
        known: texts that were forgotten before.
        purged: whether the database's log was emptied; else another process reads it, and the log
            is emptied when that ends.
    """

    images: int = 0
    faces: int = 0
    urls: int = 0
    near: list[NearImage] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    datasets: list[Holder] = field(default_factory=list)
    tombstones: int = 0
    known: list[str] = field(default_factory=list)
    purged: bool = True


def forget(
    project: Project, what: Iterable[str], *, because: str, plan: bool = False
) -> ForgetSummary:
    """Delete images with their faces and all that is about them, for ever.

    A call that was killed is given again. Images of the project that look the same are forgotten with
    them; those whose difference hash is near but whose thumbnail differs are kept, and noted as such.

    Args:
        project: where from; it may be in use.
        what: addresses, face_ids and SHA-256 of files.
        because: why, for the record.
        plan: only say what would be done.

    Raises:
        InputError: no reason, or a text that is neither an address, nor a SHA-256, nor the face_id of
            a face.
        StoreError: the store cannot be reached, or lets nobody delete.
        DatabaseError: the database does not answer.
    """
    reason = _check_reason(because)
    texts = list(dict.fromkeys(text.strip() for text in what if text.strip()))
    today = datetime.datetime.now(datetime.UTC).date()
    summary = ForgetSummary()
    with project.database.read() as connection:
        numbers, urls = _resolve(connection, texts, summary)
    hashes = describe_withdrawal(
        today,
        urls=[text for text in texts if is_url(text)],
        files=[text for text in texts if _is_sha256(text)],
    )
    return _forget(project, numbers, urls, Withdrawals(hashes), reason, summary, today, plan=plan)


def obey(project: Project, withdrawals: Withdrawals, *, because: str) -> ForgetSummary:
    """Forget in a project what a list of withdrawals names; a restored backup may hold it still.

    Raises:
        InputError, StoreError, DatabaseError: as `forget`.
    """
    reason = _check_reason(because)
    summary = ForgetSummary()
    with project.database.read() as connection:
        known = tombstones.read_tombstones(connection) | withdrawals
        rows = forgotten.read_images(connection)
        found = known.find_rows(
            face_ids=[None] * len(rows),
            urls=[row.url for row in rows],
            files=[row.sha256 for row in rows],
            pixels=[row.pixels for row in rows],
            dhash=[row.dhash for row in rows],
            mirrored=[row.mirrored for row in rows],
        )
        numbers = {row.id for row, match in zip(rows, found, strict=True) if match is not None}
        numbers |= {
            image
            for image, face_id in forgotten.read_face_ids(connection)
            if known.find(face_id=face_id) is not None
        }
        urls = [
            row.id
            for row in forgotten.read_urls(connection)
            if row.image_id is None and known.find(url=row.url) is not None
        ]
    today = datetime.datetime.now(datetime.UTC).date()
    return _forget(project, numbers, urls, withdrawals, reason, summary, today, plan=False)


def keep_image(project: Project, sha256: str, *, because: str) -> None:
    """Let a file in although it looks like a forgotten image: somebody has compared the two.

    Raises:
        InputError: no reason, or no SHA-256.
    """
    reason = _check_reason(because)
    if not _is_sha256(sha256):
        raise InputError(f"expected the SHA-256 of a file, 64 digits, but got '{sha256[:80]}'")
    with project.database.write() as connection:
        tombstones.add_tombstones(connection, [Withdrawal("kept", sha256)], reason)
        tombstones.write_tombstones(connection, project.path)
        record_event(connection, "keep", sha256, {"because": reason})


def read_list(path: str | Path) -> list[str] | Withdrawals:
    """What a file asks to be forgotten: one text per line, or the rows of a `withdrawn.csv`.

    Raises:
        FormatError: no such file, no UTF-8, or an empty one.
    """
    data = read_bytes(path, "a list of what to forget")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"expected text in UTF-8 in {path}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise FormatError(f"expected one address, face_id or SHA-256 per line in {path}")
    return read_withdrawn(path) if lines[0].startswith("kind,hash") else lines


def is_url(text: str) -> bool:
    """Whether a text is the address of a server."""
    return re.match("https?://[^/]", text, re.IGNORECASE) is not None


def _check_reason(because: str) -> str:
    reason = because.strip()
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise InputError(f"expected a reason of 1 to {_LONGEST_REASON} characters")
    return reason


def _resolve(
    connection: Connection, texts: Sequence[str], summary: ForgetSummary
) -> tuple[set[int], list[int]]:
    """The images that texts stand for, and addresses that brought none."""
    numbers: set[int] = set()
    urls: list[int] = []
    strange: list[str] = []
    named: dict[str, set[int]] | None = None
    gone = tombstones.read_tombstones(connection)
    for text in texts:
        found = forgotten.find_by_text(connection, text)
        rows = forgotten.find_urls(connection, text) if is_url(text) else []
        found |= {row.image_id for row in rows if row.image_id is not None}
        if not found and is_url(text):
            if named is None:
                named = {}
                for row in forgotten.read_images(connection):
                    if row.url is not None:
                        named.setdefault(normalize_url(row.url), set()).add(row.id)
            found = named.get(normalize_url(text), set())
        numbers |= found
        urls += [row.id for row in rows if row.image_id is None]
        if found or rows:
            continue
        if gone.find(face_id=text, url=text, sha256=text) is not None:
            summary.known.append(text)
        else:
            known_form = is_url(text) or _is_sha256(text)
            (summary.unknown if known_form else strange).append(text)
    if strange:
        more = f" and {len(strange) - 1} others" if len(strange) > 1 else ""
        raise InputError(
            "expected addresses, SHA-256 of files, or face_ids of the project, but got "
            f"'{strange[0][:100]}'{more}; nothing was forgotten"
        )
    return numbers, urls


def _forget(
    project: Project,
    numbers: set[int],
    urls: Sequence[int],
    hashes: Withdrawals,
    because: str,
    summary: ForgetSummary,
    today: datetime.date,
    *,
    plan: bool,
) -> ForgetSummary:
    with project.database.read() as connection:
        found = forgotten.find_images(connection, sorted(numbers))
        signed = {image["id"]: _sign(project, image) for image in found}
        near, kept = _find_near(project, connection, signed, numbers)
        summary.near = near
        copies = {image["id"]: image for image in kept if image["is_copy"]}
        found += copies.values()
        datasets = frozen.list_datasets(connection)
    signatures = [one for one in signed.values() if one is not None]
    rows = describe_withdrawal(
        today,
        face_ids=[face_id for image in found for face_id in image["face_ids"]],
        urls=[image["url"] for image in found if image["url"] is not None],
        files=[image["sha256"] for image in found],
        signatures=signatures,
    )
    others = [image["sha256"] for image in kept if not image["is_copy"]]
    rows += [Withdrawal("kept", sha256, None, today.isoformat()) for sha256 in others]
    everything = hashes | Withdrawals(rows)
    faces = np.array([face for image in found for face in image["faces"]], np.int64)
    summary.images, summary.faces, summary.urls = len(found), len(faces), len(urls)
    holders = [(one, int(np.isin(faces, one.faces).sum())) for one in datasets]
    summary.datasets = [
        Holder(
            one.path,
            count,
            (Path(one.path) / "dataset.json").is_file(),
            tuple(release["path"] for release in list_releases(Path(one.path))),
        )
        for one, count in holders
        if count
    ]
    if plan:
        return summary
    with project.database.write() as connection:
        summary.tombstones = tombstones.add_tombstones(connection, everything.rows, because)
        tombstones.write_tombstones(connection, project.path)
        forgotten.delete_urls(connection, urls)
    for image in found:  # the file first: while there is a row, the call can be given again
        project.store.delete(image["sha256"], image["suffix"])
        with project.database.write() as connection:
            forgotten.delete_image(connection, image["id"], project.settings)
    _clean_rejected(project, found)
    with project.database.write() as connection:
        details = {"images": len(found), "faces": len(faces), "because": because}
        record_event(connection, "forget", None, details)
    summary.purged = project.database.purge()
    for holder in summary.datasets:
        if holder.is_there:
            write_withdrawn(find_withdrawn(holder.path) | everything, Path(holder.path, WITHDRAWN))
    return summary


def _sign(project: Project, image: dict[str, Any]) -> Signature | None:
    """What an image is recognized by, or None where it cannot be read any more."""
    try:
        data = project.store.read(image["sha256"], image["suffix"])
        return sign_face(read_image(data, where=image["sha256"]))
    except ImageError:
        return None


def _find_near(
    project: Project,
    connection: Connection,
    signed: dict[int, Signature | None],
    numbers: set[int],
) -> tuple[list[NearImage], list[dict[str, Any]]]:
    """Other images whose hash is near to one of those that are forgotten."""
    models = [one for one in signed.values() if one is not None]
    if not models:
        return [], []
    rows = describe_withdrawal(datetime.date.min, signatures=models)
    others = [
        row
        for row in forgotten.read_images(connection)
        if row.id not in numbers and row.hash_version == HASH_VERSION
    ]
    matches = Withdrawals(rows).find_rows(
        face_ids=[None] * len(others),
        urls=[None] * len(others),
        files=[row.sha256 for row in others],
        pixels=[row.pixels for row in others],
        dhash=[row.dhash for row in others],
        mirrored=[row.mirrored for row in others],
    )
    distances = {
        row.id: match.distance
        for row, match in zip(others, matches, strict=True)
        if match is not None
    }
    images = forgotten.find_images(connection, sorted(distances))
    near = []
    for image in images:
        one = _sign(project, image)
        image["is_copy"] = one is not None and any(_are_alike(one, model) for model in models)
        near.append(
            NearImage(
                image["sha256"],
                tuple(image["face_ids"]),
                distances[image["id"]],
                image["is_copy"],
            )
        )
    return near, images


def _are_alike(one: Signature, other: Signature) -> bool:
    if one.picture == other.picture:
        return True
    if one.blank or other.blank:
        return False
    thumb = one.thumb[None]
    both = np.concatenate([other.thumb[None], mirror(other.thumb[None])])
    return bool((correlate(np.repeat(thumb, 2, axis=0), both) >= ALIKE).any())


def _clean_rejected(project: Project, images: Sequence[dict[str, Any]]) -> None:
    """Take the lines out of rejected.csv that name a forgotten face or file."""
    path = project.path / "rejected.csv"
    if not path.exists():
        return
    files = {(image["source"], image["name"]) for image in images}
    face_ids = {face_id for image in images for face_id in image["face_ids"]}
    text = path.read_text(encoding="utf-8", errors="backslashreplace")
    kept = io.StringIO()
    writer = csv.writer(kept)
    for row in csv.reader(io.StringIO(text, newline="")):
        if tuple(row[1:3]) not in files and not face_ids.intersection(row):
            writer.writerow(row)
    if kept.getvalue() != text:
        with atomic_file(path) as temporary:
            temporary.write_text(kept.getvalue(), encoding="utf-8")
