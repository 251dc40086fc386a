"""FER+: votes by image name, the two ways to a label, what is not a face."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from format_builders import put_picture
from openaffect.circumplex import CLASS_MEANS, affect_from_soft_labels
from openaffect.errors import FormatError, UnknownName
from openaffect.formats import export_dataset, import_dataset
from openaffect.formats.ferplus import majority, plurality
from openaffect.labels import EMOTIONS, Expression

HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)
ROWS = [
    "Training,a.png,1,9,0,0,0,0,0,0,0,0",
    "Training,,0,0,0,0,0,0,0,0,0,10",
    "Training,b.png,0,0,2,3,0,0,0,1,4,0",
    "Training,c.png,5,0,0,5,0,0,0,0,0,0",
    "PublicTest,d.png,0,0,0,0,0,0,0,0,0,10",
    "PrivateTest,e.png,9,1,0,0,0,0,0,0,0,0",
    "Training,a.png,0,0,0,0,0,9,1,0,0,0",
]


def make_source(root, rows=ROWS, header=HEADER, pictures="abcd"):
    (root / "data").mkdir(parents=True)
    (root / "fer2013new.csv").write_text("\n".join([header, *rows, ""]))
    for number, name in enumerate(pictures):
        folder = "FER2013Valid" if name == "d" else "FER2013Train"
        put_picture(root / "data" / folder / f"{name}.png", number)
    return root


def rows_of(dataset):
    return {row["face_id"]: row for row in dataset.faces.to_pylist()}


def test_votes_take_affectnets_order_and_join_by_name(tmp_path):
    dataset, summary = import_dataset("ferplus", make_source(tmp_path / "fer"), tmp_path / "d")
    rows = rows_of(dataset)
    # In the file: 0 neutral, 2 surprise, 3 sadness, 7 contempt, 8 unknown.
    assert rows["b.png"]["votes"] == [0, 0, 3, 2, 0, 0, 0, 1, 0, 4, 0]
    assert rows["b.png"]["soft_label"] == pytest.approx([0, 0, 3 / 6, 2 / 6, 0, 0, 0, 1 / 6])
    assert rows["b.png"]["image"] == "FER2013Train/b.png"
    assert {name: row["expression"] for name, row in rows.items()} == {
        "a.png": "disgust",  # the last row of the name
        "b.png": "uncertain",  # "unknown" has most votes
        "c.png": "uncertain",  # a tie
        "d.png": "no_face",
    }
    assert rows["d.png"]["soft_label"] is None
    assert rows["d.png"]["split"] == "validation"
    assert {row["expression_origin"] for row in rows.values()} == {"human"}
    assert summary.rejected == {
        "row without a picture name": 1,
        "row repeated further down (the last one counts)": 1,
        "the folder of its split is not here": 1,
    }
    assert summary.notes == [
        "the last row counts of 1 name that came twice",
        "FER2013Test is not here: 1 row left out",
    ]
    assert rows["a.png"]["valence"] is None


def test_majority_drops_single_votes_first(tmp_path):
    source = make_source(tmp_path / "fer")
    dataset, _ = import_dataset("ferplus", source, tmp_path / "d", label="majority")
    rows = rows_of(dataset)
    # 3 sad of 2 + 3 + 4 is no majority.
    assert rows["b.png"]["expression"] == "uncertain"
    assert rows["a.png"]["expression"] == "disgust"
    assert len(dataset) == 4


@pytest.mark.parametrize(
    ("votes", "by_plurality", "by_majority"),
    [
        ([3, 2, 2, 1, 1, 1, 0, 0, 0, 0, 0], "neutral", "uncertain"),
        ([4, 3, 1, 1, 1, 0, 0, 0, 0, 0, 0], "neutral", "neutral"),
        ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0], "uncertain", "uncertain"),
        ([1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1], "uncertain", "uncertain"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 4], "uncertain", "uncertain"),
        ([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 9], "no_face", "no_face"),
        ([0] * 11, "uncertain", "uncertain"),
    ],
)
def test_labels_from_votes(votes, by_plurality, by_majority):
    assert plurality(votes) == by_plurality
    assert majority(votes) == by_majority


@given(st.lists(st.integers(0, 10), min_size=11, max_size=11))
def test_a_majority_is_always_the_plurality(votes):
    winner = majority(votes)
    assert winner in (plurality(votes), Expression.UNCERTAIN)


def test_derived_affect_is_the_weighted_class_mean(tmp_path):
    shares = [0.0] * 8
    shares[1], shares[6] = 0.75, 0.25
    happy, anger = CLASS_MEANS[Expression.HAPPY], CLASS_MEANS[Expression.ANGER]
    expected = tuple(0.75 * h + 0.25 * a for h, a in zip(happy, anger, strict=True))
    assert tuple(affect_from_soft_labels(shares)) == pytest.approx(expected)
    source = make_source(tmp_path / "fer")
    dataset, _ = import_dataset("ferplus", source, tmp_path / "d", affect="derived")
    rows = rows_of(dataset)
    disgust, fear = CLASS_MEANS[EMOTIONS[5]], CLASS_MEANS[EMOTIONS[4]]
    assert rows["a.png"]["valence"] == pytest.approx(0.9 * disgust[0] + 0.1 * fear[0], abs=1e-6)
    assert rows["a.png"]["affect_origin"] == "derived"
    assert (rows["d.png"]["valence"], rows["d.png"]["affect_origin"]) == (None, None)


@pytest.mark.parametrize(("option", "value"), [("label", "majorty"), ("affect", "yes")])
def test_an_option_with_an_unknown_value_is_refused(tmp_path, option, value):
    with pytest.raises(UnknownName, match=value):
        import_dataset("ferplus", make_source(tmp_path / "f"), tmp_path / "d", **{option: value})


def test_a_table_of_other_columns_is_refused(tmp_path):
    source = make_source(
        tmp_path / "fer", header=HEADER.replace("surprise,sadness", "sad,surprise")
    )
    with pytest.raises(FormatError, match="expected the header Usage,Image name"):
        import_dataset("ferplus", source, tmp_path / "d")


def test_votes_that_are_no_numbers_and_usages_that_are_none_are_rejected(tmp_path):
    rows = [ROWS[0], "Training,b.png,x,9,0,0,0,0,0,0,0,0", "Tests,c.png,1,9,0,0,0,0,0,0,0,0"]
    dataset, summary = import_dataset(
        "ferplus", make_source(tmp_path / "fer", rows), tmp_path / "d"
    )
    assert summary.rejected == {"votes that are no numbers": 1, "unknown usage": 1}
    assert "fer2013new.csv line 3,b.png" in (dataset.path / "rejected.csv").read_text()


def test_export_notes_what_votes_do_not_say(tmp_path):
    dataset, _ = import_dataset(
        "ferplus", make_source(tmp_path / "fer"), tmp_path / "d", label="majority"
    )
    changed = dataset.with_column("expression", ["happy"] * len(dataset))
    summary = export_dataset("ferplus", changed, tmp_path / "out")
    assert len(summary.notes) == 1
    assert "the expression of 4 rows" in summary.notes[0]
    assert "they are lost" in summary.notes[0]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "train", "validation"), [("plurality", 1449, 157), ("majority", 3423, 367)]
)
def test_the_known_counts(test_data, tmp_path, label, train, validation):
    dataset, summary = import_dataset(
        "ferplus", test_data / "ferplus.zip", tmp_path / "fer", label=label
    )
    assert len(dataset.where(split="train")) == 28_558
    assert len(dataset.where(split="validation")) == 3_579
    judge = {"plurality": _tied, "majority": _without_majority}[label]
    undecided = {
        split: sum(map(judge, dataset.where(split=split).faces["votes"].to_pylist()))
        for split in ("train", "validation")
    }
    assert undecided == {"train": train, "validation": validation}
    # A winner of the votes that is "unknown" is uncertain as well.
    rows = dataset.faces.select(["votes", "expression"]).to_pylist()
    others = sum(not judge(row["votes"]) and _winner(row["votes"]) == 9 for row in rows)
    uncertain = summary.classes["train", "uncertain"] + summary.classes["validation", "uncertain"]
    assert uncertain == train + validation + others
    assert summary.rejected["row without a picture name"] == 158
    assert summary.notes == ["the last row counts of 3 names that came twice"]


def _tied(votes):
    return sorted(votes)[-1] == sorted(votes)[-2]


def _without_majority(votes):
    kept = [vote for vote in votes if vote >= 2]
    return not kept or max(kept) <= sum(kept) / 2


def _winner(votes):
    return max(range(11), key=lambda number: votes[number])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Training,c.png,1,2,3", "line of another length"),
        ("Training,c.png,1,2,3,4,5,6,7,8,9,10,11", "line of another length"),
        ("Trening,c.png,1,0,0,0,0,0,0,0,0,0", "unknown usage"),
        ("Training,c.png,1,0,0,0,0,0,0,0,0,x", "votes that are no numbers"),
        ("Training,c.png,1,0,0,0,0,0,0,0,0,-1", "votes that are no numbers"),
        (f"Training,c.png,{'9' * 5000},0,0,0,0,0,0,0,0,0", "votes that are no numbers"),
        ("Training,c.png,65536,0,0,0,0,0,0,0,0,0", "votes outside 0 to 65535"),
        ("Training,../c.png,1,0,0,0,0,0,0,0,0,0", "picture path leaves the images folder"),
        ('Training,"c.png"x,1,0,0,0,0,0,0,0,0,0', "line that is no CSV"),
    ],
)
def test_a_bad_row_is_rejected_alone(tmp_path, row, reason):
    rows = ["Training,a.png,9,0,0,0,0,0,0,0,0,0", row, "PublicTest,d.png,0,9,0,0,0,0,0,0,0,0"]
    if "../" in row:
        put_picture(tmp_path / "fer/data/c.png")
    source = make_source_over(tmp_path / "fer", rows)
    dataset, summary = import_dataset("ferplus", source, tmp_path / "d")
    assert dataset.ids == ["a.png", "d.png"]
    assert summary.rejected == {reason: 1}


def make_source_over(root, rows):
    """The source where its folder may be there already."""
    made = make_source(root.with_name("made"), rows)
    for path in root.rglob("*.png"):
        path.rename(made / path.relative_to(root))
    return made
