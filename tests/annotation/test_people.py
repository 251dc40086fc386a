"""Agreement from annotations: which rows count, pairs, people, weights, and projects."""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import cohen_kappa_score

from annotation.simulated import TYPES, row, simulate, to_dataset, to_table
from annotation.test_votes import Sections
from openaffect import metrics
from openaffect.annotation import Agreement, measure_agreement
from openaffect.annotation.people import grouped_median
from openaffect.cli import main
from openaffect.dataset import save_dataset
from openaffect.errors import FormatError, InputError
from openaffect.judgments import count_votes, find_valid
from openaffect.labels import EXPRESSIONS
from openaffect.project import Project, rows, schema
from openaffect.project.judgments import read_annotations, read_votes
from openaffect.project.rows import ImageRow, StoredFace
from openaffect.schemas import KINDS

PEOPLE = {
    "ada": {"right": 0.9, "noise": 0.05},
    "ben": {"right": 0.7, "noise": 0.1},
    "cleo": {"right": 0.4, "noise": 0.1, "bias": 0.2},
}


def measure(rows_: list[dict[str, Any]], **more: Any) -> Agreement:
    return measure_agreement(to_dataset(to_table(rows_)), **{"rounds": 200, **more})


# ---- who stands apart -----------------------------------------------------------------------


def crowd(rights: dict[str, float], faces: int, seed: int) -> list[dict[str, Any]]:
    """Two raters per face, each of whom says the truth with a chance of their own."""
    chance = np.random.default_rng(seed)
    names = list(rights)
    rows_ = []
    for number in range(faces):
        truth = EXPRESSIONS[number % 7]
        for name in chance.choice(names, 2, replace=False):
            wrong = EXPRESSIONS[int(chance.integers(0, 8))]
            said = truth if chance.random() < rights[name] else wrong
            rows_.append(row(f"f{number}", str(name), said))
    return rows_


@pytest.mark.parametrize("seed", range(5))
def test_who_agrees_far_less_than_the_rest_is_named_and_nobody_else(seed: int) -> None:
    honest = {f"h{n}": 0.8 for n in range(12)}
    found = measure(crowd(honest | {"spam": 0.0, "half": 0.35}, 1_500, seed))
    assert {name for name, one in found.people.items() if one.stands_apart} == {"spam", "half"}
    [warning] = [text for text in found.warnings if "far less" in text]
    without = measure(
        [
            one
            for one in crowd(honest | {"spam": 0.0, "half": 0.35}, 1_500, seed)
            if one["annotator"] in honest
        ]
    )
    assert f"{without.expression.pair_agreement.value:.1%} of faces" in warning
    assert "spam (" in warning
    assert "half (" in warning
    assert without.expression.pair_agreement.value > found.expression.pair_agreement.value + 0.05


def test_nobody_stands_apart_among_equals_or_few() -> None:
    equals = measure(crowd({f"h{n}": 0.6 for n in range(14)}, 3_000, 7))
    pair = measure(crowd({"a": 0.9, "b": 0.0}, 300, 0))
    few = measure(crowd({"a": 0.9, "b": 0.9, "c": 0.9, "d": 0.0}, 40, 0))  # < 30 shared each
    for found in (equals, pair, few):
        assert not any(one.stands_apart for one in found.people.values())
        assert not any("far less" in text for text in found.warnings)
    slightly = measure(crowd({f"h{n}": 0.9 for n in range(4)} | {"e": 0.85}, 20_000, 0))
    assert not slightly.people["e"].stands_apart  # beyond chance, but by less than .1


# ---- which rows stand -----------------------------------------------------------------------


