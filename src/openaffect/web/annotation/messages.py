"""What requests to the annotation application say; docs/annotating.md describes the answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from openaffect.project.answers import LONGEST_COMMENT, Answer

NO_NUL = r"^[^\x00]*$"
"""What a text looks like that PostgreSQL can hold."""

_Text = Annotated[str, Field(max_length=1_000, pattern=NO_NUL)]
_Unit = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
_Number = Annotated[int, Field(ge=0, le=2**53)]
_Held = Annotated[list[_Number], Field(max_length=100)]


class Message(BaseModel):
    """A body without keys that nobody reads: a misspelled one would do nothing in silence."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Message):
    """A request that says nothing but that it is made."""


class SignIn(Message):
    """Name and password."""

    name: _Text
    password: _Text


class Token(Message):
    """The token of a one-time link."""

    token: _Text


class UseLink(Token):
    """A password that was chosen by a link."""

    password: _Text
    language: _Text | None = None


class NewPassword(Message):
    """The password before and from now on."""

    old: _Text
    new: _Text


class Preferences(Message):
    """What a person chooses for themselves."""

    language: _Text | None = None
    keys: (
        dict[Annotated[str, Field(max_length=50)], Annotated[str, Field(max_length=50)]] | None
    ) = Field(None, max_length=100)
    auto_save: bool | None = None


class Version(Message):
    """Of the instructions that were read."""

    version: _Text


class Held(Message):
    """Assignments that the page has in memory."""

    held: _Held = []


class Skip(Held):
    """A face that is not answered."""

    assignment: _Number


class Said(Message):
    """What a person says of a face."""

    id: _Text
    expression: _Text
    valence: _Unit | None = None
    arousal: _Unit | None = None
    occluded: bool = False
    comment: str = Field("", max_length=LONGEST_COMMENT, pattern=NO_NUL)
    seconds: float | None = Field(None, ge=0, allow_inf_nan=False)


class NewAnswer(Said):
    """An answer to an assignment."""

    assignment: _Number
    flag: bool = False
    region_shown: bool = False
    prelabel_shown: bool = False
    held: _Held = []

    def to_answer(self) -> Answer:
        """The answer without what surrounds it."""
        return Answer(**self.model_dump(exclude={"assignment", "held"}))


class Undo(Held):
    """An own answer that is withdrawn; `id` is of the row that does it."""

    id: _Text
    annotation: _Text


class Settle(Said):
    """A reviewer's own answer."""

    gold: bool = False

    def to_answer(self) -> Answer:
        """The answer without what surrounds it."""
        return Answer(**self.model_dump(exclude={"gold"}))


class SendBack(Message):
    """An answer that its person shall think over."""

    annotation: _Text
    note: _Text


class Invite(Message):
    """A new person."""

    name: _Text
    role: _Text = "annotator"
    simulated: bool = False


class ChangePerson(Message):
    """Another role or state of a person."""

    role: _Text | None = None
    state: _Text | None = None


class Withdraw(Message):
    """What becomes of the answers of a person who has withdrawn."""

    rows: _Text


class Chosen(Message):
    """Which faces a batch takes."""

    intended: list[_Text] | None = None
    source: _Text | None = None
    query: _Text | None = None
    min_size: int | None = Field(None, ge=1, le=2**31)
    limit: int | None = Field(None, ge=1, le=2**53)


class NewBatch(Message):
    """A batch that is planned or made."""

    name: _Text
    filter: Chosen = Field(default_factory=lambda: Chosen.model_validate({}))
    overlap: int = Field(1, ge=1, le=1_000)
    overlap_share: float = Field(0.0, ge=0, le=1)
    people: list[_Number] | None = None
    plan: bool = False


class ChangeBatch(Message):
    """Another state of a batch, or other people."""

    state: _Text | None = None
    people: list[_Number] | None = None


class NewGold(Message):
    """Faces that become gold."""

    source: _Text
    csv: str | None = Field(None, pattern=NO_NUL)
