"""Agreement from votes: FER+, what votes cannot tell, the command, its files and its page."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openaffect
from annotation.simulated import row, to_dataset, to_table
from openaffect import metrics
from openaffect.annotation import measure_agreement
from openaffect.cli import main
from openaffect.cli.models import print_report
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import DestinationExists, FormatError, InputError
from openaffect.face_row import FaceRow
from openaffect.formats import import_dataset
from openaffect.labels import EMOTIONS, EXPRESSIONS, Expression
from openaffect.predictions import Predictions
from openaffect.reports import evaluate, open_report

VOTES = {
    "a": [5, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0],
    "b": [0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    "c": [0, 0, 2, 2, 0, 0, 1, 0, 0, 0, 0],
    "d": [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
}


@pytest.fixture(scope="module")
def voted(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four faces with votes, one of them with a single one."""
    folder = tmp_path_factory.mktemp("voted") / "voted"
    with write_dataset(folder, check_images=False) as writer:
        for name, votes in VOTES.items():
            writer.add(FaceRow(name, f"{name}.png", votes=votes, expression=Expression.HAPPY))
    return open_dataset(folder)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(one) for one in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_votes_give_what_the_metrics_say(voted: Dataset) -> None:
    found = measure_agreement(voted, rounds=200, seed=3)
    assert found.expression.table.tolist() == metrics.pair_table(list(VOTES.values())).tolist()
    expected = metrics.score_raters(list(VOTES.values()), rounds=200, seed=3)
    assert found.expression.pair_agreement == expected.pair_agreement
    assert found.expression.by_class[:4] == expected.by_class[:4]
    protocol = found.protocol
    assert (protocol.source, protocol.kind, protocol.people) == ("votes", "dataset", None)
    assert (protocol.faces, protocol.faces_rated_twice, protocol.ratings) == (4, 3, 25)
    assert protocol.raters_per_face == {1: 1, 5: 1, 9: 1, 10: 1}
    assert "too few" in found.warnings[0]


def test_what_needs_a_person_is_refused_with_the_reason(voted: Dataset) -> None:
    facts = measure_agreement(voted, rounds=200).to_dict()
    assert facts["people"] is facts["cohen"] is facts["valence"] is facts["arousal"] is None
    assert "without identities" in facts["undefined"]["people"]
    assert "without identities" in facts["undefined"]["cohen"]
    assert "expressions alone" in facts["undefined"]["valence"]
    assert facts["expression"]["by_class"]["fear"]["value"] is None
    assert "no rating" in facts["undefined"]["expression.by_class.fear"]


def test_annotations_come_first_where_two_people_have_judged_a_face() -> None:
    pair = to_table([row("a", "x", "sad"), row("a", "y", "sad")])
    single = to_table([row("a", "x", "sad"), row("b", "y", "sad")])
    assert measure_agreement(to_dataset(pair, VOTES)).protocol.source == "annotations"
    assert measure_agreement(to_dataset(single, VOTES)).protocol.source == "votes"
    assert measure_agreement(to_dataset(single)).protocol.source == "annotations"
    asked = measure_agreement(to_dataset(pair, VOTES), source="votes")
    assert (asked.protocol.source, asked.protocol.ratings) == ("votes", 25)
    asked = measure_agreement(to_dataset(single, VOTES), source="annotations")
    assert math.isnan(asked.expression.pair_agreement.value)
    assert asked.people is not None
    assert asked.people["x"].annotations == 1


