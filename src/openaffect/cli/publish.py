"""From a project to what others can use: frozen, and without what must be forgotten."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from openaffect import console
from openaffect.cli._database_output import note_missing_legal
from openaffect.cli.options import AsJson, Overwrite, ProjectPath, Seed, app
from openaffect.errors import InputError
from openaffect.texts import counted

if TYPE_CHECKING:
    from openaffect.forgetting import ForgetSummary
    from openaffect.freezing import FreezePlan

_Splits = Literal["published", "drawn", "kept"]
_Pixels = Literal["licensed", "none", "all"]


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
    from openaffect.legal import LegalFacts
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
        with console.show_progress("freezing") as on_progress:
            done = freeze_project(
                opened,
                dataset,
                options,
                name=name,
                hard_links=not copy,
                overwrite=overwrite,
                on_progress=on_progress,
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
    legal = done.dataset.info.legal or LegalFacts()
    note_missing_legal(legal, project, "a release of this dataset will need --pixels none")
    if done.earlier is not None:
        differs = "has changed" if done.changed else "has not changed"
        console.note(f"the project {differs} since the freeze of {done.earlier}")


@app.command()
def forget(
    project: ProjectPath,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="URL|FACE_ID|SHA256…", help="Each stands for its whole image."),
    ] = None,
    because: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")] = "",
    list_file: Annotated[
        Path | None,
        typer.Option(
            "--list", metavar="FILE", help="One per line, or the withdrawn.csv of another place."
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be forgotten.")] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Let files (SHA256) in that look like a forgotten image and are another one.",
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Delete images, their faces and all that is about them, for ever; they cannot come back.

    Hashes stay, by which add, freeze, release and fetch know them again. The datasets and releases that
    hold them are named.

    Example: openaffect forget faces https://example.org/a.jpg --because "asked by the person"
    """
    from openaffect.forgetting import forget as forget_images
    from openaffect.forgetting import keep_image, obey, read_list
    from openaffect.project import open_project
    from openaffect.withdrawals import Withdrawals

    texts = list(what or ())
    listed = read_list(list_file) if list_file is not None else []
    if not texts and not listed:
        raise InputError("forget needs an address, a face_id or a SHA-256, or --list FILE")
    if not because.strip():
        raise InputError("forget needs a reason: --because TEXT")
    with open_project(project) as opened:
        if isinstance(listed, Withdrawals):
            if texts or plan or keep:
                raise InputError("a withdrawn.csv is taken as it is, with nothing beside it")
            done = obey(opened, listed, because=because)
        elif keep:
            for sha256 in (*texts, *listed):
                keep_image(opened, sha256, because=because)
            console.note(f"kept: {counted(len(texts) + len(listed), 'file')}")
            return
        else:
            done = forget_images(opened, (*texts, *listed), because=because, plan=plan)
    if json:
        console.print_json(dataclasses.asdict(done))
        return
    _print_forgotten(done, project, plan=plan)


