"""Formats: other people's labeled faces in, and out again.

One file per format, found by its name: `affectnet-plus` is `affectnet_plus.py`. Each states

- `LAYOUT`: the layout in words, for messages; `LICENSE`: of the data, where it is known;
- `COLUMNS`: the columns of `schemas.FACES` that it holds both ways; `HOLDS_OTHERS`: that it holds
  columns beyond these, too; `FIXED_SIZE`: the
  (width, height) of every picture that it writes, or None where bytes stay as they are;
- `find(path, …) -> Source`: where its parts lie, or a FormatError; `read(source, writer, …)`:
  every row to the writer, a `RejectRow` for one that cannot be used;
  `write(dataset, folder, summary, …)`: the way back, if there is one.

The options of a format are the keyword arguments of `find`, `read` and `write`.
"""

from __future__ import annotations

import contextlib
import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.compute as pc

from openaffect import lookup
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import DatasetWriter, ImportSummary, write_dataset
from openaffect.errors import FormatError, InputError
from openaffect.formats._archives import is_archive, keep_pictures_only, unpack
from openaffect.formats._exports import (
    ExportSummary,
    dropped_columns,
    picture_path,
    safe_path,
)
from openaffect.formats._sources import Source, choose
from openaffect.progress import OnProgress
from openaffect.storage import atomic_folder

_PACKAGE = "openaffect.formats"