def test_the_command_writes_both_files(
    voted: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "out"
    status, out, err = run(capsys, "agreement", voted.path, "-o", place, "--seed", 1)
    assert status == 0
    assert "from votes, raters not known" in out
    assert str(place / "agreement.html") in out
    assert "without identities" in err
    facts = json.loads((place / "agreement.json").read_text("utf-8"))
    assert facts == json.loads(measure_agreement(voted, seed=1).to_json())
    assert sorted(path.name for path in place.iterdir()) == ["agreement.html", "agreement.json"]
    status, out, err = run(capsys, "agreement", voted.path, "-o", place)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "--overwrite" in err
    status, out, _ = run(
        capsys, "agreement", voted.path, "-o", place, "--overwrite", "--rounds", 300, "--json"
    )
    assert status == 0
    assert json.loads(out)["protocol"]["rounds"] == 300
    assert run(capsys, "agreement", voted.path, "-o", tmp_path / "x", "--rounds", 199)[0] == 2


def test_errors_say_what_to_do(
    voted: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases: list[tuple[tuple[object, ...], str]] = [
        ((tmp_path / "nothing",), "openaffect new"),
        ((tmp_path,), "neither project.toml nor dataset.json"),
        ((voted.path, "--from", "annotations"), "no annotations"),
        ((voted.path, "--from", "raters"), "annotations or votes"),
    ]
    for arguments, words in cases:
        status, out, err = run(capsys, "agreement", *arguments, "-o", tmp_path / "out")
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert words in err
        assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="200"):
        measure_agreement(voted, rounds=10)
    with pytest.raises(InputError, match="no annotations and no votes"):
        measure_agreement(to_dataset(None, {"a": [0] * 11}))
    with pytest.raises(FormatError, match="expression"):
        measure_agreement(to_dataset(to_table([row("a", "x", "hapy"), row("a", "y", "sad")])))


def test_a_destination_is_not_replaced_unasked(voted: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").touch()
    found = measure_agreement(voted, rounds=200)
    with pytest.raises(DestinationExists):
        found.save(tmp_path / "out")
    assert found.save(tmp_path / "out", overwrite=True).is_file()
    assert openaffect.measure_agreement is measure_agreement


class Sections(HTMLParser):
    """The sections of a page, its texts, and whether it loads anything."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "section":
            self.found.append(str(given["id"]))
        self.loads += [str(given[name]) for name in ("src", "href") if name in given]
        self.loads += ["script"] * (tag == "script")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_of_votes_has_its_sections_and_loads_nothing(
    voted: Dataset, tmp_path: Path
) -> None:
    text = measure_agreement(voted, rounds=200).save(tmp_path / "out").read_text("utf-8")
    page = Sections(text)
    assert page.found == ["overall", "classes", "table", "protocol", "undefined"]
    assert page.loads == []
    words = " ".join(" ".join(page.words).split())
    assert "as recalled" in words
    assert "60.7%" in words
    assert "without identities" in words


@pytest.mark.real
@pytest.mark.slow
def test_ferplus_is_an_agreement_study(test_data: Path, tmp_path: Path) -> None:
    dataset, _ = import_dataset("ferplus", test_data / "ferplus.zip", tmp_path / "fer")
    facts: Any = measure_agreement(dataset).to_dict()
    expression = facts["expression"]
    assert facts["protocol"]["faces_rated_twice"] == 32_137
    assert expression["pair_agreement"]["value"] == pytest.approx(0.608, abs=5e-4)
    assert expression["alpha"]["value"] == pytest.approx(0.511, abs=5e-4)
    assert expression["fleiss"]["value"] == pytest.approx(0.511, abs=5e-4)
    assert expression["unanimous"]["value"] == pytest.approx(0.222, abs=5e-4)
    assert expression["human_ceiling"]["value"] == pytest.approx(0.700, abs=5e-4)
    by_class = {
        name: one["value"]
        for name, one in expression["by_class"].items()
        if one["value"] is not None
    }
    assert len(by_class) == 10
    assert max(by_class, key=by_class.__getitem__) == "happy"
    assert min(by_class, key=by_class.__getitem__) == "uncertain"
    assert by_class["happy"] == pytest.approx(0.852, abs=5e-4)
    assert by_class["uncertain"] == pytest.approx(0.095, abs=5e-4)
    for split, agreement, alpha in (("train", 0.603, 0.506), ("validation", 0.647, 0.558)):
        part = measure_agreement(dataset.where(split=split), rounds=200).expression
        assert part.pair_agreement.value == pytest.approx(agreement, abs=5e-4)
        assert part.alpha.value == pytest.approx(alpha, abs=5e-4)
    assert list(expression["by_class"]) == [e.value for e in EXPRESSIONS]


@pytest.mark.real
@pytest.mark.slow
def test_the_ceiling_of_the_scored_rows_of_ferplus(test_data: Path, tmp_path: Path) -> None:
    dataset, _ = import_dataset(
        "ferplus", test_data / "ferplus.zip", tmp_path / "fer", label="majority"
    )
    part = dataset.where(split="validation")
    right = np.eye(8)[part.expression_ids.clip(0, 7)]
    always = Predictions(part.ids, EMOTIONS, right, None, None, [], {})
    ceiling = evaluate(part, always, draws=10, rounds=200).human_ceiling
    assert ceiling.n == 3_199
    # Ties shared; with ties to the first category it is .8004.
    assert ceiling.value == pytest.approx(0.7995, abs=5e-5)
    assert ceiling.low < 0.8 < ceiling.high
    assert ceiling.accuracy.value == 1.0


# ---- beside a model's score -------------------------------------------------------------------


def scored(folder: Path, votes: list[list[int] | None], answers: list[int]) -> Any:
    """A report on faces that are all happy or sad; `answers` are ids."""
    with write_dataset(folder, check_images=False) as writer:
        for n, one in enumerate(votes):
            name = EXPRESSIONS[1 + n % 2]
            writer.add(FaceRow(f"f{n}", f"f{n}.png", votes=one, expression=name, split="test"))
    dataset = open_dataset(folder)
    made = Predictions(dataset.ids, EMOTIONS, None, np.array(answers), None, [], {})
    return evaluate(dataset, made, draws=5, rounds=200)


def test_the_human_ceiling_stands_beside_the_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    happy, torn, uncertain = [0, 3, *[0] * 9], [0, 1, 1, *[0] * 8], [0, 2, *[0] * 7, 2, 0]
    report = scored(tmp_path / "d", [happy, torn, uncertain, happy], [1, 1, 1, 2])
    ceiling = report.human_ceiling
    # Where two say happy and two uncertain, nobody says what most of the others do.
    expected = metrics.human_ceiling([happy, torn, uncertain, happy])
    assert expected == pytest.approx((1 + 0 + 0 + 1) / 4)
    assert (ceiling.value, ceiling.n) == (expected, 4)
    assert ceiling.low <= expected <= ceiling.high
    assert ceiling.accuracy == report.categorical.accuracy.orig
    report.save(tmp_path / "r")
    assert open_report(tmp_path / "r").human_ceiling == ceiling
    words = " ".join(Sections((tmp_path / "r" / "report.html").read_text("utf-8")).words)
    assert "Human ceiling" in words
    assert "accuracy there" not in words
    print_report(report)
    assert "human_ceiling" in capsys.readouterr().out


def test_where_some_faces_have_raters_the_model_is_judged_on_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    happy, single = [0, 3, *[0] * 9], [0, 1, *[0] * 9]
    report = scored(tmp_path / "d", [happy, None, happy, single, None, happy], [1, 2, 1, 1, 2, 1])
    ceiling = report.human_ceiling
    assert (ceiling.value, ceiling.n) == (1.0, 3)
    # The last of them is sad, and called happy.
    assert ceiling.accuracy.n == 3
    assert ceiling.accuracy.value == pytest.approx(2 / 3)
    assert report.categorical.accuracy.orig.value == pytest.approx(3 / 6)
    page = " ".join(Sections(report.to_html()).words)
    assert "on 3 faces with raters; accuracy there 0.667" in page
    print_report(report)
    assert "of 3 faces with raters; accuracy there: 0.667" in capsys.readouterr().out


def test_without_raters_there_is_no_ceiling(tmp_path: Path) -> None:
    none = scored(tmp_path / "none", [None, None], [1, 2])
    assert none.human_ceiling is None
    assert "human_ceiling" not in none.undefined
    single = scored(tmp_path / "single", [[0, 1, *[0] * 9], None], [1, 2])
    assert single.human_ceiling is None
    assert "two raters" in single.undefined["human_ceiling"]
    # A report of an earlier version does not have the key.
    none.save(tmp_path / "r")
    facts = json.loads((tmp_path / "r" / "report.json").read_text("utf-8"))
    del facts["human_ceiling"]
    (tmp_path / "r" / "report.json").write_text(json.dumps(facts), "utf-8")
    assert "Human ceiling" not in open_report(tmp_path / "r").to_html()
    facts["human_ceiling"] = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    (tmp_path / "r" / "report.json").write_text(json.dumps(facts), "utf-8")
    with pytest.raises(FormatError, match="accuracy"):
        open_report(tmp_path / "r")
