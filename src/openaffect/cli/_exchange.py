"""Annotations of a project, from files and into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openaffect import console
from openaffect.errors import InputError
from openaffect.texts import counted


def is_project(path: Path) -> bool:
    """Whether a folder holds a project."""
    return (path / "project.toml").is_file()


def check_not_for_projects(format: str, path: Path) -> None:
    """Refuse a format that only projects have."""
    from openaffect import lookup

    if format in lookup.names("openaffect.formats"):
        return
    from openaffect.exchange import exchange_formats  # needs what projects need

    if format in exchange_formats():
        raise InputError(f"{format} is for the annotations of a project, and {path} is none")


def add_files(
    project: Path,
    sources: list[Path],
    format: str,
    name: str | None,
    count_imported: bool,
    options: dict[str, Any],
    *,
    json: bool,
) -> None:
    """Add files of annotations, and say what became of them."""
    from openaffect.exchange import AddAnnotationsSummary, add_annotations
    from openaffect.project import open_project

    summaries: dict[str, AddAnnotationsSummary] = {}
    with open_project(project) as opened:
        for source in sources:
            with console.show_progress(f"adding {source.name}") as on_progress:
                summaries[str(source)] = add_annotations(
                    opened,
                    source,
                    format,
                    name=name,
                    count_imported=count_imported,
                    on_progress=on_progress,
                    **options,
                )
    if json:
        console.print_json(
            {
                source: {
                    "annotations": one.annotations,
                    "known": one.known,
                    "rejected": dict(one.rejected),
                    "notes": dict(one.notes),
                }
                for source, one in summaries.items()
            }
        )
        return
    console.print_table(
        ("added", "annotations", "known", "rejected"),
        [
            (source, one.annotations, one.known, one.rejected.total())
            for source, one in summaries.items()
        ],
    )
    for one in summaries.values():
        for reason, count in one.rejected.most_common():
            console.warn(f"{count:,} rejected: {reason} (named in {project}/rejected.csv)")
        for text, count in one.notes.most_common():
            console.note(f"note: {text} ({count:,})")


def export_project(
    format: str,
    project: Path,
    destination: Path,
    *,
    overwrite: bool,
    options: dict[str, Any],
) -> None:
    """Write the annotations of a project, and say what was written."""
    from openaffect import lookup
    from openaffect.exchange import exchange_formats, export_annotations
    from openaffect.project import open_project

    if format in set(lookup.names("openaffect.formats")) - set(exchange_formats()):
        raise InputError(
            f"a project can be exported as {', '.join(exchange_formats())}, not as {format}: that "
            "is for datasets"
        )
    with open_project(project) as opened:
        total = opened.status()["annotations"]["total"]
        with console.show_progress("writing annotations", total) as on_progress:
            summary = export_annotations(
                opened, format, destination, overwrite=overwrite, on_progress=on_progress, **options
            )
    of_faces = f" of {counted(summary.faces, 'face')}" if summary.faces else ""
    console.say(f"{counted(summary.annotations, 'annotation')}{of_faces} in {destination}")
    for reason, count in summary.left_out.most_common():
        console.warn(f"{count:,} left out: {reason}")
