"""Answers: what people say of the faces that they were given. Rows are added, never changed.

An answer, the face that it answers, every number that pages show, and the next faces are one
transaction. An answer that comes again is known by its id, which the browser has made.
"""

import datetime
import functools
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from openaffect.circumplex import Region
from openaffect.errors import ConflictError, InputError, NotFoundError
from openaffect.judgments import find_valid
from openaffect.labels import Expression
from openaffect.project import accounts, counters, gold
from openaffect.project import assignments as leases
from openaffect.project.accounts import Person
from openaffect.project.schema import annotations, annotators, assignments, current_time, tasks
from openaffect.project.schema import gold as gold_faces
from openaffect.project.settings import Settings
from openaffect.schemas import ANNOTATIONS

BINS = 20
"""Cells of the circumplex on each side in which points are counted."""

LONGEST_COMMENT = 2_000  # characters
_LONGEST_SECONDS = 600.0  # what took longer was interrupted
_WATCHED_GOLD = 30  # the last gold faces by which a person is watched
_WITHOUT_POINT = (Expression.UNCERTAIN, Expression.NO_FACE)
_BEGINNING = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_uuid7 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says of a face.

    Attributes:
        id: UUIDv7, made by the browser.
        expression: one of the labels of the project.
        valence, arousal: in the unit disc, both or neither; neither for uncertain and no_face.
        occluded: whether something covers the face.
        flag: whether somebody should look at it.
        comment: at most 2,000 characters.
        seconds: from the painted picture to the answer.
        region_shown, prelabel_shown: what was on the screen.
    """

    id: str
    expression: str
    valence: float | None = None
    arousal: float | None = None
    occluded: bool = False
    flag: bool = False
    comment: str = ""
    seconds: float | None = None
    region_shown: bool = False
    prelabel_shown: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an answer.

    Attributes:
        late: whether the face had been given back meanwhile.
        outside_region: whether the point lies outside the region of the expression.
        right: whether a training face was answered as expected; None for all others.
        expected: the answer of a training face.
    """

    late: bool
    outside_region: bool
    right: bool | None = None
    expected: gold.GoldFace | None = None


def check_answer(answer: Answer, settings: Settings) -> Answer:
    """An answer that can be stored, its seconds capped.

    Raises:
        InputError: a value that cannot be one; the message says which.
    """
    if not _uuid7(answer.id):
        raise InputError(f"expected an id that is a UUIDv7, but got '{answer.id[:50]}'")
    labels = settings.label_set
    if answer.expression not in labels:
        raise InputError(f"expected an expression of {', '.join(labels)}, but got another one")
    if (answer.valence is None) != (answer.arousal is None):
        raise InputError("expected both valence and arousal or neither, but got one of them")
    if answer.valence is not None and answer.arousal is not None:
        if answer.expression in _WITHOUT_POINT:
            raise InputError(f"expected no valence and arousal for {answer.expression}")
        if not math.hypot(answer.valence, answer.arousal) <= 1 + 1e-9:  # so that NaN is caught
            raise InputError(
                "expected valence and arousal inside the unit disc, but got "
                f"{answer.valence:g}, {answer.arousal:g}"
            )
    if len(answer.comment) > LONGEST_COMMENT or "\0" in answer.comment:
        raise InputError(
            f"expected a comment of at most {LONGEST_COMMENT} characters, but it has "
            f"{len(answer.comment)}"
        )
    seconds = answer.seconds
    if seconds is not None and not 0 <= seconds < math.inf:
        raise InputError(f"expected seconds of 0 or more, but got {seconds}")
    return replace(answer, seconds=None if seconds is None else min(seconds, _LONGEST_SECONDS))


