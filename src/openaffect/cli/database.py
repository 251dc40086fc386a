"""A database of faces: made, filled, searched for faces, watched, kept safe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openaffect import console
from openaffect.cli._database_output import print_agreement, print_labels
from openaffect.cli.options import (
    AsJson,
    Crew,
    Device,
    Engine,
    ModelName,
    Overwrite,
    ProjectPath,
    RayAddress,
    Seed,
    app,
    open_chosen_model,
    read_pairs,
    use_engine,
)
from openaffect.errors import InputError
from openaffect.texts import counted

if TYPE_CHECKING:
    from collections import Counter


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The project folder to make.")],
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="postgresql://user@host/name, without a password."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            help="Where the images go: another folder, or s3://bucket/prefix without a key.",
        ),
    ] = None,
    contact: Annotated[
        str, typer.Option(metavar="ADDRESS", help="How operators of servers can reach you.")
    ] = "",
    backup: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Restore this backup.")
    ] = None,
    withdrawn: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --from: the withdrawn.csv of the project, whose images are not to come back.",
        ),
    ] = None,
) -> None:
    """Make a project: the folder in which a database of faces grows.

    Rows go to SQLite in the folder, or to the PostgreSQL database of a team. Its password comes from
    OPENAFFECT_DATABASE_PASSWORD, PGPASSWORD or ~/.pgpass; the keys of a bucket are those that AWS's own
    tools find.

    Example: openaffect new faces --contact lab@example.org
    """
    from openaffect.forgetting import obey
    from openaffect.project import create_project
    from openaffect.project.backups import restore_project
    from openaffect.withdrawals import read_withdrawn

    if backup is not None and contact:
        raise InputError("a restored project has its contact already; change it in project.toml")
    if withdrawn is not None and backup is None:
        raise InputError("--withdrawn is for --from: a new project holds nothing yet")
    hashes = None if withdrawn is None else read_withdrawn(withdrawn)  # before anything is made
    project = (
        create_project(folder, database=database, store=store, contact=contact)
        if backup is None
        else restore_project(backup, folder, database=database, store=store)
    )
    with project:
        console.note(f"project: {folder}, rows in {project.database.name}")
        if hashes is not None:
            done = obey(project, hashes, because=f"withdrawn before {backup} was restored")
            console.note(
                f"forgotten again: {counted(done.images, 'image')}, {counted(done.faces, 'face')}"
            )
        if backup is not None:
            status = project.status()
            console.note(
                f"restored: {counted(status['images']['total'], 'image')}, "
                f"{counted(status['faces']['total'], 'face')}, "
                f"{counted(status['annotations']['total'], 'annotation')}"
            )
    console.note(
        f"next: `openaffect add {folder} PHOTOS`; what can be set is in {folder}/project.toml"
    )


@app.command()
def add(
    project: ProjectPath,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE…", help="Datasets, folders of images, images; with --format, files."
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="The sources are annotations of faces that are there: annotations, csv or label-studio."
        ),
    ] = None,
    from_name: Annotated[
        list[str] | None,
        typer.Option(
            "--from-name",
            metavar="KEY=NAME",
            help="label-studio: what expression, valence, arousal or face_id is called there.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the source; the name of the dataset or folder by default."),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="Put before each face_id, where two datasets use the same ones.")
    ] = "",
    count_imported: Annotated[
        bool,
        typer.Option(
            "--count-imported",
            help="Let human labels that are added count for overlap, progress and the test split.",
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Add datasets, folders of images, or annotations to a project; what is there is left alone.

    The labels of a dataset become annotations of the pseudo-annotator import:NAME. With --format the
    sources are annotations that others made of faces that are there; the person p among them becomes
    import:NAME/p.

    Example: openaffect add faces ferplus photos/
    """
    from openaffect.collection import AddSummary, add_dataset, add_images
    from openaffect.dataset import open_dataset
    from openaffect.project import open_project

    if name is not None and len(sources) > 1:
        raise InputError("--name names one source; add them one by one")
    if format is not None:
        from openaffect.cli._exchange import add_files

        if prefix:
            raise InputError("--prefix is for datasets; annotations name faces that are there")
        options = {"from_names": read_pairs(from_name)} if from_name else {}
        add_files(project, sources, format, name, count_imported, options, json=json)
        return
    if from_name:
        raise InputError("--from-name is for --format label-studio")
    summaries: dict[str, AddSummary] = {}
    with open_project(project) as opened:
        for source in sources:
            if (source / "dataset.json").is_file():
                dataset = open_dataset(source)
                with console.show_progress(f"adding {source.name}", len(dataset)) as on_progress:
                    summaries[str(source)] = add_dataset(
                        opened,
                        dataset,
                        name=name,
                        prefix=prefix,
                        count_imported=count_imported,
                        on_progress=on_progress,
                    )
            else:
                if prefix or count_imported:
                    raise InputError(
                        f"--prefix and --count-imported are for datasets, and {source} is none"
                    )
                with console.show_progress(f"adding {source.name}") as on_progress:
                    summaries[str(source)] = add_images(
                        opened, source, name=name, on_progress=on_progress
                    )
    facts: dict[str, dict[str, Any]] = {
        source: {
            "images": one.images,
            "faces": one.faces,
            "annotations": one.annotations,
            "known_images": one.known_images,
            "known_faces": one.known_faces,
            "rejected": dict(one.rejected),
        }
        for source, one in summaries.items()
    }
    if json:
        console.print_json(facts)
        return
    names = ("images", "faces", "annotations", "known_images", "known_faces")
    console.print_table(
        ("added", *(name.replace("_", " ") for name in names), "rejected"),
        [
            (source, *(one[name] for name in names), sum(one["rejected"].values()))
            for source, one in facts.items()
        ],
    )
    for one in summaries.values():
        _warn_of(one.rejected, f"rejected; {project}/rejected.csv names them")


