"""The card of a release: a head that Hugging Face reads, and a datasheet that says what is not known.

The questions follow "Datasheets for Datasets" (Gebru et al. 2021, doi:10.1145/3458723), in our words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from openaffect.dataset import Dataset
from openaffect.labels import EXPRESSIONS
from openaffect.legal import LegalFacts
from openaffect.publishing.layouts import load_layout
from openaffect.publishing.layouts.huggingface import configs
from openaffect.schemas import SPLITS

NOT_RECORDED = "*Not recorded.*"

FORBIDDEN = (
    "Inferring the emotions of people at work or in education is prohibited in the European Union but "
    "for medical or safety reasons (Regulation (EU) 2024/1689, article 5(1)(f)).",
    "Identifying people by their faces, or linking the pictures with other data about them.",
    "Decisions about a person: hiring, insurance, credit, policing, asylum.",
    "Reading a label as what a person felt: it says what others saw in a face.",
)
"""What must not be done with a release."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the pages of a release are about.

    Attributes:
        table: the faces.
        facts: of `release.json`.
        about: of `freeze.json`, {} where the dataset was not frozen from a project.
        contact: to whom a person turns, or "".
    """

    table: Dataset
    facts: dict[str, Any]
    about: dict[str, Any]
    contact: str

    def counts(self) -> list[tuple[str, list[int]]]:
        """Number of faces by expression, in each of the splits and in none."""
        found = self.table.class_counts()
        rows = []
        for name in (*map(str, EXPRESSIONS), None):
            numbers = [found.get((split, name), 0) for split in (*SPLITS, None)]
            if any(numbers):
                rows.append((name or "no expression", numbers))
        return rows

    def origins(self) -> dict[str, int]:
        """Number of faces by who gave the expression."""
        found: dict[str, int] = {}
        for origin in self.table.column("expression_origin").to_pylist():
            if origin is not None:
                found[origin] = found.get(origin, 0) + 1
        return dict(sorted(found.items()))

    @property
    def legal(self) -> LegalFacts:
        """What the project said under `[legal]`; empty texts where there was none."""
        return self.table.info.legal or LegalFacts()


def write_card(what: Subject) -> str:
    """The text of `README.md`."""
    facts = what.facts
    head = _head(what)
    parts = [f"---\n{head}---\n\n# {facts['name']} {facts['version']}\n\n{_summary(what)}\n"]
    if facts["private"]:
        parts.append(
            "**This release is private.** It holds pictures that may not be given on "
            f"({facts['because']}).\n"
        )
    parts += [_counts(what), _files(what), _datasheet(what), _not_to_do(what)]
    return "\n".join(parts)


def answer_legal(facts: LegalFacts) -> list[tuple[str, str]]:
    """The questions that `[legal]` of a project answers, and its answers; "" where it has none."""
    return [
        ("Who is responsible for the data?", facts.controller.strip()),
        ("For what purpose was it made?", facts.purpose.strip()),
        ("On which legal basis?", facts.legal_basis.strip()),
        ("Was there an ethical review?", facts.ethics_approval.strip()),
        ("How long is it kept?", facts.retention.strip()),
    ]


def license_of(what: Subject) -> tuple[str, str]:
    """The license of the pictures for Hugging Face's `license`, and its name: `other` for several."""
    licenses = what.facts["licenses"]
    only = next(iter(licenses)) if len(licenses) == 1 else None
    known = {"CC-PDM-1.0": "pddl"} | {
        name: name.lower()
        for name in (
            *("CC0-1.0", "MIT", "Apache-2.0"),
            *(f"CC-BY{more}-{v}" for more in ("", "-SA") for v in ("2.0", "2.5", "3.0", "4.0")),
            *(f"CC-BY-NC{more}-{v}" for more in ("", "-SA") for v in ("2.0", "3.0", "4.0")),
        )
    }
    if only in known and only != "CC-PDM-1.0":
        return known[only], only
    if licenses:
        return "other", ", ".join(sorted(licenses))
    return "other", "labels alone; pictures are fetched from their sources"


def _head(what: Subject) -> str:
    """The head in YAML; texts are JSON, which YAML reads."""
    identifier, name = license_of(what)
    origins = what.origins()
    annotators = [
        word
        for word, given in (
            ("crowdsourced", ("human", "simulated")),
            ("machine-generated", ("model", "derived", "synthetic")),
        )
        if any(origin in origins for origin in given)
    ]
    lines = [f"pretty_name: {json.dumps(what.facts['name'], ensure_ascii=False)}"]
    lines.append(f"license: {identifier}")
    if identifier == "other":
        lines.append(f"license_name: {json.dumps(name, ensure_ascii=False)}")
    lines += ["annotations_creators:", *(f"- {word}" for word in annotators or ["no-annotation"])]
    lines += ["task_categories:", "- image-classification"]
    lines += ["size_categories:", f"- {_size(what.facts['faces'])}"]
    lines += ["tags:", "- facial-expression", "- valence-arousal", "- not-for-all-audiences"][:3]
    text = "\n".join(lines) + "\n"
    if what.facts["layouts"].get("huggingface"):
        splits = [split for split in (*SPLITS, "unsplit") if _has(what, split)]
        return text + configs(splits, "huggingface/")
    return (
        text + "configs:\n- config_name: default\n  data_files:\n  - split: all_splits\n"
        "    path: table/faces.parquet\n"
    )


