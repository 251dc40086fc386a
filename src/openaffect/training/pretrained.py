"""What a backbone begins with: weights learned on ImageNet, or those of a file."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openaffect.errors import FormatError, InputError, reason
from openaffect.training.backbones._backbone import Backbone
from openaffect.training.network import Network, find_backbone
from openaffect.training.recipe import Recipe
from openaffect.training.run_folder import DAMAGED_FILE

SUFFIXES = (".safetensors", ".pth", ".pt")


def load_pretrained(network: Network, recipe: Recipe) -> None:
    """Put what the recipe's `weights` names into the backbone, or into both of separate nets.

    `random` leaves it as it is. The classifier of a file is left out, by name; all else fits or
    nothing is changed.

    Raises:
        InputError: weights that cannot be fetched, that this backbone does not have, or that do
            not fit; the message names the first weight that does not.
        FormatError: a file that cannot be read.
    """
    if recipe.weights == "random":
        return
    source = find_backbone(recipe.backbone)
    if recipe.weights == "imagenet":
        where, found = _fetch_imagenet(source, recipe)
    else:
        where, found = f"the weights in {recipe.weights}", _read_file(Path(recipe.weights))
    states = {
        name: _fit(
            _choose(found, name),
            backbone,
            tuple(f"{head}." for head in source.list_heads(backbone)),
            f"{where} do not fit {recipe.backbone}",
        )
        for name, backbone in network.backbones.items()
    }
    for name, backbone in network.backbones.items():
        backbone.load_state_dict(states[name])


def _fetch_imagenet(backbone: Backbone, recipe: Recipe) -> tuple[str, dict[str, Any]]:
    address = backbone.address
    if address is None:
        raise InputError(
            f"backbone {recipe.backbone} has no weights learned on ImageNet that can be fetched and "
            f"checked by a hash; {_ways_out(recipe)}"
        )
    try:
        # The hash in the file's name is checked; the file is kept in torch's own folder.
        state: dict[str, Any] = torch.hub.load_state_dict_from_url(
            address,
            map_location="cpu",
            progress=sys.stderr.isatty(),
            check_hash=True,
            weights_only=True,
        )
    except (*DAMAGED_FILE, http.client.HTTPException) as error:
        raise InputError(
            f"cannot fetch the ImageNet weights of {recipe.backbone} from {address} "
            f"to {torch.hub.get_dir()}/checkpoints: {reason(error)}; {_ways_out(recipe)}"
        ) from error
    return f"the weights from {address}", state


def _ways_out(recipe: Recipe) -> str:
    text = "give a file of weights, --set weights=FILE, or begin with random ones, --set weights=random"
    # Layers that stay random would be of no use.
    return text if recipe.trainable_fraction == 1 else text + " --set trainable_fraction=1"


def _read_file(path: Path) -> dict[str, Any]:
    """Weights by name; those of a run's checkpoint have the names of the whole network."""
    if path.suffix not in SUFFIXES:
        raise InputError(
            "expected recipe key 'weights' to be random, imagenet or the path of a file "
            f"{', '.join(SUFFIXES)}, but got '{path}'"
        )
    if not path.is_file():
        raise InputError(f"recipe key 'weights' names {path}, but there is no such file")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise FormatError(f"cannot read the weights in {path}: {reason(error)}") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED_FILE as error:
        raise FormatError(f"cannot read the weights in {path}: {reason(error)}") from error
    if isinstance(state, dict) and isinstance(state.get("weights"), dict):  # a run's checkpoint
        state = state.get("best_weights") or state["weights"]
    if not isinstance(state, dict):
        raise FormatError(f"expected weights by name in {path}, but got a {type(state).__name__}")
    return state


def _choose(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Of a whole network's weights those of one backbone; any others as they are."""
    for prefix in (f"{name}.", "backbone."):
        part = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
        if part:
            return part
    return found


def _fit(
    found: dict[str, Any], backbone: nn.Module, heads: tuple[str, ...], problem: str
) -> dict[str, Tensor]:
    """The whole state of a backbone from a file's weights."""
    own: dict[str, Tensor] = backbone.state_dict()
    state = {name: value for name, value in found.items() if not name.startswith(heads or "\0")}
    for name, value in own.items():
        if name.endswith(".num_batches_tracked"):  # older files lack it, and nothing here uses it
            state.setdefault(name, value)
    shapes = {name: _shape(value) for name, value in state.items()}
    wrong = [name for name in own if shapes.get(name) != tuple(own[name].shape)]
    wrong += [name for name in state if name not in own]
    if wrong:
        first = wrong[0]
        expected = tuple(own[first].shape) if first in own else "none"
        raise InputError(
            f"{problem}: {len(wrong)} differ, first '{first}' "
            f"(expected {expected}, got {shapes.get(first, 'none')})"
        )
    return state


def _shape(value: object) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
