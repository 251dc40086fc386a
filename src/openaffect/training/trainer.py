"""What learns: a network with its optimizer and average, and the gradient of a batch.

Everything random is drawn from (seed, step, process), so a resumed training needs no random state.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from openaffect.training import losses
from openaffect.training.augmentation import mixup
from openaffect.training.loader import Batch
from openaffect.training.network import Network, load_weights
from openaffect.training.optimization import average_weights, make_optimizer
from openaffect.training.pretrained import load_pretrained
from openaffect.training.recipe import Recipe


class Trainer:
    """A network with its optimizer and, if the recipe has one, the average of its weights.

    Weights are put in by `load` or `init_weights`; then `prepare` wraps the network for this
    process, and `backward` gives the gradient of a step, which moves nothing.

    Attributes:
        network: What learns.
        optimizer: What moves its weights.

    Args:
        recipe: of the training.
        accelerator: this process among the others.
        weights: what the loss of each class is multiplied with, (classes,).
    """

    def __init__(
        self, recipe: Recipe, accelerator: Accelerator, weights: NDArray[np.floating]
    ) -> None:
        self._recipe, self._accelerator = recipe, accelerator
        self.network: nn.Module = Network(recipe)
        self.optimizer = make_optimizer(self.network, recipe)
        self._weights = torch.tensor(weights, dtype=torch.float32, device=accelerator.device)
        self._average: AveragedModel | None = None
        self._loaded: dict[str, Any] = {}  # what is put in place once the network is wrapped

    def init_weights(self) -> None:
        """Put in the weights that the recipe names."""
        with self._accelerator.main_process_first():  # the others find what it fetched
            assert isinstance(self.network, Network)
            load_pretrained(self.network, self._recipe)

    def load(self, checkpoint: dict[str, Any], where: str) -> None:
        """Put in what `state` gave, under plain names, whatever the number of processes."""
        load_weights(self.network, checkpoint["weights"], where)
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self._loaded = {key: checkpoint.get(key) for key in ("average", "scaler")}

    def prepare(self) -> None:
        """Wrap network and optimizer for this process's device, precision and place."""
        if self._accelerator.num_processes > 1:
            # As the pictures are, and so the gradients: else torch copies them and warns of it.
            self.network.to(memory_format=torch.channels_last)
        self.network, self.optimizer = self._accelerator.prepare(self.network, self.optimizer)
        if self._recipe.ema_decay:
            self._average = average_weights(self.plain, self._recipe.ema_decay)
            if self._loaded.get("average") is not None:
                self._average.load_state_dict(self._loaded["average"])
        scaler = self._accelerator.scaler
        if scaler is not None and self._loaded.get("scaler") is not None:
            scaler.load_state_dict(self._loaded["scaler"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; true until the optimizer steps, through a `backward`."""
        scaler = self._accelerator.scaler  # of the gradients, with fp16
        weights = self.plain.state_dict()
        # A forward pass changes the running statistics.
        moving = {name for name, _ in self.plain.named_buffers()}
        return {
            "weights": {k: v.clone() if k in moving else v for k, v in weights.items()},
            "optimizer": self.optimizer.state_dict(),
            "average": self._average.state_dict() if self._average is not None else None,
            "scaler": scaler.state_dict() if scaler else None,
        }

    @property
    def eval_model(self) -> nn.Module:
        """What is validated and exported: the average of the weights, if there is one."""
        return self.plain if self._average is None else self._average.module

    @property
    def plain(self) -> nn.Module:
        """The network without what wraps it for this process."""
        plain: nn.Module = self._accelerator.unwrap_model(self.network)
        return plain

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def backward(self, batch: Batch, faces: float, step: int) -> Tensor:
        """Forward and backward of one step, in the recipe's pieces; gradients add up.

        Args:
            batch: this process's share of the faces.
            faces: number of faces of the step in all processes, at least 1.
            step: counted over all epochs.

        Returns:
            The loss of this process's share; over all processes they sum to the mean over faces.
        """
        accelerator = self._accelerator
        # Dropout and mixup are the same in both passes of a sharpness-aware step.
        torch.manual_seed(_step_seed(self._recipe.seed, step, accelerator.process_index))
        pieces = batch.divide(self._recipe.accumulate)
        total = torch.zeros((), device=accelerator.device)
        for number, piece in enumerate(pieces, start=1):
            last = number == len(pieces)
            waiting = contextlib.nullcontext() if last else accelerator.no_sync(self.network)
            with waiting:
                loss = self._loss(piece, faces, len(piece) / max(1, len(batch)))
                # DDP averages over processes; `loss` has been divided by the faces of all.
                accelerator.backward(loss * accelerator.num_processes)
            total = total + loss.detach()
        return total

    def update_average(self) -> None:
        """Let the average of the weights follow them, if the recipe has one."""
        if self._average is not None:
            self._average.update_parameters(self.plain)

    def _loss(self, batch: Batch, faces: float, share: float) -> Tensor:
        """The loss of a piece of this process's batch; `share` is its part of that batch."""
        device, recipe = self._accelerator.device, self._recipe
        # Batch normalization cannot do with one face: it then takes its running statistics.
        self.network.train(len(batch) > 1)
        if not len(batch):
            # No picture of this process's share can be read: no gradient, but the same steps.
            black = torch.zeros(1, 3, recipe.size, recipe.size, device=device)
            nothing: Tensor = sum(output.sum() * 0.0 for output in self.network(black))
            return nothing
        images = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float()
        shares = torch.from_numpy(batch.targets.shares).to(device)
        truth = torch.from_numpy(batch.targets.affect).to(device)
        if recipe.label_smoothing:
            shares = losses.smooth_targets(shares, recipe.label_smoothing)
        if recipe.mixup:
            images, shares, truth = mixup(recipe.mixup, images, shares, truth)
        with self._accelerator.autocast():
            logits, affect = self.network(images)
        loss = torch.zeros((), device=device)
        if recipe.label_set:
            loss = loss + losses.expression_loss(logits, shares, self._weights) / faces
        if recipe.learns_affect:
            if recipe.affect_loss == "ccc":
                value = losses.ccc_loss(affect, truth) * share / self._accelerator.num_processes
            else:
                value = losses.euclidean_loss(affect, truth) / faces
            loss = loss + recipe.affect_weight * value
        return loss


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])