def import_dataset(
    format: str,  # noqa: A002 - the word that the command line uses
    source: str | Path,
    destination: str | Path,
    *,
    images: str | None = None,
    name: str | None = None,
    license: str | None = None,
    shareable: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> tuple[Dataset, ImportSummary]:
    """Read a folder, file or archive of a format into a new dataset.

    Args:
        format: such as `affectnet`; see `docs/formats.md`.
        source: a folder, a label file, or a `.zip`, `.tar` or `.tar.gz` of it.
        destination: the dataset folder to make.
        images: `link` to the source's folder or `copy` its pictures; an archive is unpacked,
            a folder linked by default.
        name: of the dataset; the destination's name by default.
        license: of pictures and labels; the format's by default.
        shareable: whether pictures may be shown in reports.
        overwrite: replace an existing dataset.
        on_progress: called now and then with the number of source rows done so far.
        options: those of the format.

    Raises:
        UnknownName: no such format.
        FormatError: the source is not of this format.
        InputError: an option that the format does not have, or not one row was kept.
        DestinationExists: the destination exists and `overwrite` is false.
    """
    module = lookup.load(_PACKAGE, format, "format")
    source, destination = Path(source), Path(destination)
    _check_options(format, options, module.find, module.read)
    archive = is_archive(source)
    wish = images and choose("images", images, ("copy", "link"))
    if archive and wish == "link":
        raise InputError(f"cannot link to the pictures inside {source}; unpack it, or use copy")
    if source.absolute().is_relative_to(destination.absolute()):
        raise InputError(f"cannot import {source} onto itself; choose another destination")
    found = None if archive else _find(module, format, source, options)
    if found is not None and found.pictures is None and wish == "link":
        raise InputError(f"cannot link to the pictures of {source}: they are made from its table")
    with write_dataset(
        destination,
        name=name,
        images=found.pictures if found else None,
        copy_images=wish == "copy" and not archive,
        license=license if license is not None else module.LICENSE,
        shareable=shareable,
        source=f"{format}: {source.absolute().name}",
        overwrite=overwrite,
        on_progress=on_progress,
    ) as writer:
        if found is not None:
            module.read(found, writer, **_those_of(module.read, options))
        else:
            with _unpacked(module, format, source, writer, options) as inside:
                module.read(inside, writer, **_those_of(module.read, options))
    return open_dataset(destination), writer.summary


def export_dataset(
    format: str,  # noqa: A002
    dataset: Dataset,
    destination: str | Path,
    *,
    overwrite: bool = False,
    abstained: str | None = None,
    **options: Any,
) -> ExportSummary:
    """Write a dataset as a new folder in a format's own layout.

    Args:
        format: such as `affectnet8`; see `docs/formats.md`.
        dataset: what to write.
        destination: the folder to make.
        overwrite: replace an existing folder.
        abstained: what to write for faces of which a model was not sure enough (their column
            `abstained` has the reason): `uncertain`, which is AffectNet's 9; by default no expression.
        options: those of the format.

    Raises:
        UnknownName: no such format.
        InputError: a format that can only be imported, an option that it does not have, or no
            row that it can hold.
        DestinationExists: the destination exists and `overwrite` is false.
    """
    module = lookup.load(_PACKAGE, format, "format")
    if not hasattr(module, "write"):
        raise InputError(f"{format} can only be imported; export as folders or csv")
    _check_options(format, options, module.write)
    if abstained is not None:
        dataset = _name_abstained(dataset, choose("abstained", abstained, ("uncertain",)))
    _keep_apart(dataset, Path(destination))
    others = getattr(module, "HOLDS_OTHERS", False)
    summary = ExportSummary(dropped=dropped_columns(dataset, module.COLUMNS, others=others))
    with atomic_folder(destination, overwrite=overwrite) as folder:
        module.write(dataset, folder, summary, **options)
        if not summary.rows:
            reasons = "; ".join(f"{why}: {count}" for why, count in summary.left_out.items())
            raise InputError(
                f"no row of {dataset.path} can be written as {format}"
                + (f" ({reasons})" if reasons else " (it has none)")
            )
    return summary


def _name_abstained(dataset: Dataset, expression: str) -> Dataset:
    """The dataset with an expression, of a model, where one abstained."""
    if "abstained" not in dataset.faces.column_names:
        raise InputError(
            f"{dataset.path} has no column 'abstained': no face of it was left to people by `label`"
        )
    empty = pc.and_(dataset.column("abstained").is_valid(), dataset.column("expression").is_null())
    for name, value in (("expression", expression), ("expression_origin", "model")):
        values = pc.if_else(empty, value, dataset.column(name))
        dataset = dataset.with_column(name, values.combine_chunks())
    return dataset


def _keep_apart(dataset: Dataset, destination: Path) -> None:
    """Refuse a destination whose replacement would remove the pictures that are to be written."""
    place = destination.absolute()
    if dataset.path.absolute().is_relative_to(place) or dataset.images_folder.is_relative_to(place):
        raise InputError(f"cannot export to {destination}: the dataset or its pictures lie in it")


def _options_of(*functions: Callable[..., Any]) -> list[str]:
    return [
        name
        for function in functions
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def _those_of(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in _options_of(function) if name in options}


def _check_options(format: str, options: dict[str, Any], *functions: Callable[..., Any]) -> None:  # noqa: A002
    known = list(dict.fromkeys(_options_of(*functions)))
    for name in options:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none here"
            raise InputError(f"format {format} has no option '{name}'; {has}")


def _find(
    module: ModuleType,
    format: str,  # noqa: A002
    path: Path,
    options: dict[str, Any],
    shown: Path | None = None,
) -> Source:
    try:
        found: Source = module.find(path, **_those_of(module.find, options))
    except FormatError as error:
        others = [other for other in lookup.names(_PACKAGE) if other != format.replace("_", "-")]
        near = [other for other in others if path.exists() and _fits(other, path)]
        commands = " or ".join(f"`openaffect import {other}`" for other in near)
        hint = f"; this looks like {' or '.join(near)}: use {commands}" if near else ""
        message = str(error).replace(str(path), str(shown or path))
        raise FormatError(f"{message}{hint}") from error
    return found


def _fits(format: str, path: Path) -> bool:  # noqa: A002
    try:
        lookup.load(_PACKAGE, format, "format").find(path)
    except (InputError, OSError):  # such as a folder that may not be read
        return False
    return True


@contextlib.contextmanager
def _unpacked(
    module: ModuleType,
    format: str,  # noqa: A002
    archive: Path,
    writer: DatasetWriter,
    options: dict[str, Any],
) -> Iterator[Source]:
    """An archive unpacked inside the dataset; its pictures folder becomes the dataset's by a rename."""
    folder = writer.folder / "unpacked"
    folder.mkdir()
    unpack(archive, folder)
    found = _find(module, format, folder, options, shown=archive)
    if found.pictures is not None:
        # A relative folder may come from the folder in which this process runs.
        if not found.pictures.absolute().is_relative_to(folder.absolute()):
            raise InputError(
                f"the pictures {found.pictures} do not lie inside {archive}; unpack it first"
            )
        writer.images_folder.rmdir()
        found.pictures.rename(writer.images_folder)
        found = found.moved(writer.images_folder)
    try:
        yield found
    except FormatError as error:
        message = str(error).replace(str(writer.images_folder), str(archive))
        raise FormatError(message.replace(str(folder), str(archive))) from error
    if folder.exists():
        shutil.rmtree(folder)
    keep_pictures_only(writer.images_folder)


__all__ = [
    "ExportSummary",
    "ImportSummary",
    "export_dataset",
    "import_dataset",
    "picture_path",
    "safe_path",
]
