"""`add`: datasets and folders of images into a project.

What is added again is found again: an image by its bytes, a face by its face_id, an annotation by
its annotator and face. So an addition that was interrupted is simply given again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from openaffect import schemas, tables
from openaffect.collection.image_files import walk_images
from openaffect.dataset import Dataset
from openaffect.documents import decode_json
from openaffect.errors import ImageError, InputError
from openaffect.face_row import is_plain
from openaffect.faces.signatures import sign_face
from openaffect.images import read_image
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress, Progress
from openaffect.project import Project, rows, tombstones, work
from openaffect.project.rows import ImageRow, StoredAnnotation, StoredFace
from openaffect.project.store import Store, read_file
from openaffect.withdrawals import Match, Withdrawals, hash_text, normalize_url

_BATCH = 256  # rows of one transaction
_Item = TypeVar("_Item")


@dataclass(slots=True)
class AddSummary:
    """What an addition brought.

    Attributes:
        images, faces, annotations: how many are new.
        known_images, known_faces: how many were there already.
        rejected: number of rows that could not be added, by reason; `rejected.csv` names them.
    """

    images: int = 0
    faces: int = 0
    annotations: int = 0
    known_images: int = 0
    known_faces: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def add_dataset(
    project: Project,
    dataset: Dataset,
    *,
    name: str | None = None,
    prefix: str = "",
    count_imported: bool = False,
    on_progress: OnProgress | None = None,
) -> AddSummary:
    """Add the faces of a dataset with their images and labels.

    A face with one label gets one annotation of the pseudo-annotator `import:<name>`, kind
    `imported`; the judgments of a dataset that knows its raters are added one by one instead.
    Votes stay with the face and are no annotations.

    Args:
        project: where to.
        dataset: what to add; its images are copied into the store.
        name: of the dataset; its own by default.
        prefix: put before each face_id, where two datasets use the same ones.
        count_imported: have annotations of human origin count for overlap, for what is done, and
            for the test split.
        on_progress: called with the number of rows done so far.

    Raises:
        DatabaseError: the database does not answer.
        StoreError: the store cannot be reached.
    """
    source = name or dataset.info.name
    summary = AddSummary()
    done = 0
    single = dataset.annotations is None
    columns = dataset.faces.column_names
    for given in _batches(tables.iterate_rows(dataset.faces, columns)):
        adding = _Adding(project, source, summary)
        withdrawn = _read_withdrawn(project)
        batch = adding.refuse_withdrawn(given, withdrawn, prefix)
        wanted = list(dict.fromkeys(row["image"] for row in batch))
        paths = [dataset.images_folder / image for image in wanted]
        kept = dict(zip(wanted, _keep(project.store, paths, withdrawn), strict=True))
        with project.database.write() as connection:
            ids = adding.insert_images(connection, [_image_row(row, kept, source) for row in batch])
            fresh = adding.insert_faces(connection, batch, kept, ids, prefix)
            if single:
                labels = [_label_of(row, source, prefix, count_imported) for row in fresh]
                known = [label for label in labels if label is not None]
                summary.annotations += rows.insert_annotations(connection, known)
        adding.name_rejected()
        done += len(given)
        if on_progress is not None:
            on_progress(Progress("adding", done))
    if dataset.annotations is not None:
        for batch in _batches(
            tables.iterate_rows(dataset.annotations, dataset.annotations.column_names)
        ):
            judged = [_judgment(row, source, prefix, count_imported) for row in batch]
            with project.database.write() as connection:
                summary.annotations += rows.insert_annotations(connection, judged)
    _record(project, source, summary)
    return summary


def add_images(
    project: Project,
    folder: str | Path,
    *,
    name: str | None = None,
    on_progress: OnProgress | None = None,
) -> AddSummary:
    """Add the images of a folder and its subfolders, or one image; `detect` finds their faces.

    Args:
        project: where to.
        folder: searched lazily in the order of the names; hidden names are left out.
        name: of the source; the folder's name by default.
        on_progress: called with the number of files done so far.

    Raises:
        InputError: there is no such folder, or it holds no image.
        DatabaseError: the database does not answer.
        StoreError: the store cannot be reached.
    """
    folder = Path(folder)
    if not folder.exists():
        raise InputError(f"expected a dataset or a folder of images at {folder}, but there is none")
    source = name or folder.absolute().name
    base = folder if folder.is_dir() else folder.parent
    summary = AddSummary()
    done = 0
    files = walk_images(folder) if folder.is_dir() else iter([folder])
    for batch in _batches(files):
        adding = _Adding(project, source, summary)
        found: list[ImageRow] = []
        withdrawn = _read_withdrawn(project)
        for path, kept in zip(batch, _keep(project.store, batch, withdrawn), strict=True):
            place = path.relative_to(base).as_posix()
            if isinstance(kept, _Refused):
                adding.reject(kept.withdrawn or place, kept.reason)
            else:
                found.append(ImageRow(*kept, source=source, name=place))
        with project.database.write() as connection:
            adding.insert_images(connection, found)
        adding.name_rejected()
        done += len(batch)
        if on_progress is not None:
            on_progress(Progress("adding", done))
    if not done:
        raise InputError(f"expected images in {folder}, but it holds none")
    _record(project, source, summary)
    return summary


_Kept = tuple[str, str, int]
"""SHA-256, suffix and number of bytes of an image in the store."""


@dataclass(frozen=True, slots=True)
class _Refused:
    """An image that is not kept.

    Attributes:
        reason: why.
        withdrawn: the SHA-256 of one that may not come back, or "". It stands for the name, which may
            say who is in the picture; it finds the file, and lets it in by `forget --keep`.
    """

    reason: str
    withdrawn: str = ""


class _Adding:
    """One transaction's worth of rows of a source, and what could not be added."""

    def __init__(self, project: Project, source: str, summary: AddSummary) -> None:
        self._project = project
        self._source = source
        self._summary = summary
        self._rejected: list[tuple[str, str, str]] = []

    def insert_images(self, connection: Any, found: Sequence[ImageRow | None]) -> dict[str, int]:
        """Add images that are new, and have them searched; the id of each by its SHA-256."""
        given: dict[str, ImageRow] = {}
        for row in found:
            if row is not None:
                given.setdefault(row.sha256, row)  # of equal images the first gives the name
        ids, new = rows.insert_images(connection, list(given.values()))
        work.enqueue(connection, "detect", sorted(ids[sha256] for sha256 in new))
        self._summary.images += len(new)
        self._summary.known_images += len(given) - len(new)
        return ids

    def insert_faces(
        self,
        connection: Any,
        batch: Sequence[dict[str, Any]],
        kept: dict[str, _Kept | _Refused],
        ids: dict[str, int],
        prefix: str,
    ) -> list[dict[str, Any]]:
        """Add faces that are new; their rows."""
        names = [prefix + row["face_id"] for row in batch]
        known = rows.find_faces(connection, names)
        made: dict[str, StoredFace] = {}
        for row, face_id in zip(batch, names, strict=True):
            image = kept[row["image"]]
            if isinstance(image, _Refused):
                self.reject(image.withdrawn or face_id, image.reason)
            elif face_id not in known:
                made[face_id] = _face(row, face_id, ids[image[0]], self._source)
            elif known[face_id] == (self._source, image[0]):
                self._summary.known_faces += 1
            else:
                self.reject(
                    face_id, f"face_id taken: by a face of {known[face_id][0]}; use --prefix"
                )
        added = rows.insert_faces(connection, list(made.values()))
        self._summary.faces += len(added)
        return [row for row, name in zip(batch, names, strict=True) if name in added]

    def refuse_withdrawn(
        self, batch: Sequence[dict[str, Any]], withdrawn: Withdrawals, prefix: str
    ) -> list[dict[str, Any]]:
        """The rows whose face_id and address were not withdrawn.

        The others are rejected under the hash that `withdrawn.csv` has of them: what was forgotten is
        not written down again.
        """
        allowed = []
        for row in batch:
            face_id, url = prefix + row["face_id"], row["url"]
            match = withdrawn.find(face_id=face_id, url=url)
            if match is None:
                allowed.append(row)
            else:
                text = normalize_url(url) if match.kind == "url" else face_id
                self.reject(hash_text(text), str(match))
        return allowed

    def reject(self, name: str, reason: str) -> None:
        """Count a row that cannot be added; what stands before the first `:` is counted."""
        self._summary.rejected[reason.split(":", maxsplit=1)[0]] += 1
        self._rejected.append((self._source, name, reason))

    def name_rejected(self) -> None:
        """Name the rows that could not be added, once the transaction is over."""
        if self._rejected:
            self._project.reject(self._rejected)


