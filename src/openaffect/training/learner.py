"""What learns: a network, what it is judged by, and how a batch moves its weights.

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
from openaffect.training.averaging import average_weights, climb
from openaffect.training.network import Network, load_weights
from openaffect.training.pretrained import load_pretrained
from openaffect.training.recipe import Recipe
from openaffect.training.samples import Batch
from openaffect.training.schedule import make_optimizer


class Learner:
    """A network with its optimizer and, if the recipe has one, the average of its weights.

    Weights are put in by `load` or `begin`; then `prepare` wraps the network for this process,
    and each step is `find_gradient`, which moves nothing, and `move`.

    Args:
        recipe: of the training.
        accelerator: this process among the others.
        weights: what the loss of each class is multiplied with, (classes,).
    """

    def __init__(
        self, recipe: Recipe, accelerator: Accelerator, weights: NDArray[np.floating]
    ) -> None:
        self._recipe, self._accelerator = recipe, accelerator
        self._network = Network(recipe)
        self._optimizer = make_optimizer(self._network, recipe)
        self._weights = torch.tensor(weights, dtype=torch.float32, device=accelerator.device)
        self._wrapped: nn.Module = self._network
        self._average: AveragedModel | None = None
        self._loaded: dict[str, Any] = {}  # what is put in place once the network is wrapped
        self._step = 0

    def begin(self) -> None:
        """Put in the weights that the recipe names."""
        with self._accelerator.main_process_first():  # the others find what it fetched
            load_pretrained(self._network, self._recipe)

    def load(self, checkpoint: dict[str, Any], where: str) -> None:
        """Put in what `state` gave, under plain names, whatever the number of processes."""
        load_weights(self._network, checkpoint["weights"], where)
        self._optimizer.load_state_dict(checkpoint["optimizer"])
        self._loaded = {key: checkpoint.get(key) for key in ("average", "scaler")}

    def prepare(self) -> None:
        """Wrap network and optimizer for this process's device, precision and place."""
        if self._accelerator.num_processes > 1:
            # As the pictures are, and so the gradients: else torch copies them and warns of it.
            self._network.to(memory_format=torch.channels_last)
        self._wrapped, self._optimizer = self._accelerator.prepare(self._network, self._optimizer)
        if self._recipe.ema_decay:
            self._average = average_weights(self._plain(), self._recipe.ema_decay)
            if self._loaded.get("average") is not None:
                self._average.load_state_dict(self._loaded["average"])
        scaler = self._accelerator.scaler
        if scaler is not None and self._loaded.get("scaler") is not None:
            scaler.load_state_dict(self._loaded["scaler"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; true until `move`, through a `find_gradient`."""
        scaler = self._accelerator.scaler  # of the gradients, with fp16
        weights = self._plain().state_dict()
        # A forward pass changes the running statistics.
        moving = {name for name, _ in self._plain().named_buffers()}
        return {
            "weights": {k: v.clone() if k in moving else v for k, v in weights.items()},
            "optimizer": self._optimizer.state_dict(),
            "average": self._average.state_dict() if self._average is not None else None,
            "scaler": scaler.state_dict() if scaler else None,
        }

    @property
    def judged(self) -> nn.Module:
        """What is judged and exported: the average of the weights, if there is one."""
        return self._plain() if self._average is None else self._average.module

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def find_gradient(self, batch: Batch, faces: float, step: int, rate: float) -> Tensor:
        """The gradient of one step; nothing moves.

        Args:
            batch: this process's share of the faces.
            faces: of the step, in all processes.
            step: counted over all epochs.
            rate: the learning rate.

        Returns:
            The loss of this process's share; over all processes they sum to the mean over faces.
        """
        self._step = step
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        return self._pass(batch, faces)

    def move(self, batch: Batch, faces: float) -> None:
        """Move the weights by the gradient that `find_gradient` left for the same batch."""
        if self._recipe.sam:
            with climb(self._plain(), self._recipe.sam):
                self._pass(batch, faces)
        if self._recipe.grad_clip_norm:
            self._accelerator.clip_grad_norm_(
                self._wrapped.parameters(), self._recipe.grad_clip_norm
            )
        self._optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self._plain())

    def _plain(self) -> nn.Module:
        plain: nn.Module = self._accelerator.unwrap_model(self._wrapped)
        return plain

    def _pass(self, batch: Batch, faces: float) -> Tensor:
        """Forward and backward, in the recipe's pieces."""
        accelerator = self._accelerator
        # Dropout and mixup are the same in both passes of a sharpness-aware step.
        torch.manual_seed(_step_seed(self._recipe.seed, self._step, accelerator.process_index))
        pieces = batch.divide(self._recipe.accumulate)
        total = torch.zeros((), device=accelerator.device)
        for number, piece in enumerate(pieces, start=1):
            last = number == len(pieces)
            waiting = contextlib.nullcontext() if last else accelerator.no_sync(self._wrapped)
            with waiting:
                loss = self._loss(piece, faces, len(piece) / max(1, len(batch)))
                # DDP averages over processes; `loss` has been divided by the faces of all.
                accelerator.backward(loss * accelerator.num_processes)
            total = total + loss.detach()
        return total

    def _loss(self, batch: Batch, faces: float, share: float) -> Tensor:
        """The loss of a piece of this process's batch; `share` is its part of that batch."""
        device, recipe = self._accelerator.device, self._recipe
        # Batch normalization cannot do with one face: it then takes its running statistics.
        self._wrapped.train(len(batch) > 1)
        if not len(batch):
            # No picture of this process's share can be read: no gradient, but the same steps.
            black = torch.zeros(1, 3, recipe.size, recipe.size, device=device)
            nothing: Tensor = sum(output.sum() * 0.0 for output in self._wrapped(black))
            return nothing
        images = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float()
        shares = torch.from_numpy(batch.targets.shares).to(device)
        truth = torch.from_numpy(batch.targets.affect).to(device)
        if recipe.label_smoothing:
            shares = losses.smooth_targets(shares, recipe.label_smoothing)
        if recipe.mixup:
            images, shares, truth = _mix(recipe.mixup, images, shares, truth)
        with self._accelerator.autocast():
            logits, affect = self._wrapped(images)
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


def _mix(
    alpha: float, images: Tensor, shares: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Each face mixed with another of the batch, by one share for all (Zhang et al. 2018).

    Valence and arousal that one of the two lacks stay unknown.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = torch.randperm(len(images)).to(images.device)
    first, second, third = (share * x + (1 - share) * x[other] for x in (images, shares, truth))
    return first, second, third


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])