@app.command()
def detect(
    project: ProjectPath,
    workers: Crew = None,
    engine: Engine = "processes",
    ray_address: RayAddress = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Search images again that have failed.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Find and measure the faces of the images that were not searched yet.

    Detector, landmarks and the smallest face are keys of project.toml under [detect]. Several calls
    share the work, and one that was interrupted is given again. With --engine ray the workers are those
    of a Ray cluster: its computers read the images from the store themselves.

    Example: openaffect detect faces
    """
    from openaffect.collection import detect_faces
    from openaffect.project import open_project

    with use_engine(engine, ray_address), open_project(project) as opened:
        pending = opened.status()["steps"]["detect"]["pending"]
        with console.show_progress("searching images", pending) as on_progress:
            done = detect_faces(
                opened,
                workers=workers,
                engine=engine,
                ray_address=ray_address,
                retry_failed=retry_failed,
                on_progress=on_progress,
            )
    facts = {
        "images": done.images,
        "faces": done.faces,
        "measured": done.measured,
        "without_faces": done.without_faces,
        "small": done.small,
        "failed": dict(done.failed),
    }
    if json:
        console.print_json(facts)
        return
    console.print_facts(
        {
            "images searched": done.images,
            "faces found": done.faces,
            "faces measured": done.measured,
            "images without a face": done.without_faces,
            "dropped for their size": done.small,
        }
    )
    _warn_of(done.failed, "failed; --retry-failed searches them again")


@app.command()
def status(project: ProjectPath, json: AsJson = False) -> None:
    """How far a project is: images, faces, annotations, and what each step has left.

    Example: openaffect status faces --json
    """
    from openaffect.project import open_project

    with open_project(project) as opened:
        found = opened.status()
    if json:
        console.print_json(found)
        return
    console.print_facts(
        {
            "project": found["name"],
            "database": found["database"],
            "hits of providers": found["found"]["hits"],
            "addresses": found["found"]["urls"],
            "images": found["images"]["total"],
            "copies of others": found["images"]["copies"],
            "without a face": found["images"]["without_faces"],
            "megabytes": round(found["images"]["bytes"] / 1e6, 1),
            "faces": found["faces"]["total"],
            "annotations": found["annotations"]["total"],
            "of them imported": found["annotations"]["imported"],
            "answers wanted": found["answers"]["wanted"],
            "answers done": found["answers"]["done"],
            "faces to review": found["answers"]["review"],
        }
    )
    console.print_table(
        ("step", "pending", "done", "refused", "failed"),
        [
            (
                step,
                numbers["pending"],
                numbers["done"],
                sum(numbers["refused"].values()),
                sum(numbers["failed"].values()),
            )
            for step, numbers in found["steps"].items()
        ],
    )
    reasons = [
        (step, end, reason, count)
        for step, numbers in found["steps"].items()
        for end in ("refused", "failed")
        for reason, count in numbers[end].items()
    ]
    if reasons:
        console.print_table(("step", "end", "because", "count"), reasons)


@app.command()
def annotate(
    project: ProjectPath,
    owner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Make an owner's account, and print a one-time link for it."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for any free one.", min=0, max=65535)] = 8000,
    origin: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where people reach it through a proxy: https://lab.example."
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="PATH", help="The path there, such as /faces.")
    ] = "",
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS", help="A proxy whose forwarded headers are believed; may be repeated."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", help="Processes that answer; more than 1 with PostgreSQL.")
    ] = 1,
    prelabels: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT|PREDICTIONS",
            help="Make a batch of its faces that are in none, the least sure first.",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of that batch; by default that of the file or folder."),
    ] = None,
) -> None:
    """Serve the pages on which people label faces, review, and run the work.

    Without accounts one person works at this computer. --owner NAME makes the first account; its owner
    invites the others. A project without a batch gets its first one, of all faces. With --prelabels, what
    `label` or `predict` has made puts its faces that are in no batch into one, the least sure first.

    Example: openaffect annotate faces --owner Ada
    """
    from openaffect.annotation.batches import count_waiting, make_batch, make_first_batch
    from openaffect.project import open_project
    from openaffect.web import annotate as serve_pages

    def tell(address: str, link: str | None) -> None:
        console.say(f"annotating at {address} (Ctrl-C ends it)")
        if link is not None:
            console.say(f"{owner} chooses a password at {link} (works once, for 7 days)")

    if batch is not None and prelabels is None:
        raise InputError("--batch names the batch that --prelabels makes")
    with open_project(project) as opened:
        if prelabels is not None:
            name = batch or prelabels.absolute().stem
            if not count_waiting(opened):
                console.note("every face is in a batch already; --prelabels changes nothing")
            else:
                planned = make_batch(opened, name, predictions=prelabels, only_predicted=True)
                console.note(
                    f"made the batch {name}: {counted(planned.faces, 'face')}, the least sure first"
                )
        made = make_first_batch(opened)
        if made is not None:
            console.note(f"made the first batch: {counted(made.faces, 'face')}")
        elif waiting := count_waiting(opened):
            console.note(f"{counted(waiting, 'face')} in no batch; an owner makes one at /manage")
        serve_pages(
            opened,
            owner=owner,
            host=host,
            port=port,
            origin=origin,
            root_path=root_path,
            proxies=tuple(proxy or ()),
            workers=workers,
            ready=tell,
        )


@app.command()
def agreement(
    source: Annotated[
        Path, typer.Argument(metavar="PROJECT|DATASET", help="A project or dataset folder.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to make.")
    ],
    measured_on: Annotated[
        str | None,
        typer.Option(
            "--from", help="annotations or votes; annotations where a face has two, else votes."
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Bootstrap samples of faces for intervals.", min=200)
    ] = 200,
    seed: Seed = 0,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """How far raters agree: expressions, valence and arousal, each rater, and the human ceiling.

    DIR gets agreement.json and agreement.html.

    Example: openaffect agreement faces -o agreement
    """
    from openaffect.annotation import measure_agreement
    from openaffect.errors import DestinationExists

    if output.exists() and not overwrite:
        raise DestinationExists(output)
    found = measure_agreement(source, source=measured_on, rounds=rounds, seed=seed)  # type: ignore[arg-type]
    page = found.save(output, overwrite=overwrite)
    facts = found.to_dict()
    if json:
        console.print_json(facts)
        return
    print_agreement(facts)
    console.say(f"the whole agreement: {page}")


@app.command()
def label(
    source: Annotated[
        Path, typer.Argument(metavar="PROJECT|DATASET", help="A project or dataset folder.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The dataset to make.")
    ],
    model: ModelName = "default",
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Its human labels decide and judge; by default those of the source.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only the held-out labels of this split.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="7, 8, 11 or names that count; the model's by default.")
    ] = None,
    accuracy: Annotated[
        float | None, typer.Option(help="Wanted accuracy of the labels, such as .65.")
    ] = None,
    certainty: Annotated[
        float, typer.Option(help="With which that accuracy shall be reached.")
    ] = 0.9,
    share: Annotated[
        float | None, typer.Option(help="Label this share of the faces, the surest.")
    ] = None,
    coverage: Annotated[float, typer.Option(help="Of conformal sets and intervals.")] = 0.9,
    class_conditional: Annotated[
        bool, typer.Option("--class-conditional", help="Keep the coverage within each class.")
    ] = False,
    no_face: Annotated[
        str | None,
        typer.Option(
            metavar="DETECTOR",
            help="What this one sees no face in is no_face: auto, yunet or haar.",
        ),
    ] = None,
    only_new: Annotated[
        bool, typer.Option("--only-new", help="Leave faces out that have a label already.")
    ] = False,
    seed: Seed = 0,
    batch_size: Annotated[int, typer.Option(help="Faces the model sees at once.", min=1)] = 64,
    workers: Crew = None,
    engine: Engine = "threads",
    ray_address: RayAddress = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Resume an unfinished run.")] = False,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """A model's labels for faces without one, as sure as you ask; what is not sure is left to people.

    A seeded half of the human labels that the model has not learned from sets the threshold, the conformal
    sets and the temperature; the other half says how good the labels are. OUT has label.html, and the
    columns confidence, expression_set and abstained. `annotate --prelabels OUT` gives people the least
    sure faces first.

    Example: openaffect label faces -o labeled --model run --accuracy .9 --split validation
    """
    from openaffect.autolabel import label_faces
    from openaffect.errors import DestinationExists
    from openaffect.unfinished import refuse_unfinished

    going_on = refuse_unfinished(output, resume=resume, overwrite=overwrite)
    if output.exists() and not (going_on or overwrite):
        raise DestinationExists(output)  # before the model is opened
    loaded = open_chosen_model(model, device)
    hint = "the same command with --resume goes on from here"
    with (
        use_engine(engine, ray_address),
        console.resumable(hint),
        console.show_progress("labeling") as on_progress,
    ):
        made = label_faces(
            source,
            output,
            loaded,
            held_out=held_out,
            split=split,
            labels=labels,
            accuracy=accuracy,
            certainty=certainty,
            share=share,
            coverage=coverage,
            class_conditional=class_conditional,
            no_face=no_face,
            only_new=only_new,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
            engine=engine,
            ray_address=ray_address,
            resume=resume,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if json:
        console.print_json(made.data)
        return
    print_labels(made.data)
    console.say(f"the whole report: {output / 'label.html'}")


@app.command()
def backup(
    project: ProjectPath,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to make, a .zip.")],
    with_store: Annotated[
        bool, typer.Option("--with-store", help="Put the images into it, too.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a project into one file, which `openaffect new DIR --from FILE` restores.

    It may be restored on the other database: so a project moves from SQLite to PostgreSQL.

    Example: openaffect backup faces faces.zip --with-store
    """
    from openaffect.project import open_project
    from openaffect.project.backups import backup_project

    with open_project(project) as opened:
        total = opened.status()["images"]["total"]
        with console.show_progress("writing images", total if with_store else None) as on_progress:
            images = backup_project(
                opened, file, with_store=with_store, overwrite=overwrite, on_progress=on_progress
            )
        place = opened.store.location
    said = f"{counted(images, 'image')} in it" if with_store else f"the images stay in {place}"
    console.note(f"backup: {file}, {said}")


@app.command()
def upgrade(
    project: ProjectPath,
    backup_file: Annotated[
        Path | None,
        typer.Option(
            "--backup", metavar="FILE", help="Where the backup goes; beside it by default."
        ),
    ] = None,
) -> None:
    """Bring the tables of a project to this version of openaffect, after a backup.

    Example: openaffect upgrade faces
    """
    from openaffect.project.backups import upgrade_project

    before, now, file = upgrade_project(project, backup_file)
    if file is None:
        console.note(f"{project} has version {now} already; nothing to do")
    else:
        console.note(f"upgraded: {project} from version {before} to {now}; backup: {file}")


def _warn_of(reasons: Counter[str], what: str) -> None:
    if reasons:
        each = "; ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common(5))
        console.warn(f"{reasons.total():,} {what} ({each})")
