"""Datasets: drawn, imported, exported, described, checked, split."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from openaffect import console
from openaffect.cli.options import (
    AsJson,
    DatasetPath,
    Overwrite,
    Seed,
    Workers,
    app,
    flatten,
    print_classes,
    read_pairs,
)
from openaffect.errors import InputError
from openaffect.texts import counted


@app.command()
def synthesize(
    number: Annotated[int, typer.Argument(metavar="N", help="How many faces.", min=1)],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset to make.")],
    seed: Seed = 0,
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 256,
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Synthetic faces as a dataset: boxes, landmarks, expression, valence and arousal are exact.

    Example: openaffect synthesize 100 faces --seed 1
    """
    from openaffect.synthetic.dataset import even_counts, synthesize_dataset

    with console.show_progress("synthesizing", number) as on_progress:
        made = synthesize_dataset(
            dataset,
            {None: even_counts(number)},
            seed=seed,
            size=size,
            workers=workers,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    console.say(f"{len(made):,} synthetic faces in {dataset}")


@app.command("import")
def import_(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="Such as ferplus or csv.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A folder, file or archive.")],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset to make.")],
    images: Annotated[
        str | None,
        typer.Option(help="copy or link; archives are unpacked, folders linked by default."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the dataset.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the format."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="KEY=NAME",
            help="csv: which column of the table is image, expression, valence, x …",
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="ferplus: plurality or majority of the votes.")
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(help="Of pictures and labels, such as CC-BY-4.0 (default: the format's own)."),
    ] = None,
    shareable: Annotated[
        bool, typer.Option("--shareable", help="Pictures may be shown in reports.")
    ] = False,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Labeled faces of a known format into a dataset; docs/formats.md has the formats.

    Example: openaffect import ferplus ferplus.zip fer --label majority
    """
    from openaffect.formats import import_dataset

    options = read_pairs(option)
    if label is not None:
        options["label"] = label
    if column:
        options["columns"] = read_pairs(column)
    with console.show_progress("importing") as on_progress:
        made, summary = import_dataset(
            format,
            source,
            dataset,
            images=images,
            name=name,
            license=license,
            shareable=shareable,
            overwrite=overwrite,
            on_progress=on_progress,
            **options,
        )
    if json:
        console.print_json(
            {
                "dataset": str(dataset),
                "rows": summary.rows,
                "rejected": dict(summary.rejected),
                "warnings": dict(summary.warnings),
                "notes": summary.notes,
            }
        )
        return
    console.say(f"{counted(summary.rows, 'face')} in {dataset}, pictures in {made.images_folder}")
    print_classes(dataset)
    for reason, count in summary.rejected.most_common():
        console.warn(
            f"{counted(count, 'row')} rejected: {reason} (named in {dataset}/rejected.csv)"
        )
    for what, count in summary.warnings.most_common():
        console.warn(f"{counted(count, 'face')} kept with a warning: {what}")
    for text in summary.notes:
        console.note(f"note: {text}")


@app.command("export")
def export(
    format: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help="Such as affectnet8 or csv; of a project see below."),
    ],
    source: Annotated[
        Path, typer.Argument(metavar="DATASET|PROJECT", help="A dataset or project folder.")
    ],
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to make.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the format."),
    ] = None,
    crop: Annotated[
        bool, typer.Option("--crop", help="Write faces alone, not whole photographs.")
    ] = False,
    image_prefix: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="label-studio: put before the place of each image in the store."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """A dataset in another format's own layout, or the annotations of a project for other tools.

    Of a project, annotations, csv and label-studio write its annotations, with pseudonyms, as
    `add --format` reads them; docs/exchange.md has these formats, docs/formats.md those of datasets.

    Example: openaffect export affectnet8 fer fer-as-affectnet8
    """
    from openaffect.cli._exchange import check_not_for_projects, export_project, is_project
    from openaffect.dataset import open_dataset
    from openaffect.formats import export_dataset

    options: dict[str, Any] = {**read_pairs(option), **({"crop": True} if crop else {})}
    if image_prefix is not None:
        options["image_prefix"] = image_prefix
    if is_project(source):
        export_project(format, source, destination, overwrite=overwrite, options=options)
        return
    check_not_for_projects(format, source)
    summary = export_dataset(
        format, open_dataset(source), destination, overwrite=overwrite, **options
    )
    console.say(f"{counted(summary.rows, 'face')} in {destination}")
    for reason, count in summary.left_out.most_common():
        console.warn(f"{counted(count, 'row')} left out: {reason}")
    if summary.dropped:
        console.warn(f"columns that {format} cannot hold: {', '.join(summary.dropped)}")
    for text in summary.notes:
        console.note(f"note: {text}")


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar="ANYTHING", help="A file or folder.")],
    json: AsJson = False,
) -> None:
    """What a dataset, project, model, run, study, predictions, report, analysis or folder is.

    Example: openaffect info fer
    """
    from openaffect.info import describe

    facts = describe(path)
    if json:
        console.print_json(facts)
        return
    if facts["kind"] == "report":
        from openaffect.cli.models import print_report
        from openaffect.reports import open_report

        console.print_facts({key: facts[key] for key in ("kind", "path", "made_by")})
        print_report(open_report(path))
        return
    classes = facts.pop("classes", None)
    log = facts.pop("log", None)
    console.print_facts(flatten(facts))
    if classes and facts["kind"] == "dataset":
        console.print_counts(classes)
    if log:
        console.print_table(list(log[0]), [list(row.values()) for row in log])


@app.command()
def check(
    dataset: DatasetPath,
    write: Annotated[
        Path | None, typer.Option(metavar="CLEAN", help="Write a clean dataset here.")
    ] = None,
    near: Annotated[
        int, typer.Option(help="Bits of 64 by which copies may differ.", min=0, max=8)
    ] = 4,
    duplicates: Annotated[str, typer.Option(help="With --write: keep or drop copies.")] = "keep",
    leaks: Annotated[
        str, typer.Option(help="With --write: keep or drop training copies of scored faces.")
    ] = "drop",
    withdrawn: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A withdrawn.csv: delete its faces from DATASET, with their images. Nothing else is "
            "checked.",
        ),
    ] = None,
    workers: Workers = None,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Broken files, duplicates, leaks between splits, labels at odds with valence/arousal.

    With --withdrawn, faces that were forgotten elsewhere are deleted here.

    Example: openaffect check fer --write fer-clean
    """
    if withdrawn is not None:
        if write is not None:
            raise InputError("--withdrawn changes the dataset itself; --write makes another one")
        _remove_withdrawn(dataset, withdrawn, json=json)
        return
    from openaffect.curation import check_dataset, clean_dataset
    from openaffect.dataset import open_dataset

    opened = open_dataset(dataset)
    with console.show_progress("checking", len(opened)) as on_progress:
        result = check_dataset(opened, near=near, workers=workers, on_progress=on_progress)
    if json:
        console.print_json(result.to_dict())
    else:
        console.print_table(["found", "faces"], list(result.summary().items()))
        for face in result.broken[:10]:
            console.warn(f"{face.face_id}: {face.reason}")
        if len(result.broken) > 10:
            console.warn(f"… and {len(result.broken) - 10:,} more broken pictures (--json has all)")
        if not result.complete:
            console.warn("near copies are so many that not every candidate was compared")
    if write is not None:
        clean = clean_dataset(
            opened, result, write, duplicates=duplicates, leaks=leaks, overwrite=overwrite
        )
        text = f"{len(clean):,} of {counted(len(opened), 'face')} in {write}"
        (console.note if json else console.say)(text)