def _record(project: Project, source: str, summary: AddSummary) -> None:
    with project.database.write() as connection:
        counts = {
            "images": summary.images,
            "faces": summary.faces,
            "annotations": summary.annotations,
            "rejected": dict(summary.rejected),
        }
        rows.record_event(connection, "add", source, counts)


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _read_withdrawn(project: Project) -> Withdrawals:
    with project.database.read() as connection:
        return tombstones.read_tombstones(connection)


def _keep(store: Store, paths: Sequence[Path], withdrawn: Withdrawals) -> list[_Kept | _Refused]:
    """Copy images into the store, on disk when this returns; why one cannot be kept."""
    keep = partial(_keep_one, store, withdrawn)
    return list(map_in_order(keep, paths, workers=store.workers))


def _keep_one(store: Store, withdrawn: Withdrawals, path: Path) -> _Kept | _Refused:
    try:
        data = read_file(path)
        if not data:
            return _Refused("empty picture (0 bytes)")
        if len(withdrawn):
            match = _find_match(data, withdrawn)
            if match is not None:
                return _Refused(str(match), hashlib.sha256(data).hexdigest())
        return (*store.put(data), len(data))
    except ImageError as error:
        return _Refused(str(error))


def _find_match(data: bytes, withdrawn: Withdrawals) -> Match | None:
    """Whether an image was withdrawn; it is decoded only where that can tell."""
    sha256 = hashlib.sha256(data).hexdigest()
    signature = None
    if withdrawn.by_pixels:
        with contextlib.suppress(ImageError):  # `detect` will say what is wrong with it
            signature = sign_face(read_image(data, where=sha256))
    return withdrawn.find(sha256=sha256, signature=signature)