def loop_valid(rows_: list[dict[str, Any]]) -> list[bool]:
    """The rule, row by row."""
    alive = [one for one in rows_ if not one.get("void")]
    withdrawn = {one["replaces"] for one in rows_ if one.get("void") and one.get("replaces")}
    replaced = withdrawn | {
        one["replaces"] for one in alive if one.get("replaces") and one.get("id") not in withdrawn
    }
    found = []
    for place, one in enumerate(rows_):
        rivals = [
            (other.get("at") is not None, other.get("at"), n)
            for n, other in enumerate(rows_)
            if not other.get("void")
            and other.get("id") not in replaced
            and all(
                (other.get(key) or usual) == (one.get(key) or usual)
                for key, usual in (("face_id", ""), ("annotator", ""), ("kind", "work"))
            )
        ]
        mine = (one.get("at") is not None, one.get("at"), place)
        last = max(rivals, key=lambda r: (r[0], r[1] or 0, r[2]), default=None)
        found.append(last == mine and not one.get("void") and one.get("id") not in replaced)
    return found


@settings(max_examples=100, deadline=None)
@given(
    rows_=st.lists(
        st.fixed_dictionaries(
            {
                "face_id": st.sampled_from("ab"),
                "annotator": st.sampled_from("xy"),
                "kind": st.sampled_from([None, "work", "repeat", "gold"]),
                "void": st.sampled_from([None, False, True]),
                "at": st.none() | st.integers(0, 3),
                "back": st.none() | st.integers(1, 3),
            }
        ),
        max_size=12,
    )
)
def test_which_rows_stand_equals_the_rule_row_by_row(rows_: list[dict[str, Any]]) -> None:
    named = [
        {
            **one,
            "id": str(n),
            "replaces": str(n - one["back"]) if one["back"] and one["back"] <= n else None,
        }
        for n, one in enumerate(rows_)
    ]
    table = to_table([row(one["face_id"], one["annotator"], "sad", **_rest(one)) for one in named])
    assert find_valid(table).tolist() == loop_valid(named)


def _person(name: str, at: Any) -> dict[str, Any]:
    return {"name": name, "pseudonym": name, "role": "annotator", "state": "active", "at": at}


def _rest(one: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key not in ("face_id", "annotator", "back")}


def test_which_rows_stand_case_by_case() -> None:
    cases = [
        row("a", "x", "sad", id="1", at=0),  # followed by the next
        row("a", "x", "happy", id="2", at=1),
        row("a", "x", "fear", id="3", kind="repeat", at=2),  # stands beside it
        row("b", "x", "sad", id="4", at=3),  # replaced
        row("b", "y", "happy", id="5", at=4, replaces="4"),
        row("c", "x", "sad", id="6", at=5),  # withdrawn
        row("c", "x", "happy", id="7", at=6, void=True, replaces="6"),
        row("d", "x", "happy", id="8", at=9),  # later by time, though earlier by place
        row("d", "x", "sad", id="9", at=8),
        row("e", "x", "sad", id="10"),
        row("e", "x", "fear", id="11"),  # without times the place tells
        row("f", "x", "sad", id="12", at=10),  # stands again: its correction was withdrawn
        row("f", "x", "fear", id="13", at=11, replaces="12"),
        row("f", "x", "fear", id="14", at=12, void=True, replaces="13"),
    ]
    expected = [0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0]
    assert find_valid(to_table(cases)).astype(int).tolist() == expected
    older = to_table(cases).select(["face_id", "annotator", "expression"])
    assert find_valid(older).astype(int).tolist() == [0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1]
    assert find_valid(to_table([])).tolist() == []


def test_only_work_counts_and_the_rest_is_counted_by_its_reason() -> None:
    found = measure(
        [
            row("a", "x", "sad", id="1", kind="work", at=1),
            row("a", "y", "sad", id="2", at=1),  # without a kind: work
            row("a", "y", "fear", id="0", at=0),
            row("b", "x", "sad", id="3", kind="work", at=2),
            row("b", "y", "happy", id="4", kind="work", at=2, void=True),
            row("b", "z", "happy", id="5", kind="review", at=3),
            row("c", "x", "sad", id="6", kind="training", at=4),
            row("c", "y", "happy", id="7", kind="gold", at=4),
            row("a", "x", "fear", id="8", kind="repeat", at=5),
            row("a", "import:fer", "anger", id="9", kind="imported"),
            row("b", "m", "anger", id="10", kind="work", origin="model"),
            row("b", "y", None, id="11", kind="work", at=6, valence=0.1, arousal=0.2),
        ]
    )
    assert found.protocol.counted == {"work": 3}
    assert (found.protocol.faces, found.protocol.faces_rated_twice) == (2, 1)
    assert found.expression.pair_agreement.value == 1.0
    assert found.protocol.left_out == {
        "void": 1,
        "replaced or followed by a later row": 1,
        "given by no rater": 1,
        "of the kind gold": 1,
        "of the kind training": 1,
        "of the kind review": 1,
        "of the kind repeat": 1,
        "of the kind imported": 1,
        "without an expression": 1,
    }
    assert sum(found.protocol.left_out.values()) + found.protocol.ratings == 12
    assert found.protocol.people == 2


