"""What a freeze would write: the label, the group and the split of each face, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from openaffect import schemas
from openaffect.consensus.finding import affect_rules, expression_rules
from openaffect.dataset import group_key
from openaffect.errors import InputError, UnknownName
from openaffect.freezing.groups import group_faces
from openaffect.freezing.labels import SOURCES, Labels, find_labels
from openaffect.labels import EXPRESSIONS, Expression, parse_labels
from openaffect.project import Project, frozen, tombstones
from openaffect.project.database import Connection
from openaffect.row_groups import ClassName, SplitSize, draw_splits, parse_amount

_TEST, _VALIDATION, _TRAIN = "test", "validation", "train"


@dataclass(frozen=True, slots=True)
class FreezeOptions:
    """How a project becomes a dataset.

    Attributes:
        rule: for the expression; a name of `consensus.expression_rules`.
        affect_rule: for valence and arousal; a name of `consensus.affect_rules`.
        splits: `published`: the faces that several annotators labeled are the test split, as in
            AffectNet, and `validation` is drawn from the others; `drawn`: `validation` and `test`
            are drawn; `kept`: those that came with the faces stay.
        validation: `500-per-class`, `10%` or `1000` faces; for `published` 500 per class by default.
        test: likewise, for `drawn`.
        seed: of all draws.
        labels: the expressions that are kept, as `parse_labels` takes them; those of the project by
            default.
    """

    rule: str = "majority"
    affect_rule: str = "mean"
    splits: Literal["published", "drawn", "kept"] = "published"
    validation: str | None = None
    test: str | None = None
    seed: int = 0
    labels: str | None = None

    def amounts(self) -> dict[str, SplitSize]:
        """What is drawn, in the order of drawing.

        Raises:
            InputError: an amount that is none, is not of these splits, or is missing.
        """
        validation, test = self.validation, self.test
        if self.splits not in ("published", "drawn", "kept"):
            raise InputError(f"expected splits published, drawn or kept, but got '{self.splits}'")
        if self.splits == "kept" and (validation or test):
            raise InputError("splits that are kept are not drawn; leave the amounts out")
        if self.splits == "published":
            if test:
                raise InputError(
                    "the published test split is what several annotators labeled; use drawn splits "
                    "for a test split of a given size"
                )
            validation = validation or "500-per-class"
        if self.splits == "drawn" and not (validation or test):
            raise InputError("drawn splits need an amount for validation or test, such as 10%")
        given = ((_TEST, test), (_VALIDATION, validation))
        return {split: parse_amount(text) for split, text in given if text}


@dataclass(slots=True, eq=False)
class FreezePlan:
    """What would be written.

    Attributes:
        options: how.
        classes: number of faces by split and expression; None for a face without expression.
        left_out: number of faces that are not taken, by reason.
        sources: number of faces by what their label rests on, see `SOURCES`.
        groups: number of groups of several faces.
        several: faces that two or more annotators labeled.
        by_chance: faces whose expression the rule drew among several.
        open_reviews: faces that wait for a reviewer; they are taken as they stand.
        wanted, drawn: faces of each class to draw, and drawn, by split.
        notes: what else should be known.
        rows: the faces that are taken, in the order of their face_id.
        people: pseudonyms of the annotators whose answers are taken.
    """

    options: FreezeOptions
    classes: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    groups: int = 0
    several: int = 0
    by_chance: int = 0
    open_reviews: int = 0
    wanted: dict[str, dict[ClassName, int]] = field(default_factory=dict)
    drawn: dict[str, dict[ClassName, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows: Taken | None = None
    people: set[str] = field(default_factory=set)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the rows."""
        splits: dict[str, dict[str, int]] = {}
        for (split, name), count in self.classes.items():
            splits.setdefault(split, {})[name or "null"] = count
        return {
            "options": asdict(self.options),
            "faces": self.classes.total(),
            "splits": splits,
            "left_out": dict(self.left_out),
            "label_sources": dict(self.sources),
            "groups": self.groups,
            "labeled_by_several": self.several,
            "drawn_by_chance": self.by_chance,
            "open_reviews": self.open_reviews,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """The faces that are taken, n of them.

    Attributes:
        numbers: in the project, (n,).
        face_ids: their names, rising.
        splits, groups: of each.
        labels: of each.
    """

    numbers: list[int]
    face_ids: list[str]
    splits: list[str]
    groups: list[str | None]
    labels: Labels


def make_plan(project: Project, connection: Connection, options: FreezeOptions) -> FreezePlan:
    """Decide over every face of a project.

    Args:
        project: what is frozen.
        connection: of `Database.read`: one state of the project.
        options: how.

    Raises:
        InputError: images that `detect` has not looked at, no face with a label, or a split that
            cannot be filled.
        UnknownName: no such consensus rule or expression.
    """
    amounts = options.amounts()
    for rule, kind, known in (
        (options.rule, "consensus rule", expression_rules()),
        (options.affect_rule, "rule for valence and arousal", affect_rules()),
    ):
        if rule not in known:  # also where no annotator has said anything yet
            raise UnknownName(kind, rule, known)
    wanted = project.settings.label_set if options.labels is None else parse_labels(options.labels)
    plan = FreezePlan(options)
    outline = frozen.read_outline(connection)
    n = len(outline["face_id"])
    labels = find_labels(
        connection,
        outline["face_id"],
        outline["number"],
        outline["intended"],
        rule=options.rule,
        affect_rule=options.affect_rule,
        seed=options.seed,
    )
    why: list[str | None] = [None] * n
    _leave_out(why, outline, labels, wanted, connection, project)
    if all(reason is not None for reason in why):
        reasons = "; ".join(f"{count} {reason}" for reason, count in Counter(why).most_common(3))
        raise InputError(f"{project.path} has no face to freeze" + (f" ({reasons})" if n else ""))
    kept = [row for row, reason in enumerate(why) if reason is None]
    outline = {name: [values[row] for row in kept] for name, values in outline.items()}
    labels = _select(labels, kept)
    groups, complete = group_faces(outline, project.store)
    if not complete:
        plan.notes.append("the search for near copies was not complete; some may be in two splits")
    splits, why_not = _assign(plan, outline, labels, groups, amounts, str(project.path))
    _check_train(splits, labels)
    plan.left_out.update(reason for reason in (*why, *why_not) if reason is not None)
    last = [row for row, split in enumerate(splits) if split is not None]
    labels = _select(labels, last)
    plan.rows = Taken(
        numbers=[outline["number"][row] for row in last],
        face_ids=[outline["face_id"][row] for row in last],
        splits=[splits[row] or "" for row in last],
        groups=[groups[row] for row in last],
        labels=labels,
    )
    names = [None if number < 0 else str(EXPRESSIONS[number]) for number in labels.expression]
    counts = Counter(zip(plan.rows.splits, names, strict=True))
    order = [(split, name) for split in schemas.SPLITS for name in (*map(str, EXPRESSIONS), None)]
    plan.classes.update({key: counts[key] for key in order if counts[key]})
    plan.sources.update(SOURCES[number] for number in labels.source)
    sizes = Counter(group for group in plan.rows.groups if group is not None)
    plan.groups = sum(size > 1 for size in sizes.values())
    plan.several = int((labels.raters >= 2).sum())
    plan.by_chance = int(labels.by_chance.sum())
    waiting = frozen.find_open_reviews(connection)
    plan.open_reviews = sum(number in waiting for number in plan.rows.numbers)
    return plan


def _leave_out(
    why: list[str | None],
    outline: Mapping[str, Sequence[Any]],
    labels: Labels,
    wanted: Sequence[Expression],
    connection: Connection,
    project: Project,
) -> None:
    """Say of each face why it cannot be taken, None where it can."""
    pending, failed = frozen.find_unsearched(connection)
    if pending:
        raise InputError(
            f"{pending} images of {project.path} were not searched yet, so that copies cannot be "
            f"told; run `openaffect detect {project.path}` first"
        )
    withdrawn = tombstones.read_tombstones(connection)
    gone = withdrawn.find_rows(
        face_ids=outline["face_id"],
        urls=outline["url"],
        files=outline["sha256"],
        **{name: outline[name] for name in ("pixels", "dhash", "mirrored")},
    )
    ids = {expression.id for expression in wanted}
    for row in range(len(why)):
        expression = int(labels.expression[row])
        if gone[row] is not None:
            why[row] = "withdrawn"
        elif outline["image_id"][row] in failed:
            why[row] = "image that cannot be read"
        elif labels.source[row] < 0:
            why[row] = "no label"
        elif expression >= 0 and expression not in ids:
            why[row] = f"expression {EXPRESSIONS[expression]} not in the labels"


def _assign(
    plan: FreezePlan,
    outline: Mapping[str, Sequence[Any]],
    labels: Labels,
    groups: Sequence[str | None],
    amounts: Mapping[str, SplitSize],
    where: str,
) -> tuple[list[str | None], list[str | None]]:
    """The split of each face, None for one that is left out; and why it is."""
    n = len(groups)
    fixed = _fixed(plan.options, outline, labels, where)
    members: dict[str, list[int]] = {}
    for row, key in enumerate(map(group_key, outline["face_id"], groups)):
        members.setdefault(key, []).append(row)
    splits: list[str | None] = [None] * n
    why: list[str | None] = [None] * n
    free: dict[str, list[int]] = {}
    for key, rows in members.items():
        claims = {fixed[row] for row in rows} - {None}
        split = next((split for split in (_TEST, _VALIDATION, _TRAIN) if split in claims), None)
        if split is None:
            free[key] = rows
            continue
        for row in rows:
            if fixed[row] == split:
                splits[row] = split
            else:
                why[row] = f"in a group with a {split} face"
    classes = [None if number < 0 else str(EXPRESSIONS[number]) for number in labels.expression]
    for row in (row for rows in free.values() for row in rows):
        splits[row] = _TRAIN
    if amounts:
        contents = {
            key: Counter(classes[row] for row in rows if classes[row] is not None)
            for key, rows in free.items()
        }
        occurring = [name for name in map(str, EXPRESSIONS) if name in set(classes)]
        found = draw_splits(contents, amounts, occurring, seed=plan.options.seed, where=where)
        plan.wanted, plan.drawn = found.wanted, found.drawn
        for split, keys in found.groups.items():
            for row in (row for key in keys for row in free[key]):
                splits[row] = split
            short = {
                name: count - found.drawn[split][name]
                for name, count in found.wanted[split].items()
                if found.drawn[split][name] < count
            }
            plan.notes += [
                f"{split} is {count} short of {name}: no choice of whole groups gives more"
                for name, count in short.items()
            ]
    return splits, why


def _fixed(
    options: FreezeOptions, outline: Mapping[str, Sequence[Any]], labels: Labels, where: str
) -> list[str | None]:
    """The split of each face that is not drawn, None for the others."""
    if options.splits == "kept":
        if not any(outline["split"]):
            raise InputError(f"no face of {where} came with a split; choose published or drawn")
        return [split or _TRAIN for split in outline["split"]]
    if options.splits == "drawn":
        return [None] * len(labels.raters)
    several = labels.raters >= 2
    if not several.any():
        raise InputError(
            f"no face of {where} was labeled by two annotators, so that there is no test split as "
            "published; label a share by several people (`annotation.overlap_share`), or use "
            "--splits drawn or kept"
        )
    return [_TEST if two else None for two in several]


def _check_train(splits: Sequence[str | None], labels: Labels) -> None:
    train: set[int] = set()
    others: set[int] = set()
    for split, number in zip(splits, labels.expression.tolist(), strict=True):
        if number >= 0 and split is not None:
            (train if split == _TRAIN else others).add(number)
    missing = sorted(others - train)
    if missing:
        names = ", ".join(str(EXPRESSIONS[number]) for number in missing)
        raise InputError(
            f"no face of {names} is left for train, though other splits have some; ask for less, or "
            "leave the class out with --labels"
        )


def _select(labels: Labels, rows: Sequence[int]) -> Labels:
    picked: NDArray[np.int64] = np.asarray(rows, np.int64)
    return Labels(**{name: getattr(labels, name)[picked] for name in Labels.__slots__})