def _image_row(
    row: dict[str, Any], kept: dict[str, _Kept | _Refused], source: str
) -> ImageRow | None:
    found = kept[row["image"]]
    if isinstance(found, _Refused):
        return None
    travelling: dict[str, Any] = {
        name: row.get(name)
        for name in (
            *("query", "url", "license", "intended", "provider", "page_url", "title", "author"),
            *("license_url", "restrictions"),
        )
    }
    sha256, suffix, size = found
    return ImageRow(sha256, suffix, size, source, row["image"], **travelling)


def _face(row: dict[str, Any], face_id: str, image_id: int, source: str) -> StoredFace:
    x, y, w, h = row["box"] or [None] * 4
    points = row["landmarks"]
    extra = dict(_parse_extra(row["extra"]))
    known = {*schemas.FACES.names, *schemas.PROVENANCE.names}
    others = {key: value for key, value in row.items() if key not in known and value is not None}
    extra |= {key: value if is_plain(value) else str(value) for key, value in others.items()}
    if row["valence"] is not None and not _affect_goes_along(row):
        extra["affect"] = {key: row[key] for key in ("valence", "arousal", "affect_origin")}
    return StoredFace(
        face_id,
        image_id,
        source,
        x=x,
        y=y,
        w=w,
        h=h,
        landmarks=None if points is None else np.asarray(points, "<f4").tobytes(),
        votes=row["votes"],
        soft_label=row["soft_label"],
        split=row["split"],
        group=row["group"],
        extra=extra or None,
    )


def _parse_extra(text: str | None) -> dict[str, Any]:
    return {} if text is None else decode_json(text, dict[str, Any], "extra")


def _affect_goes_along(row: dict[str, Any]) -> bool:
    """Whether valence and arousal are of the same origin as the expression: one judgment."""
    return row["expression"] is None or row["affect_origin"] == row["expression_origin"]


def _label_of(
    row: dict[str, Any], source: str, prefix: str, count: bool
) -> StoredAnnotation | None:
    """The one label of a face as an annotation, or None where it has none."""
    affect = row["valence"] is not None and _affect_goes_along(row)
    if row["expression"] is None and not affect:
        return None
    origin = row["expression_origin"] if row["expression"] is not None else row["affect_origin"]
    return StoredAnnotation(
        prefix + row["face_id"],
        f"import:{source}",
        expression=row["expression"],
        valence=row["valence"] if affect else None,
        arousal=row["arousal"] if affect else None,
        origin=origin,
        counted=count and origin in (None, "human"),
    )


def _judgment(row: dict[str, Any], source: str, prefix: str, count: bool) -> StoredAnnotation:
    """A row of annotations.parquet as an annotation; an id of its own would meet others' ids."""
    given = {name: row[name] for name in schemas.ANNOTATIONS.names}
    given |= {
        "face_id": prefix + row["face_id"],
        "annotator": f"import:{source}/{row['annotator']}",
        "kind": "imported",
        "origin": row["origin"] or "human",
        "void": bool(row["void"]),
        "late": bool(row["late"]),
        "id": row["id"] and rows.name_annotation(source, row["id"]),
        "replaces": row["replaces"] and rows.name_annotation(source, row["replaces"]),
    }
    counted = count and given["origin"] == "human" and not given["void"]
    return StoredAnnotation(**given, counted=counted)
