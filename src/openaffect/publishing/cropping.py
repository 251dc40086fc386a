"""The faces of a dataset cut out of their photographs: what a release shows of them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from openaffect import schemas, tables
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import ImageError, InputError
from openaffect.face_row import FaceRow
from openaffect.faces.boxes import Box
from openaffect.faces.crops import CropRule, Window, crop, crop_window
from openaffect.formats import picture_path, safe_path
from openaffect.images import encode_image, image_size, read_image, read_image_file
from openaffect.labels import Expression
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress

RULE = CropRule(margin=0.15)
"""The published rule: 15 % of the longer side of the box on each side."""

_SUFFIXES = {"jpeg": ".jpg", "png": ".png"}
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the crop of a face was in its image.

    Attributes:
        window: in pixels of the image.
        sha256: of the file of the crop.
    """

    window: Window
    sha256: str


def write_crops(
    dataset: Dataset,
    path: Path,
    *,
    whole: bool = False,
    on_progress: OnProgress | None = None,
) -> tuple[Dataset, dict[str, Cut]]:
    """Write the faces of a dataset as a dataset of crops, named after their face_ids.

    A face without a box is its whole image, which is taken as it is, without what its camera noted.
    Boxes and landmarks move along, to four decimals; other columns stay.

    Args:
        dataset: what to cut; every image must be readable.
        path: the folder to make.
        whole: give the whole photographs instead, which may show other people.
        on_progress: called with the number of faces done so far.

    Returns:
        The crops, and where each was, by face_id.

    Raises:
        InputError: an image that is missing or outside of the dataset, or two face_ids that are the
            same as file names.
        ImageError: an image that cannot be read.
    """
    others = [field for field in dataset.faces.schema if field.name not in schemas.FACES.names]
    names: dict[str, str] = {}
    cuts: dict[str, Cut] = {}
    with write_dataset(
        path,
        name=dataset.info.name,
        license=dataset.info.license,
        shareable=dataset.info.shareable,
        source=dataset.info.source,
        on_progress=on_progress,
    ) as writer:
        writer.add_columns(pa.schema(others))
        rows = tables.iterate_rows(dataset.faces, dataset.faces.column_names)
        made = map_in_order(functools.partial(_cut, dataset, whole), rows, ahead=64)
        for row, data, suffix, window in made:
            name = f"{safe_path(row['face_id'])}{suffix}"
            taken = names.setdefault(name.lower(), row["face_id"])
            if taken != row["face_id"]:
                raise InputError(
                    f"two faces would have the file {name}: {taken} and {row['face_id']}; "
                    "give them other face_ids"
                )
            target = writer.images_folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            cuts[row["face_id"]] = Cut(window, hashlib.sha256(data).hexdigest())
            writer.add(_moved(row, name, window, [one.name for one in others]))
    if writer.summary.rejected:
        why = writer.summary.rejected.most_common(1)[0][0]
        raise InputError(f"a face of {dataset.path} cannot be released: {why}")
    return open_dataset(path), cuts


def _cut(
    dataset: Dataset, whole: bool, row: dict[str, Any]
) -> tuple[dict[str, Any], bytes, str, Window]:
    path = picture_path(dataset, row["image"])
    try:
        if whole or row["box"] is None:
            return row, *_as_it_is(path)
        box = Box(*row["box"])
        window = crop_window(box, RULE)
        data = encode_image(crop(read_image(path), box, RULE), ".jpg")
    except ImageError as error:
        raise ImageError(f"{error} (face {row['face_id']})") from error
    return row, data, ".jpg", window


def _as_it_is(path: Path) -> tuple[bytes, str, Window]:
    """The whole image: its own bytes where they are a JPEG or PNG without notes of a camera."""
    data = read_image_file(path)
    kind = "jpeg" if data[:3] == b"\xff\xd8\xff" else "png" if data[1:4] == b"PNG" else None
    noted = any(mark in data[:65_536] for mark in (b"Exif\0", b"eXIf", b"http://ns.adobe.com"))
    size = image_size(path)
    if kind is not None and not noted and size is not None:
        return data, _SUFFIXES[kind], Window(0, 0, *size)
    pixels = read_image(path)
    suffix = ".png" if kind == "png" else ".jpg"
    return encode_image(pixels, suffix), suffix, Window(0, 0, pixels.shape[1], pixels.shape[0])


def _moved(row: dict[str, Any], image: str, window: Window, others: Sequence[str]) -> FaceRow:
    """A row in the pixels of its crop."""
    shift = np.array([window.x, window.y], np.float64)
    box, points = row["box"], row["landmarks"]
    if box is not None:
        box = [*np.round(np.array(box[:2], np.float64) - shift, _DECIMALS), *box[2:]]
    if points is not None:
        pairs = np.array(points, np.float64).reshape(-1, 2) - shift
        points = np.round(pairs, _DECIMALS).reshape(-1)
    expression = row["expression"]
    known = {
        name: row[name]
        for name in schemas.FACES.names
        if name not in ("image", "box", "landmarks", "expression", "extra")
    }
    return FaceRow(
        image=image,
        box=box,
        landmarks=points,
        expression=None if expression is None else Expression(expression),
        columns={name: row[name] for name in others},
        **known,
    )
