"""The dashboard: how far the work is, from counters alone."""

from __future__ import annotations

import datetime
from typing import Any

from openaffect.labels import EXPRESSIONS
from openaffect.project import Project, counters
from openaffect.project.accounts import Person, list_people
from openaffect.project.answers import BINS

_DAYS = 30


def read_dashboard(project: Project, people: list[Person] | None = None) -> dict[str, Any]:
    """How far the work is; docs/annotating.md describes the keys.

    Args:
        project: to look at.
        people: whose numbers are shown; everybody with an account by default.
    """
    people = list_people(project) if people is None else people
    with project.database.read() as connection:
        numbers = counters.read(connection)
    today = datetime.datetime.now(datetime.UTC).date()
    work = sum(one.numbers["work"] for one in people)
    seconds = sum(one.numbers["seconds"] for one in people) / work if work else None
    wanted, done = numbers.get("answers.wanted", 0), numbers.get("answers.done", 0)
    left = max(wanted - done, 0)
    days = [today - datetime.timedelta(days=back) for back in reversed(range(_DAYS))]
    return {
        "project": project.settings.name,
        "faces": {
            "total": numbers.get("faces", 0),
            "in_batches": numbers.get("faces.in_batches", 0),
        },
        "answers": {"wanted": wanted, "done": done, "left": left},
        "per_hour": 3600 / seconds if seconds else None,
        "hours_left": left * seconds / 3600 if seconds else None,
        "days": [
            {"day": day.isoformat(), "work": numbers.get(f"day.{day.isoformat()}", 0)}
            for day in days
        ],
        "people": [_describe(one, today) for one in people],
        "by_expression": {str(name): numbers.get(f"expression.{name}", 0) for name in EXPRESSIONS},
        "density": {
            "bins": BINS,
            "counts": [
                [numbers.get(f"density.{x}.{y}", 0) for x in range(BINS)] for y in range(BINS)
            ],
        },
        "agreement": {
            "pairs": numbers.get("agreement.pairs", 0),
            "agree": numbers.get("agreement.agree", 0),
        },
        "review": {"open": numbers.get("review.open", 0)},
        "gold": _sum(people, "gold_answers", "gold_right", "right"),
        "repeats": _sum(people, "repeat_answers", "repeat_same", "same"),
    }


def _describe(person: Person, today: datetime.date) -> dict[str, Any]:
    numbers = person.numbers
    is_today = numbers["day"] == today.isoformat()
    return {
        "name": person.name,
        "pseudonym": person.pseudonym,
        "state": person.state,
        "work": numbers["work"],
        "today": numbers["today"] if is_today else 0,
        "seconds": numbers["seconds"] / numbers["work"] if numbers["work"] else None,
    }


def _sum(people: list[Person], answers: str, good: str, name: str) -> dict[str, int]:
    return {
        "answers": sum(one.numbers[answers] for one in people),
        name: sum(one.numbers[good] for one in people),
    }
