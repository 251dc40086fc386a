"""Good inputs, from which all others are made; drawn and written by openaffect itself."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from builders import tiny_model
from film_builders import wandering, write_film
from format_builders import make_dataset
from openaffect.analysis import analyze_to_file
from openaffect.annotation import measure_agreement
from openaffect.annotation_row import AnnotationRow
from openaffect.collection import add_dataset, add_images
from openaffect.dataset import open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.formats import export_dataset
from openaffect.inference import predict_dataset
from openaffect.labels import EMOTIONS
from openaffect.model import open_model
from openaffect.project import create_project
from openaffect.project.backups import backup_project
from openaffect.reports import evaluate
from openaffect.synthetic import synthesize_face


def write_corpus(folder: Path) -> None:
    """Write all good inputs into a folder."""
    make_dataset(folder / "dataset", 16)
    dataset = open_dataset(folder / "dataset")
    with write_dataset(folder / "judged", check_images=False) as writer:
        for number in range(12):
            writer.add(FaceRow(f"f{number}", "a.png"))
            for rater in ("ada", "bo", "cy"):
                said = EMOTIONS[(number + len(rater)) % 8]
                row = AnnotationRow(f"f{number}", rater, said, 0.1, 0.2, id=f"{number}{rater}")
                writer.add_annotation(row)
    measure_agreement(folder / "judged").save(folder / "agreement")
    for name in ("affectnet", "affectnet8", "affectnet-plus", "ferplus", "csv"):
        export_dataset(name, dataset, folder / name)
    (folder / "fer2013").mkdir()
    rows = [f"{n % 7},{' '.join(['7'] * 2304)},Training" for n in range(4)]
    (folder / "fer2013" / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    _write_images(folder / "images")
    (folder / "videos").mkdir()
    write_film(folder / "videos" / "a.mp4", wandering(12))
    write_film(folder / "videos" / "b.avi", wandering(8), codec="mpeg4")
    _write_archives(folder)
    tiny_model(folder / "tiny.onnx")
    model = open_model(folder / "tiny.onnx")
    predictions = predict_dataset(model, dataset)
    predictions.save(folder / "p.parquet")
    evaluate(dataset, predictions, split="all", rounds=20, draws=5).save(folder / "report")
    photos = [folder / "images" / "a.png", folder / "images" / "a.jpg"]
    analyze_to_file(photos, model, folder / "a.parquet", detector="haar")
    with create_project(folder / "project") as project:
        add_dataset(project, dataset)
        add_images(project, photos[0])
        backup_project(project, folder / "backup.zip", with_store=True)


def _write_images(folder: Path) -> None:
    folder.mkdir()
    pixels = synthesize_face("happy", seed=2, size=112).image
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = Image.fromarray(np.dstack([pixels, pixels[..., 0]]))
    whole, other = Image.fromarray(pixels), Image.fromarray(255 - pixels)
    several: dict[str, Any] = {"save_all": True, "append_images": [other]}
    whole.save(folder / "a.jpg")
    whole.save(folder / "progressive.jpg", progressive=True, exif=exif)
    for suffix in ("png", "bmp", "webp", "avif"):
        whole.save(folder / f"a.{suffix}")
    for suffix in ("png", "tif", "webp"):
        clear.save(folder / f"clear.{suffix}")
    whole.save(folder / "moving.png", **several)
    whole.save(folder / "moving.gif", **several)
    whole.save(folder / "moving.webp", **several)
    for compression in ("raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate"):
        whole.save(folder / f"{compression}.tif", compression=compression)


def _write_archives(folder: Path) -> None:
    (folder / "archives").mkdir()
    data = (folder / "images" / "a.png").read_bytes()
    names = [f"{label}/{number}.png" for label in ("happy", "sad") for number in range(3)]
    for suffix, method in (("", zipfile.ZIP_STORED), ("-deflated", zipfile.ZIP_DEFLATED),
                           ("-lzma", zipfile.ZIP_LZMA)):  # fmt: skip
        with zipfile.ZipFile(folder / "archives" / f"a{suffix}.zip", "w", method) as archive:
            for name in names:
                archive.writestr(name, data)
    modes: dict[str, Literal["w", "w:gz", "w:xz"]] = {
        "tar": "w",
        "tar.gz": "w:gz",
        "tar.xz": "w:xz",
    }
    for suffix, mode in modes.items():
        with tarfile.open(folder / "archives" / f"a.{suffix}", mode) as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    shutil.rmtree(folder / "in", ignore_errors=True)
