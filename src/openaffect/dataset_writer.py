"""Writing a dataset row by row: every format's reader hands its rows to one `DatasetWriter`.

The writer holds the one rule for dirt (docs/formats.md): a row that cannot be used is rejected
and named in `rejected.csv`; one that is odd is kept and counted. Memory does not grow with the
number of rows, but for the hashes (60 to 140 bytes per row) that find repeated ids.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from openaffect import schemas
from openaffect.annotation_row import AnnotationRow, check_annotation
from openaffect.circumplex import REGIONS, Region, inside_disc
from openaffect.dataset import DatasetInfo, write_info
from openaffect.errors import ImageError, InputError
from openaffect.face_row import FaceRow, RejectRow, check_row, normalize_soft_label
from openaffect.faces.crops import CropRule
from openaffect.fingerprints import ContentHash, RowsHash
from openaffect.image_headers import content_path, suffix_of_format
from openaffect.image_links import check_links, record_link
from openaffect.images import check_header, encode_image, image_size, read_image_file
from openaffect.legal import LegalFacts
from openaffect.progress import OnProgress, Progress
from openaffect.storage import atomic_folder
from openaffect.tables import parquet_writer, reject_doubled

BATCH = 4096
_SHOWN = 1_000  # characters of an id or a reason in rejected.csv


@dataclass(slots=True)
class ImportSummary:
    """What happened to the rows of a source.

    Attributes:
        rows: faces written.
        annotations: judgments written.
        rejected: number of rows left out, by reason.
        warnings: number of rows kept although odd, by what is odd.
        notes: one line each for what no single row can show.
        classes: number of faces by split and expression.
    """

    rows: int = 0
    annotations: int = 0
    rejected: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    warnings: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    notes: list[str] = dataclasses.field(default_factory=list)
    classes: collections.Counter[tuple[str | None, str | None]] = dataclasses.field(
        default_factory=collections.Counter
    )


class DatasetWriter:
    """Takes rows, judges each, and writes them in batches; made by `write_dataset`.

    Attributes:
        folder: the folder being written; it gets its final name when all is done.
        images_folder: where the pictures of the rows are to be found while writing.
        summary: what happened so far.
    """

    def __init__(
        self,
        folder: Path,
        images_folder: Path,
        check_images: bool,
        copy_to: Path | None = None,
        hard_links: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.folder = folder
        self.images_folder = images_folder
        self.summary = ImportSummary()
        self._images_prefix = f"{images_folder}/"
        self._check_images = check_images
        self._copy_to = copy_to
        self._hard_links = hard_links
        self._on_progress = on_progress
        self._done = 0
        self._rows: list[FaceRow] = []
        self._ids: set[int] = set()
        self._hash = RowsHash()
        self._content = ContentHash()
        self._more = pa.schema([])
        self._table: pq.ParquetWriter | None = None
        self._annotations: list[AnnotationRow] = []
        self._annotation_ids: set[int] = set()
        self._annotation_table: pq.ParquetWriter | None = None
        self._rejected = open(  # noqa: SIM115
            # A rejected name may be no valid Unicode.
            folder / "rejected.csv",
            "w",
            newline="",
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._rejections = csv.writer(self._rejected)
        self._rejections.writerow(["row", "face", "reason"])

    def add_columns(self, columns: pa.Schema) -> None:
        """Announce columns beyond those of `schemas.FACES`, before the first row.

        Args:
            columns: names and types, such as `schemas.PROVENANCE`; `FaceRow.columns` holds their
                values.

        Raises:
            InputError: a name that is taken.
        """
        more = pa.schema([*self._more, *columns])
        reject_doubled([*schemas.FACES.names, *more.names], "the dataset that is written")
        self._more = more

    def add(self, row: FaceRow, where: str = "", *, picture: Path | bytes | None = None) -> bool:
        """Judge a row and keep it, or reject it; whether it was kept.

        Args:
            row: the face.
            where: its place in the source, such as `training.csv line 12`.
            picture: the file or the bytes of its image, to be placed under `images/` by its
                content; `row.image` becomes its name there. By default the image lies there.
        """
        try:
            data = None if picture is None else _read_picture(row, picture)
            self._judge(row, is_there=picture is None)
        except RejectRow as error:
            self.reject(str(error), row.face_id, where)
            return False
        if picture is not None and data is not None:
            self._place(row.image, data, picture)
        self._warn_of(row)
        if self._copy_to is not None:
            _copy_once(self.images_folder / row.image, self._copy_to / row.image)
        self._rows.append(row)
        self.summary.rows += 1
        self.summary.classes[row.split, row.expression] += 1
        if len(self._rows) >= BATCH:
            self._flush()
        self._count_done()
        return True

    def add_annotation(self, row: AnnotationRow, where: str = "") -> bool:
        """Judge an annotation of a face that was added, and keep or reject it; whether it was kept.

        Args:
            row: the judgment.
            where: its place in the source, such as `judgments.csv line 12`.
        """
        try:
            check_annotation(row)
            if _key(row.face_id) not in self._ids:
                raise RejectRow("annotation of a face that is not there")
            if row.id is not None:
                if _key(row.id) in self._annotation_ids:
                    raise RejectRow("repeated id of an annotation")
                self._annotation_ids.add(_key(row.id))
        except RejectRow as error:
            self.reject(str(error), row.face_id, where)
            return False
        self._annotations.append(row)
        self.summary.annotations += 1
        if len(self._annotations) >= BATCH:
            self._flush_annotations()
        self._count_done()
        return True

    @contextmanager
    def rejecting(self, face_id: str, where: str) -> Iterator[None]:
        """Reject the row that is made in this block if a RejectRow is raised there.

        Args:
            face_id: of the row, as far as it is known.
            where: its place in the source, such as `training.csv line 12`.
        """
        try:
            yield
        except RejectRow as error:
            self.reject(str(error), face_id, where)

    def reject(self, reason: str, face_id: str = "", where: str = "") -> None:
        """Leave a row out, count it by its reason, and name it in `rejected.csv`.

        A reason before the first `:` is what the summary counts; details follow it.
        """
        self.summary.rejected[reason.split(":", maxsplit=1)[0]] += 1
        self._rejections.writerow([where, face_id[:_SHOWN], reason[:_SHOWN]])
        self._count_done()

    def warn(self, what: str) -> None:
        """Count a row that is kept although odd."""
        self.summary.warnings[what] += 1

    def note(self, text: str) -> None:
        """Say once what no single row can show, such as a class count that is one short."""
        self.summary.notes.append(text)

    def write_image(self, image: str, pixels: NDArray[np.uint8], quality: int = 95) -> None:
        """Encode a picture into the images folder of the dataset being written."""
        path = self.images_folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(pixels, path.suffix, quality))

    def _count_done(self) -> None:
        self._done += 1
        if self._on_progress is not None and self._done % 256 == 0:
            self._on_progress(Progress("writing", self._done))

    def _judge(self, row: FaceRow, *, is_there: bool) -> None:
        check_row(row)
        if self._check_images and is_there:
            broken = check_header(self._images_prefix + row.image)
            if broken is not None:
                raise RejectRow(f"{broken}: {row.image}")
        for name, value in row.columns.items():
            _check_value(self._more, name, value)
        key = _key(row.face_id)
        if key in self._ids:
            raise RejectRow("repeated face_id")
        self._ids.add(key)

    def _place(self, image: str, data: bytes, picture: Path | bytes) -> None:
        target = self.images_folder / image
        if target.exists():  # several faces may share a picture
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        linked = self._hard_links and isinstance(picture, Path) and _link(picture, target)
        if not linked:
            target.write_bytes(data)

    def _warn_of(self, row: FaceRow) -> None:
        if normalize_soft_label(row):
            self.warn("soft label normalized to sum 1")
        if row.valence is not None and row.arousal is not None:
            # Plain numbers first: NumPy's answer for one point costs more than the rest of a row.
            near_rim = row.valence**2 + row.arousal**2 > 1
            if near_rim and not inside_disc(row.valence, row.arousal):
                self.warn("valence/arousal outside the unit disc")
            region = REGIONS.get(row.expression) if row.expression else None
            if region is not None and not _contains(region, row.valence, row.arousal):
                self.warn("valence/arousal outside the region of the expression")
        if row.box is not None and self._check_images:
            size = image_size(self._images_prefix + row.image)
            if size is not None and leaves_picture(row.box, size):
                self.warn("box leaves the picture")

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = [_column(self._rows, field) for field in schemas.FACES]
        columns += [
            pa.array([row.columns.get(field.name) for row in self._rows], field.type)
            for field in self._more
        ]
        schema = pa.schema([*schemas.FACES, *self._more])
        if self._table is None:
            self._table = parquet_writer(self.folder / "faces.parquet", schema)
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        self._hash.update(batch)
        self._content.update("faces", batch)
        self._table.write_batch(batch)
        self._rows.clear()

    def _flush_annotations(self) -> None:
        if not self._annotations:
            return
        if self._annotation_table is None:
            path = self.folder / "annotations.parquet"
            self._annotation_table = parquet_writer(path, schemas.ANNOTATIONS)
        columns = [
            pa.array([getattr(row, field.name) for row in self._annotations], field.type)
            for field in schemas.ANNOTATIONS
        ]
        batch = pa.RecordBatch.from_arrays(columns, schema=schemas.ANNOTATIONS)
        self._content.update("annotations", batch)
        self._annotation_table.write_batch(batch)
        self._annotations.clear()

    def _close(self, info: DatasetInfo) -> None:
        self._flush()
        self._flush_annotations()
        self._abort()
        if self._on_progress is not None:
            self._on_progress(Progress("writing", self._done))
        if not self.summary.rows:
            raise InputError(_nothing_kept(self.summary, info.source))
        if not self.summary.rejected:
            (self.folder / "rejected.csv").unlink()
        info = dataclasses.replace(
            info,
            rows=self.summary.rows,
            rejected=self.summary.rejected.total(),
            fingerprint=self._hash.hexdigest(),
            content=self._content.hexdigest(info.describe_content()),
        )
        write_info(info, self.folder, annotations=self._annotation_table is not None)

    def _abort(self) -> None:
        """Close what is open."""
        for table in (self._table, self._annotation_table):
            if table is not None:
                table.close()
        self._rejected.close()


@contextmanager
def write_dataset(
    path: str | Path,
    *,
    name: str | None = None,
    images: str | Path | None = None,
    copy_images: bool = False,
    crop: CropRule | None = None,
    license: str | None = None,
    shareable: bool = False,
    source: str = "",
    legal: LegalFacts | None = None,
    hard_links: bool = False,
    overwrite: bool = False,
    check_images: bool = True,
    on_progress: OnProgress | None = None,
) -> Iterator[DatasetWriter]:
    """Write a dataset folder row by row; it appears, whole, when the block ends without an error.

    Args:
        path: the dataset folder to make.
        name: of the dataset; the folder's name by default.
        images: an existing folder to link to; by default pictures are written to `images/` inside.
        copy_images: copy the pictures of the kept rows out of `images` instead of linking to it.
        crop: how pictures whose box is null were framed.
        license: of pictures and labels.
        shareable: whether pictures may be shown in reports.
        source: where the rows come from.
        legal: what the project says whose rows they are; None for other sources.
        hard_links: make hard links to the pictures that are given to `add`, where the file system
            can, instead of copies.
        overwrite: replace an existing dataset.
        check_images: look at the first bytes of every picture.
        on_progress: called now and then with the number of rows done, kept or rejected.

    Raises:
        DestinationExists: `path` exists and `overwrite` is false.
        InputError: not one row was kept, or other datasets link to the images of the one that
            would be replaced.
    """
    path = Path(path)
    check_links(path)
    with atomic_folder(path, overwrite=overwrite) as folder:
        inside = folder / "images"
        linked = Path(images).absolute() if images is not None else None
        if linked is None or copy_images:
            inside.mkdir()
        copy_to = inside if linked is not None and copy_images else None
        writer = DatasetWriter(
            folder, linked or inside, check_images, copy_to, hard_links, on_progress
        )
        try:
            yield writer
            writer._close(
                DatasetInfo(
                    name=name or path.absolute().name,
                    images="images" if linked is None or copy_images else str(linked),
                    crop=crop,
                    license=license,
                    shareable=shareable,
                    source=source,
                    legal=legal,
                )
            )
        finally:
            writer._abort()
    if linked is not None and not copy_images:
        record_link(linked, path)


def _key(name: str) -> int:
    """64 bits of a name, to find it again."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def _read_picture(row: FaceRow, picture: Path | bytes) -> bytes:
    """The bytes of a picture; names it by them in its row."""
    try:
        data = picture if isinstance(picture, bytes) else read_image_file(picture)
        row.image = content_path(hashlib.sha256(data).hexdigest(), suffix_of_format(data[:32]))
    except ImageError as error:
        raise RejectRow(f"missing or unreadable picture: {error}") from error
    return data