def test_imported_labels_count_where_they_are_all_there_is() -> None:
    imported = [
        row("a", "import:d/x", "sad", kind="imported"),
        row("a", "import:d/y", "happy", kind="imported"),
        row("a", "model", "happy", kind="imported", origin="model"),
    ]
    found = measure(imported)
    assert found.protocol.counted == {"imported": 2}
    assert found.expression.pair_agreement.value == 0.0
    assert any("imported labels" in text for text in found.warnings)
    with_work = measure([*imported, row("a", "z", "sad", kind="work")])
    assert with_work.protocol.counted == {"work": 1}
    with pytest.raises(InputError, match="1 of the kind training"):
        measure([row("a", "x", "sad", kind="training")])
    with pytest.raises(FormatError, match="kind"):
        measure([row("a", "x", "sad", kind="play")])


# ---- against loops --------------------------------------------------------------------------


def pairs_of(rows_: list[dict[str, Any]]) -> dict[str, list[tuple[Any, Any]]]:
    by_face: dict[str, list[Any]] = defaultdict(list)
    for one in rows_:
        by_face[one["face_id"]].append(one)
    return {face: list(itertools.permutations(found, 2)) for face, found in by_face.items()}


def test_expressions_and_affect_equal_loops_over_pairs() -> None:
    some = simulate(60, PEOPLE, each=3, seed=1)
    rows_ = [one for n, one in enumerate(some) if n % 5]  # some faces have two raters, some three
    found = measure(rows_)
    pairs = {face: some for face, some in pairs_of(rows_).items() if some}
    same = [
        Fraction(sum(a["expression"] == b["expression"] for a, b in some), len(some))
        for some in pairs.values()
    ]
    assert_allclose(found.expression.pair_agreement.value, float(sum(same) / len(same)), rtol=1e-12)
    for axis in ("valence", "arousal"):
        for kind in ("all", "same_category"):
            gaps, equal = [], []
            for judged in pairs.values():
                both = [
                    (a[axis], b[axis])
                    for a, b in judged
                    if a[axis] is not None
                    and b[axis] is not None
                    and (kind == "all" or a["expression"] == b["expression"])
                ]
                if both:
                    x, y = np.array(both, np.float32).astype(float).T
                    gaps.append(((x - y) ** 2).mean())
                    equal.append((np.sign(x) == np.sign(y)).mean())
            scores = getattr(getattr(found, axis), kind)
            assert_allclose(scores["rmse"].value, math.sqrt(np.mean(gaps)), rtol=1e-9)
            assert_allclose(scores["sagr"].value, np.mean(equal), rtol=1e-9)
            assert scores["rmse"].n == len(gaps) > 10


def test_uncertain_and_no_face_leave_valence_and_arousal() -> None:
    point = {"valence": 0.5, "arousal": 0.5}
    found = measure(
        [
            row("a", "x", "uncertain", **point),
            row("a", "y", "uncertain", **point),
            row("b", "x", "no_face", valence=-2.0, arousal=-2.0),
            row("b", "y", "happy", **point),
            row("c", "x", "none", **point),
            row("c", "y", "none", valence=0.1, arousal=0.5),
        ]
    )
    assert found.valence is not None
    assert found.valence.all["rmse"].n == 1
    assert found.valence.all["rmse"].value == pytest.approx(0.4)
    nothing = measure([row("a", "x", "uncertain", **point), row("a", "y", "no_face", **point)])
    assert nothing.valence is nothing.arousal is None
    assert "two raters" in nothing.undefined["valence"]


