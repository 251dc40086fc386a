"""Accounts: who may sign in to a project, by which link, with which password, in which role.

A person is invited by a one-time link and chooses a password; an owner never sees it. Of tokens only
the SHA-256 is stored, of passwords an argon2id hash. A wrong password delays the next try of the
same name and address, and never locks an account: others could lock it, too.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import secrets
import unicodedata
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from openaffect.errors import ConflictError, InputError, NotFoundError, TooManyAttempts
from openaffect.extras import needs
from openaffect.project import rows
from openaffect.project.project import Project
from openaffect.project.schema import annotators, current_time, links, sessions, sign_ins

ROLES = ("annotator", "reviewer", "owner")
"""What people may be; each may do what those before it may."""

LOCAL = "local"
"""Name, pseudonym and role of the one person who works without accounts."""

NUMBERS: dict[str, Any] = {
    **dict.fromkeys(("rounds_passed", "training", "training_done", "training_right"), 0),
    **dict.fromkeys(("drawn", "skipped", "work", "today"), 0),
    **dict.fromkeys(("gold_answers", "gold_right", "repeat_answers", "repeat_same"), 0),
    "seconds": 0.0,
    "day": None,
    "left": 0,
    "left_at": 0,
    "left_day": None,
}
"""What is counted of a person, as it begins.

