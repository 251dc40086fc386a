"""HOG, PCA and a linear machine: the graph does what the steps do, and the run what a run should."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC, LinearSVR

from narrowing import known
from openaffect.dataset import Dataset
from openaffect.errors import DestinationExists, InputError, MismatchError, TrainingError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import crop
from openaffect.labels import EMOTIONS, Expression
from openaffect.model import open_model
from openaffect.progress import Progress
from openaffect.synthetic import synthesize_face
from openaffect.training import train
from openaffect.training.hog import features, graph, run
from openaffect.training.hog.machine import NEVER, fit_classes, fit_pca
from openaffect.training.recipe import Recipe, load_recipe
from openaffect.training.run_folder import lock_folder
from openaffect.training.targets import choose_targets, train_val_split
from training.faces import THREE, make_faces, rows_of

SIZE = 32


def recipe_of(**changes: Any) -> Recipe:
    """Three classes on 32 pixels: 324 features."""
    values: dict[str, Any] = {
        "name": "small-hog",
        "source": "a test",
        "method": "hog",
        "labels": "neutral,happy,sad",
        "resize": SIZE,
        "components": 10,
        "svm_c": 0.1,
        "early_stopping_fraction": 0.2,
    }
    return Recipe(**(values | changes))


def affect_recipe(**changes: Any) -> Recipe:
    return recipe_of(target="affect", stop_metric="ccc", **changes)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Dataset:
    """90 faces of three classes, 32 pixels."""
    return make_faces(tmp_path_factory.mktemp("hog") / "data", 90, size=SIZE, license="CC0-1.0")


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train(pictures, folder, recipe_of()) == folder / "model.onnx"
    return folder


@pytest.fixture(scope="module")
def trained_affect(pictures, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("affect") / "run"
    train(pictures, folder, affect_recipe(svm_c=1.0))
    return folder


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory) -> Dataset:
    """90 faces of unequal classes whose labels are often not what the pictures show."""

    def change(number: int, row: Any) -> None:
        row.expression = THREE[number % 3 if number < 45 else 0]
        if number % 5 == 0:
            row.expression = THREE[(number + 1) % 3]

    return make_faces(tmp_path_factory.mktemp("doubtful") / "data", 90, size=SIZE, change=change)


@pytest.fixture(scope="module")
def weighted(doubtful, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weighted") / "run"
    train(doubtful, folder, recipe_of(strategy="weighted-loss"))
    return folder


def features_of(crops: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.features_graph(crops.shape[1]).SerializeToString())
    return session.run(None, {"image": crops.transpose(0, 3, 1, 2).astype(np.float32)})[0]


def noise(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def log_row(folder: Path) -> dict[str, str]:
    with open(folder / "log.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    return rows[0]


def read_crops(dataset: Dataset, rows: np.ndarray, recipe: Recipe) -> np.ndarray:
    size = (recipe.resize, recipe.resize)
    return np.stack([dataset.crop(int(row), recipe.crop_rule, size) for row in rows])


def digest(folder: Path) -> dict[str, str]:
    names = ("recipe.toml", "log.csv", "model.onnx")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


# The features.


def slow_hog(image: np.ndarray) -> np.ndarray:
    """HOG of one picture, pixel by pixel, as (bin, block row, cell row, block column, cell column)."""
    size = len(image)
    gray = np.floor(image.astype(np.float64) @ [9798, 19235, 3735] / 32768 + 0.5)
    blocks = size // 8 - 1
    votes = np.zeros((9, blocks, 2, blocks, 2))
    for y in range(1, size - 1):  # the edge of a mirrored picture has gradients of its other axis
        for x in range(1, size - 1):
            add_votes(votes, gray, y, x)
    for edge in (0, size - 1):
        for along in range(1, size - 1):
            add_votes(votes, gray, edge, along)
            add_votes(votes, gray, along, edge)
    for row in range(blocks):
        for column in range(blocks):
            block = votes[:, row, :, column, :]
            block = np.minimum(block / (np.sqrt((block**2).sum()) + 3.6), 0.2)
            votes[:, row, :, column, :] = block / (np.sqrt((block**2).sum()) + 0.001)
    return votes


def add_votes(votes: np.ndarray, gray: np.ndarray, y: int, x: int) -> None:
    size, blocks = len(gray), votes.shape[1]
    dx = gray[y, x + 1] - gray[y, x - 1] if 0 < x < size - 1 else 0
    dy = gray[y + 1, x] - gray[y - 1, x] if 0 < y < size - 1 else 0
    place = np.degrees(np.arctan2(dy, dx)) % 180 / 20 - 0.5
    low = int(np.floor(place))
    for row in range(max(0, y // 8 - 1), min(blocks, y // 8 + 1)):
        for column in range(max(0, x // 8 - 1), min(blocks, x // 8 + 1)):
            v, u = y - 8 * row, x - 8 * column
            gauss = np.exp(-((v - 8) ** 2 + (u - 8) ** 2) / (2 * 4**2))
            for cell_y in (0, 1):
                for cell_x in (0, 1):
                    near = max(0, 1 - abs(v + 0.5 - 8 * cell_y - 4) / 8)
                    near *= max(0, 1 - abs(u + 0.5 - 8 * cell_x - 4) / 8)
                    vote = np.hypot(dx, dy) * gauss * near
                    votes[low % 9, row, cell_y, column, cell_x] += vote * (low + 1 - place)
                    votes[(low + 1) % 9, row, cell_y, column, cell_x] += vote * (place - low)


def test_features_are_those_of_the_definition():
    images = np.concatenate([noise(2, SIZE), read_stripes()])
    expected = np.stack([slow_hog(image).ravel() for image in images])
    found = features_of(images)
    assert np.abs(found - expected).max() <= 2e-6  # float32
    assert np.ptp(expected) > 0.2


def read_stripes() -> np.ndarray:
    """Slopes of whole numbers: many gradients lie on the border between two orientations."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.stack([np.repeat(plane[..., None], 3, axis=2) for plane in (x * 4, y * 4, x + y)])


