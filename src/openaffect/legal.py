"""What the law asks of who builds a database of faces: five texts that the software cannot write.

They stand under `[legal]` of `project.toml`; `freeze` copies them into `dataset.json`, and a release with
pictures needs all of them. docs/collecting.md says what they are about.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True)
class LegalFacts:
    """`[legal]`: what the operator must settle; a release with pictures needs all of it."""

    controller: Annotated[str, Meta(description="who decides on the processing of the data")] = ""
    purpose: Annotated[str, Meta(description="what for")] = ""
    legal_basis: Annotated[str, Meta(description="such as consent, or GDPR article 6(1)(e)")] = ""
    ethics_approval: Annotated[str, Meta(description="of which board, under which number")] = ""
    retention: Annotated[str, Meta(description="when the data will be deleted")] = ""


def list_missing_legal(facts: LegalFacts) -> tuple[str, ...]:
    """The keys of `[legal]` that say nothing, in their order."""
    said: dict[str, str] = dataclasses.asdict(facts)
    return tuple(name for name, text in said.items() if not text.strip())
