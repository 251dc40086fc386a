"""The routes of the annotation application: who may ask what, and what becomes of bad requests."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from PIL import Image

from annotation_builders import ago, change, uuid7
from openaffect.annotation.batches import make_batch
from openaffect.collection import add_dataset
from openaffect.dataset import Dataset
from openaffect.errors import InputError
from openaffect.project import Project, accounts, counters, create_project, schema
from openaffect.project.project import change_settings
from openaffect.web.annotation.app import make_app
from openaffect.web.annotation.service import Service, name_cookie
from openaffect.web.annotation.serving import serve_project
from openaffect.web.annotation.texts import instructions_version

PASSWORD = "correct horse battery"


@pytest.fixture
def filled(tmp_path: Path, drawn: Dataset) -> Iterator[Project]:
    """Eight faces with pictures, in a batch that two people label."""
    with create_project(tmp_path / "faces") as project:
        add_dataset(project, drawn)
        make_batch(project, "all", overlap=2, overlap_share=1.0)
        yield project


@pytest.fixture
def local(filled: Project) -> Iterator[TestClient]:
    """Without accounts; the instructions were read."""
    with TestClient(make_app(filled, without_accounts=True)) as client:
        client.post("/v1/me/instructions", json={"version": instructions_version()})
        yield client


class People:
    """Clients of an application with accounts, by name."""

    def __init__(self, project: Project, **more: Any) -> None:
        self.project = project
        self.app = make_app(project, without_accounts=False, **more)

    def __call__(self, name: str, role: str = "annotator") -> TestClient:
        """Somebody who is signed in and has read the instructions."""
        link = accounts.invite(self.project, name, role)
        token = accounts.use_link(self.project, link.token, "no hash")
        accounts.change_preferences(
            self.project, link.person.id, instructions=instructions_version()
        )
        client = TestClient(self.app)
        client.cookies.set(name_cookie(self.project), token)
        return client


def service_of(client: TestClient) -> Service:
    app: Any = client.app
    found: Service = app.state.service
    return found


@pytest.fixture
def people(filled: Project) -> People:
    return People(filled)


def next_faces(client: TestClient, held: list[int] | None = None) -> list[dict[str, Any]]:
    answer = client.post("/v1/faces/next", json={"held": held or []})
    assert answer.status_code == 200, answer.text
    return answer.json()["faces"]


def say(client: TestClient, number: int, **more: Any):
    body = {"id": uuid7(), "assignment": number, "expression": "happy"} | more
    return client.post("/v1/annotations", json=body)


def problem(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


# ---- work -----------------------------------------------------------------------------------


def test_one_person_labels_all_faces(local: TestClient) -> None:
    me = local.get("/v1/me").json()
    assert (me["mode"], me["role"], me["instructions"]["read"]) == ("local", "owner", True)
    assert me["regions"]["happy"] == [0.0, 1.0, -0.2, 0.5]
    faces = next_faces(local)
    assert len(faces) == 5
    seen = []
    while faces:
        face = faces.pop(0)
        held = [one["assignment"] for one in faces]
        answer = say(local, face["assignment"], valence=0.5, arousal=0.0, held=held).json()
        assert (answer["stored"], answer["late"], answer["outside_region"]) == (True, False, False)
        seen.append(face["assignment"])
        faces += answer["faces"]
    assert len(set(seen)) == 8
    assert answer["reason"] == "done"
    assert answer["counts"]["work"] == 8
    assert local.get("/v1/dashboard").json()["answers"] == {"wanted": 16, "done": 8, "left": 8}


def test_a_face_does_not_say_what_it_is_called(local: TestClient, filled: Project) -> None:
    with filled.database.read() as connection:
        names = connection.execute(sa.select(schema.faces.c.face_id)).scalars().all()
    text = local.post("/v1/faces/next", json={}).text
    assert len(names) == 8
    assert not any(name in text for name in names)
    assert "intended" not in text


def test_pictures_are_jpeg_of_a_bounded_size_that_nobody_keeps(local: TestClient) -> None:
    face = next_faces(local)[0]
    sizes = []
    for name in ("face_url", "photo_url"):
        answer = local.get(face[name])
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "private, no-store"
        sizes.append(Image.open(io.BytesIO(answer.content)).size)
    assert sizes[0][0] == sizes[0][1] <= 512
    assert sizes[1] == (128, 128)
    assert len(face["landmarks"]) == 68
    assert all(-0.5 < x < 1.5 and -0.5 < y < 1.5 for x, y in face["landmarks"])


def test_undo_gives_the_face_with_its_answer(local: TestClient) -> None:
    face = next_faces(local)[0]
    more = {"valence": 0.25, "arousal": -0.125, "comment": "<b>hat</b>", "flag": True}
    name = say(local, face["assignment"], **more).json()["id"]
    undone = local.post("/v1/undo", json={"id": uuid7(), "annotation": name}).json()
    assert undone["face"]["assignment"] == face["assignment"]
    assert undone["face"]["previous"] == {"expression": "happy", "occluded": False, **more}
    assert undone["counts"]["work"] == 0
    listed = local.get("/v1/annotations").json()["annotations"]
    assert [(one["id"], one["undone"]) for one in listed] == [(name, True)]


def test_gold_and_repeats_look_like_work(local: TestClient) -> None:
    local.post("/v1/gold", json={"source": "csv", "csv": "face_id,expression\n"})
    service = service_of(local)
    project = change_settings(service.project, {"quality.gold_share": 1.0})
    with project.database.read() as connection:
        rows = connection.execute(sa.select(schema.faces.c.face_id)).scalars().all()
    csv = "face_id,expression\n" + "".join(f"{name},happy\n" for name in rows)
    assert local.post("/v1/gold", json={"source": "csv", "csv": csv}).json()["added"] == 8
    faces = next_faces(local)
    with project.database.read() as connection:
        kinds = connection.execute(sa.select(schema.assignments.c.kind)).scalars().all()
    assert kinds == ["gold"] * 5
    assert {one["kind"] for one in faces} == {"work"}
    answer = say(local, faces[0]["assignment"], expression="sad").json()
    assert answer["feedback"] is None


def test_a_training_round_with_feedback_over_http(local: TestClient) -> None:
    service = service_of(local)
    with service.project.database.read() as connection:
        names = connection.execute(sa.select(schema.faces.c.face_id)).scalars().all()
    csv = "face_id,expression,valence,arousal\n" + "".join(f"{n},sad,-0.5,-0.2\n" for n in names)
    refused = local.patch("/v1/settings", json={"quality.training_rounds": 1})
    assert problem(refused) == (422, "unprocessable")
    local.post("/v1/gold", json={"source": "csv", "csv": csv})
    keys = {"quality.training_rounds": 1, "quality.training_faces": 4, "quality.training_pass": 0.5}
    assert local.patch("/v1/settings", json=keys).status_code == 200
    for right, passed in ((1, False), (2, True)):
        faces = next_faces(local)
        assert len(faces) == 4
        assert {one["kind"] for one in faces} == {"training"}
        for number, face in enumerate(faces):
            answer = say(local, face["assignment"], expression="sad" if number < right else "fear")
            expected = {"expression": "sad", "valence": -0.5, "arousal": -0.2}
            assert answer.json()["feedback"] == {"correct": number < right, **expected}
        state = answer.json()
        assert state["training"]["failed"] is not passed
        assert state["training"]["passed"] is passed
        assert state["reason"] == (None if passed else "training_failed")
        if not passed:
            assert local.post("/v1/me/training", json={}).status_code == 200
    assert {one["kind"] for one in state["faces"]} == {"work"}


# ---- who may --------------------------------------------------------------------------------

ANNOTATOR = ("/v1/me", "/v1/annotations")
REVIEWER = ("/v1/review", "/v1/review/1/face.jpg")
OWNER = ("/v1/dashboard", "/v1/people", "/v1/batches", "/v1/gold", "/v1/settings", "/v1/events")


def test_what_each_role_may_see(people: People) -> None:
    root = people("Root", "owner")
    clients = {"reviewer": people("Rev", "reviewer"), "annotator": people("Ann")}
    for path in (*ANNOTATOR, *REVIEWER, *OWNER, "/metrics"):
        assert root.get(path).status_code == 200, path
        assert problem(TestClient(people.app).get(path)) == (401, "unauthorized"), path
        for role, client in clients.items():
            may = path in ANNOTATOR or (role == "reviewer" and path in REVIEWER)
            assert client.get(path).status_code == (200 if may else 403), (role, path)


def test_every_route_that_changes_something_asks_who_it_is(people: People) -> None:
    routes = [
        (method.upper(), re.sub(r"\{\w+\}", "1", path))
        for path, methods in people.app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/v1/") and not path.startswith(("/v1/texts", "/v1/link", "/v1/session"))
    ]
    assert len(routes) > 25
    for method, path in routes:
        answer = TestClient(people.app).request(method, path, json={} if method != "GET" else None)
        assert answer.status_code in (401, 422), (method, path)  # a body is looked at first
        if answer.status_code == 422:
            assert "required" in answer.text or "dictionary" in answer.text, (method, path)


def test_nobody_reaches_the_faces_of_somebody_else(people: People) -> None:
    people("Root", "owner")
    ada, bo = people("Ada"), people("Bo")
    mine = next_faces(ada)[0]
    number = mine["assignment"]
    assert problem(bo.get(mine["face_url"])) == (404, "not_found")
    assert problem(bo.get(mine["photo_url"])) == (404, "not_found")
    assert problem(say(bo, number)) == (404, "not_found")
    assert problem(bo.post("/v1/faces/skip", json={"assignment": number})) == (404, "not_found")
    name = say(ada, number).json()["id"]
    undo = {"id": uuid7(), "annotation": name}
    assert problem(bo.post("/v1/undo", json=undo)) == (404, "not_found")
    assert problem(say(bo, number, id=name)) == (409, "conflict")
    assert bo.get("/v1/annotations").json()["annotations"] == []
    held = bo.post("/v1/faces/next", json={"held": [number]})
    assert number not in [one["assignment"] for one in held.json()["faces"]]


def test_a_picture_can_be_seen_for_a_day_after_the_answer(people: People) -> None:
    ada = people("Ada")
    face = next_faces(ada)[0]
    say(ada, face["assignment"])
    assert ada.get(face["face_url"]).status_code == 200
    which = schema.assignments.c.id == face["assignment"]
    change(people.project, schema.assignments, which, answered=ago(hours=24, seconds=1))
    assert problem(ada.get(face["face_url"])) == (404, "not_found")
    other = next_faces(ada)[0]
    ada.post("/v1/faces/skip", json={"assignment": other["assignment"]})
    assert problem(ada.get(other["face_url"])) == (404, "not_found")


@pytest.mark.parametrize(
    "path", ["..", "1/../2", "%2e%2e", "1e3", "-1", "99999999999999999999", "1%00"]
)
def test_tricks_in_the_addresses_of_pictures(local: TestClient, path: str) -> None:
    answer = local.get(f"/v1/faces/{path}/face.jpg")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/json"


def test_an_image_that_is_gone_is_told(local: TestClient, filled: Project) -> None:
    face = next_faces(local)[0]
    stored = list(filled.store.iterate())
    assert len(stored) == 8
    for sha256, suffix in stored:
        filled.store.delete(sha256, suffix)
    assert problem(local.get(face["face_url"])) == (404, "not_found")


# ---- signing in -----------------------------------------------------------------------------


def test_from_a_link_to_a_session_and_out_again(people: People) -> None:
    root = people("Root", "owner")
    link = root.post("/v1/people", json={"name": "Ada", "role": "annotator"}).json()
    token = link["link"].removeprefix("#link=")
    client = TestClient(people.app)
    assert client.post("/v1/link", json={"token": token}).json() == {
        "kind": "invitation",
        "project": "faces",
        "name": "Ada",
        "role": "annotator",
    }
    short = client.post("/v1/link/use", json={"token": token, "password": "short"})
    assert problem(short) == (422, "unprocessable")
    used = client.post("/v1/link/use", json={"token": token, "password": PASSWORD})
    assert (used.status_code, used.json()["name"]) == (200, "Ada")
    cookie = used.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/"))
    again = client.post("/v1/link/use", json={"token": token, "password": PASSWORD})
    assert problem(again) == (404, "not_found")
    assert client.request("DELETE", "/v1/session", json={}).status_code == 200
    assert problem(client.get("/v1/me")) == (401, "unauthorized")
    wrong = client.post("/v1/session", json={"name": "Ada", "password": "a wrong password"})
    assert problem(wrong) == (401, "unauthorized")
    nobody = client.post("/v1/session", json={"name": "Nobody", "password": PASSWORD})
    assert nobody.json() == wrong.json()  # which of the two was wrong is not said
    assert (
        client.post("/v1/session", json={"name": " Ada ", "password": PASSWORD}).status_code == 200
    )
    change_ = client.post("/v1/me/password", json={"old": "not mine at all", "new": PASSWORD[::-1]})
    assert problem(change_) == (401, "unauthorized")
    done = client.post("/v1/me/password", json={"old": PASSWORD, "new": PASSWORD[::-1]})
    assert done.status_code == 200
    assert client.get("/v1/me").status_code == 200


def test_many_wrong_passwords_have_to_wait(people: People) -> None:
    people("Root", "owner")
    accounts.use_link(
        people.project,
        accounts.invite(people.project, "Ada").token,
        accounts.hash_password(PASSWORD),
    )
    client = TestClient(people.app)
    wrong = {"name": "Ada", "password": "a wrong password"}
    found = [problem(client.post("/v1/session", json=wrong)) for _ in range(6)]
    assert found == [(401, "unauthorized")] * 5 + [(429, "too_many_attempts")]
    right = client.post("/v1/session", json={"name": "Ada", "password": PASSWORD})
    assert right.status_code == 429
    assert 1 <= int(right.headers["retry-after"]) <= 2


@pytest.mark.parametrize("token", ["", "x", "é", "a" * 900, "'; --"])
def test_forged_sessions_and_links(people: People, token: str) -> None:
    people("Root", "owner")
    client = TestClient(people.app)
    client.cookies.set(name_cookie(people.project), token.encode("ascii", "ignore").decode())
    assert problem(client.get("/v1/me")) == (401, "unauthorized")
    assert problem(client.post("/v1/link", json={"token": token})) == (404, "not_found")


def test_a_revoked_person_is_out_at_once(people: People) -> None:
    root, ada = people("Root", "owner"), people("Ada")
    number = root.get("/v1/people").json()["people"][1]["id"]
    face = next_faces(ada)[0]
    assert (
        root.patch(f"/v1/people/{number}", json={"state": "revoked"}).json()["state"] == "revoked"
    )
    assert problem(ada.get("/v1/me")) == (401, "unauthorized")
    assert problem(ada.get(face["face_url"])) == (401, "unauthorized")
    mine = root.get("/v1/people").json()["people"][0]["id"]
    for body in ({"state": "revoked"}, {"role": "annotator"}):
        assert problem(root.patch(f"/v1/people/{mine}", json=body)) == (409, "conflict")
    gone = root.post(f"/v1/people/{mine}/withdraw", json={"rows": "void"})
    assert problem(gone) == (409, "conflict")


def test_two_projects_of_one_host_do_not_sign_each_other_out(
    people: People, tmp_path: Path, drawn: Dataset
) -> None:
    """A browser sends the cookies of one port to the other."""
    with create_project(tmp_path / "others") as other:
        ada, bo = people("Ada"), People(other)("Bo")
        for name, token in bo.cookies.items():
            ada.cookies.set(name, token)
        for client in (bo, ada):
            client.cookies = ada.cookies
        assert ada.get("/v1/me").json()["name"] == "Ada"
        assert bo.get("/v1/me").json()["name"] == "Bo"
        assert bo.request("DELETE", "/v1/session", json={}).status_code == 200
        assert ada.get("/v1/me").json()["name"] == "Ada"


# ---- without accounts -----------------------------------------------------------------------


def test_without_accounts_a_forwarded_request_is_refused(local: TestClient) -> None:
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto"):
        assert problem(local.get("/v1/me", headers={name: "1.2.3.4"})) == (403, "forbidden")
    for method, path in (("GET", "/v1/people"), ("POST", "/v1/session"), ("POST", "/v1/link")):
        body = {"name": "a", "password": "b", "token": "c"}
        names = {"/v1/session": ("name", "password"), "/v1/link": ("token",)}.get(path, ())
        answer = local.request(method, path, json={name: body[name] for name in names} or None)
        assert problem(answer) == (403, "forbidden"), path


def test_an_account_ends_the_work_without_accounts(local: TestClient, filled: Project) -> None:
    accounts.invite(filled, "Ada", "owner")
    assert problem(local.get("/v1/me")) == (401, "unauthorized")
    with pytest.raises(InputError, match="accounts"):
        make_app(filled, without_accounts=True)


@pytest.mark.parametrize(
    "more",
    [
        {"host": "0.0.0.0"},
        {"origin": "https://lab.example"},
        {"proxies": ("127.0.0.1",)},
        {"root_path": "/faces"},
    ],
)
def test_without_accounts_nobody_else_may_reach_the_server(
    filled: Project, more: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="--owner"):
        serve_project(filled, port=0, **more)


@pytest.mark.parametrize(
    "more", [{"origin": "lab"}, {"proxies": ("nginx",)}, {"root_path": "faces"}, {"owner": " "}]
)
def test_options_that_cannot_be(filled: Project, more: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        serve_project(filled, port=0, **more)
    assert accounts.list_people(filled) == []


# ---- bad requests ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"expression": "joy"}, 422),
        ({"valence": 0.9, "arousal": 0.9}, 422),
        ({"valence": 2, "arousal": 0}, 422),
        ({"valence": 0.5}, 422),
        ({"expression": "uncertain", "valence": 0.1, "arousal": 0.1}, 422),
        ({"comment": "x" * 2_001}, 422),
        ({"comment": "x" * 1_000_000}, 413),
        ({"seconds": -1}, 422),
        ({"id": "1"}, 422),
        ({"assignment": "1"}, 422),
        ({"assignment": 2**63}, 422),
        ({"held": [2**63]}, 422),
        ({"flag": "yes"}, 422),
        ({"misspelled": 1}, 422),
    ],
)
def test_answers_that_are_refused(local: TestClient, body: dict[str, Any], status: int) -> None:
    face = next_faces(local)[0]
    answer = say(local, face["assignment"], **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]
    assert local.get("/v1/annotations").json()["annotations"] == []


def test_marks_in_comments_and_names_are_kept_as_text(people: People) -> None:
    root, ada = people("Root", "owner"), people("Ada")
    face = next_faces(ada)[0]
    text = "<img src=x onerror=alert(1)> \u202egnp.exe \U0001f600"
    say(ada, face["assignment"], comment=text, flag=True)
    [item] = root.get("/v1/review").json()["items"]
    assert [one["comment"] for one in item["annotations"] if one["kind"] == "work"] == [text]
    assert problem(root.post("/v1/people", json={"name": "\u202eadA"})) == (422, "unprocessable")
    named = root.post("/v1/people", json={"name": "<b>Bo</b>"})
    assert named.status_code == 200


def test_only_json_of_the_own_page(local: TestClient) -> None:
    form = local.post("/v1/faces/next", content="held=", headers={"content-type": "text/plain"})
    assert problem(form) == (415, "wrong_type")
    assert problem(local.post("/v1/faces/next")) == (415, "wrong_type")
    foreign = {"origin": "https://evil.example"}
    assert problem(local.post("/v1/faces/next", json={}, headers=foreign)) == (403, "forbidden")
    site = {"sec-fetch-site": "same-site"}
    assert problem(local.post("/v1/faces/next", json={}, headers=site)) == (403, "forbidden")
    assert problem(local.get("/v1/me", headers={"sec-fetch-site": "cross-site"})) == (
        403,
        "forbidden",
    )
    for page in ("/", "/review", "/manage"):
        assert local.get(page, headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_a_read_never_writes(local: TestClient, filled: Project) -> None:
    next_faces(local)

    def snapshot() -> list[Any]:
        with filled.database.read() as connection:
            return [connection.execute(sa.select(t)).all() for t in schema.metadata.sorted_tables]

    before = snapshot()
    paths = [
        re.sub(r"\{\w+\}", "1", path)
        for path, methods in make_app(filled, without_accounts=True).openapi()["paths"].items()
        if "get" in methods
    ]
    assert len(paths) > 15
    for path in paths:
        local.get(path)
    assert snapshot() == before


def test_a_locked_database_and_a_full_disk_are_told(
    local: TestClient, filled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = next_faces(local)[0]
    with filled.database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    # One connection of the pool may grow no more: the disk is full for it.
    filled.database.engine.dispose()

    @sa.event.listens_for(filled.database.engine, "connect")
    def limit(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    answer = say(local, face["assignment"], comment="x" * 2_000)
    for _ in range(8):  # until a page more is needed
        if answer.status_code != 200:
            break
        answer = say(local, next_faces(local)[0]["assignment"], comment="x" * 2_000)
    assert problem(answer) == (503, "database_full")
    assert "retry-after" in answer.headers
    assert str(filled.path) not in answer.text


# ---- owners and reviewers -------------------------------------------------------------------


def test_reviewers_settle_dismiss_and_send_back(people: People) -> None:
    root = people("Root", "owner")
    ada, bo = people("Ada"), people("Bo")
    for client, expression in ((ada, "happy"), (bo, "sad")):
        while faces := next_faces(client):
            for face in faces:
                say(client, face["assignment"], expression=expression)
    first = root.get("/v1/review?limit=3").json()
    assert (len(first["items"]), first["left"]) == (3, 8)
    numbers = [one["face"] for one in first["items"]]
    answer = {"id": uuid7(), "expression": "fear", "valence": -0.1, "arousal": 0.5, "gold": True}
    assert root.post(f"/v1/review/{numbers[0]}/settle", json=answer).json() == {"left": 7}
    assert root.post(f"/v1/review/{numbers[1]}/dismiss", json={}).json() == {"left": 6}
    [mine] = [
        one["id"]
        for one in first["items"][2]["annotations"]
        if one["expression"] == "happy" and one["kind"] == "work"
    ]
    note = {"annotation": mine, "note": "Look again."}
    assert root.post(f"/v1/review/{numbers[2]}/return", json=note).json() == {"left": 5}
    [again] = next_faces(ada)
    assert (again["note"], again["previous"]["expression"]) == ("Look again.", "happy")
    assert say(ada, again["assignment"], expression="sad").status_code == 200
    rest = root.get(f"/v1/review?after={numbers[2]}").json()
    assert [one["face"] for one in rest["items"]] == sorted(one["face"] for one in rest["items"])
    assert len(rest["items"]) == 5
    assert root.get("/v1/gold").json()["by_expression"] == {"fear": 1}
    assert root.get(f"/v1/review/{numbers[0]}/face.jpg").status_code == 200


def test_an_owner_runs_the_work(people: People) -> None:
    root = people("Root", "owner")
    people("Ada")
    batches = root.get("/v1/batches").json()
    assert batches["without"] == 0
    assert [one["name"] for one in batches["batches"]] == ["all"]
    closed = root.patch("/v1/batches/all", json={"state": "closed"}).json()
    assert closed["state"] == "closed"
    assert problem(root.patch("/v1/batches/none", json={"state": "open"})) == (404, "not_found")
    assert problem(root.patch("/v1/batches/all", json={"state": "x"})) == (422, "unprocessable")
    empty = {"name": "more", "plan": True}
    assert problem(root.post("/v1/batches", json=empty)) == (422, "unprocessable")
    settings = root.patch("/v1/settings", json={"annotation.region_shown": True}).json()["settings"]
    assert {one["key"]: one["value"] for one in settings}["annotation.region_shown"] is True
    assert root.get("/v1/me").json()["region_shown"] is True
    assert "region_shown = true" in (people.project.path / "project.toml").read_text()
    events = root.get("/v1/events?limit=2").json()["events"]
    assert [one["kind"] for one in events] == ["setting", "batch"]
    older = root.get(f"/v1/events?before={events[-1]['id']}").json()["events"]
    assert older[-1]["kind"] == "new"


@pytest.mark.parametrize(
    "body",
    [
        {"annotation.overlap": 10**23},
        {"annotation.lease_minutes": 10**15},
        {"annotation.lease_minutes": 0},
        {"quality": {"training_rounds": 3}},
        {"quality.training_rounds": 3},  # without gold
        {"\ud800": 1},
        {"annotation.overlap": "\ud800"},
        {"database": "x"},
    ],
)
def test_settings_that_are_refused(local: TestClient, body: dict[str, Any]) -> None:
    before = local.get("/v1/settings").json()
    text = json.dumps(body)
    answer = local.patch("/v1/settings", content=text, headers={"content-type": "application/json"})
    assert problem(answer) == (422, "unprocessable")
    assert local.get("/v1/settings").json() == before
    assert local.post("/v1/faces/next", json={}).status_code == 200


def test_a_text_with_nul_is_refused(people: People) -> None:
    root = people("Root", "owner")
    assert root.get("/v1/annotations?before=%00").status_code == 422
    assert root.patch("/v1/batches/%00", json={"state": "open"}).status_code == 422
    for path, body in (
        ("/v1/session", {"name": "a\0", "password": "x" * 12}),
        ("/v1/undo", {"id": uuid7(), "annotation": "\0"}),
        ("/v1/batches", {"name": "x", "filter": {"query": "\0"}}),
        ("/v1/gold", {"source": "csv", "csv": "face_id,expression\n\0,happy\n"}),
        ("/v1/people", {"name": "a\0"}),
    ):
        assert root.post(path, json=body).status_code == 422, path


def test_how_many_are_left_does_not_tell_gold_from_work(local: TestClient) -> None:
    service = service_of(local)
    with service.project.database.read() as connection:
        names = connection.execute(sa.select(schema.faces.c.face_id)).scalars().all()
    csv = "face_id,expression\n" + "".join(f"{name},happy\n" for name in names)
    assert local.post("/v1/gold", json={"source": "csv", "csv": csv}).json()["added"] == 8
    change_settings(service.project, {"quality.gold_share": 0.0})
    assert len(next_faces(local)) == 5
    change_settings(service.project, {"quality.gold_share": 1.0})
    lefts = [say(local, next_faces(local)[0]["assignment"]).json()["left"] for _ in range(8)]
    with service.project.database.read() as connection:
        kinds = Counter(connection.execute(sa.select(schema.assignments.c.kind)).scalars())
    assert kinds == {"work": 5, "gold": 3}
    assert [a - b for a, b in itertools.pairwise(lefts)] == [1] * 7


def test_how_many_are_left_is_the_same_for_every_process(filled: Project) -> None:
    """Two applications of a project know of each other what two processes do."""
    with (
        TestClient(make_app(filled, without_accounts=True)) as first,
        TestClient(make_app(filled, without_accounts=True)) as second,
    ):
        first.post("/v1/me/instructions", json={"version": instructions_version()})
        change_settings(filled, {"quality.gold_share": 0.0, "quality.repeat_share": 0.0})
        faces = [one["assignment"] for one in next_faces(first)]
        lefts = []
        with filled.database.write() as connection:  # somebody else answers, which is not shown now
            counters.add(connection, {"answers.done": 3})
        for number, client in zip(faces, (first, second, second, first, second), strict=True):
            lefts.append(say(client, number, held=faces).json()["left"])
        assert lefts == [15, 14, 13, 12, 11]
        change(filled, schema.annotators, schema.annotators.c.role == "local", numbers=None)
        assert first.post("/v1/faces/next", json={"held": []}).json()["left"] == 16 - 5 - 3


def test_a_setting_that_is_edited_by_hand_holds_at_once(local: TestClient, filled: Project) -> None:
    toml = filled.path / "project.toml"
    text = toml.read_text()
    assert local.get("/v1/me").json()["break_minutes"] == 45
    toml.write_text(text.replace("break_minutes = 45", "break_minutes = 30"))
    assert local.get("/v1/me").json()["break_minutes"] == 30
    toml.write_text("break_minutes = ")  # while an editor writes it, say
    assert local.get("/v1/me").json()["break_minutes"] == 30
    toml.write_text(text)
    assert local.get("/v1/me").json()["break_minutes"] == 45


def test_consent_that_is_withdrawn_over_http(people: People) -> None:
    root, ada = people("Root", "owner"), people("Ada")
    for face in next_faces(ada):
        say(ada, face["assignment"])
    number = root.get("/v1/people").json()["people"][1]["id"]
    done = root.post(f"/v1/people/{number}/withdraw", json={"rows": "void"})
    assert done.json() == {"voided": 5, "purged": True, "datasets": []}
    assert root.get("/v1/dashboard").json()["answers"]["done"] == 0
    assert "Ada" not in root.get("/v1/people").text
