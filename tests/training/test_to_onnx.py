"""The exported file: what torch computes, calibrated, with a card that any copy can be held to."""

from __future__ import annotations

import os
import site
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from narrowing import known
from openaffect.errors import TrainingError
from openaffect.faces.boxes import Box
from openaffect.faces.crops import crop
from openaffect.golden import synthesize_golden
from openaffect.inference import predict_dataset
from openaffect.labels import EMOTIONS
from openaffect.model import Card, open_model
from openaffect.synthetic import synthesize_face
from openaffect.training import loop, to_onnx
from openaffect.training.calibration import fit_temperature
from openaffect.training.card import TrainingSummary, make_card
from openaffect.training.network import ExportedNetwork, Network, count_parameters
from openaffect.training.recipe import load_recipe
from openaffect.training.run_folder import read_checkpoint
from openaffect.training.targets import choose_targets, train_val_split
from openaffect.training.to_onnx import export_model
from training.faces import fast_recipe, make_faces

TEMPERATURE = 2.5
TARGETS: dict[str, dict[str, Any]] = {
    "expression": {"target": "expression"},
    "affect": {"target": "affect", "stop_metric": "ccc"},
    "both": {"target": "both", "resize": 21, "dropout": 0.5},
}

IMAGES = np.array([3, 7], np.uint32)


def training_of(dataset) -> TrainingSummary:
    targets = choose_targets(dataset, fast_recipe())
    return TrainingSummary(
        dataset, dataset.fingerprint(), targets, 12, 2, 3, {"stop_f1": 0.5}, IMAGES
    )


def network_of(recipe) -> Network:
    """A network whose running statistics and outputs are not those of a fresh one."""
    torch.manual_seed(0)
    network = Network(recipe)
    images = torch.rand(32, 3, recipe.size, recipe.size) * 255
    for _ in range(5):
        network(images)
    with torch.no_grad():
        for head in (network.expression, network.affect):
            if head is not None:
                head.weight.mul_(20)
    return network.eval()


@pytest.fixture(
    scope="module",
    params=["both", *(pytest.param(t, marks=pytest.mark.slow) for t in ("expression", "affect"))],
)
def exported(request, faces, tmp_path_factory):
    recipe = fast_recipe(**TARGETS[request.param], warning="flattering")
    network = network_of(recipe)
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    export_model(network, recipe, TEMPERATURE, training_of(faces), path)
    return recipe, network, path


@pytest.mark.slow
def test_onnxruntime_computes_what_torch_computes(exported):
    recipe, network, path = exported
    edge = recipe.resize
    crops = np.random.default_rng(0).integers(0, 256, (5, edge, edge, 3), dtype=np.uint8)
    outputs = open_model(path).predict(crops)
    start = (edge - recipe.size) // 2
    pieces = crops[:, start : start + recipe.size, start : start + recipe.size]
    with torch.no_grad():
        logits, affect = network(torch.from_numpy(pieces.transpose(0, 3, 1, 2).copy()).float())
    assert (outputs.probabilities is None) == (recipe.target == "affect")
    assert (outputs.affect is None) == (recipe.target == "expression")
    if outputs.probabilities is not None:
        expected = torch.softmax(logits / TEMPERATURE, 1).numpy()
        assert np.abs(outputs.probabilities - expected).max() <= 1e-4
        assert np.ptp(expected, axis=0).max() > 0.05  # else the test would see nothing
        assert np.allclose(outputs.probabilities.sum(axis=1), 1, atol=1e-5)
    if outputs.affect is not None:
        assert np.abs(outputs.affect - affect.numpy()).max() <= 1e-4
        assert np.ptp(affect.numpy(), axis=0).max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_faces_goes_in(exported, count):
    recipe, _, path = exported
    session = onnxruntime.InferenceSession(path)
    image = np.zeros((count, 3, recipe.resize, recipe.resize), np.float32)
    found = session.run(None, {"image": image})
    assert [len(values) for values in found] == [count] * len(found)


@pytest.mark.slow
def test_any_copy_can_be_held_to_the_golden_face(exported):
    model = open_model(exported[2])
    golden = model.card.golden
    assert golden is not None
    face = synthesize_face(golden.expression, seed=golden.seed, size=256)
    piece = crop(face.image, Box(*face.box), model.card.crop, model.card.size)
    outputs = model.predict(piece[None])
    now = {"expression": outputs.probabilities, "affect": outputs.affect}
    assert {name for name, values in now.items() if values is not None} == {*golden.outputs}
    worst = [np.abs(known(now[name])[0] - values).max() for name, values in golden.outputs.items()]
    assert max(worst) <= 1e-5


@pytest.mark.slow
def test_the_file_tells_nothing_of_the_machine(exported):
    _, _, path = exported
    content = path.read_bytes()
    places = [os.getcwd(), str(Path.home()), str(path.parent), *site.getsitepackages(), __file__]
    names = [*places, str(Path(to_onnx.__file__).parent), "site-packages", ".py", "Traceback"]
    assert [name for name in names if name.encode() in content] == []