def _check_value(columns: pa.Schema, name: str, value: Any) -> None:
    """Refuse a value that its column cannot hold."""
    if name not in columns.names:
        raise InputError(f"the writer was given no column '{name}'; it has {columns.names}")
    try:
        pa.scalar(value, columns.field(name).type)
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError) as error:
        kind = columns.field(name).type
        raise RejectRow(f"{name} that is no {kind}: {str(value)[:100]}") from error


def _link(source: Path, target: Path) -> bool:
    """Make a hard link; whether the file system could."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _copy_once(source: Path, target: Path) -> None:
    if not target.exists():  # several faces may share a picture
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _contains(region: Region, valence: float, arousal: float) -> bool:
    left, right = region.valence
    low, high = region.arousal
    return left <= valence <= right and low <= arousal <= high


def leaves_picture(box: Sequence[float], size: tuple[int, int]) -> bool:
    """Whether a box (x, y, w, h) leaves a picture of (width, height), by more than rounding."""
    x, y, w, h = box
    room = 0.01  # pixels: far below what anybody sees, above what float32 loses
    return x < -room or y < -room or x + w > size[0] + room or y + h > size[1] + room


def _column(rows: list[FaceRow], field: pa.Field) -> pa.Array:
    values = [getattr(row, field.name) for row in rows]
    if field.name == "extra":
        values = [
            None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
            for value in values
        ]
    if not pa.types.is_fixed_size_list(field.type):
        return pa.array(values, field.type)
    width = field.type.list_size
    kind = field.type.value_type.to_pandas_dtype()
    flat = np.zeros((len(rows), width), kind)
    missing = np.ones(len(rows), dtype=bool)
    for number, value in enumerate(values):
        if value is not None:
            flat[number] = np.asarray(value, kind).reshape(-1)
            missing[number] = False
    return pa.FixedSizeListArray.from_arrays(
        pa.array(flat.reshape(-1), field.type.value_type), type=field.type, mask=pa.array(missing)
    )


def _nothing_kept(summary: ImportSummary, source: str) -> str:
    reasons = "; ".join(f"{reason}: {count}" for reason, count in summary.rejected.most_common(3))
    return f"no face could be taken from {source or 'the source'}" + (
        f" ({summary.rejected.total()} rows rejected: {reasons})"
        if reasons
        else " (it has no rows)"
    )