def store_answer(
    connection: sa.Connection, person: Person, number: int, answer: Answer, settings: Settings
) -> Stored:
    """Store a person's answer to an assignment; one that is stored already changes nothing.

    The numbers of the person change; the caller writes them.

    Args:
        connection: of a transaction that writes.
        person: who answers.
        number: of the assignment.
        answer: from `check_answer`.
        settings: of the project.

    Raises:
        NotFoundError: it is no assignment of this person.
        ConflictError: another answer has this id, the assignment has an answer already or is of a
            training round that is over, or the person is paused.
    """
    assignment = leases.find_assignment(connection, person.id, number)
    if assignment is None or assignment.state == "done":
        known = find_answer(connection, answer.id)
        if known is not None:
            return _repeat(connection, known, person, number, answer, settings)
        if assignment is None:
            raise NotFoundError("expected a face that you were given, but this one is not")
        raise ConflictError("this face has your answer already; undo that to give another one")
    _check_taken(person, assignment)
    # Only a face that was answered before can have been shown again.
    again = assignment.kind == "work" and assignment.annotation is not None
    same = again and _repeats_itself(connection, person.id, assignment.face_id)
    late = assignment.state in ("expired", "skipped") or assignment.expires < current_time()
    values = _values(person, assignment.face_id, answer) | {
        "assignment_id": assignment.id,
        "kind": assignment.kind,
        "batch": assignment.batch,
        "round": assignment.round,
        "replaces": assignment.annotation,
        "late": late,
        "counted": assignment.kind == "work",
    }
    if not connection.execute(_insert_once(connection.dialect.name), values).all():
        known = find_answer(connection, answer.id)
        return _repeat(connection, known, person, number, answer, settings)
    if assignment.state in ("expired", "skipped") and assignment.kind == "work":
        leases.change_given(connection, [assignment.face_id], 1)
    person.numbers["skipped"] -= assignment.state == "skipped"
    done = {"state": "done", "note": None, "annotation": answer.id, "answered": values["at"]}
    connection.execute(_DONE, {"number": number} | done)
    row = SimpleNamespace(**values)
    stored = _outcome(connection, row, settings)
    before = None
    changes: Counter[str] = Counter()
    if assignment.state == "returned":  # the first answer stood until now
        before = find_answer(connection, assignment.annotation)
        _count(changes, person, before, sign=-1, right=_is_right(connection, before))
    _count(changes, person, row, sign=1, right=_is_right(connection, row))
    if row.kind == "work":
        _note_work(connection, changes, settings, came=row, went=before)
    if again:
        person.numbers["repeat_same"] += _repeats_itself(connection, person.id, row.face_id) - same
    if row.kind == "gold":
        _watch(connection, person, settings)
    counters.add(connection, changes)
    return stored


def _check_taken(person: Person, assignment: Any) -> None:
    """Refuse answers that come too late to be taken."""
    ended = assignment.state in ("expired", "skipped")
    if assignment.kind == "training" and (ended or assignment.round != person.numbers["training"]):
        raise ConflictError("this face is of a training round that is over, or was given again")
    # What was in work when a person was paused is taken; what they had skipped before is not.
    in_work = (
        assignment.state in ("leased", "expired", "returned")
        and assignment.expires > current_time()
    )
    if person.state == "paused" and not in_work:
        raise ConflictError(f"you are paused: {person.paused_because}")


def _repeat(
    connection: sa.Connection,
    known: Any,
    person: Person,
    number: int,
    answer: Answer,
    settings: Settings,
) -> Stored:
    """What became of an answer that came before."""
    if known.annotator_id != person.id or known.assignment_id != number:
        raise ConflictError("another answer has this id")
    if not says(known, answer):
        raise ConflictError("an answer with this id and other content is stored already")
    return _outcome(connection, known, settings)


def undo_answer(
    connection: sa.Connection, person: Person, mark: str, number: str, settings: Settings
) -> leases.Lease:
    """Withdraw an own answer by a void row, and give its face again.

    Args:
        connection: of a transaction that writes.
        person: whose answer it is.
        mark: UUIDv7 of the void row, made by the browser.
        number: id of the answer.
        settings: of the project.

    Raises:
        InputError: an id that cannot be one.
        NotFoundError: no answer of this person.
        ConflictError: it was withdrawn already, a later one stands, or it is of a training face.
    """
    if not _uuid7(mark):
        raise InputError(f"expected an id that is a UUIDv7, but got '{mark[:50]}'")
    row = connection.execute(
        sa.select(annotations).where(
            annotations.c.id == number, annotations.c.annotator_id == person.id
        )
    ).one_or_none()
    if row is None or row.assignment_id is None or row.void:
        raise NotFoundError("expected an answer of yours, but this is none")
    assignment = leases.find_assignment(connection, person.id, row.assignment_id)
    known = find_answer(connection, mark)
    if known is not None:
        if known.annotator_id != person.id or known.replaces != number or not known.void:
            raise ConflictError("another answer has this id")
        if assignment.state not in ("leased", "returned"):
            raise ConflictError(
                "this answer was undone already, and its face answered or given back"
            )
        return leases.find_lease(assignment)
    if row.kind == "training":
        raise ConflictError("an answer to a training face cannot be undone: you have seen its own")
    if assignment.state != "done" or assignment.annotation != number:
        raise ConflictError("this answer was undone already, or a later one has replaced it")
    restored = void_answer(connection, person, row, mark, settings)
    return leases.lease_again(
        connection, assignment, settings, stands=None if restored is None else restored.id
    )


