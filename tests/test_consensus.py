"""Consensus: brute-force references, planted confusion matrices, and draws that no order changes."""

from __future__ import annotations

import inspect
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from annotation.simulated import row, to_table
from openaffect import lookup
from openaffect.consensus import Consensus, affect_rules, expression_rules, find_consensus
from openaffect.consensus.expressions import dawid_skene
from openaffect.consensus.finding import AFFECT_RULES, EXPRESSION_RULES
from openaffect.consensus.ratings import draw, pick
from openaffect.errors import InputError, UnknownName
from openaffect.judgments import read_judgments
from openaffect.labels import EXPRESSIONS

NAMES = [e.value for e in EXPRESSIONS]
IDS = {name: number for number, name in enumerate(NAMES)}


def decide(rows: list[dict[str, Any]], **options: Any) -> Consensus:
    return find_consensus(read_judgments(to_table(rows), "the test"), **options)


def labels_of(found: Consensus) -> dict[str, str | None]:
    names = [None if e < 0 else NAMES[e] for e in found.expression]
    return dict(zip(found.face_ids.to_pylist(), names, strict=True))


def said(face: str, *expressions: str, **more: Any) -> list[dict[str, Any]]:
    return [row(face, f"p{n}", one, **more) for n, one in enumerate(expressions)]


def some_rows(faces: int = 300, seed: int = 1) -> list[dict[str, Any]]:
    """One to six ratings a face, some without expression, some without a point."""
    rng = random.Random(seed)
    rows = []
    for face in range(faces):
        for person in rng.sample(range(9), rng.randint(1, 6)):
            expression = rng.choice([*NAMES[:3], *NAMES[-2:], None])
            point = [round(rng.uniform(-0.7, 0.7), 3) for _ in range(2)]
            if rng.random() < 0.3:
                point = [None, None]
            more = {"valence": point[0], "arousal": point[1], "kind": "work"}
            rows.append(row(f"f{face}", f"p{person}", expression, **more))
    return rows


# ---- every rule ---------------------------------------------------------------------------


def test_the_rules_are_files() -> None:
    assert expression_rules() == ("dawid-skene", "intended", "majority")
    assert affect_rules() == ("mean", "median", "one-at-random")


@pytest.mark.parametrize("name", expression_rules())
def test_an_expression_rule_file_holds_its_parts_and_keeps_what_all_say(name: str) -> None:
    module = lookup.load(EXPRESSION_RULES, name, "rule")
    assert module.__doc__
    assert [*inspect.signature(module.choose).parameters] == ["ratings"]
    rows = [one for n in range(44) for one in said(f"f{n}", *[NAMES[n % 11]] * 3)]
    found = decide(rows, rule=name, intended={})
    assert found.expression.tolist() == [
        IDS[NAMES[int(f[1:]) % 11]] for f in found.face_ids.to_pylist()
    ]
    assert found.share.tolist() == [1] * 44
    assert not found.by_chance.any()
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    assert (found.shares.argmax(axis=1) == found.expression).all()


@pytest.mark.parametrize("name", affect_rules())
def test_an_affect_rule_file_holds_its_parts_and_keeps_what_all_say(name: str) -> None:
    module = lookup.load(AFFECT_RULES, name, "rule")
    assert module.__doc__
    assert [*inspect.signature(module.combine).parameters] == ["points"]
    rows = said("a", "happy", "happy", valence=0.5, arousal=-0.25)
    found = decide([*rows, row("b", "p0", "sad")], affect_rule=name)
    np.testing.assert_array_equal(found.affect, [[0.5, -0.25], [np.nan, np.nan]])


