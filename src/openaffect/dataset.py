"""Dataset: a folder of labeled faces.

::

    DATASET/
    ├── faces.parquet          one row per face, never pixels
    ├── annotations.parquet    one row per judgment, where raters are known one by one
    ├── images/                unless dataset.json names another folder
    ├── dataset.json           name, images, crop, license, shareable, source, legal, rows …
    ├── rejected.csv           what an import could not take, and why
    └── README.md              so that Hugging Face's load_dataset(folder) reads it
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import openaffect
from openaffect import schemas, tables
from openaffect.documents import decode_json, decode_versioned, read_bytes
from openaffect.errors import FormatError, InputError
from openaffect.face_table import check_annotations, check_faces, float_lists
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, crop
from openaffect.fingerprints import ContentHash, RowsHash
from openaffect.image_links import check_links, record_link
from openaffect.images import Pixels, read_image
from openaffect.labels import EXPRESSIONS
from openaffect.legal import LegalFacts
from openaffect.storage import atomic_folder, read_folder

if TYPE_CHECKING:
    import pandas as pd


ALONE = "\0"
"""Starts the key of a row without a group; see `group_key`."""


def group_key(face_id: str, group: str | None) -> str:
    """What no split may separate: a row's group, or `ALONE` and its face_id."""
    return f"{ALONE}{face_id}" if group is None else group


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What `dataset.json` holds.

    Attributes:
        name: a short name for tables and titles.
        images: the folder that `image` paths start from; relative to the dataset, or absolute.
        crop: how pictures whose box is null were framed, where that is known.
        license: of pictures and labels.
        shareable: whether pictures may be shown in reports that leave the machine.
        source: where it came from, such as the format and the name of the file.
        legal: what the project that it was made of said under `[legal]`; None where it was not made
            of a project.
        rows: number of faces.
        rejected: number of source rows that an import could not take.
        fingerprint: SHA-256 over what is scored of the rows, whatever their order.
        content: SHA-256 over every value of the tables, in their order, and over what this file
            says of them; "" in datasets of older versions.
        made_by: the openaffect version that wrote it.
        schema: version of the tables.
    """

    name: str
    images: str = "images"
    crop: CropRule | None = None
    license: str | None = None
    shareable: bool = False
    source: str = ""
    legal: LegalFacts | None = None
    rows: int = 0
    rejected: int = 0
    fingerprint: str = ""
    content: str = ""
    made_by: str = f"openaffect {openaffect.__version__}"
    schema: int = schemas.VERSION

    def to_json(self) -> str:
        """The text of `dataset.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    def describe_content(self) -> dict[str, Any]:
        """What `content` takes in of this file: what stays true wherever the folder lies."""
        about = dataclasses.asdict(self)
        taken = {key: about[key] for key in ("name", "crop", "license", "shareable", "source")}
        # The hash of a dataset that was not made of a project is what it was before there was this key.
        return taken if self.legal is None else {**taken, "legal": about["legal"]}

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> DatasetInfo:
        """What a `dataset.json` says; keys that are not known are ignored.

        Raises:
            FormatError: no JSON object, a key is missing, or a value of the wrong type.
            NewerSchema: written by a newer openaffect.
        """
        info = decode_versioned(text, cls, schemas.VERSION, where)
        if info.crop is not None:  # a key that no rule has would be ignored
            CropRule.from_dict(decode_json(text, dict[str, Any], where)["crop"], where)
        if "\0" in info.images:
            raise FormatError(
                f"expected a folder under 'images' in {where}, but it has a zero byte"
            )
        return info


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labeled faces: a table, and where their pictures lie.

    Attributes:
        path: the folder.
        info: what `dataset.json` says.
        faces: the table, columns of `schemas.FACES` and any others.
        annotations: one row per judgment, or None.

    `len(dataset)` is the number of faces.
    """

    path: Path
    info: DatasetInfo
    faces: pa.Table
    annotations: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.faces)

    def __repr__(self) -> str:
        return f"Dataset({self.info.name!r}, {len(self)} faces, {str(self.path)!r})"

    @property
    def images_folder(self) -> Path:
        """The folder that `image` paths start from, absolute."""
        return (self.path / self.info.images).absolute()

    @property
    def ids(self) -> list[str]:
        """Every `face_id`, in row order."""
        ids: list[str] = self.column("face_id").to_pylist()
        return ids

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of the table of faces.

        Raises:
            InputError: the table does not have it, or it was not read.
        """
        if name not in self.faces.column_names:
            known = ", ".join(self.faces.column_names)
            raise InputError(f"{self.path} has no column '{name}'; it has {known}")
        return self.faces[name]

    @property
    def image_paths(self) -> list[Path]:
        """The path of every row's picture, in row order."""
        folder = self.images_folder
        return [folder / image for image in self.column("image").to_pylist()]

    @property
    def expression_ids(self) -> NDArray[np.int8]:
        """AffectNet's id of every row's expression, int8 (n,); −1 where it is null."""
        found = pc.index_in(self.column("expression"), value_set=pa.array([*EXPRESSIONS]))
        result: NDArray[np.int8] = found.fill_null(-1).to_numpy().astype(np.int8)
        return result

    @property
    def affect(self) -> NDArray[np.float32]:
        """Valence and arousal of every row, float32 (n, 2); NaN where they are null."""
        columns = [self.column(name).to_numpy() for name in ("valence", "arousal")]
        return np.stack(columns, axis=1).astype(np.float32)

    def lists(self, column: str) -> NDArray[np.float32]:
        """A list column such as `box`, `landmarks` or `soft_label` as float32 (n, k); NaN where null."""
        return float_lists(self.column(column))

    def box(self, row: int) -> Box | None:
        """The box of a row, or None where the picture already is the face crop."""
        values = self.column("box")[row].as_py()
        return None if values is None else Box(*values)

    def image(self, row: int) -> Pixels:
        """The whole picture of a row, RGB uint8 (h, w, 3).

        Raises:
            ImageError: it is missing or broken.
        """
        return read_image(self.images_folder / self.column("image")[row].as_py())

    def crop(self, row: int, rule: CropRule, size: tuple[int, int] | None = None) -> Pixels:
        """The face of a row by a crop rule, RGB uint8; `size` is (width, height)."""
        return crop(self.image(row), self.box(row), rule, size)

    def where(self, **conditions: str | Sequence[str | None] | None) -> Dataset:
        """The rows whose columns hold a value, or one of several; None stands for null.

        Raises:
            InputError: a column that the table does not have.

        For example `dataset.where(split="train", expression=["happy", "sad"])`.
        """
        keep = np.ones(len(self), dtype=bool)
        for column, wanted in conditions.items():
            found = self.column(column)
            values = [wanted] if wanted is None or isinstance(wanted, str) else list(wanted)
            options = pa.array(values, found.type)
            keep &= pc.is_in(found, value_set=options).to_numpy()
        return self.select(keep)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.integer] | Sequence[int]) -> Dataset:
        """The rows of a mask (n,) or of indices, in their order; annotations follow their faces."""
        picked = np.asarray(rows)
        if picked.dtype == bool:
            faces = self.faces.filter(pa.array(picked))
        else:
            faces = self.faces.take(pa.array(picked.astype(np.int64)))
        annotations = self.annotations
        if annotations is not None:
            kept = pc.is_in(annotations["face_id"], value_set=faces["face_id"].combine_chunks())
            annotations = annotations.filter(kept)
        return dataclasses.replace(self, faces=faces, annotations=annotations)

    def with_column(self, name: str, values: pa.Array | Sequence[Any]) -> Dataset:
        """The dataset with a column replaced or added."""
        names = self.faces.column_names
        if name in schemas.FACES.names:
            values = pa.array(values, schemas.FACES.field(name).type)
        if name in names:
            faces = self.faces.set_column(names.index(name), name, [values])
        else:
            faces = self.faces.append_column(name, [values])
        return dataclasses.replace(self, faces=faces)

    def group_keys(self) -> list[str]:
        """What no split may separate, of every row: see `group_key`."""
        groups = self.column("group").to_pylist()
        return list(map(group_key, self.ids, groups))

    def class_counts(self) -> dict[tuple[str | None, str | None], int]:
        """Number of faces by split and expression, in the order of splits and ids; null is last."""
        pairs = zip(
            self.column("split").to_pylist(), self.column("expression").to_pylist(), strict=True
        )
        counts = Counter(pairs)
        order = itertools.product((*schemas.SPLITS, None), (*map(str, EXPRESSIONS), None))
        return {pair: counts[pair] for pair in order if counts[pair]}

    def to_pandas(self) -> pd.DataFrame:
        """The table as a pandas DataFrame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return tables.to_pandas(self.faces)

    def fingerprint(self) -> str:
        """SHA-256 over what is scored of the rows, whatever their order; see `RowsHash`."""
        rows = RowsHash()
        for batch in self.faces.to_batches(max_chunksize=65_536):
            rows.update(batch)
        return rows.hexdigest()

    def content(self) -> str:
        """SHA-256 over every value of both tables and what `info` says of them; see `ContentHash`.

        It differs from `info.content` where the tables were changed after they were written.
        """
        content = ContentHash()
        content.update("faces", self.faces)
        if self.annotations is not None:
            content.update("annotations", self.annotations)
        return content.hexdigest(self.info.describe_content())


def open_dataset(path: str | Path, *, columns: Collection[str] | None = None) -> Dataset:
    """Open a dataset folder; pictures are not touched.

    Args:
        path: the folder.
        columns: the columns of the faces to read, `face_id` always among them, and no annotations;
            None for all. Landmarks, for one, are most of a table.

    Raises:
        FormatError: not a dataset, or a table that is broken or of the wrong types.
        NewerSchema: written by a newer openaffect.
        InputError: repeated ids, values that the schema does not allow, or a column that the
            table does not have.
    """
    path = Path(path)
    return read_folder(path, lambda: _read_dataset(path, columns))


def scan_dataset(
    path: str | Path, *, columns: Collection[str] | None = None, rows: int = 16_384
) -> Iterator[Dataset]:
    """The faces of a dataset in portions, each a Dataset without annotations; at least one.

    Only one portion is in memory, so a table may be larger than that.

    Args:
        path: the folder.
        columns: see `open_dataset`.
        rows: of a portion.

    Raises:
        FormatError, NewerSchema, InputError: see `open_dataset`; what is wrong with a row is found
            when its portion is read.
    """
    path = Path(path)
    info = read_folder(path, lambda: _read_info(path))
    where = str(path / "faces.parquet")
    seen = np.empty(0, np.int64)
    for portion in tables.scan_parquet(
        where, "the faces of a dataset", _wanted(columns), rows=rows
    ):
        faces = _conform_faces(portion, columns, where)
        check_faces(faces, where)
        # Eight bytes per face suffice to find an id that an earlier portion has. A stable sort
        # merges two sorted runs in linear time, and in place.
        hashes = np.sort(np.fromiter(map(hash, faces["face_id"].to_pylist()), np.int64, len(faces)))
        places = np.searchsorted(seen, hashes)
        if (seen[places[places < len(seen)]] == hashes[places < len(seen)]).any():
            raise InputError(f"face_id must be unique in {where}, but ids repeat")
        seen = np.concatenate([seen, hashes])
        seen.sort(kind="stable")
        yield Dataset(path, info, faces)


def _read_info(path: Path) -> DatasetInfo:
    if not (path / "dataset.json").is_file():
        raise FormatError(
            f"expected a dataset folder at {path}, but "
            + (f"{path} has no dataset.json" if path.is_dir() else "there is no such folder")
            + "; make one with `openaffect import` or `openaffect synthesize`"
        )
    where = str(path / "dataset.json")
    info = DatasetInfo.from_json(read_bytes(where, "a dataset.json"), where)
    images = os.path.join(path, info.images)
    # A folder that is missing is not refused: labels can be scored without their pictures.
    if os.path.exists(images) and not os.path.isdir(images):
        raise InputError(f"expected a folder under 'images' in {where}, but {images} is a file")
    return info


def _read_dataset(path: Path, columns: Collection[str] | None) -> Dataset:
    info = _read_info(path)
    where = str(path / "faces.parquet")
    faces = tables.read_parquet(where, "the faces of a dataset", _wanted(columns))
    faces = _conform_faces(faces, columns, where)
    check_faces(faces, where)
    annotations = None
    if columns is None and (path / "annotations.parquet").exists():
        where = str(path / "annotations.parquet")
        annotations = tables.read_parquet(where, "the annotations of a dataset")
        annotations = tables.conform(annotations, schemas.ANNOTATIONS, where)
        check_annotations(annotations, where)
    return Dataset(path, info, faces, annotations)


def _wanted(columns: Collection[str] | None) -> Callable[[str], bool] | None:
    return None if columns is None else {*columns, "face_id"}.__contains__


def _conform_faces(faces: pa.Table, columns: Collection[str] | None, where: str) -> pa.Table:
    """The table with the columns of the schema that are wanted; others must be there."""
    fields = [f for f in schemas.FACES if columns is None or f.name in {*columns, "face_id"}]
    fields += [f for f in schemas.PROVENANCE if f.name in faces.column_names]
    faces = tables.conform(faces, pa.schema(fields), where)
    missing = sorted({*(columns or ())} - {*faces.column_names})
    if missing:
        raise InputError(f"{where} has no column '{missing[0]}'")
    return faces


def save_dataset(
    dataset: Dataset,
    path: str | Path,
    *,
    overwrite: bool = False,
    files: Mapping[str, str] | None = None,
) -> Dataset:
    """Write a dataset (a selection, say) as a new folder that links to the same pictures.

    Args:
        dataset: what to write.
        path: the folder to make.
        overwrite: replace an existing dataset.
        files: more text files for the folder, by name.

    Raises:
        DestinationExists: `path` exists and `overwrite` is false.
        InputError: `path` is the dataset's own folder, or the one that holds its pictures, or
            other datasets link to the pictures in it.
    """
    path = Path(path)
    refuse_onto(path, dataset.path, dataset.images_folder)
    info = dataclasses.replace(
        dataset.info,
        images=str(dataset.images_folder),
        rows=len(dataset),
        fingerprint=dataset.fingerprint(),
        content=dataset.content(),
    )
    check_links(path)
    with atomic_folder(path, overwrite=overwrite) as folder:
        tables.write_table(dataset.faces, folder / "faces.parquet")
        if dataset.annotations is not None:
            tables.write_table(dataset.annotations, folder / "annotations.parquet")
        for name, text in (files or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        write_info(info, folder, annotations=dataset.annotations is not None)
    record_link(dataset.images_folder, path)
    return open_dataset(path)


def refuse_onto(path: Path, dataset: Path, images: Path) -> None:
    """Refuse a destination that is a dataset, or holds its pictures.

    Raises:
        InputError: it is.
    """
    pictures = images.resolve()
    if path.resolve() in (dataset.resolve(), pictures, *pictures.parents):
        raise InputError(
            f"cannot write a dataset onto {path}: it holds the dataset itself, or its pictures"
        )


def write_info(info: DatasetInfo, folder: Path, *, annotations: bool) -> None:
    """Write README.md and, last, dataset.json: a folder without it is not a dataset."""
    (folder / "README.md").write_text(_readme(info, annotations), encoding="utf-8")
    (folder / "dataset.json").write_text(info.to_json(), encoding="utf-8")


def _readme(info: DatasetInfo, annotations: bool) -> str:
    tables = ["faces", *(["annotations"] if annotations else [])]
    # Without a name of its own Hugging Face calls the one split `train`; `all` is a word of theirs.
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: all_splits\n    path: {name}.parquet\n"
        + ("  default: true\n" if name == "faces" else "")
        for name in tables
    )
    return (
        f"---\npretty_name: {json.dumps(info.name, ensure_ascii=False)}\nconfigs:\n{configs}---\n\n"
        f"# {info.name}\n\n{info.rows:,} faces, one row each in `faces.parquet`"
        + ("; one row per judgment in `annotations.parquet`" if annotations else "")
        + f".\n\n- Pictures: `{info.images}`\n- Source: {info.source or 'not stated'}\n"
        f"- License: {info.license or 'not stated'}\n- Rejected rows: {info.rejected:,}\n"
        f"- Made by: {info.made_by}\n\n{_HUGGING_FACE}"
    )


_HUGGING_FACE = """## With Hugging Face datasets

The table holds every split; the column `split` says which a face belongs to. `image` is a path
below the folder of the pictures.

```python
from datasets import load_dataset

faces = load_dataset("path/of/this/folder", split="all_splits")
train = faces.filter(lambda face: face["split"] == "train")
```
"""
