"""What the writers share: the summary of an export, and pictures put in their new place."""

from __future__ import annotations

import collections
import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.compute as pc

from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.formats._sources import choose
from openaffect.images import check_header
from openaffect.schemas import FACES
from openaffect.storage import open_file
from openaffect.tables import iterate_rows
from openaffect.texts import counted

IMAGES = ("copy", "link", "none")
"""What an export does with pictures: copies, symbolic links, or labels only."""


@dataclass(slots=True)
class ExportSummary:
    """What happened to the rows and columns of a dataset.

    Attributes:
        rows: faces written.
        dropped: columns that hold values that the format cannot hold.
        left_out: number of rows that the format cannot hold, by reason.
        notes: one line each for anything else that is not as it was.
    """

    rows: int = 0
    dropped: tuple[str, ...] = ()
    left_out: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    notes: list[str] = dataclasses.field(default_factory=list)


def dropped_columns(
    dataset: Dataset, held: frozenset[str], *, others: bool = False
) -> tuple[str, ...]:
    """The columns of a dataset that hold values and that a format does not hold.

    Args:
        dataset: what is to be written.
        held: the columns of `schemas.FACES` that the format holds.
        others: whether it holds columns beyond these, too.
    """
    faces = dataset.faces
    return tuple(
        name
        for name in faces.column_names
        if name not in held and name != "image" and faces[name].null_count < len(faces)
        if not (others and name not in FACES.names)
    )


def rows_of(dataset: Dataset, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The rows of a dataset with `face_id`, `image` and the columns of a format, one at a time."""
    names = [name for name in FACES.names if name in {*columns, "face_id", "image"}]
    return iterate_rows(dataset.faces, names)


def count_other_origins(dataset: Dataset, column: str, implied: str) -> int:
    """The number of rows whose origin is another one than a format implies."""
    known = dataset.faces[column].drop_null()
    return int(pc.sum(pc.not_equal(known, implied)).as_py() or 0)


def note_origins(dataset: Dataset, summary: ExportSummary, implied: str = "human") -> None:
    """Note the origins that a format cannot say, since whatever it holds counts as `implied`."""
    for column in ("expression_origin", "affect_origin"):
        count = count_other_origins(dataset, column, implied)
        if count:
            summary.notes.append(
                f"{column} of {counted(count, 'row')} is not '{implied}', which this format cannot say"
            )


def picture_path(dataset: Dataset, image: str) -> Path:
    """The file of a picture, made sure to be one: a dataset of other people may name any file.

    Raises:
        InputError: it is missing, is no picture by its first bytes, or does not lie below the
            images folder. A link is followed where the images folder is one of this machine; in
            a dataset that has its pictures inside, a link must not leave it.
    """
    path = dataset.images_folder / image
    leaves = image.startswith("/") or ".." in image.split("/") or "\0" in image
    if not leaves and not Path(dataset.info.images).is_absolute():
        inside = os.path.realpath(dataset.images_folder)
        leaves = not Path(os.path.realpath(path)).is_relative_to(inside)
    if leaves:
        raise InputError(f"the picture {image} of {dataset.path} leaves its images folder")
    if not path.is_file():
        raise InputError(f"expected a picture at {path}, but there is none; run `openaffect check`")
    broken = check_header(path)
    if broken is not None:
        raise InputError(f"expected a picture at {path}, but found: {broken}")
    return path


def place_picture(dataset: Dataset, image: str, target: Path, how: str) -> None:
    """Put a picture of a dataset in its new place.

    Raises:
        InputError: it cannot be used (see `picture_path`), or two rows want the same place.
    """
    if how == "none":
        return
    if target.is_symlink() or target.exists():
        raise InputError(f"two rows want the picture {target.name}; give them other face_ids")
    source = picture_path(dataset, image)
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "link":
        target.symlink_to(source.absolute())
    else:
        copy_picture(source, target)


def copy_picture(source: Path, target: Path) -> None:
    """Copy the bytes of a picture."""
    with open_file(source, "a picture") as file, open(target, "xb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)


def check_images_option(images: str) -> str:
    """The option `images` of an export, or an UnknownName."""
    return choose("images", images, IMAGES)


def read_flag(name: str, value: bool | str) -> bool:
    """An option that is true or false, or an UnknownName."""
    if isinstance(value, bool):
        return value
    return choose(name, value.lower(), ("true", "false")) == "true"


def suffix_of(image: str) -> str:
    """The ending of a picture's path, as it is written."""
    return PurePosixPath(image).suffix


def safe_path(face_id: str) -> str:
    """A face_id as a relative path that stays in its folder.

    >>> safe_path("a/../../b"), safe_path("/c//d")
    ('a/_/_/b', 'c/d')
    """
    parts = [part for part in face_id.replace("\\", "/").split("/") if part not in ("", ".")]
    return "/".join("_" if part == ".." else part for part in parts) or "_"


def number_text(value: float) -> str:
    """A number with six significant digits, as AffectNet prints them; whole ones without a point.

    >>> number_text(0.1), number_text(134.0), number_text(-0.0552381)
    ('0.1', '134', '-0.0552381')
    """
    return f"{value:.6g}"