def test_features_are_opencvs():
    faces = [synthesize_face(emotion, seed=3, size=256).image for emotion in EMOTIONS]
    images = np.stack([*faces, *noise(2, 256)])
    opencv = cv2.HOGDescriptor((256, 256), (16, 16), (8, 8), (8, 8), 9)
    expected = []
    for image in images:
        values = opencv.compute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        # column by column of blocks, and of cells in a block
        expected.append(
            np.asarray(values).reshape(31, 31, 2, 2, 9).transpose(4, 1, 3, 0, 2).ravel()
        )
    found = np.concatenate([features_of(image[None]) for image in images])
    assert found.shape == (10, 34_596)
    # OpenCV's angles are an approximation, good to 0.01°: a vote moves by 5e-4 of a bin.
    assert np.abs(found - np.stack(expected)).max() <= 1e-3


def test_an_even_picture_has_no_features():
    flat = np.full((1, SIZE, SIZE, 3), 77, np.uint8)
    assert not features_of(flat).any()


def test_light_added_to_a_picture_changes_nothing_and_contrast_little():
    image = noise(1, SIZE) // 2
    plain = features_of(image)
    assert np.array_equal(features_of(image + 100), plain)
    # the small numbers that keep an even block at 0 have a share of about 1 %
    assert np.abs(features_of(image * 2) - plain).max() < 0.01


@pytest.mark.parametrize(("size", "count"), [(16, 36), (32, 324), (256, 34_596)])
def test_number_of_features(size, count):
    assert graph.count_features(size) == count
    assert features_of(noise(1, size)).shape == (1, count)


# The model.


def sklearn_pipeline(dataset: Dataset, recipe: Recipe, last: Any) -> tuple[Any, Any, Any]:
    """Scikit-learn's own pipeline on the same faces; it, the learned and the held faces."""
    targets = choose_targets(dataset, recipe)
    learned, held = train_val_split(dataset, targets, recipe.early_stopping_fraction, recipe.seed)
    # The random directions are part of what is exported; how good they are another test tells.
    pca = PCA(recipe.components, svd_solver="randomized", random_state=recipe.seed)
    pipeline = make_pipeline(pca, last)
    return pipeline, learned, held