def void_answer(
    connection: sa.Connection, person: Person, row: Any, mark: str, settings: Settings
) -> Any:
    """Withdraw a row that stands, by a void row with the id `mark`.

    Returns:
        The row that it had replaced and that stands again, or None.
    """
    right = _is_right(connection, row)
    first = row.kind == "work"
    same = first and _repeats_itself(connection, person.id, row.face_id)
    restored = _find_restored(connection, row)
    void = {column.name: getattr(row, column.name) for column in annotations.c}
    void |= {"id": mark, "replaces": row.id, "void": True, "counted": False, "at": current_time()}
    connection.execute(_INSERT, void)
    changes = Counter({"annotations": 1, "annotations.void": 1})
    _count(changes, person, row, sign=-1, right=right)
    if restored is not None:
        _count(changes, person, restored, sign=1, right=_is_right(connection, restored))
        changes["annotations"] -= 1  # it was there all the time
    if first:
        _note_work(connection, changes, settings, came=restored, went=row)
        person.numbers["repeat_same"] += _repeats_itself(connection, person.id, row.face_id) - same
    counters.add(connection, changes)
    return restored


def _find_restored(connection: sa.Connection, row: Any) -> Any:
    """The row that stands again when this one is withdrawn: it was corrected, not withdrawn."""
    if row.replaces is None:
        return None
    void = annotations.alias()
    withdrawn = sa.select(void.c.id).where(void.c.replaces == row.replaces, void.c.void)
    return connection.execute(
        sa.select(annotations).where(
            annotations.c.id == row.replaces, ~annotations.c.void, ~withdrawn.exists()
        )
    ).one_or_none()


