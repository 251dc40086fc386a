"""Exchange: the annotations of a project out to other tools, and theirs in.

One file per format, found by its name: `label-studio` is `label_studio.py`. Each states

- `FILES`: the pattern of the files that it writes into a folder, and looks for in one;
- `read(path, notes, …)`: every judgment of a file as an `Entry`; what is not read is counted in `notes`;
- `write(project, folder, summary, …)`: all annotations of a project.

The options of a format are the keyword arguments of `read` and `write`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from openaffect import lookup
from openaffect.errors import FormatError, InputError
from openaffect.exchange._adding import AddAnnotationsSummary, add_entries
from openaffect.exchange._entries import Entry, ExportAnnotationsSummary
from openaffect.progress import OnProgress
from openaffect.project import Project
from openaffect.storage import atomic_folder

PACKAGE = "openaffect.exchange"


def add_annotations(
    project: Project,
    path: str | Path,
    format: str,  # noqa: A002 - the word that the command line uses
    *,
    name: str | None = None,
    count_imported: bool = False,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> AddAnnotationsSummary:
    """Add the judgments of a file to the faces of a project; those that are there are left alone.

    The person p of a file becomes the pseudo-annotator `import:<name>/p`, so that agreement knows
    people apart and nobody's own rows are touched; a judgment that names nobody is `import:<name>`'s.
    The kind `work` becomes `imported`, others stay. Ids are kept; without one, the person, the face
    and the time are the id. What cannot be added is named in `rejected.csv`.

    Args:
        project: where to.
        path: a file, or a folder with files as `export_annotations` names them.
        format: annotations, csv or label-studio.
        name: of the source; by default that of the file, or of its folder where the file is called
            as `export_annotations` calls it.
        count_imported: have judgments of human origin count for overlap, for what is done, and for
            the test split.
        on_progress: called with the number of judgments done so far.
        options: those of the format.

    Raises:
        UnknownName: no such format.
        FormatError: the file is not of this format, or there is none.
        InputError: an option that the format does not have.
        DatabaseError: the database does not answer.
    """
    module = lookup.load(PACKAGE, format, "format")
    _check_options(format, options, module.read)
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = sorted(path.glob(module.FILES))
        if not files:
            raise FormatError(f"expected a file {module.FILES} in {path}, but there is none")
    elif not path.exists():
        raise FormatError(f"expected a file of annotations at {path}, but there is none")
    ours = path.is_dir() or path.match(module.FILES)
    folder = path.absolute() if path.is_dir() else path.absolute().parent
    summary = AddAnnotationsSummary()

    def entries() -> Iterator[Entry]:
        for file in files:
            yield from module.read(file, summary.notes, **options)

    source = name or (folder.name if ours else path.stem)
    add_entries(
        project, entries(), source, summary, count_imported=count_imported, on_progress=on_progress
    )
    return summary


def export_annotations(
    project: Project,
    format: str,  # noqa: A002
    destination: str | Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> ExportAnnotationsSummary:
    """Write the annotations of a project as a new folder; people appear by their pseudonyms.

    Args:
        project: what to write.
        format: annotations, csv or label-studio.
        destination: the folder to make.
        overwrite: replace an existing folder.
        on_progress: called with the number of annotations done so far.
        options: those of the format.

    Raises:
        UnknownName: no such format.
        InputError: an option that the format does not have.
        FormatError: a damaged value in the database.
        DestinationExists: the destination exists and `overwrite` is false.
        DatabaseError: the database does not answer.
    """
    module = lookup.load(PACKAGE, format, "format")
    _check_options(format, options, module.write)
    destination = Path(destination)
    if project.path.absolute().is_relative_to(destination.absolute()):
        raise InputError(f"cannot export to {destination}: the project lies in it")
    summary = ExportAnnotationsSummary(on_progress=on_progress)
    with atomic_folder(destination, overwrite=overwrite) as folder:
        module.write(project, folder, summary, **options)
    return summary


def exchange_formats() -> tuple[str, ...]:
    """The names of the formats, sorted."""
    return lookup.names(PACKAGE)


def _check_options(format: str, options: dict[str, Any], function: Callable[..., Any]) -> None:  # noqa: A002
    known = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in options:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none here"
            raise InputError(f"format {format} has no option '{name}'; {has}")


__all__ = [
    "AddAnnotationsSummary",
    "Entry",
    "ExportAnnotationsSummary",
    "add_annotations",
    "exchange_formats",
    "export_annotations",
]