@pytest.mark.parametrize(("faces", "done"), [("pictures", "trained"), ("doubtful", "weighted")])
def test_the_svms_graph_is_scikit_learns_pipeline(request, faces, done):
    dataset, model = request.getfixturevalue(faces), open_model(request.getfixturevalue(done))
    recipe = recipe_of()
    machine = LinearSVC(C=0.1, dual=False, intercept_scaling=10, max_iter=10_000)
    pipeline, learned, held = sklearn_pipeline(dataset, recipe, machine)
    inputs = features_of(read_crops(dataset, learned.rows, recipe)).astype(np.float64)
    counts = np.bincount(learned.classes)
    weights = counts.min() / counts[learned.classes]  # 1 for all where classes are of one size
    pipeline.fit(inputs, learned.classes, linearsvc__sample_weight=weights)
    crops = np.concatenate([read_crops(dataset, held.rows, recipe), noise(3, SIZE)])
    scores = pipeline.decision_function(features_of(crops).astype(np.float64))
    powers = np.exp(scores / model.card.temperature)
    expected = powers / powers.sum(axis=1, keepdims=True)
    found = known(model.predict(crops).probabilities)
    assert np.abs(found - expected).max() <= 1e-4
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)
    assert np.ptp(expected, axis=0).min() > 0.15


def test_the_svrs_graph_is_scikit_learns_pipeline_within_its_range(pictures, trained_affect):
    recipe = affect_recipe()
    model = open_model(trained_affect)
    crops = np.concatenate([read_crops(pictures, np.arange(20), recipe), noise(20, SIZE)])
    found = known(model.predict(crops).affect)
    assert found.shape == (40, 2)
    for column in (0, 1):
        machine = LinearSVR(
            C=1.0, epsilon=0.1, intercept_scaling=10, max_iter=10_000, random_state=0
        )
        pipeline, learned, _ = sklearn_pipeline(pictures, recipe, machine)
        inputs = features_of(read_crops(pictures, learned.rows, recipe)).astype(np.float64)
        pipeline.fit(inputs, learned.affect[:, column])
        expected = pipeline.predict(features_of(crops).astype(np.float64))
        # the dual solver stops at 1e-4 of its own measure; the signs of PCA's axes differ
        assert np.abs(found[:, column] - np.clip(expected, -1, 1)).max() <= 5e-3
        assert np.ptp(expected) > 0.3


def test_values_beyond_the_range_are_cut_off():
    count = graph.count_features(16)
    model = graph.affect_graph(16, np.full((2, count), [[50.0], [-50.0]]), np.zeros(2))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    image = noise(1, 16).transpose(0, 3, 1, 2).astype(np.float32)
    assert session.run(None, {"image": image})[0].tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_faces_goes_in_and_each_is_judged_alone(trained, count):
    crops = noise(5, SIZE)
    model = open_model(trained)
    together = known(model.predict(crops[:count]).probabilities)
    alone = [known(model.predict(crops[n : n + 1]).probabilities)[0] for n in range(count)]
    assert together.shape == (count, 3)
    assert np.abs(together - np.stack(alone)).max() <= 1e-5