@app.command()
def release(
    dataset: Annotated[
        Path | None, typer.Argument(metavar="DATASET", help="What to release.")
    ] = None,
    destination: Annotated[
        Path | None, typer.Argument(metavar="DEST", help="The folder to make.")
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            help="Layouts between commas: affectnet, affectnet8, affectnet-plus, huggingface, "
            "webdataset (default: all)."
        ),
    ] = None,
    pixels: Annotated[
        str,
        typer.Option(
            help="licensed: crops of images whose license allows it; none; all, for a private release."
        ),
    ] = "licensed",
    because: Annotated[
        str, typer.Option(metavar="TEXT", help="Why --pixels all is asked for.")
    ] = "",
    release_version: Annotated[
        str, typer.Option("--version", metavar="1.0", help="Of the release.")
    ] = "1.0",
    previous: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The release before, for CHANGES.csv.")
    ] = None,
    non_commercial: Annotated[
        bool,
        typer.Option("--non-commercial", help="For non-commercial use alone: NC licenses fit."),
    ] = False,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Whole photographs, which may show other people."),
    ] = False,
    withdrawn: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A withdrawn.csv to obey, beside the dataset's own."),
    ] = None,
    contact: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Whom to ask to be taken out (default: the project's)."
        ),
    ] = "",
    verify: Annotated[
        Path | None,
        typer.Option(metavar="DEST", help="Only check a release against its manifest."),
    ] = None,
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """Make a folder of a dataset that may be given away: crops, labels, licenses, cards, a page.

    Pictures are crops, and only of images whose license allows it; of the others labels, addresses and
    hashes are released. The same dataset gives the same bytes.

    Example: openaffect release faces-1.0 release --version 1.0
    """
    from openaffect.publishing import ReleaseOptions, release_dataset

    if verify is not None:
        if dataset is not None:
            raise InputError("--verify checks a release that is there; name no DATASET beside it")
        _verify(verify, json=json)
        return
    if dataset is None or destination is None:
        raise InputError("release needs DATASET and DEST, or --verify DEST")
    options = ReleaseOptions(
        layouts=tuple(one.strip() for one in formats.split(",")) if formats else (),
        pixels=cast("_Pixels", pixels),
        because=because,
        version=release_version,
        non_commercial=non_commercial,
        whole=whole,
        contact=contact,
    )
    with console.show_progress("cutting faces") as on_progress:
        done = release_dataset(
            dataset,
            destination,
            options,
            previous=previous,
            withdrawn=() if withdrawn is None else (withdrawn,),
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if json:
        console.print_json(dataclasses.asdict(done))
        return
    console.print_facts(
        {
            "faces": done.faces,
            "with a picture": done.pictures,
            **{f"without: {why}": count for why, count in done.without.most_common()},
            "withdrawn": done.withdrawn,
            **{f"license {name}": count for name, count in sorted(done.licenses.items())},
            **{f"in {name}": count for name, count in done.layouts.items()},
            **{name: count for name, count in done.changes.items() if count},
        }
    )
    if done.personality:
        console.warn(
            f"{counted(done.personality, 'picture')} of people whose provider speaks of their own rights"
        )
    if pixels == "all":
        console.warn(f"{destination} is private: it holds pictures that may not be given on")
    console.note(
        f"open {destination}/index.html; check it with `openaffect release --verify {destination}`"
    )


@app.command()
def fetch(
    release_folder: Annotated[Path, typer.Argument(metavar="RELEASE", help="A release.")],
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="The dataset to make.")],
    withdrawn: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A newer withdrawn.csv to obey, beside the release's own."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Downloads at the same time.")] = 8,
    per_host: Annotated[
        int, typer.Option(min=1, max=64, help="Of these, at most so many from the same host.")
    ] = 2,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on, also with a dataset that is there: what failed is tried again, what came is kept.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """Load the pictures of a release from their sources, and make a dataset of them.

    What comes must be what was released: the same bytes, or the same picture saved again. fetch.csv in
    DATASET names what became of every face.

    Example: openaffect fetch release faces
    """
    from openaffect.publishing import fetch_release

    with console.show_progress("fetching pictures") as on_progress:
        done = fetch_release(
            release_folder,
            dataset,
            withdrawn=() if withdrawn is None else (withdrawn,),
            workers=workers,
            per_host=per_host,
            resume=resume,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if json:
        console.print_json(dataclasses.asdict(done))
        return
    console.print_facts({f"faces {name}": count for name, count in done.outcomes.most_common()})
    console.note(f"{counted(done.faces, 'face')} in {dataset}; its fetch.csv names each outcome")


def _verify(folder: Path, *, json: bool) -> None:
    from openaffect.publishing import verify_release

    problems = verify_release(folder)
    if json:
        console.print_json({"problems": problems})
    for problem in problems[:20] if not json else ():
        console.warn(problem)
    if problems:
        more = "" if len(problems) == 1 else "s"
        raise InputError(f"{len(problems):,} file{more} of {folder} not as in its manifest")
    if not json:
        console.say(f"{folder} is as its manifest says")


def _print_forgotten(done: ForgetSummary, project: Path, *, plan: bool) -> None:
    from openaffect.withdrawals import FILE

    would = "would be forgotten" if plan else "forgotten"
    facts = {f"images {would}": done.images, f"faces {would}": done.faces}
    if done.urls:
        facts[f"addresses without an image {would}"] = done.urls
    console.print_facts(facts)
    for image in done.near:
        names = ", ".join(image.face_ids) or image.sha256
        bits = f"{image.distance} of 64 bits differ"
        if image.is_copy:
            console.note(f"{names}: the same image ({bits}), {would} with it")
        else:
            console.note(f"{names}: kept, for its thumbnail is another one ({bits})")
    for text in done.known:
        console.note(f"{text[:100]}: forgotten before")
    for text in done.unknown:
        console.note(f"{text[:100]}: not in the project; it cannot come any more")
    for holder in done.datasets:
        if holder.is_there:
            console.warn(
                f"{holder.path} holds {counted(holder.faces, 'face')} of them; remove them with "
                f"`openaffect check {holder.path} --withdrawn {project}/{FILE}`"
            )
        else:
            console.warn(
                f"{holder.path} held {counted(holder.faces, 'face')} of them and is no longer "
                f"there; wherever it is, remove them with {project}/{FILE}"
            )
        for release in holder.releases:
            console.warn(f"the release {release} was made of it")
    if plan or not done.tombstones:
        return
    if not done.purged:
        console.warn("another process reads the database; its log is emptied when that ends")
    console.note(
        "not undone: models that were trained with these faces, backups, and copies that others "
        f"have; restore backups with `openaffect new DIR --from FILE --withdrawn {project}/{FILE}`"
    )


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
