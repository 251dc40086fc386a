"""What owners do: people, batches, gold faces, settings, events, and the dashboard."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from openaffect.annotation.batches import make_batch
from openaffect.annotation.dashboard import read_dashboard
from openaffect.annotation.gold import add_gold, add_reviewed_gold
from openaffect.errors import InputError, UnknownName
from openaffect.project import accounts, answers, consent, gold, tasks
from openaffect.project.accounts import Link, Person
from openaffect.project.project import change_settings
from openaffect.project.rows import list_events
from openaffect.project.settings import describe_settings
from openaffect.project.tasks import Filter
from openaffect.web.annotation.faces import Number
from openaffect.web.annotation.messages import (
    NO_NUL,
    ChangeBatch,
    ChangePerson,
    Invite,
    NewBatch,
    NewGold,
    Nothing,
    Withdraw,
)
from openaffect.web.annotation.service import Asking, Served, Service
from openaffect.web.problems import Forbidden, Unprocessable
from openaffect.web.shell import reasons

BatchName = Annotated[str, Path(max_length=100, pattern=NO_NUL)]
_GROUPS = ("annotation", "quality")  # of settings that the pages change

router = APIRouter(tags=["work"], responses=reasons(401, 403, 404, 409, 413, 415, 422, 503))


@router.get("/v1/dashboard")
def get_dashboard(service: Served, caller: Asking) -> dict[str, Any]:
    """How far the work is."""
    person = service.find(caller, "owner")
    people = [person] if service.without_accounts else None
    return read_dashboard(service.project, people)


# ---- people ---------------------------------------------------------------------------------


@router.get("/v1/people")
def list_people(service: Served, caller: Asking) -> dict[str, Any]:
    """Everybody who has or had an account."""
    _need_accounts(service, caller)
    people = accounts.list_people(service.project)
    return {"people": [_describe_person(service, one) for one in people]}


@router.post("/v1/people")
def invite_person(body: Invite, service: Served, caller: Asking) -> dict[str, Any]:
    """Make an account; the answer has the one-time link, which is shown once."""
    owner = _need_accounts(service, caller)
    link = accounts.invite(
        service.project, body.name, body.role, simulated=body.simulated, by=owner.pseudonym
    )
    return {"id": link.person.id, **_describe_link(link)}


@router.patch("/v1/people/{person}")
def change_person(
    person: Number, body: ChangePerson, service: Served, caller: Asking
) -> dict[str, Any]:
    """Give a person another role, revoke their account, or let them work again."""
    owner = _need_accounts(service, caller)
    by = owner.pseudonym
    if body.state not in (None, "active", "revoked"):
        raise Unprocessable("expected the state active or revoked")
    if body.role is not None:
        accounts.change_role(service.project, person, body.role, by=by)
    if body.state == "revoked":
        accounts.revoke(service.project, person, by=by)
    elif body.state == "active":
        accounts.resume(service.project, person, by=by)
    with service.project.database.read() as connection:
        found = accounts.get_person(connection, person)
    return _describe_person(service, found)


@router.post("/v1/people/{person}/link")
def renew_link(person: Number, _: Nothing, service: Served, caller: Asking) -> dict[str, Any]:
    """A new link: the invitation again, or one by which another password is chosen."""
    owner = _need_accounts(service, caller)
    link = accounts.renew_link(service.project, person, by=owner.pseudonym)
    return _describe_link(link)


@router.post("/v1/people/{person}/withdraw")
def withdraw_person(
    person: Number, body: Withdraw, service: Served, caller: Asking
) -> dict[str, Any]:
    """Carry out that a person has withdrawn their consent."""
    owner = _need_accounts(service, caller)
    done = consent.withdraw(service.project, person, body.rows, by=owner.pseudonym)
    return {"voided": done.voided, "purged": done.purged, "datasets": list(done.datasets)}


# ---- batches and gold -----------------------------------------------------------------------


@router.get("/v1/batches")
def list_batches(service: Served, caller: Asking) -> dict[str, Any]:
    """The batches, and how many faces are in none."""
    with service.reading(caller, "owner") as (connection, _):
        found = tasks.list_batches(connection)
        without = tasks.count_faces_without_batch(connection)
    return {"batches": [_describe_batch(one) for one in found], "without": without}


@router.post("/v1/batches")
def add_batch(body: NewBatch, service: Served, caller: Asking) -> dict[str, Any]:
    """Plan or make a batch."""
    service.find(caller, "owner")
    chosen = body.filter.model_dump()
    if chosen["intended"] is not None:
        chosen["intended"] = tuple(chosen["intended"])
    plan = make_batch(
        service.project,
        body.name,
        Filter(**chosen),
        overlap=body.overlap,
        overlap_share=body.overlap_share,
        people=body.people,
        plan=body.plan,
    )
    return {
        "faces": plan.faces,
        "overlapping": plan.overlapping,
        "balanced_by": plan.balanced_by,
        "strata": plan.strata,
        "made": plan.made,
    }


@router.patch("/v1/batches/{name}")
def change_batch(
    name: BatchName, body: ChangeBatch, service: Served, caller: Asking
) -> dict[str, Any]:
    """Open or close a batch, or change who works on it."""
    values = body.model_dump(exclude_unset=True)
    if "state" in values and values["state"] is None:
        raise Unprocessable("expected the state open or closed")
    with service.writing(caller, "owner") as (connection, _):
        tasks.change_batch(connection, name, **values)
        found = next(one for one in tasks.list_batches(connection) if one["name"] == name)
    return _describe_batch(found)


@router.get("/v1/gold")
def count_gold(service: Served, caller: Asking) -> dict[str, Any]:
    """How many faces are gold, and how many of them a training round takes."""
    with service.reading(caller, "owner") as (connection, _):
        found = gold.count_gold(connection)
    total = sum(found.values())
    faces = min(total, service.project.settings.quality.training_faces)
    return {"total": total, "training": faces, "by_expression": found}


@router.post("/v1/gold")
def choose_gold(body: NewGold, service: Served, caller: Asking) -> dict[str, Any]:
    """Make faces gold: by a CSV text, or those that reviewers have settled."""
    service.find(caller, "owner")
    if body.source == "csv" and body.csv is not None:
        done = add_gold(service.project, body.csv)
    elif body.source == "review" and body.csv is None:
        done = add_reviewed_gold(service.project)
    else:
        raise Unprocessable("expected the source csv with a text, or review without one")
    return {
        "added": done.added,
        "known": done.known,
        "rejected": [{"row": row, "reason": reason} for row, reason in done.rejected],
    }


# ---- settings and events --------------------------------------------------------------------


@router.get("/v1/settings")
def get_settings(service: Served, caller: Asking) -> dict[str, Any]:
    """The settings that the pages change, each with its default and what it means."""
    service.find(caller, "owner")
    return {"settings": describe_settings(service.project.settings, _GROUPS)}


@router.patch("/v1/settings")
def set_settings(
    body: dict[str, bool | int | float], service: Served, caller: Asking
) -> dict[str, Any]:
    """Change settings; each change is an event."""
    service.find(caller, "owner")
    project = service.project
    known = {one["key"] for one in describe_settings(project.settings, _GROUPS)}
    strange = [key for key in body if key not in known]
    if strange:
        raise Unprocessable(str(UnknownName("key", strange[0][:50], sorted(known))))
    if body.get("quality.training_rounds"):
        with project.database.read() as connection:
            if not gold.count_gold(connection):
                raise InputError("a training round needs gold faces: choose some first")
    changed = change_settings(project, body)
    return {"settings": describe_settings(changed.settings, _GROUPS)}


@router.get("/v1/events")
def get_events(
    service: Served,
    caller: Asking,
    before: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """What was done to the project, the newest first."""
    with service.reading(caller, "owner") as (connection, _):
        return {"events": list_events(connection, limit, before)}


# ---- inside ---------------------------------------------------------------------------------


def _need_accounts(service: Service, caller: Asking) -> Person:
    owner = service.find(caller, "owner")
    if service.without_accounts:
        raise Forbidden(
            "this server works without accounts; start it with `--owner NAME` to invite people"
        )
    return owner


def _describe_link(link: Link) -> dict[str, Any]:
    return {"link": f"#link={link.token}", "expires": link.expires}


def _describe_person(service: Service, person: Person) -> dict[str, Any]:
    numbers = person.numbers
    with service.project.database.read() as connection:
        last = answers.gold_accuracy(connection, person.id)
    names = ("id", "name", "pseudonym", "role", "state", "paused_because", "simulated")
    return {name: getattr(person, name) for name in names} | {
        "at": person.at,
        "counts": {"work": numbers["work"], "training": numbers["training_done"]},
        "gold": {
            "answers": numbers["gold_answers"],
            "right": numbers["gold_right"],
            "last30": sum(last) / len(last) if last else None,
        },
        "repeats": {"answers": numbers["repeat_answers"], "same": numbers["repeat_same"]},
    }


def _describe_batch(batch: dict[str, Any]) -> dict[str, Any]:
    names = ("name", "at", "state", "overlap", "overlap_share", "balanced_by", "people")
    return {name: batch[name] for name in (*names, "faces", "wanted", "done")}