def test_the_graph_is_whole_small_and_tells_nothing_of_the_machine(trained):
    model = onnx.load(trained / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version >= 18
    assert {opset.domain for opset in model.opset_import} == {""}
    assert [prop.key for prop in model.metadata_props] == ["openaffect"]
    content = (trained / "model.onnx").read_bytes()
    assert len(content) < 100_000
    assert str(trained).encode() not in content
    assert b".py" not in content


def test_the_card_is_filled(pictures, trained):
    card = open_model(trained).card
    row = log_row(trained)
    assert (card.name, card.size, card.labels) == ("small-hog", (SIZE, SIZE), THREE)
    assert card.data_fingerprint == pictures.fingerprint()
    assert card.recipe_sha256 == recipe_of().sha256()
    assert card.trained_on["classes"] == {"neutral": 24, "happy": 24, "sad": 24}
    assert card.trained_on["held_for_stopping"] == 18
    assert card.trained_on["components"] == 10
    assert card.trained_on["parameters"] == 3 * (324 + 1)
    assert card.trained_on["variance_kept"] == float(row["variance_kept"])
    assert {*card.scores["held_for_stopping"]} == {"loss", "accuracy", "f1"}
    assert card.licenses["data"] == "CC0-1.0"
    assert card.notes == ""


def test_any_copy_can_be_held_to_the_golden_face(trained_affect):
    model = open_model(trained_affect)
    golden = known(model.card.golden)
    face = synthesize_face(golden.expression, seed=golden.seed, size=256)
    piece = crop(face.image, Box(*face.box), model.card.crop, model.card.size)
    found = known(model.predict(piece[None]).affect)[0]
    assert {*golden.outputs} == {"affect"}
    assert np.abs(found - golden.outputs["affect"]).max() <= 1e-5


@pytest.mark.slow
def test_a_graph_that_differs_from_the_steps_is_refused(pictures, tmp_path, monkeypatch):
    real = graph.expression_graph
    monkeypatch.setattr(
        graph,
        "expression_graph",
        lambda size, weights, bias, t: real(size, weights, bias + 1, 2 * t),
    )
    with pytest.raises(TrainingError, match="differs"):
        train(pictures, tmp_path / "run", recipe_of())
    assert not (tmp_path / "run" / "model.onnx").exists()


# PCA and the machine.


def test_the_basis_is_that_of_a_whole_decomposition():
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(80, 12)) * np.arange(12, 0, -1) ** 2 + 5).astype(np.float32)
    projection, projected = fit_pca(data.copy(), 4, seed=0)
    centered = data.astype(np.float64) - data.mean(axis=0, dtype=np.float64)
    _, values, axes = np.linalg.svd(centered, full_matrices=False)
    assert np.abs(np.abs(projection.components @ axes[:4].T) - np.eye(4)).max() < 1e-3
    assert projection.kept == pytest.approx((values[:4] ** 2).sum() / (values**2).sum(), abs=1e-4)
    assert np.abs(projection.project(data) - projected).max() < 1e-3 * np.abs(projected).max()


def test_folding_changes_no_score():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(60, 30)).astype(np.float32)
    classes = rng.integers(0, 3, 60)
    projection, inputs = fit_pca(data.copy(), 8, seed=0)
    machine = fit_classes(inputs, classes, np.ones(60), recipe_of())
    fused = machine.fuse(projection)
    assert fused.weights.shape == (3, 30)
    assert np.abs(fused.scores(data) - machine.scores(projection.project(data))).max() < 1e-5


def test_a_weight_of_two_is_a_face_twice():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 5))
    classes = rng.integers(0, 3, 40)
    repeats = rng.integers(1, 4, 40)
    weighted = fit_classes(inputs, classes, repeats.astype(float), recipe_of())
    rows = np.repeat(np.arange(40), repeats)
    repeated = fit_classes(inputs[rows], classes[rows], np.ones(len(rows)), recipe_of())
    assert np.abs(weighted.weights - repeated.weights).max() < 1e-3  # the solver's own tolerance
    plain = fit_classes(inputs, classes, np.ones(40), recipe_of())
    assert np.abs(plain.weights - repeated.weights).max() > 1e-2


def test_strategies_take_each_face_once_and_weigh_it(pictures):
    learned = choose_targets(pictures, recipe_of())
    learned = learned.select(np.flatnonzero((learned.classes != 2) | (learned.rows < 30)))
    assert np.bincount(learned.classes).tolist() == [30, 30, 10]
    down, weights = run._weigh(recipe_of(strategy="down-sampling", max_per_class=12), learned)
    assert np.bincount(down.classes).tolist() == [12, 12, 10]
    assert {*weights.tolist()} == {1.0}
    up, weights = run._weigh(recipe_of(strategy="up-sampling"), learned)
    assert len({*up.rows.tolist()}) == len(up) == 70
    assert np.bincount(up.classes, weights).tolist() == [30, 30, 30]
    _, weights = run._weigh(recipe_of(strategy="weighted-loss"), learned)
    assert np.bincount(learned.classes, weights).tolist() == pytest.approx([10, 10, 10])