@pytest.mark.parametrize("rule", expression_rules())
@pytest.mark.parametrize("affect_rule", affect_rules())
def test_neither_the_order_of_rows_nor_other_faces_change_a_label(
    rule: str, affect_rule: str
) -> None:
    rows = [r for r in some_rows() if rule != "dawid-skene"] or planted(200, 5, seed=3)[0]
    intended = {f"f{n}": NAMES[n % 3] for n in range(300)}
    options: dict[str, Any] = {"rule": rule, "affect_rule": affect_rule, "intended": intended}
    one = decide(rows, **options, seed=4)
    shuffled = random.Random(0).sample(rows, len(rows))
    other = decide(shuffled, **options, seed=4)
    assert one.face_ids == other.face_ids
    np.testing.assert_array_equal(one.expression, other.expression)
    np.testing.assert_allclose(one.affect, other.affect, atol=1e-12)
    if rule != "dawid-skene":  # whose matrices come from all faces
        half = decide([r for r in rows if int(r["face_id"][1:]) % 2], **options, seed=4)
        kept = {name: label for name, label in labels_of(one).items() if int(name[1:]) % 2}
        assert labels_of(half) == kept
        assert (decide(rows, **options, seed=5).expression != one.expression).any()


def test_a_rule_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownName, match="majority"):
        decide(said("a", "happy"), rule="majorty")
    with pytest.raises(UnknownName, match="median"):
        decide(said("a", "happy"), affect_rule="medain")


def test_no_rows_are_no_faces() -> None:
    assert len(decide([])) == 0


# ---- majority -----------------------------------------------------------------------------


def test_majority_equals_a_count_by_hand() -> None:
    rows = some_rows()
    found = decide(rows)
    votes: dict[str, Counter[str]] = {r["face_id"]: Counter() for r in rows}
    for r in rows:
        if r["expression"]:
            votes[r["face_id"]][r["expression"]] += 1
    assert sum(map(bool, votes.values())) > 250
    for number, face in enumerate(found.face_ids.to_pylist()):
        counts = votes[face]
        n = counts.total()
        assert found.raters[number] == n
        if not n:
            assert found.expression[number] == -1
            assert not found.by_chance[number]
            assert np.isnan(found.share[number])
            assert np.isnan(found.shares[number]).all()
            continue
        leaders = [name for name in counts if counts[name] == max(counts.values())]
        label = NAMES[found.expression[number]]
        assert label in leaders
        assert found.by_chance[number] == (len(leaders) > 1)
        assert found.share[number] == pytest.approx(counts[label] / n)
        assert found.shares[number].tolist() == pytest.approx([counts[e] / n for e in NAMES])
        eight = [counts[e] for e in NAMES[:8]]
        if sum(eight):
            soft = [c / sum(eight) for c in eight]
            assert found.soft_label[number].tolist() == pytest.approx(soft)
        else:
            assert np.isnan(found.soft_label[number]).all()
        pairs = n * (n - 1)
        same = sum(c * (c - 1) for c in counts.values())
        if pairs:
            assert found.disagreement[number] == pytest.approx(1 - same / pairs)
        else:
            assert np.isnan(found.disagreement[number])


def test_ties_go_to_each_leader_equally_often() -> None:
    rows = [
        one for n in range(3000) for one in said(f"f{n}", "happy", "sad", "fear", "fear", "sad")
    ]
    found = Counter(labels_of(decide(rows)).values())
    assert set(found) == {"sad", "fear"}
    assert abs(found["sad"] - 1500) < 4 * 27.4  # four standard errors


def test_only_rows_that_count_decide() -> None:
    rows = [
        *said("a", "happy", kind="work"),
        row("a", "p1", "sad", kind="review"),
        row("a", "p2", "sad", kind="work", void=True),
        row("a", "p3", "sad", kind="work", origin="model"),
    ]
    found = decide(rows)
    assert labels_of(found) == {"a": "happy"}
    assert found.raters.tolist() == [1]


# ---- intended -----------------------------------------------------------------------------


def test_intended_follows_the_paper() -> None:
    rows = [
        *said("agree", "happy", "happy"),
        *said("first", "happy", "sad"),
        *said("second", "happy", "sad"),
        *said("neither", "happy", "sad"),
        *said("unknown", "happy", "sad"),
        *said("outvoted", "happy", "sad", "happy"),
        *[one for n in range(20) for one in said(f"neutral{n}", "neutral", "sad")],
    ]
    intended = {"agree": "sad", "first": "happy", "second": "sad", "neither": "fear",
                "unknown": None, "outvoted": "sad", "elsewhere": "fear",
                **{f"neutral{n}": "neutral" for n in range(20)}}  # fmt: skip
    found = decide(rows, rule="intended", intended=intended)
    labels = labels_of(found)
    assert {labels.pop(f"neutral{n}") for n in range(20)} == {"neutral"}
    assert labels.pop("neither") in ("happy", "sad")
    assert labels.pop("unknown") in ("happy", "sad")
    assert labels == {"agree": "happy", "first": "happy", "second": "sad", "outvoted": "sad"}
    chance = dict(zip(found.face_ids.to_pylist(), found.by_chance.tolist(), strict=True))
    assert [name for name, drawn in chance.items() if drawn] == ["neither", "unknown"]