`training`: rounds that were begun; `training_done` and `training_right` are of the last one. `drawn`:
faces that were given. `work`: answers that are not of a training, `seconds` in all; `today`: those of
`day`, a date in UTC. `left`: about how many answers were wanted when the person had given `left_at`,
on `left_day`.
"""

LINK_HOLDS = datetime.timedelta(days=7)
SESSION_HOLDS = datetime.timedelta(days=30)
SHORTEST_PASSWORD = 10  # characters
_LONGEST_PASSWORD = 1_000
_LONGEST_NAME = 100
_FREE_FAILURES = 4  # wrong passwords without a delay; then 2, 4, 8 … seconds
_LONGEST_DELAY_S = 60
_FORGET = datetime.timedelta(hours=1)  # after which failures are forgotten
# Python takes these for printable, but they are blank: fillers of Hangul, vowels of Khmer that are not
# written, the joiner of graphemes, selectors of variants, an empty Braille cell.
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # of pseudonyms: none that look alike


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who works on a project; the columns of `schema.annotators` that others need.

    Attributes:
        id: number in the project.
        name: by which the person signs in.
        pseudonym: the name in every export.
        role: one of `ROLES`, or `LOCAL`.
        state: `invited`, `active`, `paused`, `revoked` or `withdrawn`.
        paused_because: what the person is told.
        simulated: whether it is a program; its answers have the origin `simulated`.
        language: of the pages.
        keys: actions with a key of the person's own choice.
        auto_save: whether an answer is saved once expression and point are given.
        instructions: version of the instructions that were opened.
        at: when the person was invited.
        numbers: of answers, by name: see `NUMBERS`. A transaction that has the person's
            row changes them here; whoever began it writes them in the end by `save_numbers`.
    """

    id: int
    name: str
    pseudonym: str
    role: str
    state: str
    paused_because: str | None
    simulated: bool
    language: str | None
    keys: dict[str, str]
    auto_save: bool
    instructions: str | None
    at: datetime.datetime
    numbers: dict[str, Any]

    def may(self, role: str) -> bool:
        """Whether the person may do what is for a role; who works without accounts may do all."""
        if self.role == LOCAL:
            return True
        return self.role in ROLES and ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link, of which the token is shown once.

    Attributes:
        person: who chooses a password by it.
        kind: `invitation` or `reset`.
        token: its secret part; "" where it is only looked up.
        expires: until when it works.
    """

    person: Person
    kind: str
    token: str
    expires: datetime.datetime


# ---- people ---------------------------------------------------------------------------------


def list_people(project: Project) -> list[Person]:
    """Everybody who has or had an account, in the order in which they were invited."""
    with project.database.read() as connection:
        found = connection.execute(
            sa.select(annotators).where(annotators.c.role.in_(ROLES)).order_by(annotators.c.id)
        )
        return [_person(row) for row in found]


def has_accounts(connection: sa.Connection) -> bool:
    """Whether anybody has an account: then nobody works without one."""
    some = sa.select(annotators.c.id).where(annotators.c.role.in_(ROLES)).limit(1)
    return connection.execute(some).first() is not None


def find_local(project: Project) -> Person:
    """The one person who works without accounts, made where it is not there yet.

    Raises:
        InputError: the project has accounts.
    """
    with project.database.write() as connection:
        if has_accounts(connection):
            raise InputError("the project has accounts: sign in with yours")
        row = _find(connection, annotators.c.role == LOCAL)
        if row is None:
            _insert_person(connection, LOCAL, LOCAL, LOCAL, "active", simulated=False)
            row = _find(connection, annotators.c.role == LOCAL)
        return _person(row)


def get_local(connection: sa.Connection) -> Person:
    """The one person who works without accounts, made by `find_local`."""
    statement = sa.select(annotators).where(annotators.c.role == LOCAL)
    lock = connection.get_execution_options().get("openaffect_write", False)
    return _person(connection.execute(statement.with_for_update() if lock else statement).one())


def invite(
    project: Project, name: str, role: str = "annotator", *, simulated: bool = False, by: str = ""
) -> Link:
    """Make an account and the link by which its person chooses a password.

    Args:
        project: it belongs to.
        name: by which the person signs in; 1 to 100 characters.
        role: one of `ROLES`.
        simulated: whether it is a program that plays a person.
        by: pseudonym of who invites, for the event.

    Raises:
        InputError: a name that cannot be one, or no such role.
        ConflictError: the name is taken.
    """
    name = check_name(name)
    _check_role(role)
    with project.database.write() as connection:
        if connection.dialect.name == "postgresql":  # two invitations must not choose one pseudonym
            connection.exec_driver_sql("LOCK TABLE annotators IN SHARE ROW EXCLUSIVE MODE")
        if _find(connection, annotators.c.name == name) is not None:
            raise ConflictError(f"the name '{name}' is taken; choose another one")
        pseudonym = _make_pseudonym(connection)
        number = _insert_person(connection, name, pseudonym, role, "invited", simulated=simulated)
        link = _make_link(connection, number, "invitation")
        rows.record_event(connection, "invite", pseudonym, {"role": role, "by": by})
        return link


def renew_link(project: Project, person: int, *, by: str = "") -> Link:
    """A new link for a person: the invitation again, or one that resets the password.

    Earlier links end; sessions end when the new password is chosen.

    Raises:
        NotFoundError: no such person.
        ConflictError: the account was revoked or withdrawn.
    """
    with project.database.write() as connection:
        found = get_person(connection, person)
        if found.state in ("revoked", "withdrawn"):
            raise ConflictError(f"the account of {found.name} was {found.state}")
        kind = "invitation" if found.state == "invited" else "reset"
        connection.execute(sa.delete(links).where(links.c.annotator_id == person))
        rows.record_event(connection, kind, found.pseudonym, {"by": by})
        return _make_link(connection, person, kind)


def change_role(project: Project, person: int, role: str, *, by: str = "") -> Person:
    """Give a person another role.

    Raises:
        InputError: no such role.
        NotFoundError: no such person.
        ConflictError: the last owner.
    """
    _check_role(role)
    with project.database.write() as connection:
        found = get_person(connection, person)
        if role != "owner":
            _keep_an_owner(connection, found)
        _change(connection, person, role=role)
        details = {"old": found.role, "new": role, "by": by}
        rows.record_event(connection, "role", found.pseudonym, details)
        return get_person(connection, person)


def revoke(project: Project, person: int, *, by: str = "") -> Person:
    """End an account: its sessions and links end at once, its answers stay.

    Raises:
        NotFoundError: no such person.
        ConflictError: the last owner.
    """
    with project.database.write() as connection:
        found = get_person(connection, person)
        _keep_an_owner(connection, found)
        _end_access(connection, person)
        _change(connection, person, state="revoked", password=None)
        rows.record_event(connection, "revoke", found.pseudonym, {"by": by})
        return get_person(connection, person)


def resume(project: Project, person: int, *, by: str = "") -> Person:
    """Let a paused or revoked person work again; one that was revoked needs a new link.

    Raises:
        NotFoundError: no such person.
        ConflictError: consent was withdrawn.
    """
    with project.database.write() as connection:
        found = get_person(connection, person)
        if found.state == "withdrawn":
            raise ConflictError("the person has withdrawn; invite them anew")
        state = "invited" if found.state in ("revoked", "invited") else "active"
        _change(connection, person, state=state, paused_because=None, watched_from=current_time())
        rows.record_event(connection, "resume", found.pseudonym, {"by": by})
        return get_person(connection, person)


def pause(connection: sa.Connection, person: Person, because: str) -> None:
    """Stop a person from getting faces; they are told why."""
    _change(connection, person.id, state="paused", paused_because=because)
    rows.record_event(connection, "pause", person.pseudonym, {"because": because})


def forget_name(connection: sa.Connection, person: Person) -> None:
    """Take a person's name and account away; the pseudonym stays with the answers.

    Raises:
        ConflictError: the last owner.
    """
    _keep_an_owner(connection, person)
    _end_access(connection, person.id)
    values = {"name": person.pseudonym, "state": "withdrawn", "password": None}
    _change(connection, person.id, **values, language=None, keys=None)


def change_preferences(project: Project, person: int, **values: Any) -> None:
    """Keep `language`, `keys`, `auto_save` or the version of `instructions` of a person."""
    with project.database.write() as connection:
        _change(connection, person, **values)


def save_numbers(connection: sa.Connection, person: Person) -> None:
    """Write the numbers of a person, whose row the transaction has locked."""
    connection.execute(_SAVE, {"number": person.id, "numbers": person.numbers})


def get_person(connection: sa.Connection, person: int) -> Person:
    """A person by number, their row locked where the transaction writes.

    Raises:
        NotFoundError: nobody has it.
    """
    lock = connection.get_execution_options().get("openaffect_write", False)
    statement = _BY_NUMBER.with_for_update() if lock else _BY_NUMBER
    row = connection.execute(statement, {"number": person}).one_or_none()
    if row is None or row.role not in (*ROLES, LOCAL):
        raise NotFoundError(f"expected the number of a person, but nobody has {person}")
    return _person(row)


def find_person(project: Project, name: str) -> Person | None:
    """The person with a name, if there is one."""
    name = normalize_name(name)
    with project.database.read() as connection:
        row = _find(connection, annotators.c.name == name, annotators.c.role.in_(ROLES))
        return None if row is None else _person(row)


def check_name(name: str) -> str:
    """A name as it is stored: see `normalize_name`.

    Raises:
        InputError: empty, too long, with characters that nobody sees, or one of ours.
    """
    name = normalize_name(name)
    hidden = next((c for c in name if not c.isprintable() or c in _BLANK), None)
    if hidden is not None:
        raise InputError(
            f"expected a name in which every character can be seen, but this one has U+{ord(hidden):04X}"
        )
    if not 0 < len(name) <= _LONGEST_NAME or ":" in name or name == LOCAL:
        raise InputError(
            f"expected a name of 1 to {_LONGEST_NAME} characters without a colon, but got "
            f"{name[:_LONGEST_NAME]!r}"
        )
    return name


def normalize_name(name: str) -> str:
    """A name without spaces around it, each letter as one character where there is one (NFC).

    Keyboards and systems write é in two ways that look alike; both are one name.
    """
    return unicodedata.normalize("NFC", name).strip()


# ---- links and passwords --------------------------------------------------------------------


def open_link(project: Project, token: str) -> Link:
    """Whose link a token belongs to; it can still be used afterwards.

    Raises:
        NotFoundError: there is no such link, or it was used or has expired.
    """
    with project.database.read() as connection:
        return _open_link(connection, token)


def use_link(project: Project, token: str, password_hash: str, language: str | None = None) -> str:
    """Set the password that was chosen by a link, end all other sessions, and sign in.

    Args:
        project: it belongs to.
        token: of the link, which works once.
        password_hash: from `hash_password`.
        language: of the pages, where it was chosen.

    Returns:
        The token of the session.

    Raises:
        NotFoundError: see `open_link`.
    """
    with project.database.write() as connection:
        link = _open_link(connection, token)
        used = (
            sa.update(links)
            .where(links.c.token_hash == _hash(token), links.c.used.is_(None))
            .values(used=current_time())
        )
        if connection.execute(used).rowcount != 1:
            raise _no_link()
        person = link.person.id
        connection.execute(sa.delete(sessions).where(sessions.c.annotator_id == person))
        state = "active" if link.person.state == "invited" else link.person.state
        _change(connection, person, password=password_hash, state=state)
        if language is not None:
            _change(connection, person, language=language)
        rows.record_event(connection, "password", link.person.pseudonym, {"by": link.kind})
        return _begin_session(connection, person)


def check_password(password: str) -> str:
    """A password that can be taken.

    Raises:
        InputError: too short or too long; the message does not repeat it.
    """
    if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD:
        raise InputError(
            f"expected a password of {SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters, but it "
            f"has {len(password)}"
        )
    return password


def hash_password(password: str) -> str:
    """The argon2id hash of a password; takes 19 MiB and tens of milliseconds."""
    return str(_hasher().hash(check_password(password)))


def verify_password(stored: str | None, password: str) -> bool:
    """Whether a password fits a hash; takes as long where there is no hash to compare with."""
    with needs("annotate", "accounts"):
        from argon2.exceptions import InvalidHashError, VerificationError
    try:
        _hasher().verify(stored or _NOBODY, password[:_LONGEST_PASSWORD])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def change_password(project: Project, person: int, password_hash: str) -> None:
    """Set a password that was changed by its person; all sessions end."""
    with project.database.write() as connection:
        _change(connection, person, password=password_hash)
        connection.execute(sa.delete(sessions).where(sessions.c.annotator_id == person))
        rows.record_event(connection, "password", get_person(connection, person).pseudonym)


# ---- signing in -----------------------------------------------------------------------------


def begin_sign_in(project: Project, name: str, address: str) -> str | None:
    """The hash to compare a password with, None where nobody has the name.

    Raises:
        TooManyAttempts: after wrong passwords the next try must wait.
    """
    name = normalize_name(name)
    with project.database.read() as connection:
        _check_wait(connection, _key(name, address))
        row = _find(connection, annotators.c.name == name, annotators.c.role.in_(ROLES))
        return None if row is None or row.state in ("revoked", "withdrawn") else row.password


def end_sign_in(project: Project, name: str, address: str, right: str | None) -> str | None:
    """Begin a session where the password was right; else note the failure.

    Of many tries at once only the first few are judged, whatever process they came to.

    Args:
        project: to sign in to.
        name, address: who tries, and from where.
        right: the hash that the password fits; None where it fits none.

    Returns:
        The token of the session, or None.

    Raises:
        TooManyAttempts: wrong passwords came since `begin_sign_in`.
    """
    name = normalize_name(name)
    with project.database.write() as connection:
        _check_wait(connection, _key(name, address))
        if right is not None:
            row = _find(connection, annotators.c.name == name, annotators.c.role.in_(ROLES))
            if row is None or row.password != right:  # it was changed a moment ago
                return None
            connection.execute(sa.delete(sign_ins).where(sign_ins.c.key == _key(name, address)))
            return _begin_session(connection, row.id)
        _note_failure(connection, _key(name, address))
        return None


def find_session(connection: sa.Connection, token: str) -> Person | None:
    """The person of a session that has not ended, their row locked where the transaction writes.

    So requests of one person wait for each other, such as those of two tabs.
    """
    lock = connection.get_execution_options().get("openaffect_write", False)
    statement = _BY_SESSION_LOCKED if lock else _BY_SESSION
    row = connection.execute(statement, {"hash": _hash(token), "now": current_time()}).one_or_none()
    if row is None or row.state not in ("active", "paused"):
        return None
    return _person(row)


def end_session(project: Project, token: str) -> None:
    """Sign out."""
    with project.database.write() as connection:
        connection.execute(sa.delete(sessions).where(sessions.c.token_hash == _hash(token)))


def begin_session(project: Project, person: int) -> str:
    """A session of a person, for programs that load many; its token."""
    with project.database.write() as connection:
        return _begin_session(connection, get_person(connection, person).id)


# ---- inside ---------------------------------------------------------------------------------

# The hash of a random password that nobody knows: a name that nobody has takes as long as a wrong
# password.
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA"
    "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)


def _hasher() -> Any:
    with needs("annotate", "accounts"):
        from argon2 import PasswordHasher
    # OWASP's second choice: the library's own takes 64 MiB and most of a second.
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


# What every answer needs is built once: that takes longer than to run it.
_SAVE = sa.update(annotators).where(annotators.c.id == sa.bindparam("number"))
_BY_NUMBER = sa.select(annotators).where(annotators.c.id == sa.bindparam("number"))
_BY_SESSION = (
    sa.select(annotators)
    .join(sessions, sessions.c.annotator_id == annotators.c.id)
    .where(sessions.c.token_hash == sa.bindparam("hash"))
    .where(sessions.c.expires > sa.bindparam("now"))
)
_BY_SESSION_LOCKED = _BY_SESSION.with_for_update(of=annotators)


def _person(row: Any) -> Person:
    values = row._mapping
    known = {f.name: values[f.name] for f in fields(Person) if f.name != "numbers"}
    known["keys"] = known["keys"] or {}
    return Person(**known, numbers=NUMBERS | (values["numbers"] or {}))


def _find(connection: sa.Connection, *which: sa.ColumnElement[bool]) -> Any:
    return connection.execute(sa.select(annotators).where(*which).limit(1)).one_or_none()


def _change(connection: sa.Connection, person: int, **values: Any) -> None:
    connection.execute(sa.update(annotators).where(annotators.c.id == person).values(**values))


def _insert_person(
    connection: sa.Connection, name: str, pseudonym: str, role: str, state: str, *, simulated: bool
) -> int:
    values = {"name": name, "pseudonym": pseudonym, "role": role, "state": state}
    statement = sa.insert(annotators).values(**values, simulated=simulated, at=current_time())
    return int(connection.execute(statement.returning(annotators.c.id)).scalar_one())


def _make_pseudonym(connection: sa.Connection) -> str:
    while True:
        made = "person-" + "".join(secrets.choice(_LETTERS) for _ in range(6))
        if _find(connection, annotators.c.pseudonym == made) is None:
            return made


def _make_link(connection: sa.Connection, person: int, kind: str) -> Link:
    token = secrets.token_urlsafe(32)
    expires = current_time() + LINK_HOLDS
    values = {"token_hash": _hash(token), "annotator_id": person, "kind": kind}
    connection.execute(sa.insert(links).values(**values, expires=expires, at=current_time()))
    return Link(get_person(connection, person), kind, token, expires)


def _open_link(connection: sa.Connection, token: str) -> Link:
    row = connection.execute(
        sa.select(links).where(
            links.c.token_hash == _hash(token),
            links.c.used.is_(None),
            links.c.expires > current_time(),
        )
    ).one_or_none()
    if row is None:
        raise _no_link()
    return Link(get_person(connection, row.annotator_id), row.kind, "", row.expires)


def _no_link() -> NotFoundError:
    return NotFoundError("this link was used already, has expired, or is none; ask for a new one")


def _begin_session(connection: sa.Connection, person: int) -> str:
    token = secrets.token_urlsafe(32)
    now = current_time()
    connection.execute(sa.delete(sessions).where(sessions.c.expires < now))
    values = {"token_hash": _hash(token), "annotator_id": person, "expires": now + SESSION_HOLDS}
    connection.execute(sa.insert(sessions).values(**values, at=now))
    return token


def _end_access(connection: sa.Connection, person: int) -> None:
    for table in (sessions, links):
        connection.execute(sa.delete(table).where(table.c.annotator_id == person))


def _check_wait(connection: sa.Connection, key: str) -> None:
    waits = connection.execute(sa.select(sign_ins.c.until).where(sign_ins.c.key == key)).scalar()
    seconds = 0.0 if waits is None else (waits - current_time()).total_seconds()
    if seconds > 0:
        raise TooManyAttempts(math.ceil(seconds))


def _note_failure(connection: sa.Connection, key: str) -> None:
    now = current_time()
    connection.execute(sa.delete(sign_ins).where(sign_ins.c.until < now - _FORGET))
    statement = rows.insert(connection, sign_ins).values(key=key, failures=1, until=now)
    one_more = {"failures": sign_ins.c.failures + 1}  # counted by the database: others count, too
    counted = statement.on_conflict_do_update(index_elements=["key"], set_=one_more)
    failures = connection.execute(counted.returning(sign_ins.c.failures)).scalar_one()
    over = failures - _FREE_FAILURES
    delay = min(2.0**over, _LONGEST_DELAY_S) if over > 0 else 0.0
    until = now + datetime.timedelta(seconds=delay)
    connection.execute(sa.update(sign_ins).where(sign_ins.c.key == key).values(until=until))


def _keep_an_owner(connection: sa.Connection, person: Person) -> None:
    if person.role != "owner":
        return
    owners = sa.select(annotators.c.id).where(
        annotators.c.role == "owner", annotators.c.state.in_(("active", "invited"))
    )
    # Locked, so that two owners who remove each other at once do not both succeed.
    found = connection.execute(owners.order_by(annotators.c.id).with_for_update()).scalars()
    if not set(found) - {person.id}:
        raise ConflictError("the last owner stays: make somebody else an owner first")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InputError(f"expected a role of {', '.join(ROLES)}, but got '{role}'")


def _key(name: str, address: str) -> str:
    return _hash(f"{name}\0{address}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