def test_the_temperature_is_the_best_for_the_held_faces(doubtful, weighted):
    recipe = recipe_of()
    _, held = train_val_split(doubtful, choose_targets(doubtful, recipe), 0.2, 0)
    model = open_model(weighted)
    found = known(model.predict(read_crops(doubtful, held.rows, recipe)).probabilities).astype(
        float
    )

    def loss(factor: float) -> float:
        powers = found ** (1 / factor)
        powers /= powers.sum(axis=1, keepdims=True)
        return -np.log(powers[np.arange(len(held)), held.classes]).mean()

    assert float(log_row(weighted)["stop_loss"]) == pytest.approx(loss(1), abs=1e-4)
    assert 0.06 < model.card.temperature < 19  # not an end of the range
    assert loss(1) <= min(loss(0.95), loss(1.05))


# The run.


def test_the_log_has_one_row(trained, trained_affect):
    row = log_row(trained)
    assert (row["epoch"], row["faces"], row["components"]) == ("1", "72", "10")
    assert (row["broken"], row["converged"]) == ("0", "True")
    assert 0.2 < float(row["variance_kept"]) < 1
    assert float(row["stop_accuracy"]) > 0.9
    assert float(log_row(trained_affect)["stop_ccc"]) > 0.6
    files = {path.name for path in trained.iterdir() if not path.name.startswith(".")}
    assert files == {"recipe.toml", "log.csv", "model.onnx"}
    assert load_recipe(trained / "recipe.toml") == recipe_of()


@pytest.mark.slow
def test_the_same_again_is_the_same_model(pictures, trained, tmp_path):
    train(pictures, tmp_path / "run", recipe_of())
    one, other = digest(trained), digest(tmp_path / "run")
    assert one["model.onnx"] == other["model.onnx"]


class Stop(Exception):  # noqa: N818
    """Raised where a kill would come."""


@pytest.mark.parametrize(
    "phase",
    ["training", *(pytest.param(p, marks=pytest.mark.slow) for p in ("reading", "exporting"))],
)
def test_an_unfinished_run_begins_again(pictures, trained, tmp_path, phase):
    def tell(event: Progress) -> None:
        if event.phase == phase:
            raise Stop

    with pytest.raises(Stop):
        train(pictures, tmp_path / "run", recipe_of(), on_progress=tell)
    assert not (tmp_path / "run" / "model.onnx").exists()
    train(pictures, tmp_path / "run", recipe_of(), resume=True)
    assert digest(tmp_path / "run")["model.onnx"] == digest(trained)["model.onnx"]


def test_a_finished_run_is_left_alone_and_said_to_be_finished(pictures, trained):
    before = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    seen: list[Progress] = []
    model = train(pictures, trained, recipe_of(), resume=True, on_progress=seen.append)
    assert model == trained / "model.onnx"
    assert [event.phase for event in seen] == ["finished"]
    after = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    assert {k: v for k, v in before.items() if k != ".lock"} == {
        k: v for k, v in after.items() if k != ".lock"
    }


def test_a_run_is_resumed_with_its_own_recipe_and_data_only(trained, pictures, tmp_path):
    with pytest.raises(MismatchError, match="begun with components = 10"):
        train(pictures, trained, recipe_of(components=9), resume=True)
    other = make_faces(tmp_path / "other", 30, size=SIZE)
    with pytest.raises(MismatchError, match="trained on other data than"):
        train(other, trained, recipe_of(), resume=True)


