"""`project.toml`: every key of a project, said once.

The dataclasses below are the keys; their `doc` becomes the comments of a new file and the table of
docs/project.md.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from msgspec import Meta

from openaffect.circumplex import REGIONS, Region
from openaffect.documents import convert, decode_toml, read_bytes
from openaffect.errors import FormatError, InputError, NewerSchema, UnknownName
from openaffect.faces.crops import CropRule
from openaffect.labels import EMOTIONS, Expression, parse_labels
from openaffect.legal import LegalFacts
from openaffect.storage import atomic_file

SCHEMA = 1
"""The version of `project.toml` that this openaffect writes."""

_Share = Annotated[float, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class CropSettings:
    """`[crop]`: how much of a photograph belongs to a face."""

    detector: Annotated[str, Meta(description="whose framing the margin is measured against")] = (
        "yunet"
    )
    margin: Annotated[float, Meta(description="added on each side, as a share of the box")] = 0.15
    square: Annotated[bool, Meta(description="take a square on the longer side")] = True
    border: Annotated[str, Meta(description="what lies outside the image: replicate or black")] = (
        "replicate"
    )


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """`[collect]`: how `openaffect collect` asks servers, and which images it keeps."""

    per_host: Annotated[
        float, Meta(gt=0, le=10_000, description="requests to one host per second, at most")
    ] = 2.0
    connections: Annotated[
        int, Meta(ge=1, le=1_000, description="downloads that run at the same time, at most")
    ] = 32
    seconds: Annotated[
        float, Meta(gt=0, le=3_600, description="give an image up that takes longer")
    ] = 60.0
    max_bytes: Annotated[
        int, Meta(ge=1, le=1_000_000_000, description="give an image up that is larger")
    ] = 20_000_000
    max_pixels: Annotated[
        int, Meta(ge=1, le=200_000_000, description="drop images with more pixels")
    ] = 50_000_000
    min_side: Annotated[
        _Count, Meta(description="drop images whose shorter side has fewer pixels")
    ] = 64


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """`[detect]`: what `openaffect detect` looks for, and what it keeps."""

    detector: Annotated[str, Meta(description="auto, yunet or haar")] = "auto"
    landmarker: Annotated[
        str, Meta(description="such as dlib; empty for no landmarks and no pose")
    ] = ""
    min_score: Annotated[
        _Share | None, Meta(description="drop finds below this; the detector's own by default")
    ] = None
    min_size: Annotated[
        _Count, Meta(description="drop faces whose longer side has fewer pixels")
    ] = 32
    max_faces: Annotated[
        _Count, Meta(description="keep at most so many faces of an image, the largest first")
    ] = 100


@dataclass(frozen=True, slots=True)
class AnnotationSettings:
    """`[annotation]`: what annotators see, and how many see the same face."""

    region_shown: Annotated[
        bool, Meta(description="draw the expected region on the circumplex (this biases valence)")
    ] = False
    prelabel_shown: Annotated[
        bool, Meta(description="show what a model says before the choice")
    ] = False
    overlap: Annotated[_Count, Meta(description="annotators per face of the shared part")] = 2
    overlap_share: Annotated[
        _Share, Meta(description="share of the faces that several people annotate")
    ] = 0.0
    lease_minutes: Annotated[
        int,
        Meta(
            ge=1,
            le=10_080,
            description="a face that was given out and not answered is free again then",
        ),
    ] = 20
    break_minutes: Annotated[
        int, Meta(ge=0, le=1_440, description="remind of a break after so long; 0 for no reminder")
    ] = 45


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """`[quality]`: how the work of annotators is watched."""

    gold_share: Annotated[_Share, Meta(description="share of hidden faces with a known answer")] = (
        0.02
    )
    repeat_share: Annotated[
        _Share, Meta(description="share of faces shown to the same person again")
    ] = 0.02
    minimum_gold: Annotated[
        _Share, Meta(description="pause a person below this accuracy on the last 30 gold faces")
    ] = 0.5
    training_rounds: Annotated[
        int,
        Meta(
            ge=0, description="rounds of gold faces with feedback before the work; AffectNet had 3"
        ),
    ] = 0
    training_faces: Annotated[
        _Count, Meta(description="gold faces of a training round; AffectNet had 200")
    ] = 200
    training_pass: Annotated[
        _Share, Meta(description="share of right answers that passes a training round")
    ] = 0.6


@dataclass(frozen=True, slots=True)
class Settings:
    """The keys of `project.toml`; a table per group."""

    name: Annotated[str, Meta(description="shown in titles")] = ""
    schema: Annotated[int, Meta(description="version of this file")] = SCHEMA
    id: Annotated[str, Meta(description="the same in the database; do not change it")] = ""
    database: Annotated[
        str,
        Meta(
            description="postgresql://user@host/name, never with a password; empty for project.db"
        ),
    ] = ""
    store: Annotated[
        str,
        Meta(
            description="where the images lie: a folder, relative to this file, or "
            "s3://bucket/prefix, never with a key"
        ),
    ] = "store"
    contact: Annotated[
        str, Meta(description="an address of the operator, told to the servers that are asked")
    ] = ""
    labels: Annotated[
        str, Meta(description="the categories: 7, 8, 11, or names between commas")
    ] = "11"
    crop: CropSettings = field(default_factory=CropSettings)
    collect: CollectSettings = field(default_factory=CollectSettings)
    detect: DetectSettings = field(default_factory=DetectSettings)
    annotation: AnnotationSettings = field(default_factory=AnnotationSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)
    legal: LegalFacts = field(default_factory=LegalFacts)
    regions: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)

    @property
    def crop_rule(self) -> CropRule:
        """The rule of `[crop]`."""
        return CropRule(**dataclasses.asdict(self.crop))

    @property
    def label_set(self) -> tuple[Expression, ...]:
        """The categories of `labels`, in the order of their ids."""
        return parse_labels(self.labels)

    @property
    def expected_regions(self) -> dict[Expression, Region]:
        """The regions of `[regions]`, and our own for the categories that it does not name."""
        given = {
            Expression(name): Region((a, b), (c, d)) for name, (a, b, c, d) in self.regions.items()
        }
        return REGIONS | given

    def flat(self) -> dict[str, Any]:
        """Every key as `group.key`, JSON-ready."""
        found: dict[str, Any] = {}
        for key, value in dataclasses.asdict(self).items():
            if isinstance(value, dict):
                found |= {f"{key}.{inner}": _plain(one) for inner, one in value.items()}
            else:
                found[key] = value
        return found


def read_settings(path: Path) -> Settings:
    """The settings of a `project.toml`.

    Raises:
        FormatError: no such file, no TOML, a value of the wrong type or out of range.
        UnknownName: a key that does not exist; the message has the nearest one.
        NewerSchema: written by a newer openaffect.
    """
    return _convert(decode_toml(read_bytes(path, "a project.toml"), str(path)), path)


def replace_settings(settings: Settings, values: Mapping[str, Any], path: Path) -> Settings:
    """Settings with other values of keys such as `annotation.overlap`; see `read_settings`.

    Raises:
        UnknownName: a key that does not exist.
        FormatError: a value of the wrong type or out of range.
    """
    data: dict[str, Any] = dataclasses.asdict(settings)
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        inner = data.setdefault(group, {}) if group else data
        inner[name] = value
    return _convert(data, path)


def _convert(data: dict[str, Any], path: Path) -> Settings:
    schema = data.get("schema", SCHEMA)
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchema(
            f"{path} has schema {schema}, but this openaffect reads schema {SCHEMA}; update it"
        )
    _check_keys(data, path)
    settings = convert(data, Settings, str(path))
    try:
        _ = settings.crop_rule, settings.label_set
    except InputError as error:
        raise FormatError(f"{path}: {error}") from error
    _check_regions(settings.regions, path)
    return settings


def write_settings(settings: Settings, path: Path) -> None:
    """Write a `project.toml` with every key and what it means."""
    with atomic_file(path) as temporary:
        temporary.write_text(_to_toml(settings), encoding="utf-8")


def list_keys() -> list[tuple[str, str, str]]:
    """Every key, its default as TOML and what it means: the table of docs/project.md."""
    rows = []
    for group, cls in (("", Settings), *_groups().items()):
        for name, doc in _described(cls).items():
            default = next(one.default for one in dataclasses.fields(cls) if one.name == name)
            rows.append((f"{group}.{name}" if group else name, _toml(default), doc))
    rows.append(("regions.<category>", "", _REGIONS_DOC))
    return rows


def describe_settings(settings: Settings, groups: Sequence[str]) -> list[dict[str, Any]]:
    """The keys of some groups: `key`, `value`, `default` and `description`, JSON-ready."""
    values = settings.flat()
    defaults = Settings().flat()
    return [
        {
            "key": f"{group}.{name}",
            "value": values[f"{group}.{name}"],
            "default": defaults[f"{group}.{name}"],
            "description": doc,
        }
        for group in groups
        for name, doc in _described(_groups()[group]).items()
    ]


_REGIONS_DOC = "expected region: lowest and highest valence, lowest and highest arousal"


def _groups() -> dict[str, type[Any]]:
    return {
        "crop": CropSettings,
        "collect": CollectSettings,
        "detect": DetectSettings,
        "annotation": AnnotationSettings,
        "quality": QualitySettings,
        "legal": LegalFacts,
    }


def _check_keys(data: Mapping[str, Any], path: Path) -> None:
    for group, name, known in _known_keys(data):
        if name not in known:
            raise UnknownName("key", name, known, f"[{group}] of {path}" if group else str(path))


def _known_keys(data: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """The keys of a file, each with its group and those that could stand in its place."""
    groups = _groups()
    top = [one.name for one in dataclasses.fields(Settings)]
    for name, value in data.items():
        yield "", name, top
        if name in groups and isinstance(value, dict):
            inner = [one.name for one in dataclasses.fields(groups[name])]
            yield from ((name, key, inner) for key in value)
        if name == "regions" and isinstance(value, dict):
            yield from ((name, key, list(map(str, EMOTIONS))) for key in value)


def _check_regions(regions: Mapping[str, tuple[float, ...]], path: Path) -> None:
    for name, (left, right, low, high) in regions.items():
        if not (-1 <= left < right <= 1 and -1 <= low < high <= 1):
            raise FormatError(
                f"expected regions.{name} in {path} as [lowest valence, highest valence, lowest "
                f"arousal, highest arousal] in [-1, 1], but got {[left, right, low, high]}"
            )


def _to_toml(settings: Settings) -> str:
    lines = [
        "# A project of openaffect; docs/project.md explains it. A change here is an event there.\n"
    ]
    lines += _lines(settings)
    for group, cls in _groups().items():
        lines += ["", f"# {_summary(cls)}", f"[{group}]", *_lines(getattr(settings, group))]
    lines += ["", f"# {_REGIONS_DOC}", "[regions]"]
    shown = settings.regions or {str(name): _corners(region) for name, region in REGIONS.items()}
    mark = "" if settings.regions else "# "
    lines += [f"{mark}{name} = {_toml(list(value))}" for name, value in shown.items()]
    return "\n".join(lines) + "\n"


def _lines(values: Any) -> list[str]:
    lines = []
    for name, doc in _described(type(values)).items():
        value = getattr(values, name)
        text = f"# {name} =" if value is None else f"{name} = {_toml(value)}"
        lines.append(f"{text}  # {doc}")
    return lines


def _described(cls: type[Any]) -> dict[str, str]:
    """The keys of a dataclass with what they mean; groups of keys have no text."""
    found = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        texts = [
            one.description for one in getattr(hint, "__metadata__", ()) if isinstance(one, Meta)
        ]
        if texts and texts[-1]:
            found[name] = texts[-1]
    return found


def _summary(cls: type[Any]) -> str:
    text = (cls.__doc__ or "").split(": ", maxsplit=1)[1].rstrip(".")
    return re.sub(r"\s+", " ", text).replace("`", "")


def _corners(region: Region) -> tuple[float, float, float, float]:
    return (*region.valence, *region.arousal)


def _toml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):  # JSON's escapes are TOML's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
