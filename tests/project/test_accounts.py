"""Accounts: invitations, passwords, sessions, roles, and what wrong passwords cost."""

from __future__ import annotations

import datetime
import threading
import time

import pytest
import sqlalchemy as sa

from annotation_builders import ago, change, person_of
from openaffect.errors import ConflictError, InputError, NotFoundError, TooManyAttempts
from openaffect.project import Project, accounts, open_project, schema

PASSWORD = "correct horse battery"


def test_an_invitation_becomes_an_account_once(project: Project) -> None:
    link = accounts.invite(project, "  Ada ", "owner")
    assert (link.person.name, link.person.state, link.kind) == ("Ada", "invited", "invitation")
    assert link.person.pseudonym.startswith("person-")
    assert link.person.pseudonym != accounts.invite(project, "Bo").person.pseudonym
    assert accounts.open_link(project, link.token).person.name == "Ada"
    token = accounts.use_link(project, link.token, accounts.hash_password(PASSWORD), "de")
    with project.database.read() as connection:
        found = accounts.find_session(connection, token)
        assert found is not None
        assert (found.name, found.state, found.language) == ("Ada", "active", "de")
        assert accounts.find_session(connection, token + "x") is None
    for use in (accounts.open_link, lambda p, t: accounts.use_link(p, t, "hash")):
        with pytest.raises(NotFoundError):
            use(project, link.token)
    assert accounts.begin_sign_in(project, "Ada", "here") == accounts.begin_sign_in(
        project, "Ada", "there"
    )


def test_no_secret_is_stored_as_it_is(sqlite_project: Project) -> None:
    link = accounts.invite(sqlite_project, "Ada")
    token = accounts.use_link(sqlite_project, link.token, accounts.hash_password(PASSWORD))
    with sqlite_project.database.read() as connection:
        everything = [
            str(row)
            for table in schema.metadata.sorted_tables
            for row in connection.execute(sa.select(table))
        ]
    assert len(everything) > 5
    text = "\n".join(everything)
    assert not any(secret in text for secret in (link.token, token, PASSWORD))
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in text


def test_links_expire_and_a_new_one_ends_the_old(sqlite_project: Project) -> None:
    link = accounts.invite(sqlite_project, "Ada")
    again = accounts.renew_link(sqlite_project, link.person.id)
    assert again.kind == "invitation"
    with pytest.raises(NotFoundError):
        accounts.open_link(sqlite_project, link.token)
    change(sqlite_project, schema.links, schema.links.c.used.is_(None), expires=ago(seconds=1))
    with pytest.raises(NotFoundError):
        accounts.use_link(sqlite_project, again.token, "hash")


def test_a_reset_ends_the_other_sessions(sqlite_project: Project) -> None:
    link = accounts.invite(sqlite_project, "Ada")
    before = accounts.use_link(sqlite_project, link.token, "hash")
    reset = accounts.renew_link(sqlite_project, link.person.id)
    assert reset.kind == "reset"
    after = accounts.use_link(sqlite_project, reset.token, "other")
    with sqlite_project.database.read() as connection:
        assert accounts.find_session(connection, before) is None
        assert accounts.find_session(connection, after) is not None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *(
            (name, "owner")
            for name in ("", "  ", "a" * 101, "a\u202eb", "a\nb", "import:x", "local")
        ),
        *(("Ada", role) for role in ("admin", "import", "local")),
    ],
)
def test_names_and_roles_that_cannot_be(sqlite_project: Project, name: str, role: str) -> None:
    with pytest.raises(InputError):
        accounts.invite(sqlite_project, name, role)
    assert accounts.list_people(sqlite_project) == []


def test_a_name_is_taken_once(sqlite_project: Project) -> None:
    accounts.invite(sqlite_project, "Ada")
    with pytest.raises(ConflictError, match="Ada"):
        accounts.invite(sqlite_project, "Ada")


def test_a_name_is_one_however_its_letters_were_typed(project: Project) -> None:
    link = accounts.invite(project, "Zoe\u0308", "owner")
    assert link.person.name == "Zo\u00eb"
    for name in ("Zo\u00eb", " Zoe\u0308 "):
        with pytest.raises(ConflictError):
            accounts.invite(project, name)
        assert accounts.find_person(project, name) == link.person
    stored = accounts.hash_password(PASSWORD)
    accounts.use_link(project, link.token, stored)
    for name in ("Zo\u00eb", "Zoe\u0308"):
        assert accounts.begin_sign_in(project, name, "here") == stored
        assert accounts.end_sign_in(project, name, "here", stored) is not None
    for name in ("Zo\u00eb", "Zoe\u0308", "Zo\u00eb", "Zoe\u0308", "Zo\u00eb"):
        accounts.end_sign_in(project, name, "here", None)
    with pytest.raises(TooManyAttempts):
        accounts.begin_sign_in(project, "Zo\u00eb", "here")