@pytest.mark.slow
def test_a_run_that_is_there_is_replaced_only_when_asked(pictures, tmp_path):
    folder = tmp_path / "run"
    train(pictures, folder, recipe_of(components=3))
    with pytest.raises(DestinationExists, match="--resume"):
        train(pictures, folder, recipe_of())
    with pytest.raises(InputError, match="either resume or overwrite"):
        train(pictures, folder, recipe_of(), resume=True, overwrite=True)
    train(pictures, folder, recipe_of(), overwrite=True)
    assert log_row(folder)["components"] == "10"


def test_two_processes_do_not_train_in_one_folder(pictures, tmp_path):
    with lock_folder(tmp_path / "run"), pytest.raises(InputError, match="another process trains"):
        train(pictures, tmp_path / "run", recipe_of())


def test_progress_is_told_by_phase_and_counts_every_face(pictures, tmp_path):
    seen: list[Progress] = []
    train(pictures, tmp_path / "run", recipe_of(), on_progress=seen.append)
    phases = [event.phase for event in seen]
    assert list(dict.fromkeys(phases)) == ["reading", "training", "exporting"]
    reading = [(event.done, event.total) for event in seen if event.phase == "reading"]
    assert reading[-1] == (90, 90)
    assert rows_of(seen)[-1]["faces"] == 72