def test_one_at_random_is_one_rater_at_random() -> None:
    rows = [one for n in range(3000) for one in said(f"f{n}", "happy", "happy", "sad")]
    found = Counter(labels_of(decide(rows, rule="intended", intended={})).values())
    assert abs(found["sad"] - 1000) < 4 * 25.8


def test_intended_needs_the_intended_expressions() -> None:
    with pytest.raises(InputError, match="intended expression"):
        decide(said("a", "happy"), rule="intended")
    with pytest.raises(UnknownName, match="hapy"):
        decide(said("a", "happy"), rule="intended", intended={"a": "hapy"})


# ---- valence and arousal ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "reference"), [("mean", np.mean), ("median", np.median)])
def test_affect_equals_numpy_face_by_face(name: str, reference: Any) -> None:
    rows = some_rows()
    found = decide(rows, affect_rule=name)
    known = 0
    for number, face in enumerate(found.face_ids.to_pylist()):
        points = [
            (r["valence"], r["arousal"])
            for r in rows
            if r["face_id"] == face
            and r["valence"] is not None
            and r["expression"] not in ("uncertain", "no_face")
        ]
        if points and found.expression[number] <= 8:
            known += 1
            assert found.affect[number].tolist() == pytest.approx(
                reference(np.array(points, np.float32).astype(float), axis=0).tolist()
            )
        else:
            assert np.isnan(found.affect[number]).all()
    assert known > 100


def test_one_at_random_takes_both_numbers_of_one_rater() -> None:
    rows = [
        one
        for n in range(2000)
        for one in (
            row(f"f{n:04}", "p0", "happy", valence=0.5, arousal=n / 2000),
            row(f"f{n:04}", "p1", "happy", valence=-0.5, arousal=-n / 2000),
        )
    ]
    found = decide(rows, affect_rule="one-at-random").affect
    expected = np.sign(found[:, 0]) * np.arange(2000) / 2000
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-6)
    assert abs((found[:, 0] > 0).sum() - 1000) < 4 * 22.4


def test_a_label_without_affect_has_none() -> None:
    rows = [row("a", "p0", "happy", valence=0.5, arousal=0.1), *said("b", "no_face")]
    rows += [row("a", "p1", "uncertain"), row("a", "p2", "uncertain")]
    assert np.isnan(decide(rows).affect).all()


# ---- Dawid and Skene ----------------------------------------------------------------------


def planted(
    faces: int, each: int, bad: int = 0, seed: int = 0
) -> tuple[list[dict[str, Any]], list[str], dict[str, np.ndarray]]:
    """Ratings by nine people of known confusion matrices; `bad` of them swap happy and sad."""
    rng = np.random.default_rng(seed)
    k, matrices = 4, {}
    for p in range(9):
        right = rng.uniform(0.6, 0.9)
        matrix = np.full((k, k), (1 - right) / (k - 1))
        np.fill_diagonal(matrix, right)
        if p < bad:
            matrix[[1, 2]] = matrix[[2, 1]]
        matrices[f"p{p}"] = matrix
    true = rng.integers(0, k, faces)
    rows = []
    for face, label in enumerate(true):
        for p in rng.permutation(9)[:each]:
            expression = NAMES[rng.choice(k, p=matrices[f"p{p}"][label])]
            rows.append(row(f"f{face:05}", f"p{p}", expression, kind="work"))
    return rows, [NAMES[label] for label in true], matrices