@pytest.mark.parametrize(
    "character",
    [
        *("\u200b", "\u200d", "\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\u061c"),
        *("\ufeff", "\u00ad", "\u034f", "\u115f", "\u180b", "\u2800", "\u3164", "\ufe0f"),
        *("\U000e0001", "\U000e0100", "\x00", "\n", "\u2028", "\u00a0"),
    ],
)
def test_names_have_no_characters_that_nobody_sees(sqlite_project: Project, character: str) -> None:
    with pytest.raises(InputError, match=rf"this one has U\+{ord(character):04X}"):
        accounts.invite(sqlite_project, f"A{character}da")
    assert accounts.list_people(sqlite_project) == []


@pytest.mark.parametrize(
    "name", ["Ада Лавлейс", "علی رضا", "李小龍", "Nguyễn Thị Ánh", "O'Brien-Łoś"]
)
def test_names_of_all_scripts(sqlite_project: Project, name: str) -> None:
    assert accounts.invite(sqlite_project, name).person.name == name


@pytest.mark.parametrize("password", ["short", "x" * 9, "x" * 1_001])
def test_passwords_that_cannot_be(password: str) -> None:
    with pytest.raises(InputError) as caught:
        accounts.hash_password(password)
    assert password not in str(caught.value)


def test_a_name_that_nobody_has_takes_as_long_as_a_wrong_password() -> None:
    stored = accounts.hash_password(PASSWORD)

    def measure(known: str | None) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            assert not accounts.verify_password(known, "a wrong password")
            times.append(time.perf_counter() - start)
        return sorted(times)[2]

    assert accounts.verify_password(stored, PASSWORD)
    assert not accounts.verify_password("damaged", PASSWORD)
    assert measure(None) > measure(stored) / 3  # at once, it would be a thousandth


def test_wrong_passwords_delay_the_same_name_and_address_only(project: Project) -> None:
    accounts.use_link(project, accounts.invite(project, "Ada").token, "hash")
    for _ in range(4):
        assert accounts.begin_sign_in(project, "Ada", "1.1.1.1") == "hash"
        assert accounts.end_sign_in(project, "Ada", "1.1.1.1", right=None) is None
    assert accounts.begin_sign_in(project, "Ada", "1.1.1.1") == "hash"
    delays = []
    for _ in range(8):
        accounts.end_sign_in(project, "Ada", "1.1.1.1", right=None)
        with pytest.raises(TooManyAttempts) as caught:
            accounts.begin_sign_in(project, "Ada", "1.1.1.1")
        delays.append(caught.value.retry_after)
        change(project, schema.sign_ins, schema.sign_ins.c.failures > 0, until=ago(seconds=1))
    assert delays == [2, 4, 8, 16, 32, 60, 60, 60]
    assert accounts.begin_sign_in(project, "Ada", "2.2.2.2") == "hash"  # nobody is locked out
    assert accounts.end_sign_in(project, "Ada", "1.1.1.1", right="hash") is not None
    accounts.end_sign_in(project, "Ada", "1.1.1.1", right=None)
    assert accounts.begin_sign_in(project, "Ada", "1.1.1.1") == "hash"  # counted from the start


def test_of_many_tries_at_once_only_the_first_few_are_judged(project: Project) -> None:
    accounts.use_link(project, accounts.invite(project, "Ada").token, "hash")
    for _ in range(20):
        assert accounts.begin_sign_in(project, "Ada", "1.1.1.1") == "hash"
    for _ in range(5):
        assert accounts.end_sign_in(project, "Ada", "1.1.1.1", right=None) is None
    for right in (None, "hash", None):
        with pytest.raises(TooManyAttempts) as caught:
            accounts.end_sign_in(project, "Ada", "1.1.1.1", right)
        assert caught.value.retry_after <= 2  # what is not judged delays nothing further
    assert accounts.end_sign_in(project, "Ada", "2.2.2.2", "hash") is not None