def _has(what: Subject, split: str) -> bool:
    # The layout holds what may be shown, the table everything.
    return split in what.facts.get("splits_shown", [])


def _size(n: int) -> str:
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    for most, text in (*steps, (1_000_000, "100K<n<1M")):
        if n < most:
            return text
    return "1M<n<10M"


def _summary(what: Subject) -> str:
    facts = what.facts
    shown = facts["pictures"]
    pictures = (
        "without pictures: `openaffect fetch` loads them from their sources"
        if not shown
        else f"{shown:,} of them with a picture"
    )
    return (
        f"{facts['faces']:,} faces with facial expression, valence and arousal, {pictures}. "
        "A label says which expression people, or a model, saw in a face; it does not say what the "
        "person felt."
    )


def _counts(what: Subject) -> str:
    rows = ["| expression | train | validation | test | no split |", "|---|---:|---:|---:|---:|"]
    for name, numbers in what.counts():
        rows.append(f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    origins = ", ".join(f"{name} {count:,}" for name, count in what.origins().items())
    return (
        "## Faces\n\n" + "\n".join(rows) + f"\n\nWho gave the expression: {origins or 'nobody'}.\n"
    )


def _files(what: Subject) -> str:
    rows = [
        "| place | is |",
        "|---|---|",
        "| `table/` | every face, without pictures: labels, boxes, addresses, hashes |",
    ]
    for name, count in what.facts["layouts"].items():
        rows.append(f"| `{name}/` | {load_layout(name).ABOUT}; {count:,} faces |")
    rows += [
        "| `id_map.csv` | where each face is in each layout, and where its crop was in its image |",
        "| `ATTRIBUTION.csv` | title, author, source and license of each image |",
        "| `withdrawn.csv` | what was taken out for ever, as hashes; delete it from your copies, too |",
        "| `CHANGES.csv` | what is not as in the release before |",
        "| `MANIFEST.sha256` | the hash of every file: `sha256sum -c MANIFEST.sha256` |",
    ]
    framing = (
        "whole photographs, which may show other people"
        if what.facts["whole_photographs"]
        else "the face with 15 % of the longer side of its box on each side; boxes and landmarks are in "
        "the pixels of the crop"
    )
    return "## Files\n\n" + "\n".join(rows) + f"\n\nPictures are {framing}.\n"


def _datasheet(what: Subject) -> str:
    about = what.about
    several = about.get("labeled_by_several")
    left = about.get("left_out")
    answers = (
        *answer_legal(what.legal),
        ("What is one row?", "One face, found in one image."),
        ("Where do the images come from?", _sources(what)),
        ("Did the people in the images agree?", ""),
        ("How were the faces labeled?", _labeling(about)),
        ("By how many people?", str(about["annotators"]) if about.get("annotators") else ""),
        (
            "How many faces did several people label?",
            f"{several:,}" if isinstance(several, int) else "",
        ),
        (
            "What was left out, and why?",
            "; ".join(f"{count:,} {why}" for why, count in left.items())
            if isinstance(left, dict)
            else "",
        ),
        ("How were the splits made?", _splits(about)),
        ("May people be taken out?", f"Write to {what.contact}." if what.contact else ""),
    )
    rows = [f"**{question}** {answer or NOT_RECORDED}" for question, answer in answers]
    return "## Datasheet\n\n" + "\n\n".join(rows) + "\n"


def _sources(what: Subject) -> str:
    names = what.table.faces.column_names
    found = (
        sorted({one for one in what.table.faces["provider"].to_pylist() if one})
        if "provider" in names
        else []
    )
    return ", ".join(found) + "; `ATTRIBUTION.csv` names each." if found else ""


def _labeling(about: dict[str, Any]) -> str:
    sources = about.get("label_sources")
    if not isinstance(sources, dict):
        return ""
    given = ", ".join(f"{count:,} by {name}" for name, count in sources.items())
    return f"{given}; expression by {about.get('rule')}, valence and arousal by {about.get('affect_rule')}."


def _splits(about: dict[str, Any]) -> str:
    options = about.get("options")
    if not isinstance(options, dict):
        return ""
    return (
        f"{options.get('splits')}, seed {options.get('seed')}; photographs, copies and groups lie in "
        "one split."
    )


def _not_to_do(what: Subject) -> str:
    rows = "\n".join(f"- {text}" for text in FORBIDDEN)
    where = (
        f"Write to {what.contact}; the face is taken out of the next release, and `withdrawn.csv` "
        "tells others."
        if what.contact
        else NOT_RECORDED
    )
    return (
        f"## What must not be done with it\n\n{rows}\n\nFaces are personal data under the GDPR where the "
        f"person can be known.\n\n## To be taken out\n\n{where}\n"
    )
