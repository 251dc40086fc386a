"""`release`: a dataset becomes a folder that may be given away.

::

    DEST/
    ├── table/             a dataset without pictures: every face that is released
    ├── affectnet/ …       one folder per layout: crops, for the faces whose license allows it
    ├── id_map.csv         where each face is in each layout, and where its crop was in its image
    ├── ATTRIBUTION.csv    title, author, source and license of each image
    ├── withdrawn.csv      what may not come back, as hashes
    ├── CHANGES.csv        against the release before
    ├── README.md          the card; croissant.json, index.html say it for programs and visitors
    ├── release.json       what was asked for, and the counts
    └── MANIFEST.sha256    of all of it
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import functools
import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from openaffect import schemas, tables
from openaffect.dataset import Dataset, open_dataset, write_info
from openaffect.documents import read_json
from openaffect.errors import DestinationExists, ImageError, InputError, UnknownName
from openaffect.faces.signatures import HASH_VERSION, sign_face
from openaffect.formats import picture_path
from openaffect.image_links import record_release
from openaffect.images import read_image, read_image_file
from openaffect.legal import list_missing_legal
from openaffect.licenses import has_personality_rights, parse_license, refuse_pixels
from openaffect.parallel import map_in_order
from openaffect.progress import OnProgress
from openaffect.publishing import cards, changes, croissant, manifest, page
from openaffect.publishing.cropping import Cut, write_crops
from openaffect.publishing.layouts import Placed, layout_names, load_layout
from openaffect.storage import atomic_folder
from openaffect.withdrawals import FILE as WITHDRAWN
from openaffect.withdrawals import find_withdrawn, write_withdrawn
from openaffect.withdrawing import find_matches

FILE = "release.json"
TABLE = "table"
PIXELS = ("licensed", "none", "all")

_MAP = (
    *("face_id", "layout", "name", "x", "y", "width", "height"),
    *("output_width", "output_height", "sha256"),
)


@dataclass(frozen=True, slots=True)
class ReleaseOptions:
    """What a release holds.

    Attributes:
        layouts: names of layouts; all by default.
        pixels: `licensed`: the crops of images whose license allows it; `none`; or `all`, for a
            private release.
        because: why all pixels are in it.
        version: of the release.
        non_commercial: whether the release is for non-commercial use alone, so that NC licenses fit.
        whole: give whole photographs instead of crops; they may show other people.
        contact: to whom a person turns who wants to be taken out; by default that of the project.
    """

    layouts: tuple[str, ...] = ()
    pixels: Literal["licensed", "none", "all"] = "licensed"
    because: str = ""
    version: str = "1.0"
    non_commercial: bool = False
    whole: bool = False
    contact: str = ""


@dataclass(slots=True)
class ReleaseSummary:
    """What a release holds.

    Attributes:
        faces: in its table.
        pictures: of these, with a picture.
        without: number of faces without one, by reason.
        withdrawn: faces of the dataset that were left out because they were withdrawn.
        layouts: number of faces by layout.
        licenses: number of faces with a picture by license.
        personality: faces with a picture whose provider speaks of personality rights.
        changes: against the release before, by kind.
    """

    faces: int = 0
    pictures: int = 0
    without: Counter[str] = field(default_factory=Counter)
    withdrawn: int = 0
    layouts: dict[str, int] = field(default_factory=dict)
    licenses: Counter[str] = field(default_factory=Counter)
    personality: int = 0
    changes: dict[str, int] = field(default_factory=dict)


def release_dataset(
    dataset: str | Path,
    path: str | Path,
    options: ReleaseOptions | None = None,
    *,
    previous: str | Path | None = None,
    withdrawn: Sequence[str | Path] = (),
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> ReleaseSummary:
    """Write a dataset as a release; the same dataset and options give the same bytes.

    Args:
        dataset: its folder; what its `withdrawn.csv` names is left out.
        path: the folder to make.
        options: see `ReleaseOptions`.
        previous: the release before, for `CHANGES.csv`.
        withdrawn: other `withdrawn.csv` files to obey.
        overwrite: replace an existing release.
        on_progress: called with the number of faces cut so far.

    Raises:
        DestinationExists: `path` exists and `overwrite` is false.
        UnknownName: no such layout.
        InputError: no face is left, none may be shown as asked, the dataset was changed meanwhile, or
            pictures are asked for and the project that it was frozen from left `[legal]` empty.
        FormatError: no dataset, release or list of withdrawals where one is named.
        ImageError: an image that cannot be read.
    """
    options = options or ReleaseOptions()
    dataset, path = Path(dataset), Path(path)
    _check_options(options)
    if path.exists() and not overwrite:
        raise DestinationExists(path)
    opened = open_dataset(dataset)
    if options.pixels != "none":
        _check_legal(opened)
    before = opened.content()
    summary = ReleaseSummary()
    gone = find_withdrawn(dataset, *withdrawn)
    matches, _ = find_matches(opened, gone)
    rest = opened.select(np.array([match is None for match in matches], bool))
    summary.withdrawn = len(opened) - len(rest)
    if not len(rest):
        raise InputError(
            f"{dataset} has no face to release" + (": all were withdrawn" * bool(matches))
        )
    allowed = _gate(rest, options, summary)
    about = _read_about(dataset)
    info = dataclasses.replace(
        rest.info,
        shareable=options.pixels == "licensed",
        images="images",
        source=f"release {options.version} of {rest.info.name}",
    )
    with atomic_folder(path, overwrite=overwrite) as folder:
        shown = rest.select(allowed)
        signed = _sign(rest)
        table = _write_table(rest, info, signed, folder / TABLE)
        summary.faces, summary.pictures = len(table), len(shown)
        given = {split or "unsplit" for split in shown.column("split").to_pylist()}
        placed = _write_layouts(shown, info, folder, options, summary, on_progress)
        _write_attribution(rest, folder)
        write_withdrawn(gone, folder / WITHDRAWN)
        earlier = None if previous is None else Path(previous) / TABLE
        summary.changes = changes.write_changes(table, earlier, folder)
        facts = _facts(options, info.name, before, summary) | {"splits_shown": sorted(given)}
        (folder / FILE).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", "utf-8")
        what = cards.Subject(table, facts, about, options.contact or _contact(about))
        (folder / "README.md").write_text(cards.write_card(what), "utf-8")
        (folder / "croissant.json").write_text(croissant.write_croissant(what, folder), "utf-8")
        samples = _samples(folder, placed) if options.pixels == "licensed" else []
        (folder / "index.html").write_text(page.render_page(what, samples), "utf-8")
        if open_dataset(dataset).content() != before:
            raise InputError(f"{dataset} was changed while it was released; run the command again")
        manifest.write_manifest(folder)
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record_release(dataset, path, options.version, at)
    return summary


def _check_options(options: ReleaseOptions) -> None:
    if options.pixels not in PIXELS:
        raise UnknownName("value of pixels", options.pixels, PIXELS)
    for name in options.layouts:
        load_layout(name)
    if options.pixels == "all" and not options.because.strip():
        raise InputError(
            "all pixels make a private release, which needs a reason: --because TEXT; by default only "
            "images whose license allows it are shown"
        )
    if not re.fullmatch(r"\d+(\.\d+){0,2}", options.version):
        raise InputError(f"expected a version such as 1.0, but got '{options.version[:50]}'")


def _check_legal(dataset: Dataset) -> None:
    """Refuse pictures of people for whom nobody has said that he is responsible, and why he may."""
    legal = dataset.info.legal
    missing = () if legal is None else list_missing_legal(legal)
    if missing:
        raise InputError(
            f"{dataset.path} was frozen from a project with nothing under {', '.join(missing)}, which a "
            "release with pictures needs: write it under [legal] of project.toml and freeze again, or "
            "release labels alone with --pixels none; docs/collecting.md says what they mean"
        )


def _gate(rest: Dataset, options: ReleaseOptions, summary: ReleaseSummary) -> Any:
    """Which faces may be shown, bool (n,)."""
    names = rest.faces.column_names
    columns = [
        rest.faces[name].to_pylist() if name in names else [None] * len(rest)
        for name in ("license", "license_url", "restrictions")
    ]
    allowed = np.zeros(len(rest), bool)
    for row, (text, url, restrictions) in enumerate(zip(*columns, strict=True)):
        text = text if (text or "").strip() else rest.info.license  # noqa: PLW2901
        why = None
        if options.pixels == "none":
            why = "no pixels asked for"
        elif options.pixels == "licensed":
            why = refuse_pixels(text, url, non_commercial=options.non_commercial)
        if why is not None:
            summary.without[why] += 1
            continue
        allowed[row] = True
        found = parse_license(text, url)
        summary.licenses[found.id if found is not None else "unknown"] += 1
        summary.personality += has_personality_rights(restrictions)
    if options.pixels == "licensed" and not allowed.any():
        reasons = "; ".join(f"{why}: {count}" for why, count in summary.without.most_common(3))
        raise InputError(
            f"no image of {rest.path} may be given on ({reasons}); release labels alone with "
            "--pixels none, say the license when importing (--license), or make a private release "
            "with --pixels all --because TEXT"
        )
    return allowed


def _read_about(dataset: Path) -> dict[str, Any]:
    """What the project recorded, where the dataset was frozen from one."""
    path = dataset / "freeze.json"
    return read_json(path, dict[str, Any]) if path.is_file() else {}


def _contact(about: dict[str, Any]) -> str:
    project = about.get("project")
    return str(project.get("contact") or "") if isinstance(project, dict) else ""


def _sign(rest: Dataset) -> list[tuple[str | None, str | None]]:
    """SHA-256 and difference hash of the image of each face; None where it is not there."""
    images: list[str] = rest.column("image").to_pylist()
    wanted = list(dict.fromkeys(images))
    found = map_in_order(functools.partial(_sign_one, rest), wanted, ahead=64)
    known = dict(zip(wanted, found, strict=True))
    return [known[image] for image in images]


def _sign_one(rest: Dataset, image: str) -> tuple[str | None, str | None]:
    try:
        data = read_image_file(picture_path(rest, image))
        signature = sign_face(read_image(data, where=image))
    except (ImageError, InputError):
        return None, None
    return hashlib.sha256(data).hexdigest(), f"{signature.dhash:016x}"


def _write_table(
    rest: Dataset, info: Any, signed: list[tuple[str | None, str | None]], folder: Path
) -> Dataset:
    """The dataset without pictures: where `fetch` would put each image is its `image`."""
    folder.mkdir()
    faces = rest.faces
    for name in ("sha256", "dhash", "hash_version"):
        if name in faces.column_names:
            faces = faces.drop_columns([name])
    extra = pa.nulls(len(faces), pa.string())
    faces = faces.set_column(faces.column_names.index("extra"), schemas.FACES.field("extra"), extra)
    faces = faces.append_column("sha256", pa.array([one for one, _ in signed], pa.string()))
    faces = faces.append_column("dhash", pa.array([one for _, one in signed], pa.string()))
    versions = [None if one is None else HASH_VERSION for _, one in signed]
    faces = faces.append_column("hash_version", pa.array(versions, pa.int32()))
    table = dataclasses.replace(rest, path=folder, faces=faces, annotations=None, info=info)
    info = dataclasses.replace(
        info, rows=len(table), rejected=0, fingerprint=table.fingerprint(), content=table.content()
    )
    tables.write_table(faces, folder / "faces.parquet")
    write_info(info, folder, annotations=False)
    return dataclasses.replace(table, info=info)


def _write_layouts(
    shown: Dataset,
    info: Any,
    folder: Path,
    options: ReleaseOptions,
    summary: ReleaseSummary,
    on_progress: OnProgress | None,
) -> list[tuple[str, Placed]]:
    everything: list[tuple[str, Placed]] = []
    with (
        (folder / "id_map.csv").open("w", newline="", encoding="utf-8") as file,
        contextlib.ExitStack() as stack,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_MAP)
        if not len(shown):
            return everything
        temporary = stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix=".crops-"))
        here = dataclasses.replace(info, images=shown.info.images)
        subject = dataclasses.replace(shown, info=here, annotations=None)
        crops, cuts = write_crops(
            subject, Path(temporary) / "crops", whole=options.whole, on_progress=on_progress
        )
        for name in options.layouts or layout_names():
            placed = list(load_layout(name).write(crops, folder / name))
            summary.layouts[name] = len(placed)
            for one in placed:
                writer.writerow(_map_row(name, one, cuts[one.face_id]))
            everything += [(name, one) for one in placed]
    return everything


def _map_row(layout: str, placed: Placed, cut: Cut) -> list[Any]:
    window = cut.window
    place = [window.x, window.y, window.w, window.h, *placed.size]
    return [placed.face_id, layout, placed.name, *place, placed.sha256]


def _write_attribution(rest: Dataset, folder: Path) -> None:
    """Title, author, source and license of every image: what CC BY asks for."""
    names = rest.faces.column_names
    wanted = ("title", "author", "url", "page_url", "license", "license_url")
    with (folder / "ATTRIBUTION.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["face_id", "title", "author", "source", "license", "license_url"])
        for row in tables.iterate_rows(
            rest.faces, ["face_id", *(name for name in wanted if name in names)]
        ):
            text = row.get("license") or rest.info.license
            found = parse_license(text, row.get("license_url"))
            url = row.get("license_url") or (found.url if found is not None else "")
            license_name = found.id if found is not None else text
            source = row.get("page_url") or row.get("url")
            writer.writerow(
                [row["face_id"], row.get("title"), row.get("author"), source, license_name, url]
            )


def _facts(
    options: ReleaseOptions, name: str, content: str, summary: ReleaseSummary
) -> dict[str, Any]:
    return {
        "name": name,
        "version": options.version,
        "dataset_content": content,
        "pixels": options.pixels,
        "private": options.pixels == "all",
        "because": options.because,
        "non_commercial": options.non_commercial,
        "whole_photographs": options.whole,
        "faces": summary.faces,
        "pictures": summary.pictures,
        "without_pictures": dict(summary.without),
        "layouts": summary.layouts,
        "licenses": dict(summary.licenses),
        "personality_rights": summary.personality,
        "withdrawn": summary.withdrawn,
        "changes": summary.changes,
    }


def _samples(folder: Path, placed: list[tuple[str, Placed]]) -> list[tuple[str, Path]]:
    """A few pictures that are files, for the page: face_id and path."""
    files = [(one.face_id, folder / name / one.name) for name, one in placed if ":" not in one.name]
    files = [(face_id, path) for face_id, path in files if "#" not in path.name]
    first: dict[str, Path] = {}
    for face_id, path in files:
        first.setdefault(face_id, path)
    return sorted(first.items(), key=lambda item: hashlib.sha256(item[0].encode()).hexdigest())
