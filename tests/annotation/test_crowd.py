"""Fourteen simulated people label FER+ over HTTP: agreement is theirs, and the culprits are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from annotation_simulation import (
    HONEST,
    SPAMMER,
    SWAPPER,
    expected_agreement,
    make_crowd,
    read_votes,
)
from openaffect.annotation import measure_agreement
from openaffect.judgments import read_judgments
from openaffect.project import Project, accounts

pytestmark = [pytest.mark.slow, pytest.mark.real]


@pytest.fixture(scope="module")
def votes(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.int64]:
    return read_votes(test_data / "ferplus.zip", tmp_path_factory.mktemp("votes"))


def test_agreement_is_what_the_votes_say_and_the_culprits_are_named(
    votes: NDArray[np.int64], sqlite_project: Project
) -> None:
    chosen = votes[np.random.default_rng(0).choice(len(votes), 1_500, replace=False)]
    crowd = make_crowd(lambda: sqlite_project, chosen, 0, overlap_share=0.6)
    crowd.label([*HONEST, SPAMMER, SWAPPER])
    assert set(crowd.stopped.values()) == {"done"}
    found = measure_agreement(crowd.project.path)
    assert found.people is not None
    names = {one.name: one.pseudonym for one in accounts.list_people(crowd.project)}
    apart = {name for name, one in found.people.items() if one.stands_apart}
    assert apart == {names[SPAMMER], names[SWAPPER]}
    assert sum("far less" in text for text in found.warnings) == 1
    assert any("simulated" in text for text in found.warnings)
    exact, error, faces = expected_agreement(crowd)
    assert faces > 250
    without = measure_agreement(honest_rows(crowd.project, {names[name] for name in HONEST}))
    agreed = without.expression.pair_agreement
    assert agreed.n == faces
    assert abs(agreed.value - exact) <= 3 * error
    assert found.expression.pair_agreement.value < agreed.value - 0.05


def honest_rows(project: Project, names: set[str]):
    """The annotations of some people as a dataset in memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from annotation.simulated import to_dataset
    from openaffect.project.judgments import read_annotations

    with project.database.read() as connection:
        table = pa.Table.from_batches(list(read_annotations(connection)))
    kept = table.filter(pc.is_in(table["annotator"], value_set=pa.array(sorted(names))))
    assert len(read_judgments(kept, "here")) == len(kept)
    return to_dataset(kept)


@pytest.mark.parametrize(
    "how",
    [
        {"quality_training_rounds": 2, "quality_training_faces": 15, "quality_training_pass": 0.6},
        {"quality_gold_share": 0.5, "quality_minimum_gold": 0.5},
    ],
    ids=["training", "pausing"],
)
def test_training_and_pausing_stop_the_spammer_and_nobody_honest(
    votes: NDArray[np.int64], sqlite_project: Project, how: dict[str, float]
) -> None:
    chosen = votes[np.random.default_rng(1).choice(len(votes), 1_500, replace=False)]
    crowd = make_crowd(lambda: sqlite_project, chosen, 1, golden=200, **how)
    crowd.label([*HONEST, SPAMMER], most=80)
    states = {one.name: one.state for one in accounts.list_people(crowd.project)}
    expected = "training_failed" if "quality_training_rounds" in how else "paused"
    assert crowd.stopped == {SPAMMER: expected}
    assert {states[name] for name in HONEST} == {"active"}
    assert states[SPAMMER] == ("active" if expected == "training_failed" else "paused")