def _remove_withdrawn(dataset: Path, withdrawn: Path, *, json: bool) -> None:
    from openaffect.withdrawing import remove_withdrawn

    with console.show_progress("looking at images") as on_progress:
        done = remove_withdrawn(dataset, withdrawn, on_progress=on_progress)
    if json:
        console.print_json(dataclasses.asdict(done))
        return
    console.say(
        f"{counted(len(done.faces), 'face')} and {counted(done.images, 'image')} deleted from {dataset}"
    )
    for face_id in done.faces[:20]:
        console.note(face_id)
    if len(done.faces) > 20:
        console.note(f"… and {len(done.faces) - 20:,} more (--json has all)")
    if done.unreadable:
        console.warn(
            f"{counted(done.unreadable, 'image')} could not be read, and were known by name alone"
        )
    if done.linked_to is not None:
        console.warn(
            f"the images lie in {done.linked_to}, which is another dataset's; check it, too"
        )
    for other in done.links:
        console.warn(f"{other} links to the images, and still has the rows; check it, too")


@app.command()
def split(
    dataset: DatasetPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The dataset to make.")],
    validation: Annotated[str | None, typer.Option(help="500-per-class, 10% or 1000.")] = None,
    test: Annotated[str | None, typer.Option(help="500-per-class, 10% or 1000.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="The classes that are drawn: 7, 8, 11 or names.")
    ] = None,
    redo: Annotated[bool, typer.Option("--redo", help="Draw existing splits again.")] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Validation and test drawn from the training faces: by class, by whole groups, seeded.

    Example: openaffect split fer-clean fer-split --test 10% --validation 20-per-class
    """
    from openaffect.curation import plan_split, split_dataset
    from openaffect.dataset import open_dataset

    opened = open_dataset(dataset)
    wishes: dict[str, Any] = {
        "validation": validation,
        "test": test,
        "labels": labels,
        "redo": redo,
        "seed": seed,
    }
    split_dataset(opened, out, **wishes, overwrite=overwrite)
    print_classes(out)
    plan = plan_split(opened, **wishes)
    for name, wanted in plan.wanted.items():
        for label, count in wanted.items():
            drawn = plan.drawn[name].get(label, 0)
            if drawn < count:
                console.warn(f"{name} has {drawn} of {count} {label}: groups are never split")
    if plan.crossing:
        console.warn(
            f"{len(plan.crossing):,} groups lie in several splits that were not drawn anew, "
            f"first {plan.crossing[0]} (--redo draws them anew)"
        )