def test_failures_of_two_processes_are_all_counted(project: Project) -> None:
    """Each process has connections of its own."""
    accounts.invite(project, "Ada")

    def fail(opened: Project) -> None:
        for _ in range(2):
            accounts.end_sign_in(opened, "Ada", "1.1.1.1", right=None)

    with open_project(project.path) as first, open_project(project.path) as second:
        threads = [threading.Thread(target=fail, args=(one,)) for one in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with project.database.read() as connection:
        assert connection.execute(sa.select(schema.sign_ins.c.failures)).scalar_one() == 4


def test_a_session_ends_by_time_by_hand_and_with_its_account(project: Project) -> None:
    accounts.use_link(project, accounts.invite(project, "Root", "owner").token, "hash")
    person = accounts.invite(project, "Ada").person.id
    tokens = [accounts.begin_session(project, person) for _ in range(3)]

    def count() -> int:
        with project.database.read() as connection:
            return sum(accounts.find_session(connection, token) is not None for token in tokens)

    assert count() == 0  # who has no password yet is not signed in
    change(project, schema.annotators, schema.annotators.c.id == person, state="active")
    assert count() == 3
    accounts.end_session(project, tokens[0])
    assert count() == 2
    which = schema.sessions.c.token_hash == accounts._hash(tokens[1])
    change(project, schema.sessions, which, expires=ago(seconds=1))
    assert count() == 1
    accounts.revoke(project, person)
    assert count() == 0
    assert accounts.begin_sign_in(project, "Ada", "here") is None
    assert accounts.resume(project, person).state == "invited"


def test_the_last_owner_stays(project: Project) -> None:
    first = accounts.invite(project, "Ada", "owner").person.id
    annotator = accounts.invite(project, "Bo").person.id
    for remove in (
        lambda: accounts.revoke(project, first),
        lambda: accounts.change_role(project, first, "annotator"),
    ):
        with pytest.raises(ConflictError, match="last owner"):
            remove()
    second = accounts.change_role(project, annotator, "owner")
    assert second.role == "owner"
    assert accounts.change_role(project, first, "reviewer").role == "reviewer"
    with pytest.raises(ConflictError):
        accounts.revoke(project, annotator)
    assert accounts.revoke(project, first).state == "revoked"


def test_every_change_of_people_is_an_event(sqlite_project: Project) -> None:
    root = accounts.invite(sqlite_project, "Root", "owner", by="command line")
    person = accounts.invite(sqlite_project, "Ada", by=root.person.pseudonym).person
    accounts.change_role(sqlite_project, person.id, "reviewer", by="x")
    accounts.revoke(sqlite_project, person.id, by="x")
    accounts.resume(sqlite_project, person.id, by="x")
    accounts.renew_link(sqlite_project, person.id, by="x")
    found = [(event["kind"], event["subject"]) for event in sqlite_project.events()]
    mine = person.pseudonym
    assert found == [
        ("new", "faces"),
        ("invite", root.person.pseudonym),
        *[(kind, mine) for kind in ("invite", "role", "revoke", "resume", "invitation")],
    ]
    assert "Ada" not in str(sqlite_project.events())


def test_roles_include_each_other(sqlite_project: Project) -> None:
    people = {role: accounts.invite(sqlite_project, role, role).person for role in accounts.ROLES}
    allowed = {
        (has, asks): people[has].may(asks) for has in accounts.ROLES for asks in accounts.ROLES
    }
    assert [pair for pair, may in allowed.items() if not may] == [
        ("annotator", "reviewer"),
        ("annotator", "owner"),
        ("reviewer", "owner"),
    ]


def test_who_works_without_accounts_may_do_all_until_there_is_one(sqlite_project: Project) -> None:
    local = accounts.find_local(sqlite_project)
    assert local == accounts.find_local(sqlite_project)
    assert all(local.may(role) for role in accounts.ROLES)
    assert accounts.list_people(sqlite_project) == []
    accounts.invite(sqlite_project, "Ada", "owner")
    with pytest.raises(InputError, match="accounts"):
        accounts.find_local(sqlite_project)


def test_a_person_is_found_by_number_and_pseudo_annotators_are_none(
    sqlite_project: Project,
) -> None:
    with sqlite_project.database.write() as connection:
        values = {"name": "import:x", "pseudonym": "import:x", "role": "import", "state": "active"}
        at = datetime.datetime.now(datetime.UTC)
        connection.execute(sa.insert(schema.annotators).values(**values, at=at))
        number = connection.execute(sa.select(schema.annotators.c.id)).scalar_one()
    with pytest.raises(NotFoundError):
        person_of(sqlite_project, number)
    with pytest.raises(NotFoundError):
        accounts.revoke(sqlite_project, number + 1)
