"""Agreement: how far raters agree, from annotations or from votes; `agreement.json` and a page.

::

    AGREEMENT/
    ├── agreement.html    for people: one file, no network
    └── agreement.json    for programs: every number, its interval, and the protocol; written last
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from openaffect import metrics
from openaffect.annotation.page import render_page
from openaffect.annotation.people import CohenPair, Person, compare_people, describe_people
from openaffect.annotation.reading import DatasetReader, ProjectReader
from openaffect.annotation.weights import Stratum, weigh_back
from openaffect.dataset import Dataset
from openaffect.errors import FormatError, InputError
from openaffect.judgments import Judgments, count_expressions
from openaffect.labels import EXPRESSIONS
from openaffect.metrics import CategoryAgreement, Estimate, MeasurementAgreement
from openaffect.metrics.arrays import Floats
from openaffect.progress import OnProgress, Progress
from openaffect.reports.contents import to_json_value
from openaffect.reports.report import made_by
from openaffect.schemas import KINDS
from openaffect.storage import atomic_folder, read_folder
from openaffect.texts import counted

if TYPE_CHECKING:
    from openaffect.project import Project

SCHEMA = 1
ROUNDS = 200

Source = Literal["annotations", "votes"]

NO_PEOPLE = "votes are counts without identities: nobody knows who gave which"
NO_AFFECT_VOTES = "votes are of expressions alone"
NO_AFFECT = "no face has valence and arousal of two raters"

_FEW = 30  # faces with two ratings, below which a warning says that they are few


@dataclass(frozen=True, slots=True)
class Protocol:
    """What was looked at, and by which rules.

    Attributes:
        name: of the dataset or project.
        kind: `dataset` or `project`.
        source: `annotations` or `votes`.
        faces: that have a rating that counts.
        faces_rated_twice: that have two or more.
        ratings: that count.
        raters_per_face: number of faces by their number of ratings.
        counted: number of ratings by the kind of annotation; empty for votes.
        left_out: number of other rows, by reason.
        origins: number of ratings by origin; empty for votes.
        people: how many raters are known; None for votes.
        weighted_by: `batch`, where batches had unequal shares of faces with two ratings; or None.
        strata: these batches with their weights.
        rounds: bootstrap samples of faces behind each interval.
        seed: of these samples.
    """

    name: str
    kind: str
    source: Source
    faces: int
    faces_rated_twice: int
    ratings: int
    raters_per_face: dict[int, int]
    counted: dict[str, int]
    left_out: dict[str, int]
    origins: dict[str, int]
    people: int | None
    weighted_by: str | None
    strata: tuple[Stratum, ...]
    rounds: int
    seed: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far raters agree; made by `measure_agreement`.

    Attributes:
        protocol: what was looked at.
        expression: agreement on the eleven categories, in the order of their ids.
        valence, arousal: agreement on them; None from votes, or where no face has two ratings.
        people: each rater, by name; None from votes.
        cohen: Cohen's κ of pairs with 30 or more common faces; None from votes.
        undefined: why a part or a number is missing, by its place such as `valence` or
            `expression.by_class.fear`.
        warnings: plain lines that a reader has to know.
    """

    protocol: Protocol
    expression: CategoryAgreement
    valence: MeasurementAgreement | None
    arousal: MeasurementAgreement | None
    people: dict[str, Person] | None
    cohen: tuple[CohenPair, ...] | None
    undefined: dict[str, str]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What `agreement.json` holds; docs/agreement.md has every key."""
        found: dict[str, Any] = {
            "schema": SCHEMA,
            "made_by": made_by(),
            "protocol": _plain(self.protocol),
            **_plain(_parts(self.expression, self.valence, self.arousal)),
            "people": _plain(self.people),
            "cohen": _plain(self.cohen),
            "undefined": self.undefined,
            "warnings": list(self.warnings),
        }
        plain: dict[str, Any] = to_json_value(found)
        return plain

    def to_json(self) -> str:
        """The text of `agreement.json`, strict JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write both files into a new folder, whole or not at all; the path of the page.

        Raises:
            DestinationExists: `folder` exists and `overwrite` is false.
        """
        page = render_page(self.to_dict())
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            (temporary / "agreement.html").write_text(page, encoding="utf-8")
            (temporary / "agreement.json").write_text(self.to_json(), encoding="utf-8")
        return Path(folder) / "agreement.html"


def measure_agreement(
    where: Dataset | Project | str | Path,
    *,
    source: Source | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Agreement:
    """Measure how far the raters of a dataset or a project agree.

    Args:
        where: a dataset, an open project, or the folder of either.
        source: `annotations` or `votes`; by default annotations if some face has two that count,
            else votes if there are any.
        rounds: bootstrap samples of faces behind each interval, 200 or more.
        seed: the same seed gives the same numbers.
        on_progress: called with a word on what is being done.

    Raises:
        InputError: no rating that counts, or fewer than 200 rounds.
        FormatError: neither a dataset nor a project, or a value in the annotations or votes that is none.
        DatabaseError: the database of the project does not answer.
    """
    if rounds < 200:
        raise InputError(f"intervals need 200 or more bootstrap samples, but got {rounds}")
    if source not in (None, "annotations", "votes"):
        raise InputError(f"expected annotations or votes as the source, but got '{source}'")
    on_progress = on_progress or (lambda _: None)
    on_progress(Progress("reading"))
    if isinstance(where, str | Path):
        return _of_folder(Path(where), source, rounds, seed, on_progress)
    reader = DatasetReader(where) if isinstance(where, Dataset) else ProjectReader(where)
    return _measure(reader, source, rounds, seed, on_progress)


def _of_folder(
    path: Path, source: Source | None, rounds: int, seed: int, on_progress: OnProgress
) -> Agreement:
    if (path / "dataset.json").is_file():
        # A dataset that is replaced at this moment is read again.
        return read_folder(
            path, lambda: _measure(DatasetReader(path), source, rounds, seed, on_progress)
        )
    if not (path / "project.toml").is_file():
        raise FormatError(
            f"expected a project or a dataset at {path}, but "
            + ("it has neither project.toml nor dataset.json" if path.is_dir() else "there is none")
            + "; make one with `openaffect new` or `openaffect import`"
        )
    from openaffect.project import open_project

    with open_project(path) as project:
        return _measure(ProjectReader(project), source, rounds, seed, on_progress)


def _measure(
    reader: DatasetReader | ProjectReader,
    source: Source | None,
    rounds: int,
    seed: int,
    on_progress: OnProgress,
) -> Agreement:
    judged = reader.judgments() if source != "votes" else None
    if judged is not None:
        kind, rows = judged.counted()
        rows = rows & (judged.expression >= 0)
        counts = count_expressions(judged.face[rows], judged.expression[rows], judged.n_faces)
        if source == "annotations" or (counts.sum(axis=1) >= 2).any():
            return _from_annotations(reader, judged, kind, rows, counts, rounds, seed, on_progress)
    votes = reader.votes() if source != "annotations" else None
    if votes is not None and votes.any():
        return _from_votes(reader, votes, rounds, seed, on_progress)
    if judged is not None and len(judged):
        return _from_annotations(reader, judged, kind, rows, counts, rounds, seed, on_progress)
    what = source or "annotations and no votes"
    raise InputError(
        f"{reader.place} has no {what}: agreement needs faces that several raters have judged"
    )


# ---- measuring ----------------------------------------------------------------------------


def _from_votes(
    reader: DatasetReader | ProjectReader,
    counts: NDArray[np.int64],
    rounds: int,
    seed: int,
    on_progress: OnProgress,
) -> Agreement:
    on_progress(Progress("expressions"))
    expression = metrics.score_raters(counts, rounds=rounds, seed=seed)
    protocol = Protocol(
        **_about(reader, counts),
        source="votes",
        counted={},
        left_out={},
        origins={},
        people=None,
        weighted_by=None,
        strata=(),
        rounds=rounds,
        seed=seed,
    )
    undefined = dict.fromkeys(("valence", "arousal"), NO_AFFECT_VOTES)
    undefined |= dict.fromkeys(("people", "cohen"), NO_PEOPLE)
    undefined |= _why_undefined(_parts(expression, None, None))
    warnings = _few_warnings(protocol)
    return Agreement(protocol, expression, None, None, None, None, undefined, tuple(warnings))


def _from_annotations(
    reader: DatasetReader | ProjectReader,
    judged: Judgments,
    kind: str,
    rows: NDArray[np.bool_],
    counts: NDArray[np.int64],
    rounds: int,
    seed: int,
    on_progress: OnProgress,
) -> Agreement:
    if not rows.any():
        raise InputError(
            f"{reader.place} has {counted(len(judged), 'annotation')}, but none that counts: "
            f"{_listed(_left_out(judged, kind, rows))}"
        )
    weights, strata = weigh_back(judged, rows, counts)
    on_progress(Progress("expressions"))
    expression = metrics.score_raters(counts, weights=weights, rounds=rounds, seed=seed)
    on_progress(Progress("valence and arousal"))
    undefined: dict[str, str] = {}
    with_affect = rows & ~np.isnan(judged.affect[:, 0])
    valence, arousal = metrics.score_measurements(
        judged.face[with_affect],
        judged.affect[with_affect],
        judged.expression[with_affect],
        weights=np.ones(judged.n_faces) if weights is None else weights,
        rounds=rounds,
        seed=seed,
    )
    axes = {"valence": valence, "arousal": arousal} if valence.alpha.n else {}
    undefined |= {} if axes else dict.fromkeys(("valence", "arousal"), NO_AFFECT)
    on_progress(Progress("people"))
    people = describe_people(judged, rows, counts, rounds=rounds, seed=seed)
    cohen = compare_people(judged, rows, rounds=rounds, seed=seed)
    protocol = Protocol(
        **_about(reader, counts),
        source="annotations",
        counted={kind: int(rows.sum())},
        left_out=_left_out(judged, kind, rows),
        origins=_origins(judged, rows),
        people=len(np.unique(judged.person[rows])),
        weighted_by="batch" if strata else None,
        strata=strata,
        rounds=rounds,
        seed=seed,
    )
    undefined |= _why_undefined(_parts(expression, axes.get("valence"), axes.get("arousal")))
    return Agreement(
        protocol,
        expression,
        axes.get("valence"),
        axes.get("arousal"),
        people,
        cohen,
        undefined,
        (*_apart_warnings(people, judged, rows, weights), *_warnings(protocol, judged, rows)),
    )


def _about(reader: DatasetReader | ProjectReader, counts: NDArray[np.int64]) -> dict[str, Any]:
    sizes = counts.sum(axis=1)
    numbers, faces = np.unique(sizes[sizes > 0], return_counts=True)
    return {
        "name": reader.name,
        "kind": reader.kind,
        "faces": int((sizes > 0).sum()),
        "faces_rated_twice": int((sizes >= 2).sum()),
        "ratings": int(sizes.sum()),
        "raters_per_face": {int(n): int(f) for n, f in zip(numbers, faces, strict=True)},
    }


def _left_out(judged: Judgments, kind: str, rows: NDArray[np.bool_]) -> dict[str, int]:
    """Why rows do not count, each by its first reason."""
    reasons = {
        "void": judged.void,
        "replaced or followed by a later row": ~judged.valid,
        "given by no rater": ~judged.from_rater,
        **{
            f"of the kind {name}": judged.kind == number
            for number, name in enumerate(KINDS)
            if name != kind
        },
        "without an expression": judged.expression < 0,
    }
    rest = ~rows
    found = {}
    for reason, holds in reasons.items():
        count = int((rest & holds).sum())
        if count:
            found[reason] = count
        rest &= ~holds
    return found


def _origins(judged: Judgments, rows: NDArray[np.bool_]) -> dict[str, int]:
    found: dict[str, int] = {}
    for pair in judged.origin.filter(pa.array(rows)).value_counts().to_pylist():
        name = pair["values"] or "not stated"
        found[name] = found.get(name, 0) + pair["counts"]
    return dict(sorted(found.items()))


# ---- what a reader has to know ------------------------------------------------------------


def _warnings(protocol: Protocol, judged: Judgments, rows: NDArray[np.bool_]) -> list[str]:
    found = _few_warnings(protocol)
    simulated = protocol.origins.get("simulated", 0)
    if simulated:
        found.append(
            f"{simulated:,} of {protocol.ratings:,} ratings are of simulated raters: they say how "
            "the simulation was set, and nothing of people."
        )
    if "imported" in protocol.counted:
        found.append(
            "No annotation of the kind work counts, so imported labels are compared with each "
            "other: whether they were given independently is not known here."
        )
    unseen = sum(one.faces for one in protocol.strata if not one.faces_rated_twice)
    if unseen:
        names = [one.batch for one in protocol.strata if not one.faces_rated_twice]
        found.append(
            f"No face of {'batch' if len(names) == 1 else 'batches'} {', '.join(names[:5])} has two "
            f"ratings: nothing here stands for their {counted(unseen, 'face')}."
        )
    for what, shown in (
        ("the expected region", judged.region_shown),
        ("a model's answer", judged.prelabel_shown),
    ):
        count = int((rows & shown).sum())
        if count:
            found.append(
                f"{count:,} of {protocol.ratings:,} ratings were given with {what} in sight, which "
                "makes raters alike."
            )
    return found


def _apart_warnings(
    people: Mapping[str, Person],
    judged: Judgments,
    rows: NDArray[np.bool_],
    weights: Floats | None,
) -> list[str]:
    """Who agrees with the others far less than the rest do, and what agreement is without them."""
    apart = [name for name, one in people.items() if one.stands_apart]
    if not apart:
        return []
    numbers = [judged.people.index(name) for name in apart]
    kept = rows & ~np.isin(judged.person, numbers)
    counts = count_expressions(judged.face[kept], judged.expression[kept], judged.n_faces)
    without = metrics.pair_agreement(counts, weights=weights)
    said = ", ".join(f"{name} ({people[name].agreement.value:.1%})" for name in apart)
    return [
        f"{counted(len(apart), 'rater')} agree{'s' if len(apart) == 1 else ''} with the others far "
        f"less than the rest do: {said}. Without them two raters agree on {without:.1%} of faces."
    ]


def _few_warnings(protocol: Protocol) -> list[str]:
    n = protocol.faces_rated_twice
    if n >= _FEW:
        return []
    return [f"{counted(n, 'face')} with two ratings {'is' if n == 1 else 'are'} too few to go by."]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())


# ---- as JSON ------------------------------------------------------------------------------


def _parts(
    expression: CategoryAgreement,
    valence: MeasurementAgreement | None,
    arousal: MeasurementAgreement | None,
) -> dict[str, Any]:
    """The estimates by their places in `agreement.json`."""
    by_name = zip(EXPRESSIONS, expression.by_class, strict=True)
    return {
        "expression": _fields(expression) | {"by_class": {e.value: one for e, one in by_name}},
        "valence": None if valence is None else _fields(valence),
        "arousal": None if arousal is None else _fields(arousal),
    }


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, arrays as lists; an estimate is value, low, high and n."""
    if isinstance(value, Estimate):
        return {"value": value.value, "low": value.low, "high": value.high, "n": value.n}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _plain(_fields(value)) if dataclasses.is_dataclass(value) else value


def _why_undefined(value: Any, place: str = "") -> dict[str, str]:
    """The reason of every estimate that is NaN, by its place such as `valence.all.corr`."""
    if isinstance(value, Estimate):
        return {} if value.reason is None else {place: value.reason}
    found: dict[str, str] = {}
    if isinstance(value, dict):
        for key, item in value.items():
            found |= _why_undefined(item, f"{place}.{key}" if place else key)
    return found