def accuracy(found: Consensus, true: Sequence[str]) -> float:
    return float(np.mean([NAMES[e] == t for e, t in zip(found.expression, true, strict=True)]))


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_beats_majority_with_two_bad_raters(seed: int) -> None:
    rows, true, _ = planted(1500, 4, bad=2, seed=seed)
    majority, model = decide(rows), decide(rows, rule="dawid-skene")
    assert accuracy(model, true) > accuracy(majority, true) + 0.02
    assert model.shares.shape == (1500, 11)
    surest = model.shares.max(axis=1)
    assert abs(surest.mean() - accuracy(model, true)) < 0.03  # the posterior is calibrated


def test_dawid_skene_recovers_planted_matrices() -> None:
    rows, true, matrices = planted(4000, 5, bad=2, seed=7)
    found = decide(rows, rule="dawid-skene")
    weights = dict(zip(found.face_ids.to_pylist(), found.shares, strict=True))
    for person, matrix in matrices.items():
        table = np.zeros((11, 11))
        for r in rows:
            if r["annotator"] == person:
                table[:, IDS[r["expression"]]] += weights[r["face_id"]]
        table = table[:4, :4] / table[:4, :4].sum(axis=1, keepdims=True)
        assert np.abs(table - matrix).max() < 0.06, person
    assert accuracy(found, true) > 0.85


def plain_dawid_skene(rows: list[dict[str, Any]], rounds: int) -> dict[str, list[float]]:
    """The model in loops, as the paper writes it, with the prior of ours."""
    faces, people = sorted({r["face_id"] for r in rows}), sorted({r["annotator"] for r in rows})
    k = 11
    t = {f: [0.0] * k for f in faces}
    for r in rows:
        t[r["face_id"]][IDS[r["expression"]]] += 1
    t = {f: [x / sum(w) for x in w] for f, w in t.items()}
    for _ in range(rounds):
        share = [(sum(t[f][c] for f in faces) + 1 / k) / (len(faces) + 1) for c in range(k)]
        pi = {}
        for p in people:
            for c in range(k):
                anchor = 1 + 0.01 * sum(r["annotator"] == p for r in rows)
                cells = [1 / k + anchor * (c == s) for s in range(k)]
                for r in rows:
                    if r["annotator"] == p:
                        cells[IDS[r["expression"]]] += t[r["face_id"]][c]
                pi[p, c] = [x / sum(cells) for x in cells]
        new = {}
        for f in faces:
            w = [share[c] for c in range(k)]
            for r in rows:
                if r["face_id"] == f:
                    for c in range(k):
                        w[c] *= pi[r["annotator"], c][IDS[r["expression"]]]
            new[f] = [x / sum(w) for x in w]
        t = new
    return t


def test_dawid_skene_equals_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dawid_skene, "_ROUNDS", 7)
    monkeypatch.setattr(dawid_skene, "_ENOUGH", 0.0)
    rows, _, _ = planted(40, 3, bad=1, seed=2)
    found = decide(rows, rule="dawid-skene")
    expected = plain_dawid_skene(rows, 7)
    assert len(found) == 40
    for face, weights in zip(found.face_ids.to_pylist(), found.shares, strict=True):
        np.testing.assert_allclose(weights, expected[face], atol=1e-9)


def test_a_face_with_one_rater_keeps_its_label_and_moves_no_other() -> None:
    rows, _, _ = planted(200, 3, seed=5)
    before = decide(rows, rule="dawid-skene")
    after = decide([*rows, row("z", "p0", "fear", kind="work")], rule="dawid-skene")
    assert labels_of(after)["z"] == "fear"
    assert after.shares[-1].tolist() == [float(name == "fear") for name in NAMES]
    np.testing.assert_array_equal(before.shares, after.shares[:-1])


def test_dawid_skene_refuses_what_it_cannot_know() -> None:
    rows, _, _ = planted(50, 3)
    pair = [row("z", "p0", "happy", kind="work"), row("z", "p1", "sad", kind="work")]
    with pytest.raises(InputError, match="1 face of 51 have two"):
        decide([*rows, *pair], rule="dawid-skene")
    with pytest.raises(InputError, match="no face has three"):
        decide(said("a", "happy"), rule="dawid-skene")
    nobody = [dict(r, annotator="import:fer") if r["annotator"] == "p0" else r for r in rows]
    with pytest.raises(InputError, match="import:fer stands for labels that name nobody"):
        decide(nobody, rule="dawid-skene")
    known = [dict(r, annotator="import:fer/p0") if r["annotator"] == "p0" else r for r in rows]
    assert len(decide(known, rule="dawid-skene")) == 50


