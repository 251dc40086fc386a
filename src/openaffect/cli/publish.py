"""From a project to what others can use: frozen, and without what must be forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from openaffect import console
from openaffect.cli.database import ProjectPath
from openaffect.cli.options import AsJson, Overwrite, Seed, app
from openaffect.texts import counted

if TYPE_CHECKING:
    from openaffect.freezing import FreezePlan

_Splits = Literal["published", "drawn", "kept"]


@app.command()
def freeze(
    project: ProjectPath,
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset to make.")],
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Only say what would be written, and whether DATASET, where it is there, still is that.",
        ),
    ] = False,
    rule: Annotated[
        str, typer.Option(help="For the expression: majority, intended or dawid-skene.")
    ] = "majority",
    affect_rule: Annotated[
        str, typer.Option(help="For valence and arousal: mean, median or one-at-random.")
    ] = "mean",
    splits: Annotated[
        str,
        typer.Option(
            help="published: the faces that several people labeled are the test split; drawn: by the "
            "amounts; kept: as they came with the faces."
        ),
    ] = "published",
    validation: Annotated[
        str | None,
        typer.Option(help="500-per-class (the default of published), 10% or 1000."),
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="500-per-class, 10% or 1000; for --splits drawn.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="The classes that are kept: 7, 8, 11 or names (default: the project's)."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the dataset; the project's by default.")
    ] = None,
    copy: Annotated[
        bool,
        typer.Option("--copy", help="Copy the images, instead of sharing files with the store."),
    ] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """Make a dataset of a project: one label, one group and one split per face.

    Photographs, copies, addresses and groups from outside never lie in two splits. The same project
    and seed give the same bytes.

    Example: openaffect freeze faces faces-1.0 --plan
    """
    from openaffect.dataset import open_dataset
    from openaffect.freezing import FreezeOptions, freeze_project, has_changed, plan_freeze
    from openaffect.project import open_project

    options = FreezeOptions(
        rule=rule,
        affect_rule=affect_rule,
        splits=cast("_Splits", splits),
        validation=validation,
        test=test,
        seed=seed,
        labels=labels,
    )
    with open_project(project) as opened:
        if plan:
            made = plan_freeze(opened, options)
            facts = made.to_dict()
            if (dataset / "dataset.json").is_file():
                facts["changed"] = has_changed(opened, open_dataset(dataset))
            if json:
                console.print_json(facts)
                return
            _print_plan(made)
            if "changed" in facts:
                differs = "has changed since" if facts["changed"] else "still gives"
                console.say(f"the project {differs} {dataset}")
            return
        with console.progress_bar("freezing") as progress:
            done = freeze_project(
                opened,
                dataset,
                options,
                name=name,
                hard_links=not copy,
                overwrite=overwrite,
                progress=progress,
            )
    facts = done.plan.to_dict() | {
        "content": done.dataset.info.content,
        "rejected": dict(done.written.rejected),
        "changed": done.changed,
    }
    if json:
        console.print_json(facts)
        return
    _print_plan(done.plan)
    console.print_facts({"content": done.dataset.info.content[:16]})
    if done.written.rejected:
        console.warn(
            f"{counted(done.written.rejected.total(), 'face')} rejected; "
            f"{dataset}/rejected.csv names them"
        )
    if done.earlier is not None:
        differs = "has changed" if done.changed else "has not changed"
        console.note(f"the project {differs} since the freeze of {done.earlier}")


def _print_plan(plan: FreezePlan) -> None:
    facts = plan.to_dict()
    names: list[str] = []
    for split in facts["splits"].values():
        names += [name for name in split if name not in names]
    rows: list[tuple[Any, ...]] = [
        (name, *(split.get(name, 0) for split in facts["splits"].values())) for name in names
    ]
    totals = [sum(split.values()) for split in facts["splits"].values()]
    console.print_table(("expression", *facts["splits"]), [*rows, ("all", *totals)])
    console.print_facts(
        {
            "faces": facts["faces"],
            **{f"label from {source}": n for source, n in facts["label_sources"].items()},
            "labeled by several people": facts["labeled_by_several"],
            "drawn among several": facts["drawn_by_chance"],
            "groups of several faces": facts["groups"],
            "open reviews": facts["open_reviews"],
            **{f"left out: {why}": count for why, count in facts["left_out"].items()},
        }
    )
    for note in facts["notes"]:
        console.warn(note)