@pytest.mark.slow
def test_pca_is_made_from_some_faces_where_there_are_many(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PCA_FACES", 30)
    train(pictures, tmp_path / "run", recipe_of())
    row = log_row(tmp_path / "run")
    assert (row["faces"], row["components"]) == ("72", "10")
    assert float(row["stop_accuracy"]) > 0.8


# Bad input.


def notes_of(dataset: Dataset, folder: Path, recipe: Recipe) -> list[str]:
    seen: list[Progress] = []
    train(dataset, folder, recipe, on_progress=seen.append)
    return [event.warning for event in seen if event.warning]


def test_a_class_without_faces_gets_no_probability_and_is_named(tmp_path):
    two = make_faces(tmp_path / "data", 40, labels=THREE[:2], size=SIZE)
    notes = notes_of(two, tmp_path / "run", recipe_of())
    model = open_model(tmp_path / "run")
    assert model.card.notes == "no face of sad was learned: the probability is 0"
    assert notes == [model.card.notes]
    found = known(model.predict(noise(4, SIZE)).probabilities)
    assert (found[:, 2] == 0).all()
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_a_class_of_one_face_is_learned(tmp_path):
    def change(number: int, row: Any) -> None:
        if number:
            row.expression = THREE[1 + number % 2]

    faces = make_faces(tmp_path / "data", 40, size=SIZE, change=change)
    train(faces, tmp_path / "run", recipe_of())
    model = open_model(tmp_path / "run")
    assert model.card.trained_on["classes"]["neutral"] == 1
    assert (known(model.predict(noise(4, SIZE)).probabilities) > 0).all()


def test_faces_of_one_expression_are_refused_before_a_file_is_touched(tmp_path):
    one = make_faces(tmp_path / "data", 20, labels=[Expression.SAD], size=SIZE)
    with pytest.raises(InputError, match=r"two or more expressions.*all sad"):
        train(one, tmp_path / "run", recipe_of())
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_fewer_faces_than_components_lower_them_and_say_so(tmp_path):
    few = make_faces(tmp_path / "data", 15, size=SIZE)
    notes = notes_of(few, tmp_path / "run", recipe_of(components=500))
    assert notes == ["12 faces allow 11 components, not the recipe's 500"]
    assert log_row(tmp_path / "run")["components"] == "11"


def test_faces_without_affect_are_refused(tmp_path):
    def change(number: int, row: Any) -> None:
        row.valence = row.arousal = row.affect_origin = None

    faces = make_faces(tmp_path / "data", 20, size=SIZE, change=change)
    with pytest.raises(InputError, match="none of these with affect"):
        train(faces, tmp_path / "run", affect_recipe())


def test_broken_pictures_are_counted_and_left_out(tmp_path):
    faces = make_faces(tmp_path / "data", 60, size=SIZE)
    for number in (1, 2, 50):
        faces.image_paths[number].write_bytes(b"no picture")
    train(faces, tmp_path / "run", recipe_of())
    assert log_row(tmp_path / "run")["broken"] == "3"
    card = open_model(tmp_path / "run").card
    assert card.trained_on["broken"] == 3
    assert card.trained_on["faces"] + card.trained_on["held_for_stopping"] == 57


def test_features_stay_with_their_faces_in_parts_and_around_broken_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_PART", 4)
    faces = make_faces(tmp_path / "data", 20, size=SIZE)
    for number in (1, 8, 9, 10, 11):
        faces.image_paths[number].write_bytes(b"no picture")
    rows = np.arange(19, -1, -1)
    reader = features.FeatureReader(faces, recipe_of(), lambda _: None)
    found, places = reader.read_all(rows)
    reader.close()
    readable = [row for row in rows if row not in (1, 8, 9, 10, 11)]
    assert rows[places].tolist() == readable
    assert np.array_equal(found, features_of(read_crops(faces, np.array(readable), recipe_of())))
    assert len(reader.crops.broken) == 5


@pytest.mark.parametrize(
    ("which", "message"),
    [("all", "not one picture of .* can be read; first: "), ("held", "held out for stopping")],
)
def test_without_a_readable_picture_the_training_says_so(tmp_path, which, message):
    faces = make_faces(tmp_path / "data", 20, size=SIZE)
    recipe = recipe_of()
    _, held = train_val_split(
        faces, choose_targets(faces, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    for number in held.rows if which == "held" else range(20):
        faces.image_paths[number].write_bytes(b"")
    with pytest.raises(InputError, match=message):
        train(faces, tmp_path / "run", recipe)
    assert not (tmp_path / "run" / "model.onnx").exists()


def test_pictures_that_are_all_the_same_are_refused(tmp_path):
    faces = make_faces(tmp_path / "data", 20, size=SIZE)
    for path in faces.image_paths[1:]:
        path.write_bytes(faces.image_paths[0].read_bytes())
    with pytest.raises(InputError, match="identical"):
        train(faces, tmp_path / "run", recipe_of())


@pytest.mark.parametrize("size", [8, 36])
def test_a_size_that_cells_do_not_fill_is_refused(pictures, tmp_path, size):
    with pytest.raises(InputError, match="multiple of 8, at least 16"):
        train(pictures, tmp_path / "run", recipe_of(resize=size))
    assert not (tmp_path / "run").exists()


def test_trackers_are_refused(pictures, tmp_path):
    with pytest.raises(InputError, match="trackers follow the steps of networks"):
        train(pictures, tmp_path / "run", recipe_of(), track=["tensorboard"])


@pytest.mark.slow
def test_a_solver_that_did_not_converge_is_told_and_warns_nobody(tmp_path, monkeypatch):
    from openaffect.training.hog import machine

    monkeypatch.setattr(machine, "_STEPS", 1)
    faces = make_faces(tmp_path / "data", 40, size=SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes = notes_of(faces, tmp_path / "run", affect_recipe(svm_c=100.0))
    assert log_row(tmp_path / "run")["converged"] == "False"
    assert len(notes) == 1
    assert "ran out of steps" in notes[0]


def test_no_face_scores_like_a_class_that_was_never_seen():
    assert NEVER / 20 < -104  # softmax of it is 0 in float32 at the highest temperature


WITHOUT = """
import sys
sys.modules["sklearn"] = None
from openaffect.errors import MissingExtra
from openaffect.training import load_recipe, train
try:
    train(None, "run", load_recipe("hog-svm"))
except MissingExtra as error:
    print(error)
"""


@pytest.mark.slow
def test_without_scikit_learn_the_extra_is_named():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert '[train]"' in done.stdout


@pytest.mark.parametrize("name", ["hog-svm", "hog-svr"])
def test_the_recipes_are_hogs_of_256_pixels(name):
    recipe = load_recipe(name)
    assert (recipe.method, recipe.resize) == ("hog", 256)
    assert recipe.target == ("expression" if name == "hog-svm" else "affect")
    assert recipe.strategy == ("down-sampling" if name == "hog-svm" else "imbalanced")