@pytest.mark.slow
def test_the_graph_is_whole_and_valid(exported):
    model = onnx.load(exported[2])
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "openaffect"
    assert [prop.key for prop in model.metadata_props] == ["openaffect"]
    assert [p.name for p in exported[2].parent.iterdir()] == ["model.onnx"]


@pytest.mark.slow
def test_the_card_is_filled(exported, faces):
    recipe, network, path = exported
    card = open_model(path).card
    assert card.labels == recipe.label_set
    assert card.affect == recipe.learns_affect
    assert card.size == (recipe.resize, recipe.resize)
    assert card.crop == recipe.crop_rule
    assert card.temperature == TEMPERATURE
    assert (card.name, card.recipe, card.recipe_sha256) == ("fast", "fast", recipe.sha256())
    assert card.data_fingerprint == faces.fingerprint()
    assert card.protocol_warning == "flattering"
    assert card.scores == {"held_for_stopping": {"f1": 0.5}}
    assert card.licenses["data"] == "CC0-1.0"
    assert card.licenses["weights"] == "as the data: CC0-1.0"
    counts = {"neutral": 22, "happy": 21, "sad": 21} if recipe.label_set else {}
    assert card.trained_on == {
        "dataset": "data",
        "faces": 64,
        "classes": counts,
        "held_for_stopping": 12,
        "broken": 2,
        "affect_origin": ["synthetic"],
        "expression_origin": ["synthetic"],
        "parameters": count_parameters(network),
        "backbone": recipe.backbone,
        "best_epoch": 3,
    }


def test_an_unknown_license_is_said_to_be_unknown(tmp_path):
    made = make_card(fast_recipe(), 1.0, training_of(make_faces(tmp_path / "d", 9)), 1)
    assert made.licenses["data"] == "not stated"


@pytest.mark.parametrize(
    ("weights", "told"),
    [("imagenet", "ImageNet, whose weights"), ("somewhere/net.pth", "net.pth, whose weights")],
)
def test_the_card_names_the_weights_that_the_training_began_with(faces, weights, told):
    recipe = fast_recipe(weights=weights)
    license = make_card(recipe, 1.0, training_of(faces), 5).licenses["weights"]
    assert told in license
    assert "somewhere" not in license  # a path of this machine


@pytest.mark.slow
def test_an_export_that_differs_from_the_network_is_refused_and_leaves_nothing(
    faces, tmp_path, monkeypatch
):
    recipe = fast_recipe()
    real = to_onnx._write_graph

    def wrong(exported, *rest):
        other = ExportedNetwork(exported.network, recipe, TEMPERATURE + 0.1)
        real(other.eval(), *rest)

    monkeypatch.setattr(to_onnx, "_write_graph", wrong)
    with pytest.raises(TrainingError, match="exported graph differs from the network by"):
        export_model(
            network_of(recipe), recipe, TEMPERATURE, training_of(faces), tmp_path / "m.onnx"
        )
    assert list(tmp_path.iterdir()) == []


# A whole run.


