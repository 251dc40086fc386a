"""Simulated annotators who label FER+ through the HTTP interface, each with votes that people gave."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from annotation_builders import add_faces, uuid7
from openaffect.annotation.batches import make_batch
from openaffect.formats import import_dataset
from openaffect.labels import EXPRESSIONS
from openaffect.project import Project, accounts, gold, schema
from openaffect.project.project import change_settings
from openaffect.web.annotation.app import make_app
from openaffect.web.annotation.service import name_cookie
from openaffect.web.annotation.texts import instructions_version
from web_builders import running

SWAPPED = {"happy": "sad", "sad": "happy"}
HONEST = tuple(f"honest {n}" for n in range(12))
SPAMMER, SWAPPER = "spammer", "swapper"


def read_votes(archive: Path, folder: Path) -> NDArray[np.int64]:
    """The votes of FER+'s faces of train and validation, (n, 11)."""
    dataset, _ = import_dataset("ferplus", archive, folder / "ferplus")
    column = dataset.faces["votes"].combine_chunks()
    return np.asarray(column.flatten()).reshape(-1, len(EXPRESSIONS)).astype(np.int64)


@dataclass
class Crowd:
    """People who label the faces of a project over HTTP.

    Attributes:
        project: with a batch of as many faces as there are rows of votes.
        votes: of each face, (n, 11).
        seed: of every choice.
        said: expressions by person and face number.
        stopped: what each person was told in the end: done, paused, training_failed.
    """

    project: Project
    votes: NDArray[np.int64]
    seed: int
    said: dict[str, dict[int, str]] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._left = [_shuffled(row, self._chance) for row in self.votes]

    def label(self, names: Iterable[str], most: int | None = None) -> None:
        """Let people work, one answer each in turn, until nothing is left or each has given so many."""
        tokens = {name: self._invite(name) for name in names}
        app = make_app(self.project, without_accounts=False)
        with running(app) as port:
            base = f"http://127.0.0.1:{port}"
            working = [
                _Worker(
                    self, name, httpx.Client(base_url=base, cookies=cookies(self.project, token))
                )
                for name, token in tokens.items()
            ]
            for _ in range(most or 10**9):
                working = [one for one in working if one.answer()]
                if not working:
                    break
            for one in working:
                one.client.close()

    def choose(self, name: str, face: int) -> str:
        """What a person says of a face."""
        if name == SPAMMER:
            return str(self._chance.choice(EXPRESSIONS))
        left = self._left[face]
        vote = (
            left.pop()
            if left
            else str(self._chance.choice(_shuffled(self.votes[face], self._chance)))
        )
        return SWAPPED.get(vote, vote) if name == SWAPPER else vote

    def _invite(self, name: str) -> str:
        link = accounts.invite(self.project, name, simulated=True)
        token = accounts.use_link(self.project, link.token, "no password")
        person = link.person.id
        accounts.change_preferences(self.project, person, instructions=instructions_version())
        self.said[name] = {}
        return token


@dataclass
class _Worker:
    crowd: Crowd
    name: str
    client: httpx.Client
    faces: list[int] = field(default_factory=list)

    def answer(self) -> bool:
        """Answer the next face; False where there is none."""
        if not self.faces and not self._take(self._post("/v1/faces/next", {"held": []})):
            self.client.close()
            return False
        number = self.faces.pop(0)
        face = _face_of(self.crowd.project, number)
        expression = self.crowd.choose(self.name, face - 1)
        self.crowd.said[self.name].setdefault(face, expression)
        body = {"id": uuid7(), "assignment": number, "expression": expression, "held": self.faces}
        self._take(self._post("/v1/annotations", body))
        return True

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self.client.post(path, json=body)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def _take(self, reply: dict[str, Any]) -> bool:
        self.faces += [one["assignment"] for one in reply["faces"]]
        if reply["reason"] is not None:
            self.crowd.stopped[self.name] = reply["reason"]
            if reply["reason"] in ("paused", "training_failed"):
                self.faces = []
        return bool(self.faces)


def cookies(project: Project, token: str) -> dict[str, str]:
    return {name_cookie(project): token}


def make_crowd(
    make_project: Callable[[], Project],
    votes: NDArray[np.int64],
    seed: int,
    *,
    overlap_share: float = 0.1,
    golden: int = 0,
    **settings: Any,
) -> Crowd:
    """A project whose faces have these votes, and nobody yet who labels them.

    Args:
        make_project: makes an empty one.
        votes: of each face, (n, 11).
        seed: of every choice.
        overlap_share: of the faces that two people label.
        golden: faces beyond the batch, the clearest ones, whose answer is known.
        settings: keys of project.toml, `_` for `.`.
    """
    project = make_project()
    named = {key.replace("_", ".", 1): value for key, value in settings.items()}
    usual = {"quality.gold_share": 0.0, "quality.repeat_share": 0.0}
    project = change_settings(project, usual | named)
    clear = np.argsort(-votes.max(axis=1), kind="stable")[:golden]
    order = np.concatenate([np.setdiff1d(np.arange(len(votes)), clear), clear])
    votes = votes[order]
    batch = len(votes) - golden
    numbers = add_faces(project, len(votes))
    assert numbers == list(range(1, len(votes) + 1))
    with project.database.write() as connection:
        chosen = [
            gold.GoldFace(f"face-{n:05}", str(EXPRESSIONS[votes[n].argmax()]))
            for n in range(batch, len(votes))
        ]
        gold.insert_gold(connection, chosen, "csv")
    make_batch(project, "all", overlap=2, overlap_share=overlap_share, seed=seed)
    return Crowd(project, votes, seed)


def expected_agreement(crowd: Crowd) -> tuple[float, float, int]:
    """What pairs of honest people agree on, on the faces that two of them labeled: the exact share of
    their own votes, its standard error, and the number of faces."""
    twice: dict[int, int] = {}
    for name in HONEST:
        for face in crowd.said.get(name, {}):
            twice[face] = twice.get(face, 0) + 1
    rows = crowd.votes[[face - 1 for face, count in twice.items() if count == 2]]
    m = rows.sum(axis=1)
    chance = (rows * (rows - 1)).sum(axis=1) / (m * (m - 1))
    return float(chance.mean()), float(np.sqrt((chance * (1 - chance)).sum()) / len(m)), len(m)


def _face_of(project: Project, assignment: int) -> int:
    with project.database.read() as connection:
        column = schema.assignments.c
        return int(
            connection.execute(
                sa.select(column.face_id).where(column.id == assignment)
            ).scalar_one()
        )


def _shuffled(row: NDArray[np.int64], chance: random.Random) -> list[str]:
    votes = [str(name) for name, count in zip(EXPRESSIONS, row, strict=True) for _ in range(count)]
    chance.shuffle(votes)
    return votes
