"""The road from labeled faces to a release and back, on real pictures; what it prints is in docs/results.md.

    OPENAFFECT_TEST_DATA=… python runs/publishing_real.py WORK

1. Photographs (Apache-2.0) and DiffusionFER (CC0) are released with the pictures that their licenses allow,
   and imported back.
2. FER+ goes through a project: frozen, released without pictures, one face forgotten by its id, frozen and
   released again.
3. Photographs on a server on loopback: released without pictures, one of them forgotten by its address, and
   fetched again.
"""

from __future__ import annotations

import functools
import http.server
import os
import sys
import tarfile
import threading
import time
from collections import Counter
from pathlib import Path

import openaffect
from openaffect.dataset import Dataset, open_dataset, save_dataset
from openaffect.publishing import ReleaseOptions, fetch_release
from openaffect.withdrawing import remove_withdrawn


def main() -> None:
    """Run the three, in a folder of their own."""
    work = Path(sys.argv[1])
    data = Path(os.environ["OPENAFFECT_TEST_DATA"])
    release_licensed(data, work)
    forget_by_id(data, work)
    forget_by_address(work)


def release_licensed(data: Path, work: Path) -> None:
    """Photographs and DiffusionFER, with pictures, and back."""
    for name, archive, license_name in (
        ("photos", "photos.zip", "Apache-2.0"),
        ("diffusionfer", "diffusionfer-half.zip", "CC0-1.0"),
    ):
        dataset, _ = openaffect.import_dataset(
            "csv", data / archive, work / name, license=license_name, overwrite=True
        )
        start = time.perf_counter()
        done = openaffect.release_dataset(
            work / name, work / f"{name}-release", ReleaseOptions(), overwrite=True
        )
        print(
            f"{name}: {done.faces} faces, {done.pictures} with a picture, {dict(done.licenses)}, "
            f"{time.perf_counter() - start:.0f} s; problems: "
            f"{openaffect.verify_release(work / f'{name}-release')}"
        )
        for layout in ("affectnet", "affectnet8", "affectnet-plus"):
            back = import_back(work / f"{name}-release", layout, work / f"{name}-{layout}")
            same = Counter(back.column("expression").to_pylist()) == Counter(
                dataset.column("expression").to_pylist()
            )
            print(f"  {layout}: {len(back)} faces back, the same labels: {same}")


def import_back(release: Path, layout: str, target: Path) -> Dataset:
    """A layout of a release as a dataset."""
    source = release / layout
    if layout == "affectnet8":
        source = target.with_name(f"{target.name}-unpacked")
        for archive in (release / layout).glob("*.tar"):
            with tarfile.open(archive) as tar:
                tar.extractall(source / archive.stem, filter="data")
        for table in (release / layout).glob("*.csv"):
            (source / table.name).write_bytes(table.read_bytes())
    back, _ = openaffect.import_dataset(layout, source, target, overwrite=True)
    return back


def forget_by_id(data: Path, work: Path) -> None:
    """FER+: frozen, released, one face forgotten, frozen and released again."""
    fer, _ = openaffect.import_dataset(
        "ferplus", data / "ferplus.zip", work / "fer", overwrite=True
    )
    with openaffect.create_project(work / "fer-project") as project:
        openaffect.add_dataset(project, fer)
        openaffect.detect_faces(project)
        options = openaffect.FreezeOptions(splits="drawn", test="10%", validation="10%")
        frozen = openaffect.freeze_project(project, work / "fer-1.0", options)
        print(f"FER+ frozen: {len(frozen.dataset)} faces, {frozen.plan.groups} groups")
        none = ReleaseOptions(pixels="none")
        first = openaffect.release_dataset(work / "fer-1.0", work / "fer-release", none)
        gone = frozen.dataset.ids[0]
        done = openaffect.forget(project, [gone], because="asked")
        print(
            f"  {first.faces} released without pictures; {gone} forgotten: {done.images} image, "
            f"{done.faces} faces, {len(done.near)} near ones; held by "
            f"{[Path(one.path).name for one in done.datasets]}, "
            f"{[Path(one).name for holder in done.datasets for one in holder.releases]}"
        )
        removed = remove_withdrawn(work / "fer-1.0")
        again = openaffect.freeze_project(project, work / "fer-1.1", options)
    second = openaffect.release_dataset(
        work / "fer-1.0",
        work / "fer-release-1.1",
        ReleaseOptions(pixels="none", version="1.1"),
        previous=work / "fer-release",
    )
    table = open_dataset(work / "fer-release-1.1" / "table")
    print(
        f"  removed from 1.0: {removed.faces}; frozen again {len(again.dataset)} faces; release 1.1: "
        f"{second.faces} faces, {second.changes}; in it: {gone in table.ids}"
    )


def forget_by_address(work: Path) -> None:
    """Photographs on loopback: released without pictures, one forgotten, and fetched."""
    photos = open_dataset(work / "photos")
    handler = functools.partial(Quiet, directory=str(photos.images_folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    urls = [base + image for image in photos.column("image").to_pylist()]
    people = [Path(image).stem.rpartition("_")[0] for image in photos.column("image").to_pylist()]
    named = save_dataset(
        photos.with_column("url", urls).with_column("group", people),
        work / "photos-urls",
        overwrite=True,
    )
    with openaffect.create_project(work / "photos-project") as project:
        openaffect.add_dataset(project, named)
        openaffect.detect_faces(project)
        options = openaffect.FreezeOptions(splits="drawn", test="10%", validation="10%")
        frozen = openaffect.freeze_project(project, work / "photos-1.0", options)
        openaffect.release_dataset(
            work / "photos-1.0", work / "photos-none", ReleaseOptions(pixels="none")
        )
        done = openaffect.forget(project, [urls[0]], because="asked")
    table = frozen.dataset.faces.select(["group", "split"]).to_pylist()
    of_people: dict[str, set[str]] = {}
    for row in table:
        of_people.setdefault(row["group"], set()).add(row["split"])
    apart = sum(len(found) > 1 for found in of_people.values())
    start = time.perf_counter()
    fetched = fetch_release(
        work / "photos-none",
        work / "photos-again",
        withdrawn=[work / "photos-project" / "withdrawn.csv"],
        allow={("127.0.0.1", server.server_port)},
        overwrite=True,
    )
    seconds = time.perf_counter() - start
    server.shutdown()
    again = open_dataset(work / "photos-again")
    same = again.fingerprint() == frozen.dataset.where(face_id=again.ids).fingerprint()
    print(
        f"photographs: {len(of_people)} groups of people and copies, in two splits: {apart}; forgotten by "
        f"address: {done.images} image; fetched {dict(fetched.outcomes)} in {seconds:.0f} s; "
        f"dataset of {len(again)} faces, the same labels and boxes: {same}"
    )


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    main()