def test_each_person_equals_a_loop_over_the_others() -> None:
    rows_ = simulate(200, PEOPLE, each=2, seed=2)
    found = measure(rows_)
    assert found.people is not None
    assert list(found.people) == ["ada", "ben", "cleo"]
    pairs = pairs_of(rows_)
    for name, person in found.people.items():
        mine = [(a, b) for some in pairs.values() for a, b in some if a["annotator"] == name]
        own = [one for one in rows_ if one["annotator"] == name]
        assert person.annotations == person.shared == len(own) == len(mine)
        same = np.mean([a["expression"] == b["expression"] for a, b in mine])
        assert_allclose(person.agreement.value, same, rtol=1e-12)
        assert_allclose(person.seconds, np.median([one["seconds"] for one in own]), rtol=1e-6)
        gap = [
            a["valence"] - b["valence"] for a, b in mine if None not in (a["valence"], b["valence"])
        ]
        assert_allclose(person.bias.valence, np.mean(gap), rtol=1e-4, atol=1e-7)
        said = np.mean([a["expression"] == "sad" for a, _ in mine])
        others = np.mean([b["expression"] == "sad" for _, b in mine])
        assert_allclose(person.bias.expression["sad"], said - others, rtol=1e-9, atol=1e-12)
        cell = sum(a["expression"] == "sad" and b["expression"] == "fear" for a, b in mine)
        assert_allclose(person.confusion[2, 4], cell)
        assert person.confusion.sum() == pytest.approx(len(mine))
    values = [found.people[name].agreement.value for name in ("ada", "ben", "cleo")]
    assert values[0] > values[2] + 0.05  # ada is right more often than cleo
    bias = found.people["cleo"].bias.valence
    assert bias is not None
    assert 0.1 < bias < 0.3


def test_cohens_kappa_is_scikit_learns_for_each_pair_with_thirty_faces() -> None:
    rows_ = simulate(150, PEOPLE, each=2, seed=4)
    rows_ += [row(f"g{n}", who, "sad") for n in range(29) for who in ("ada", "dora")]
    rows_ += [row(f"h{n}", who, "sad") for n in range(30) for who in ("cleo", "dora")]
    found = measure(rows_)
    assert found.cohen is not None
    got = {pair.annotators: pair.kappa for pair in found.cohen}
    assert list(got) == [("ada", "ben"), ("ada", "cleo"), ("ben", "cleo"), ("cleo", "dora")]
    said = {(one["annotator"], one["face_id"]): one["expression"] for one in rows_}
    names = [e.value for e in EXPRESSIONS]
    for one, other in [("ada", "ben"), ("ada", "cleo"), ("ben", "cleo")]:
        faces = [f for who, f in said if who == one and (other, f) in said]
        kappa = cohen_kappa_score(
            [said[one, f] for f in faces], [said[other, f] for f in faces], labels=names
        )
        assert_allclose(got[one, other].value, kappa, rtol=1e-12)
        assert got[one, other].n == len(faces)
        assert got[one, other].low < kappa < got[one, other].high
    assert got["cleo", "dora"].n == 30
    assert math.isnan(got["cleo", "dora"].value)


def test_more_pairs_of_people_than_a_table_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_ = simulate(150, PEOPLE, each=2, seed=4)
    usual = measure(rows_).cohen
    monkeypatch.setattr("openaffect.annotation.people._MANY", 1)
    assert measure(rows_).cohen == usual