def test_switched_classes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _, _ = planted(300, 3)
    rng = random.Random(0)
    hard = [  # faces on which raters say anything, and an expression that hardly anybody says
        row(f"hard{n:03}", f"p{p}", rng.choice([*NAMES[:4], "no_face"]), kind="work")
        for n in range(300)
        for p in range(5)
    ]
    assert len(decide([*rows, *hard], rule="dawid-skene")) == 600
    monkeypatch.setattr(dawid_skene, "_ONCE", 0.0)  # without its anchor
    monkeypatch.setattr(dawid_skene, "_SHARE", 0.0)
    with pytest.raises(InputError, match="classes have switched"):
        decide([*rows, *hard], rule="dawid-skene")


def test_a_class_has_switched_from_ten_faces_on() -> None:
    counts = np.zeros((20, 11), np.int64)
    counts[:, 1] = 3
    weights = np.zeros((20, 11))
    weights[:9, 2] = 1
    weights[9:, 1] = 1
    dawid_skene._check_switched(counts, weights)
    weights[9] = weights[0]
    with pytest.raises(InputError, match="calls sad what most raters call happy"):
        dawid_skene._check_switched(counts, weights)


# ---- draws --------------------------------------------------------------------------------


def test_draws_are_even_and_differ_by_name_and_salt() -> None:
    names = pa.array([f"{n:032x}" for n in range(20_000)])
    one, other = draw(names, "0 a"), draw(names, "1 a")
    for drawn in (one, other):
        assert drawn.min() >= 0
        assert drawn.max() < 1
        table = np.histogram(drawn, 20, (0, 1))[0]
        assert ((table - 1000) ** 2 / 1000).sum() < 45.3  # χ² of 19, one in 1,500
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.03
    assert len({*one}) == 20_000


def test_a_draw_equals_fnv_and_splitmix_written_as_loops() -> None:
    names = ["", "a", "face", "ß-face", "x" * 70, "a"]

    def by_hand(text: str) -> float:
        h = 0xCBF29CE484222325
        for byte in text.encode():
            h = (h ^ byte) * 0x100000001B3 % 2**64
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            h = (h ^ (h >> shift)) * factor % 2**64
        return (h >> 11) / 2**53

    expected = [by_hand("7 s" + name) for name in names]
    assert draw(pa.array(names), "7 s").tolist() == expected
    for kind in (pa.string(), pa.large_string()):
        part = pa.array(["no", *names], kind).slice(1)
        assert draw(part, "7 s").tolist() == expected


def test_pick_takes_whole_weights() -> None:
    weights = np.array([[0, 2, 1], [0, 0, 0], [4, 0, 0]])
    assert pick(weights, np.array([0.0, 0.5, 0.99])).tolist() == [1, 2, 0]
    assert pick(weights, np.array([0.67, 0.0, 0.0])).tolist() == [2, 2, 0]
    assert pick(weights[:1], np.array([0.66])).tolist() == [1]


@pytest.mark.slow
def test_half_a_million_faces_take_seconds() -> None:
    rng = np.random.default_rng(0)
    n = 500_000
    face = np.repeat(np.arange(n), 2)
    person = np.stack([rng.integers(0, 100, n), rng.integers(100, 200, n)], axis=1).ravel()
    point = rng.uniform(-0.6, 0.6, (2 * n, 2)).astype(np.float32)
    table = pa.table(
        {
            "face_id": pa.array([f"{f:032x}" for f in range(n)]).take(pa.array(face)),
            "annotator": pa.array([f"p{p}" for p in range(200)]).take(pa.array(person)),
            "expression": pa.array(NAMES).take(pa.array(rng.integers(0, 11, 2 * n))),
            "valence": point[:, 0],
            "arousal": point[:, 1],
        }
    )
    judged = read_judgments(table, "the test")
    for options in ({}, {"rule": "intended", "affect_rule": "median", "intended": {"x": "sad"}}):
        start = time.process_time()
        assert len(find_consensus(judged, **options)) == n  # type: ignore[arg-type]
        assert time.process_time() - start < 12