def list_answers(
    connection: sa.Connection, person: int, limit: int, before: str | None = None
) -> list[dict[str, Any]]:
    """A person's own answers, the newest first: the columns of the table, and `undone`."""
    void = annotations.alias()
    undone = sa.select(void.c.id).where(void.c.replaces == annotations.c.id, void.c.void)
    statement = (
        sa.select(annotations, undone.exists().label("undone"))
        .where(annotations.c.annotator_id == person, ~annotations.c.void)
        .where(annotations.c.assignment_id.is_not(None))
        .order_by(annotations.c.at.desc(), annotations.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        last = connection.execute(
            sa.select(annotations.c.at, annotations.c.id).where(
                annotations.c.id == before, annotations.c.annotator_id == person
            )
        ).one_or_none()
        if last is None:
            raise NotFoundError("expected an answer of yours, but this is none")
        statement = statement.where(
            sa.tuple_(annotations.c.at, annotations.c.id) < sa.tuple_(last.at, last.id)
        )
    return [dict(row._mapping) for row in connection.execute(statement)]


def says(row: Any, answer: Answer) -> bool:
    """Whether a stored row says what an answer says."""
    return _content(row) == _content_of(answer)


def find_answer(connection: sa.Connection, number: str) -> Any:
    """A row by its id, or None."""
    return connection.execute(_BY_ID, {"name": number}).one_or_none()


def find_valid_answers(connection: sa.Connection, face: int) -> list[Any]:
    """The rows of a face that stand, with the `pseudonym` of each annotator; see `find_valid`."""
    found = connection.execute(
        sa.select(annotations, annotators.c.pseudonym, annotators.c.role)
        .join(annotators, annotators.c.id == annotations.c.annotator_id)
        .where(annotations.c.face_id == face)
        .order_by(annotations.c.at, annotations.c.id)
    ).all()
    if not found:
        return []
    columns = ("id", "kind", "replaces", "void", "at")
    table = pa.table(
        {
            "face_id": pa.array([str(face)] * len(found)),
            "annotator": pa.array([row.pseudonym for row in found]),
            **{
                name: pa.array([getattr(row, name) for row in found], ANNOTATIONS.field(name).type)
                for name in columns
            },
        }
    )
    return [row for row, stands in zip(found, find_valid(table), strict=True) if stands]


def make_review(person: Person, face: int, answer: Answer) -> dict[str, Any]:
    """The row of a reviewer's own answer; see `review.settle`."""
    return _values(person, face, answer) | {"kind": "review", "counted": False}


def is_outside(settings: Settings, expression: str | None, valence: Any, arousal: Any) -> bool:
    """Whether a point lies outside the region in which the project expects the expression."""
    if expression is None or valence is None:
        return False
    region: Region | None = settings.expected_regions.get(Expression(expression))
    return region is not None and not bool(region.contains(valence, arousal))


# ---- inside ---------------------------------------------------------------------------------

# What every answer needs is built once: that takes longer than to run it.
_INSERT = sa.insert(annotations)


@functools.cache
def _insert_once(dialect: str) -> Any:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(annotations).on_conflict_do_nothing().returning(annotations.c.id)


_BY_ID = sa.select(annotations).where(annotations.c.id == sa.bindparam("name"))
_DONE = sa.update(assignments).where(assignments.c.id == sa.bindparam("number"))
_DO_TASK = (
    sa.update(tasks)
    .where(tasks.c.face_id == sa.bindparam("face"))
    .values(done=tasks.c.done + sa.bindparam("change"))
    .returning(*(tasks.c[name] for name in ("batch_id", "wanted", "done", "review", "reasons")))
)
_SAVE_TASK = sa.update(tasks).where(tasks.c.face_id == sa.bindparam("face"))

_SAID = (
    *("expression", "valence", "arousal", "occluded", "comment", "seconds"),
    *("region_shown", "prelabel_shown"),
)


def _content(row: Any) -> dict[str, Any]:
    """What a stored row says, as `_content_of` has it."""
    return {name: getattr(row, name) for name in _SAID} | {"flag": row.flag}


def _content_of(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in _SAID} | _texts(answer)


def _texts(answer: Answer) -> dict[str, str | None]:
    return {"flag": "flagged" if answer.flag else None, "comment": answer.comment or None}


def _values(person: Person, face: int, answer: Answer) -> dict[str, Any]:
    from openaffect import __version__

    return asdict(answer) | {
        **_texts(answer),
        "face_id": face,
        "annotator_id": person.id,
        "instructions": person.instructions,
        "tool": f"openaffect {__version__}",
        "void": False,
        "late": False,
        "origin": "simulated" if person.simulated else "human",
        "at": current_time(),
    }


def _outcome(connection: sa.Connection, row: Any, settings: Settings) -> Stored:
    outside = is_outside(settings, row.expression, row.valence, row.arousal)
    if row.kind != "training":
        return Stored(row.late, outside)
    expected = gold.find_gold(connection, row.face_id)
    right = expected is not None and expected.expression == row.expression
    return Stored(row.late, outside, right, expected)


def _is_right(connection: sa.Connection, row: Any) -> bool:
    """Whether a gold or training answer is the expected one, or a repetition the first answer."""
    if row.kind in ("gold", "training"):
        expected = gold.find_gold(connection, row.face_id)
        return expected is not None and expected.expression == row.expression
    if row.kind == "repeat":
        first = [
            one
            for one in find_valid_answers(connection, row.face_id)
            if one.annotator_id == row.annotator_id and one.kind == "work"
        ]
        return bool(first) and first[0].expression == row.expression
    return False


def _repeats_itself(connection: sa.Connection, person: int, face: int) -> bool:
    """Whether a person's repetition of a face says what their first answer says."""
    said = {
        row.kind: row.expression
        for row in find_valid_answers(connection, face)
        if row.annotator_id == person and row.kind in ("work", "repeat")
    }
    return len(said) == 2 and said["work"] == said["repeat"]


def _count(changes: Counter[str], person: Person, row: Any, *, sign: int, right: bool) -> None:
    """Change the numbers that pages show by one answer, which comes or goes."""
    day = current_time().date().isoformat()
    changes[f"annotations.{row.kind}"] += sign
    changes["annotations.counted"] += sign * bool(row.counted)
    if sign > 0:
        changes["annotations"] += 1
        changes[f"day.{day}"] += 1
    if row.kind == "work":
        changes[f"expression.{row.expression}"] += sign
        if row.valence is not None:
            x, y = (_cell(value) for value in (row.valence, row.arousal))
            changes[f"density.{x}.{y}"] += sign
    numbers = person.numbers
    if row.kind == "training":
        numbers["training_done"] += sign
        numbers["training_right"] += sign * right
        return
    if row.kind == "review":
        return
    if row.kind in ("gold", "repeat"):
        numbers[f"{row.kind}_answers"] += sign
        numbers["gold_right" if row.kind == "gold" else "repeat_same"] += sign * right
    numbers["work"] += sign
    numbers["seconds"] += sign * (row.seconds or 0.0)
    if numbers["day"] != day:
        numbers |= {"day": day, "today": 0}
    numbers["today"] = max(0, numbers["today"] + sign)


def _cell(value: float) -> int:
    return min(int((value + 1) / 2 * BINS), BINS - 1)


def _note_work(
    connection: sa.Connection, changes: Counter[str], settings: Settings, *, came: Any, went: Any
) -> None:
    """Count the task of an answer as done or not, and see whether a reviewer should look at it.

    Args:
        connection: of the transaction.
        changes: of counters, which grow by what this changes.
        settings: of the project.
        came: the answer that stands now, or None.
        went: the one of the same person that stood before, or None.
    """
    row = came if came is not None else went
    change = (came is not None) - (went is not None)
    task = connection.execute(_DO_TASK, {"face": row.face_id, "change": change}).one_or_none()
    if task is None:
        return
    # Of a face with one label only flags and regions matter; others are looked at as they stand.
    found: list[Any] = [came] if came is not None else []
    if task.wanted > 1 or task.done != len(found):
        standing = find_valid_answers(connection, row.face_id)
        found = [
            one
            for one in standing
            if one.kind == "work" or (one.kind == "imported" and one.counted)
        ]
    reasons = find_reasons(found, settings)
    review, listed = _review_again(task, reasons)
    if (review, listed) != (task.review, task.reasons or []):
        values = {"review": review, "reasons": listed or None}
        connection.execute(_SAVE_TASK, {"face": row.face_id} | values)
    others = [one for one in found if one.annotator_id != row.annotator_id]
    for answer, sign in ((came, 1), (went, -1)):
        if answer is not None:
            changes["agreement.pairs"] += sign * len(others)
            same = sum(one.expression == answer.expression for one in others)
            changes["agreement.agree"] += sign * same
    changes["answers.done"] += change
    changes[f"batch.{task.batch_id}.done"] += change
    changes["review.open"] += (review == "open") - (task.review == "open")


def _review_again(task: Any, reasons: list[str]) -> tuple[str | None, list[str]]:
    """The state of a face's review after another answer, and its reasons.

    What a reviewer has settled or dismissed stays so unless there is a new reason.
    """
    known = task.reasons or []
    if task.review in ("settled", "dismissed") and set(reasons) <= set(known):
        return str(task.review), known
    return ("open" if reasons else None), reasons


def find_reasons(found: list[Any], settings: Settings) -> list[str]:
    """Why a reviewer should look at a face with these answers; empty where nobody needs to."""
    reasons = []
    if len({one.expression for one in found}) > 1:
        reasons.append("disagreement")
    if any(one.flag for one in found):
        reasons.append("flag")
    if any(is_outside(settings, one.expression, one.valence, one.arousal) for one in found):
        reasons.append("outside_region")
    return reasons


def gold_accuracy(connection: sa.Connection, person: int, last: int = _WATCHED_GOLD) -> list[bool]:
    """Which of a person's last gold answers were right, the newest first."""
    void = annotations.alias()
    undone = sa.select(void.c.id).where(void.c.replaces == annotations.c.id)
    found = connection.execute(
        sa.select(annotations.c.expression, gold_faces.c.expression.label("expected"))
        .join(gold_faces, gold_faces.c.face_id == annotations.c.face_id)
        .where(annotations.c.annotator_id == person, annotations.c.kind == "gold")
        .where(~annotations.c.void, ~undone.exists())
        .where(
            annotations.c.at
            > sa.select(sa.func.coalesce(annotators.c.watched_from, _BEGINNING))
            .where(annotators.c.id == person)
            .scalar_subquery()
        )
        .order_by(annotations.c.at.desc())
        .limit(last)
    )
    return [row.expression == row.expected for row in found]


def _watch(connection: sa.Connection, person: Person, settings: Settings) -> None:
    """Pause a person whose last gold answers were too often wrong."""
    last = gold_accuracy(connection, person.id)
    share = sum(last) / len(last) if last else 1.0
    if len(last) < _WATCHED_GOLD or share >= settings.quality.minimum_gold:
        return
    because = (
        f"{sum(last)} of your last {len(last)} answers to faces with a known answer were as "
        f"expected, fewer than {settings.quality.minimum_gold:.0%}; please speak to the owner of "
        "the project"
    )
    accounts.pause(connection, person, because)
    leases.end_leases(connection, person.id)