@pytest.mark.slow
def test_a_run_exports_its_best_epoch_calibrated_on_the_held_share(finished, faces):
    recipe = load_recipe(finished / "recipe.toml")
    model = open_model(finished)
    checkpoint = read_checkpoint(finished / "checkpoint.pt")
    network = Network(recipe)
    network.load_state_dict(checkpoint["best_weights"])
    learned, held = train_val_split(
        faces, choose_targets(faces, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    crops = np.stack([faces.crop(int(r), recipe.crop_rule, (20, 20)) for r in held.rows])
    pixels = torch.from_numpy(crops[:, 2:18, 2:18].transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        logits, affect = network.eval()(pixels)
    temperature = fit_temperature(logits, torch.from_numpy(held.shares))
    assert model.card.temperature == pytest.approx(temperature, rel=1e-3)
    assert abs(temperature - 1) > 0.01
    outputs = model.predict(crops)
    expected = torch.softmax(logits / model.card.temperature, 1).numpy()
    assert np.abs(outputs.probabilities - expected).max() <= 1e-4
    assert np.abs(outputs.affect - affect.numpy()).max() <= 1e-4
    best = checkpoint["state"]["best_epoch"]
    assert model.card.trained_on["best_epoch"] == best + 1
    scores = {k[5:]: v for k, v in checkpoint["log"][best].items() if k.startswith("stop_")}
    assert model.card.scores["held_for_stopping"] == scores
    assert {"f1", "accuracy", "loss", "ccc"} == {*scores}
    assert model.card.trained_on["faces"] == len(learned)
    assert model.card.trained_on["held_for_stopping"] == len(held)


@pytest.mark.slow
def test_the_temperature_is_that_of_the_averaged_views(faces, tmp_path):
    recipe = fast_recipe(resize=20, size=16, views="ten", stop_metric="last")
    model = open_model(loop.train(faces, tmp_path / "run", recipe))
    _, held = train_val_split(
        faces, choose_targets(faces, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    network = Network(recipe)
    network.load_state_dict(read_checkpoint(tmp_path / "run" / "checkpoint.pt")["best_weights"])
    crops = [faces.crop(int(r), recipe.crop_rule, (20, 20)) for r in held.rows]
    pixels = torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32))
    truth = torch.from_numpy(held.shares)

    def loss(temperature: float) -> float:
        exported = ExportedNetwork(network.eval(), recipe, temperature).eval()
        with torch.no_grad():
            (p,) = exported(pixels)
        return float(-(truth * p.double().log()).sum(1).mean())

    best = model.card.temperature
    assert loss(best) < min(loss(best * 1.03), loss(best / 1.03))
    with torch.no_grad():
        center, _ = network(pixels[:, :, 2:18, 2:18])
    assert abs(fit_temperature(center, truth) / best - 1) > 0.001  # another one than the center's


@pytest.mark.slow
def test_scores_of_raters_shares_are_calibrated_against_the_labels(faces, tmp_path):
    names = faces.faces["expression"].to_pylist()
    shares = 0.6 * np.eye(8) + 0.05
    order = [label.value for label in EMOTIONS]
    soft = faces.with_column("soft_label", [shares[order.index(name)].tolist() for name in names])
    recipe = fast_recipe(soft_labels=True, stop_metric="last")
    model = open_model(loop.train(soft, tmp_path / "run", recipe))
    _, held = train_val_split(
        soft, choose_targets(soft, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    assert held.shares.max() < 0.9
    outputs = model.predict([soft.crop(int(r), recipe.crop_rule, (16, 16)) for r in held.rows])
    logits = torch.from_numpy(np.log(known(outputs.probabilities))) * model.card.temperature
    hard, wanted = torch.from_numpy(np.eye(3)[held.classes]), pytest.approx(1, rel=1e-3)
    assert fit_temperature(logits, hard) / model.card.temperature == wanted
    assert fit_temperature(logits, torch.from_numpy(held.shares)) / model.card.temperature > 1.1


# Temperature.


def made_up(temperature: float, rows: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are `temperature` times too sharp for their labels."""
    rng = np.random.default_rng(0)
    fair = rng.normal(0, 2, (rows, 4))
    p = np.exp(fair) / np.exp(fair).sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    return torch.tensor(fair * temperature).float(), torch.tensor(np.eye(4)[labels]).float()


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0, 12.0])
def test_the_temperature_that_made_the_scores_is_found(temperature):
    # 20,000 draws know it to about 1 %
    assert fit_temperature(*made_up(temperature)) == pytest.approx(temperature, rel=0.03)


def test_no_temperature_near_by_is_better():
    logits, shares = made_up(1.7, 300)
    best = fit_temperature(logits, shares)

    def loss(t: float) -> float:
        return float(-(shares * torch.log_softmax(logits.double() / t, 1)).sum(1).mean())

    assert loss(best) <= min(loss(best * factor) for factor in (0.5, 0.99, 1.01, 2.0))


@pytest.mark.parametrize(("right", "end"), [(True, 0.05), (False, 20.0)])
def test_scores_without_a_best_temperature_get_the_end_of_the_range(right, end):
    logits = torch.eye(3)
    shares = torch.eye(3) if right else torch.eye(3)[[1, 2, 0]]
    assert fit_temperature(logits, shares) == pytest.approx(end, rel=1e-6)


def test_faces_without_a_share_do_not_count():
    logits, shares = made_up(1.7, 300)
    alone = fit_temperature(logits[:200], shares[:200])
    shares[200:] = 0
    assert fit_temperature(logits, shares) == pytest.approx(alone, rel=1e-6)
    assert fit_temperature(logits, 0 * shares) == 1.0


def test_raters_shares_ask_for_softer_scores_than_their_majority():
    logits, hard = made_up(1.0, 2000)
    soft = 0.7 * hard + 0.1
    assert fit_temperature(logits, soft) > 1.3 * fit_temperature(logits, hard)


def test_the_golden_face_is_happy():
    card = Card("any", size=(32, 32))
    drawn = synthesize_golden(card)
    assert drawn.shape == (8, 32, 32, 3)
    face = synthesize_face("happy", seed=7, size=256)
    assert np.array_equal(drawn[0], crop(face.image, Box(*face.box), card.crop, (32, 32)))


def test_a_run_knows_the_images_that_it_learned_from(finished, faces):
    model = open_model(finished)
    made = predict_dataset(model, faces)
    recipe = load_recipe(finished / "recipe.toml")
    learned, held = train_val_split(
        faces, choose_targets(faces, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    assert np.flatnonzero(made.learned).tolist() == sorted(learned.rows.tolist())
    assert len(held.rows) > 0
    assert made.learned_warning() is not None
