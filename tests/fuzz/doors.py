"""Every door that takes foreign bytes: what it is given, how that is broken, and how it is opened.

A door is a function of the folder of good inputs, a folder of its own and random numbers; it
returns the arguments of the command line, or a call whose errors must be `OpenAffectError`.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.mutations import VALUES, mutate_bytes, mutate_json, mutate_text
from model_builders import LOOPS, REFUSED
from openaffect.documents import decode_json
from openaffect.images import read_image
from openaffect.labels import parse_expression
from openaffect.model import CARD_KEY, Card
from openaffect.training import load_recipe

Opening = list[str] | Callable[[], object]
Door = Callable[[Path, Path, random.Random], Opening]


def image(good: Path, _: Path, rng: random.Random) -> Opening:
    source = rng.choice(sorted((good / "images").iterdir()))
    data = mutate_bytes(source.read_bytes(), rng)
    return lambda: read_image(data, max_pixels=40_000_000)


def photo(good: Path, own: Path, rng: random.Random) -> Opening:
    source = rng.choice(sorted((good / "images").iterdir()))
    (own / source.name).write_bytes(mutate_bytes(source.read_bytes(), rng))
    return ["analyze", str(own), "--model", str(good / "tiny.onnx"), "--detector", "haar"]


def video(good: Path, own: Path, rng: random.Random) -> Opening:
    source = rng.choice(sorted((good / "videos").iterdir()))
    (own / source.name).write_bytes(mutate_bytes(source.read_bytes(), rng))
    model = ["--model", str(good / "tiny.onnx"), "--detector", "haar", "--every", "4"]
    return ["analyze", str(own / source.name), *model]


def addresses(good: Path, own: Path, rng: random.Random) -> Opening:
    text = b"http://127.0.0.1:1/a.jpg\na.png\n../b.png\nhttp://[::1]:1/\nfile:///etc/hostname\n"
    (own / "list.txt").write_bytes(mutate_text(text, rng, "/:.\n"))
    return ["analyze", str(own / "list.txt"), "--model", str(good / "tiny.onnx")]


def _import(name: str, mutate: Callable[[bytes, random.Random], bytes], *suffixes: str) -> Door:
    """An exported dataset with one file of some suffix broken, imported again."""

    def door(good: Path, own: Path, rng: random.Random) -> Opening:
        shutil.copytree(good / name, own / "in")
        files = [p for p in sorted((own / "in").rglob("*")) if p.name.endswith(suffixes)]
        broken = rng.choice(files)
        broken.write_bytes(mutate(broken.read_bytes(), rng))
        command = name.removesuffix("-table")
        source = (
            own / "in" if command in ("affectnet", "affectnet8", "affectnet-plus") else files[0]
        )
        if command == "ferplus":
            source = own / "in"
        return ["import", command, str(source), str(own / "out")]

    return door


def archive(good: Path, own: Path, rng: random.Random) -> Opening:
    source = rng.choice(sorted((good / "archives").iterdir()))
    path = own / source.name
    path.write_bytes(mutate_bytes(source.read_bytes(), rng))
    if rng.random() < 0.3:  # members with odd names, whole otherwise
        name = rng.choice(
            ("../../x.png", "/x.png", "a\0.png", "happy/" * 80 + "x.png", "C:\\x.png", "")
        )
        data = next((good / "images").glob("*.png")).read_bytes()
        if ".tar" in source.name:
            with tarfile.open(path, "w") as members:
                member = tarfile.TarInfo(name.replace("\0", ""))
                member.size, member.type = len(data), rng.choice((b"0", b"1", b"2", b"3", b"6"))
                member.linkname = "/etc/passwd"
                members.addfile(member, io.BytesIO(data))
        else:
            with zipfile.ZipFile(path, "w") as members:
                members.writestr(zipfile.ZipInfo(name or "x"), data)
    return ["import", "folders", str(path), str(own / "out")]


def _break_table(path: Path, rng: random.Random) -> None:
    """A Parquet file with damaged bytes, or with columns of other types and values."""
    if rng.random() < 0.4:
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))
        return
    table = pq.read_table(path)
    for _ in range(rng.choice((1, 1, 2))):
        number = rng.randrange(table.num_columns)
        name = rng.choice((table.column_names[number], rng.choice(table.column_names)))
        value = rng.choice((*VALUES, "/etc/passwd", "../x", [0.5] * 4, float("inf"), -5))
        try:
            column = pa.array([value] * len(table))
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            column = pa.nulls(len(table))
        table = table.set_column(number, name, column)
    if rng.random() < 0.1:
        table = table.slice(0, 0)
    if rng.random() < 0.2:
        table = table.replace_schema_metadata(
            {b"openaffect": mutate_json(b'{"schema": 1, "model": "m", "labels": ["happy"]}', rng)}
        )
    data = path.read_bytes()
    try:
        pq.write_table(table, path)
    except pa.ArrowException:  # there are types that Parquet cannot hold
        path.write_bytes(mutate_bytes(data, rng))


def dataset(good: Path, own: Path, rng: random.Random) -> Opening:
    shutil.copytree(good / "dataset", own / "d")
    _break_table(own / "d" / "faces.parquet", rng)
    command = rng.choice(("info", "check", "export", "predict", "label", "release"))
    more = {
        "label": [
            *(str(own / "d"), "-o", str(own / "l"), "--model", str(good / "tiny.onnx")),
            *("--coverage", ".3"),
        ],
        "export": ["folders", str(own / "d"), str(own / "out")],
        "release": [str(own / "d"), str(own / "r"), "--pixels", "all", "--because", "a test"],
        "predict": [str(good / "tiny.onnx"), str(own / "d"), "-o", str(own / "p.parquet")],
    }
    return [command, *more.get(command, [str(own / "d")])]


def judged(good: Path, own: Path, rng: random.Random) -> Opening:
    shutil.copytree(good / "judged", own / "d")
    _break_table(own / "d" / "annotations.parquet", rng)
    command = rng.choice(("info", "agreement", "agreement"))
    more = {"agreement": ["-o", str(own / "out")]}
    return [command, str(own / "d"), *more.get(command, [])]


def agreement(good: Path, own: Path, rng: random.Random) -> Opening:
    data = (good / "agreement" / "agreement.json").read_bytes()
    (own / "agreement.json").write_bytes(mutate_json(data, rng))
    return ["info", str(own)]


def dataset_info(good: Path, own: Path, rng: random.Random) -> Opening:
    shutil.copytree(good / "dataset", own / "d")
    path = own / "d" / "dataset.json"
    path.write_bytes(mutate_json(path.read_bytes(), rng))
    return [rng.choice(("info", "check")), str(own / "d")]


def predictions(good: Path, own: Path, rng: random.Random) -> Opening:
    path = own / "p.parquet"
    shutil.copy(good / "p.parquet", path)
    _break_table(path, rng)
    if rng.random() < 0.3:
        return ["info", str(path)]
    more = ["-o", str(own / "report"), "--rounds", "20", "--draws", "5"]
    return ["evaluate", str(good / "dataset"), str(path), *more]


def analysis(good: Path, own: Path, rng: random.Random) -> Opening:
    path = own / "a.parquet"
    shutil.copy(good / "a.parquet", path)
    _break_table(path, rng)
    if rng.random() < 0.5:
        return ["info", str(path)]
    return ["import", "csv", str(path), str(own / "out")]


def report(good: Path, own: Path, rng: random.Random) -> Opening:
    shutil.copytree(good / "report", own / "r")
    path = own / "r" / "report.json"
    if rng.random() < 0.7:
        path.write_bytes(mutate_json(path.read_bytes(), rng))
    else:
        _break_table(own / "r" / "rows.parquet", rng)
    if rng.random() < 0.3:
        return ["info", str(own / "r")]
    page = ["-o", str(own / "page.html")] if rng.random() < 0.3 else []
    return ["compare", str(own / "r"), str(good / "report"), "--rounds", "20", *page]


def card(good: Path, own: Path, rng: random.Random) -> Opening:
    model = onnx.load(str(good / "tiny.onnx"))
    text = next(p.value for p in model.metadata_props if p.key == CARD_KEY)
    broken = mutate_json(text.encode(), rng)
    if rng.random() < 0.5:
        return lambda: Card.from_json(broken.decode("utf-8", "replace"), "the card")
    onnx.helper.set_model_props(model, {CARD_KEY: broken.decode("utf-8", "replace")})
    onnx.save(model, str(own / "m.onnx"))
    return ["card", str(own / "m.onnx")]


def model(good: Path, own: Path, rng: random.Random) -> Opening:
    (own / "m.onnx").write_bytes(mutate_bytes((good / "tiny.onnx").read_bytes(), rng))
    if rng.random() < 0.5:
        return ["card", str(own / "m.onnx")]
    return ["predict", str(own / "m.onnx"), str(good / "dataset"), "-o", str(own / "p.parquet")]


def graph(good: Path, own: Path, rng: random.Random) -> Opening:
    """A model with nodes that are refused, or with fields of its graph changed."""
    model = onnx.load(str(good / "tiny.onnx"))
    if rng.random() < 0.5:
        rng.choice([change for changes in REFUSED.values() for change in changes])(model)
    node = rng.choice(model.graph.node)
    constant = rng.choice(model.graph.initializer)
    match rng.randrange(6):
        case 0:
            node.op_type = rng.choice((*LOOPS, "If", "Identity", "Expand", "Nothing", ""))
        case 1:
            model.graph.node.remove(node)
        case 2:
            node.input[:] = [rng.choice(("image", "gone", *node.output)) for _ in node.input]
        case 3:
            constant.dims[:] = [rng.choice((0, -1, 3, 2**20, 2**62)) for _ in range(3)]
        case 4:
            constant.data_type = rng.choice((0, 7, 8, 11, 99))
        case _:
            shape = rng.choice((model.graph.input, model.graph.output))[0].type.tensor_type.shape
            rng.choice(shape.dim).dim_value = rng.choice((-1, 0, 1, 5, 2**40))
    (own / "m.onnx").write_bytes(model.SerializeToString())
    if rng.random() < 0.5:
        return ["card", str(own / "m.onnx")]
    return ["predict", str(own / "m.onnx"), str(good / "dataset"), "-o", str(own / "p.parquet")]


def recipe(_: Path, own: Path, rng: random.Random) -> Opening:
    text = load_recipe("resnet-small-imbalanced").to_toml().encode()
    (own / "r.toml").write_bytes(mutate_text(text, rng, '=\n"[]'))
    return lambda: load_recipe(own / "r.toml")


def setting(_: Path, __: Path, rng: random.Random) -> Opening:
    text = mutate_text(b" epochs=3 learning_rate=0.1 labels=happy,sad mean=0.5 ", rng, "=, .")
    settings = text.decode("utf-8", "surrogateescape").split(" ")
    return lambda: load_recipe("resnet-small-imbalanced", [s for s in settings if s])


def document(_: Path, __: Path, rng: random.Random) -> Opening:
    text = mutate_json(json.dumps({"a": [1, "x", {"b": None}], "c": 0.5}).encode(), rng)
    return lambda: decode_json(text, dict[str, float], "it")


def label(_: Path, __: Path, rng: random.Random) -> Opening:
    text = mutate_text(b" happy sad 3 7 anger-12 ", rng).decode("utf-8", "surrogateescape")
    return lambda: parse_expression(text, "it")


def project(good: Path, own: Path, rng: random.Random) -> Opening:
    shutil.copytree(good / "project", own / "p")
    name = rng.choice(("project.toml", "project.db", "project.db", "project.db"))
    mutate = mutate_text if name == "project.toml" else mutate_bytes
    (own / "p" / name).write_bytes(mutate((own / "p" / name).read_bytes(), rng))
    command = rng.choice(
        ("status", "add", "detect", "backup", "upgrade", "agreement", "freeze", "forget")
    )
    more = {
        "add": [str(good / "images" / "a.png")],
        "detect": ["--workers", "1"],
        "backup": [str(own / "b.zip"), "--with-store"],
        "agreement": ["-o", str(own / "out")],
        "freeze": [str(own / "f"), "--splits", "drawn", "--test", "1"],
        "forget": ["0" * 64, "--because", "a test"],
    }
    return [command, str(own / "p"), *more.get(command, [])]


def queries(good: Path, own: Path, rng: random.Random) -> Opening:
    shutil.copytree(good / "project", own / "p")
    if rng.random() < 0.5:
        table = b'text,language,intended\r\nhappy man,en,happy\n"a, b",de,\n'
        option = rng.choice(("--add", "--from"))
    else:
        table = files("openaffect.collection.words").joinpath("de.csv").read_bytes()[:1_500]
        option = "--words"
    (own / "q.csv").write_bytes(mutate_text(table, rng))
    return ["queries", str(own / "p"), option, str(own / "q.csv")]


def backup(good: Path, own: Path, rng: random.Random) -> Opening:
    path = own / "b.zip"
    data = (good / "backup.zip").read_bytes()
    if rng.random() < 0.5:
        path.write_bytes(mutate_bytes(data, rng))
    else:  # a whole archive with a broken part, or one of an odd name
        with zipfile.ZipFile(good / "backup.zip") as whole:
            parts = {name: whole.read(name) for name in whole.namelist()}
        broken = rng.choice(["project.toml", "project.db", "project.db", *parts])
        parts[broken] = mutate_bytes(parts[broken], rng)
        parts[rng.choice(("../x.png", "/x.png", "store/../../x.png", "store/x"))] = b"x"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
    return ["new", str(own / "p"), "--from", str(path)]


DOORS: dict[str, Door] = {
    **{door.__name__: door for door in (image, photo, video, addresses, archive, dataset)},
    **{
        door.__name__: door
        for door in (
            judged,
            agreement,
            dataset_info,
            predictions,
            analysis,
            report,
            card,
            model,
            graph,
        )
    },
    **{
        door.__name__: door for door in (recipe, setting, document, label, project, backup, queries)
    },
    "affectnet": _import("affectnet", mutate_text, ".csv"),
    "affectnet8": _import("affectnet8", mutate_bytes, ".npy"),
    "affectnet_plus": _import("affectnet-plus", mutate_json, ".json"),
    "ferplus": _import("ferplus", mutate_text, ".csv"),
    "csv": _import("csv", mutate_text, ".csv"),
    "fer2013": _import("fer2013", mutate_text, ".csv"),
}