def test_drift_shows_who_began_to_guess() -> None:
    rows_ = simulate(600, PEOPLE, each=2, seed=5, tired="ada")
    found = measure(rows_)
    assert found.people is not None
    course = [one.agreement or 0.0 for one in found.people["ada"].drift]
    assert len(course) == 10
    assert min(course[:4]) > max(course[6:])
    drift = found.people["ada"].drift
    assert sum(one.n for one in drift) == found.people["ada"].annotations
    assert max(one.n for one in drift) - min(one.n for one in drift) <= 1
    assert all(a.end <= b.start for a, b in itertools.pairwise(drift))
    assert drift[0].start == min(o["at"] for o in rows_ if o["annotator"] == "ada").isoformat()
    untimed = measure([{**one, "at": None} for one in rows_])
    assert untimed.people is not None
    assert untimed.people["ada"].drift == ()
    few = measure([one for one in rows_ if int(one["face_id"][1:]) < 80])
    assert few.people is not None
    numbers = {name: (one.annotations, len(one.drift)) for name, one in few.people.items()}
    assert all(parts == (count // 30 if count >= 60 else 0) for count, parts in numbers.values())


def test_gold_and_second_answers_are_judged_by_themselves() -> None:
    rows_ = [
        row("g1", "lead", "sad", kind="review", at=0),
        row("g1", "lead", "fear", kind="review", at=1),  # the last one is the answer
        row("g1", "import:d", "anger", kind="imported", at=9),
        row("g2", "import:d", "happy", kind="imported"),
        row("g1", "x", "fear", kind="gold", at=2),
        row("g2", "x", "sad", kind="gold", at=3),
        row("g3", "x", "sad", kind="gold", at=3),  # nobody knows its answer
        row("a", "x", "sad", kind="work", at=4, valence=0.1, arousal=0.2),
        row("a", "y", "sad", kind="work", at=4),
        row("b", "x", "happy", kind="work", at=5, valence=0.5, arousal=0.2),
        row("a", "x", "sad", kind="repeat", at=6, valence=0.4, arousal=0.2),
        row("b", "x", "fear", kind="repeat", at=7, valence=0.1, arousal=0.2),
        row("c", "x", "fear", kind="repeat", at=8),  # nothing to compare with
        row("b", "y", "happy", kind="gold", at=9),
        row("b", "import:d", "happy", kind="imported"),
    ]
    people = measure(rows_).people
    assert people is not None
    assert list(people) == ["x", "y"]
    assert (people["x"].gold.value, people["x"].gold.n) == (0.5, 2)
    assert (people["y"].gold.value, people["y"].gold.n) == (1.0, 1)
    again = people["x"].self_agreement
    assert (again.expression.value, again.expression.n) == (0.5, 2)
    assert again.valence == pytest.approx(math.sqrt((0.09 + 0.16) / 2), abs=1e-6)
    assert again.arousal == pytest.approx(0, abs=1e-6)
    assert math.isnan(people["y"].self_agreement.expression.value)
    assert (people["x"].annotations, people["x"].shared) == (2, 1)


def test_faces_of_a_batch_stand_for_its_faces() -> None:
    easy = [
        row(f"e{n}", who, "sad", batch="easy") for n in range(40) for who in "xy"[: 1 + (n < 4)]
    ]
    hard = [
        row(f"h{n}", who, "sad" if who == "x" else "fear", batch="hard")
        for n in range(20)
        for who in "xy"
    ]
    found = measure(easy + hard)
    # 4 easy faces stand for 40, 20 hard ones for themselves; all easy ones agree, no hard one.
    assert found.expression.pair_agreement.value == pytest.approx(40 / 60)
    assert found.protocol.weighted_by == "batch"
    strata = [(s.batch, s.faces, s.faces_rated_twice, s.weight) for s in found.protocol.strata]
    assert strata == [("easy", 40, 4, 10.0), ("hard", 20, 20, 1.0)]
    plain = measure([{**one, "batch": None} for one in easy + hard])
    assert plain.expression.pair_agreement.value == pytest.approx(4 / 24)
    assert plain.protocol.weighted_by is None
    even = measure([one for one in easy if int(one["face_id"][1:]) < 4] + hard)
    assert (even.protocol.weighted_by, even.protocol.strata) == (None, ())
    third = [row("t", "x", "sad", batch="third")]
    unseen = measure(easy + hard + third)
    assert unseen.protocol.strata[2].weight is None
    assert any("third" in text for text in unseen.warnings)


def test_valence_is_weighted_back_too() -> None:
    def judged(face: str, batch: str, gap: float, count: int) -> list[dict[str, Any]]:
        return [
            row(face, who, "sad", batch=batch, valence=gap * (who == "y"), arousal=0.0)
            for who in "xy"[:count]
        ]

    rows_ = [one for n in range(40) for one in judged(f"e{n}", "easy", 0.1, 1 + (n < 4))]
    rows_ += [one for n in range(20) for one in judged(f"h{n}", "hard", 0.5, 2)]
    valence = measure(rows_).valence
    assert valence is not None
    assert valence.all["rmse"].value == pytest.approx(math.sqrt((40 * 0.01 + 20 * 0.25) / 60))


# ---- properties -----------------------------------------------------------------------------


def figures(found: Agreement) -> list[float]:
    assert found.valence is not None
    assert found.arousal is not None
    expression = found.expression
    scores = [expression.pair_agreement, expression.unanimous, expression.fleiss]
    scores += [*found.valence.all.values(), *found.arousal.same_category.values()]
    return [one.value for one in scores]


def test_names_order_and_seed_change_no_value() -> None:
    rows_ = simulate(100, PEOPLE, each=2, seed=6)
    here = measure(rows_)
    other = {e.value: EXPRESSIONS[(e.id * 3 + 2) % 8].value for e in EXPRESSIONS[:8]}
    renamed = [
        {**one, "expression": other.get(one["expression"], one["expression"])} for one in rows_
    ]
    assert_allclose(figures(measure(renamed)), figures(here), rtol=1e-9)
    turned = measure(rows_[::-1])
    assert_allclose(figures(turned), figures(here), rtol=1e-9)
    assert turned.valence is not None
    assert here.valence is not None
    assert_allclose(turned.valence.alpha.low, here.valence.alpha.low, rtol=1e-9)
    people = [{**one, "annotator": f"p{one['annotator'][::-1]}"} for one in rows_]
    assert_allclose(figures(measure(people)), figures(here), rtol=1e-9)
    twice = rows_ + [{**one, "face_id": f"{one['face_id']}again", "id": None} for one in rows_]
    assert_allclose(figures(measure(twice)), figures(here), rtol=1e-9)
    seeded = measure(rows_, seed=1)
    assert figures(seeded) == figures(here)
    assert seeded.expression.pair_agreement.low != here.expression.pair_agreement.low
    assert measure(rows_).to_json() == here.to_json()


def test_simulated_raters_and_shown_answers_are_said() -> None:
    rows_ = simulate(40, PEOPLE)
    warnings = measure(rows_).warnings
    assert [text for text in warnings if "80 of 80 ratings are of simulated raters" in text]
    shown = [{**one, "region_shown": n < 3, "prelabel_shown": n < 2} for n, one in enumerate(rows_)]
    said = " ".join(measure(shown).warnings)
    assert "3 of 80 ratings were given with the expected region" in said
    assert "2 of 80 ratings were given with a model's answer" in said
    assert not [text for text in warnings if "sight" in text]


def test_the_median_of_groups() -> None:
    values = np.array([3.0, math.nan, 1.0, 7.0, 2.0, 4.0])
    found = grouped_median(np.array([0, 0, 0, 2, 2, 0]), values, 4)
    assert_allclose(found, [3.0, math.nan, 4.5, math.nan])


def test_an_old_table_of_annotations_is_read() -> None:
    old = to_table(simulate(40, PEOPLE)).select(
        ["face_id", "annotator", "expression", "valence", "arousal", "seconds", "at"]
    )
    found = measure_agreement(to_dataset(old), rounds=200)
    assert found.protocol.counted == {"work": 80}
    assert found.protocol.origins == {"not stated": 80}


def test_a_folder_says_what_the_open_dataset_says(tmp_path: Path) -> None:
    rows_ = [{**one, "batch": f"b{n % 3}"} for n, one in enumerate(simulate(40, PEOPLE))]
    made = to_dataset(to_table(rows_), {"voted": [2, 3, *[0] * 9]}, name="d")
    saved = save_dataset(made, tmp_path / "d")
    for source in ("annotations", "votes"):
        here = measure_agreement(tmp_path / "d", source=source, rounds=200)
        assert here.to_json() == measure_agreement(saved, source=source, rounds=200).to_json()
        assert here.protocol.source == source


@pytest.mark.parametrize(
    ("name", "values"),
    [("void", ["perhaps", "no"]), ("seconds", ["long", "1"]), ("annotator", [None, "x"])],
)
def test_a_column_of_another_type_is_named(name: str, values: list[str]) -> None:
    table = to_table([row("a", "x", "sad"), row("a", "y", "sad")])
    table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    with pytest.raises(FormatError, match=name):
        measure_agreement(to_dataset(table))


def test_votes_of_faces_come_from_annotations_where_there_are_none() -> None:
    table = to_table([row("a", "x", "sad"), row("a", "y", "fear"), row("b", "x", "sad")])
    votes = {"b": [0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]}
    dataset = to_dataset(table, votes)
    assert dataset.ids == ["b", "a"]
    assert count_votes(dataset).tolist() == [
        [0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0],
    ]
    assert count_votes(to_dataset(None, votes)).sum() == 7


# ---- the file and the page ------------------------------------------------------------------


def test_agreement_json_has_the_keys_that_programs_use(tmp_path: Path) -> None:
    rows_ = simulate(200, PEOPLE, each=2, seed=7)
    place = measure(rows_).save(tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "agreement.json").read_text("utf-8"))
    for name in ("pair_agreement", "unanimous", "alpha", "fleiss", "human_ceiling"):
        score = facts["expression"][name]
        assert sorted(score) == ["high", "low", "n", "value"]
        assert score["low"] <= score["value"] <= score["high"]
    assert list(facts["expression"]["by_class"]) == [e.value for e in EXPRESSIONS]
    assert np.array(facts["expression"]["table"]).shape == (11, 11)
    for axis in ("valence", "arousal"):
        assert facts[axis]["alpha"]["n"] > 100
        for kind in ("all", "same_category"):
            assert sorted(facts[axis][kind]) == ["ccc", "corr", "rmse", "sagr"]
            assert facts[axis][kind]["rmse"]["low"] < facts[axis][kind]["rmse"]["high"]
    assert sorted(facts["people"]) == ["ada", "ben", "cleo"]
    assert np.array(facts["people"]["ada"]["confusion"]).shape == (11, 11)
    assert facts["people"]["ada"]["drift"][0]["n"] >= 30
    assert [pair["annotators"] for pair in facts["cohen"]] == [
        ["ada", "ben"],
        ["ada", "cleo"],
        ["ben", "cleo"],
    ]
    assert facts["protocol"]["rounds"] == 200
    page = Sections(place.read_text("utf-8"))
    assert page.found == ["overall", "classes", "table", "affect", "people", "cohen", "protocol"]
    assert page.loads == []
    words = " ".join(" ".join(page.words).split())
    assert "cleo" in words
    assert "0.340" in words  # AffectNet's RMSE of valence over all pairs


def test_names_of_people_are_no_html(tmp_path: Path) -> None:
    people = {f"<script>alert({n})</script>": {"right": 0.8} for n in range(2)}
    rows_ = [{**one, "batch": f"<u>{n % 3}"} for n, one in enumerate(simulate(60, people))]
    found = measure_agreement(to_dataset(to_table(rows_), name="<script>"), rounds=200)
    text = found.save(tmp_path / "out").read_text("utf-8")
    assert "<script" not in text
    assert "<u>" not in text
    assert text.count("&lt;script&gt;") >= 4


# ---- projects -------------------------------------------------------------------------------


def fill(project: Project, rows_: list[dict[str, Any]], votes: dict[str, list[int]]) -> None:
    """Faces without images, and annotations as they are in the table."""
    faces = sorted({one["face_id"] for one in rows_} | {*votes})
    people = sorted({one["annotator"] for one in rows_})
    with project.database.write() as connection:
        image = ImageRow("0" * 64, "png", 1, "s", "one")
        ids, _ = rows.insert_images(connection, [image])
        numbers = rows.insert_faces(
            connection,
            [StoredFace(face, ids["0" * 64], "s", votes=votes.get(face)) for face in faces],
        )
        at = rows_[0]["at"]
        connection.execute(
            sa.insert(schema.annotators),
            [_person(name, at) for name in people],
        )
        known = dict(
            connection.execute(sa.select(schema.annotators.c.name, schema.annotators.c.id)).all()
        )
        connection.execute(
            sa.insert(schema.annotations),
            [
                {name: one.get(name) for name in TYPES if name not in ("face_id", "annotator")}
                | {
                    "face_id": numbers[one["face_id"]],
                    "annotator_id": known[one["annotator"]],
                    "void": bool(one.get("void")),
                }
                for one in rows_
            ],
        )


def test_a_project_says_what_the_dataset_of_its_rows_says(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows_ = simulate(150, PEOPLE, each=2, seed=8)
    again = {
        "id": "again",
        "expression": "happy",
        "replaces": rows_[0]["id"],
        "at": rows_[-1]["at"],
    }
    rows_.append({**rows_[0], **again})
    rows_.append({**rows_[1], "id": "void", "expression": "fear", "void": True})
    fill(project, rows_, {"voted": [3, 4, *[0] * 9]})
    here, there = measure_agreement(project, rounds=200), measure(rows_)
    one, other = here.to_dict(), there.to_dict()
    assert one["protocol"].pop("name") == "faces"
    assert one["protocol"].pop("kind") == "project"
    del other["protocol"]["name"], other["protocol"]["kind"]
    assert json.dumps(_rounded(one)) == json.dumps(_rounded(other))
    assert here.protocol.left_out == {"void": 1, "replaced or followed by a later row": 1}
    votes = measure_agreement(project, source="votes", rounds=200)
    assert (votes.protocol.ratings, votes.protocol.faces) == (7, 1)
    status = main(["agreement", str(project.path), "-o", str(tmp_path / "out")])
    assert (status, (tmp_path / "out" / "agreement.html").is_file()) == (0, True)
    assert "from annotations, 3 raters" in capsys.readouterr().out


def _rounded(value: Any) -> Any:
    """Rows may come in another order, and then sums differ in their last digits."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) + 0.0 if isinstance(value, float) else value


def test_a_project_gives_its_annotations_with_every_column(project: Project) -> None:
    rows_ = simulate(3, PEOPLE, each=2)
    fill(project, rows_, {})
    with project.database.read() as connection:
        found = [one for batch in read_annotations(connection) for one in batch.to_pylist()]
    assert {one["id"]: one["at"] for one in found} == {one["id"]: one["at"] for one in rows_}
    assert {one["id"]: (one["face_id"], one["annotator"], one["expression"]) for one in found} == {
        one["id"]: (one["face_id"], one["annotator"], one["expression"]) for one in rows_
    }
    assert {one["kind"] for one in found} == {"work"}
    assert set(found[0]) >= {"instructions", "tool", "round", "late", "comment"}
    assert [one["void"] for one in found] == [False] * 6


@pytest.mark.parametrize("text", ["[1, 2]", '"votes"', "[1, 2", f"[{'-1,' * 10} 0]"])
def test_damaged_votes_are_named_with_their_face(project: Project, text: str) -> None:
    fill(project, simulate(1, PEOPLE), {"voted": [1] * 11})
    with project.database.write() as connection:
        connection.execute(
            sa.text("UPDATE faces SET votes = :v WHERE face_id = 'voted'"), {"v": text}
        )
    with project.database.read() as connection, pytest.raises(FormatError, match="voted"):
        list(read_votes(connection))


def test_an_empty_project_says_what_it_lacks(project: Project) -> None:
    with pytest.raises(InputError, match="no annotations and no votes"):
        measure_agreement(project)


def test_every_kind_is_known() -> None:
    rows_ = [row("a", who, "sad", kind=kind) for kind in KINDS for who in ("x", "y")]
    assert measure(rows_).protocol.counted == {"work": 2}
    assert metrics.pair_agreement([[2, 0]]) == 1.0
