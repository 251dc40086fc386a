"""The training loop: explicit, on accelerate, resumable at any step.

Everything random is drawn from (seed, step, process), so a resumed training needs no random state.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from openaffect.dataset import Dataset
from openaffect.errors import (
    InputError,
    MismatchError,
    TrainingError,
)
from openaffect.storage import atomic_file
from openaffect.training import losses
from openaffect.training.averaging import average_weights, climb
from openaffect.training.imbalance import class_weights
from openaffect.training.judging import judge
from openaffect.training.network import Network, load_weights
from openaffect.training.pretrained import load_pretrained
from openaffect.training.recipe import Recipe
from openaffect.training.run_folder import (
    CHECKPOINT_VERSION,
    check_folder,
    lock_folder,
    prepare_folder,
    read_checkpoint,
    write_log,
)
from openaffect.training.samples import (
    Batch,
    CropReader,
    Targets,
    centre_pieces,
    choose_targets,
    count_classes,
    hold_out,
    iterate_batches,
    own_labels,
    plan_epoch,
)
from openaffect.training.schedule import learning_rate, make_optimiser
from openaffect.training.to_onnx import Training, export_model, fit_temperature
from openaffect.training.tracking import check_trackers, start_tracking

_TRACK_STEPS = 20


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a training is, for whoever shows its progress.

    Attributes:
        phase: `reading`, `training`, `judging` or `exporting`; `finished` if all that was done
            before.
        epoch, epochs: from 1.
        step, steps: done of this epoch; pictures while reading.
        loss: of the last step; NaN while there is none.
        rate: images a second over this call's training steps so far.
        row: at the end of an epoch, its row of log.csv.
        note: something that the user should know, such as a class without a face.
    """

    phase: str
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    loss: float = math.nan
    rate: float = math.nan
    row: dict[str, Any] | None = None
    note: str = ""


@dataclass(slots=True)
class State:
    """What a checkpoint holds beside weights: the place, and what was best so far."""

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    seconds: float = 0.0


def train(
    dataset: Dataset,
    run: str | Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    overwrite: bool = False,
    track: Sequence[str] = (),
    show: Callable[[Moment], None] | None = None,
) -> Path:
    """Train a recipe on a dataset's split `train`, into a run folder, and export the best epoch.

    Args:
        dataset: labelled faces.
        run: the folder to make; with `resume`, the folder to go on in.
        recipe: every value of the training.
        resume: go on from the last checkpoint (from the start if there is none yet).
        overwrite: remove the files of a run that is there.
        track: where else the log goes: `tensorboard`, `wandb`, `mlflow`; see `tracking`.
        show: called with every `Moment`.

    Returns:
        The path of `model.onnx`.

    Raises:
        DestinationExists: the run folder holds something, and neither `resume` nor `overwrite`.
        MismatchError: `resume` with another recipe or other data than the run began with.
        InputError: nothing to learn from; both `resume` and `overwrite`; a precision that this
            machine lacks; weights to begin with that cannot be had; or another process works in
            this folder.
        MissingExtra: a tracker that is not installed.
        TrainingError: the loss is no number, or the memory is full; the last checkpoint is whole.
    """
    run = Path(run)
    accelerator = _start(recipe, run, track)
    main = accelerator.is_main_process
    if main:
        check_folder(run, recipe, resume=resume, overwrite=overwrite)
    with lock_folder(run) if main else contextlib.nullcontext():
        # What makes the training impossible is told before a file is touched.
        loop = _Loop(dataset, run, recipe, accelerator, show or (lambda _: None))
        loop.load(resume=resume)
        if main:
            prepare_folder(run, recipe, overwrite=overwrite)
        accelerator.wait_for_everyone()
        with start_tracking(accelerator, recipe, track):
            return loop.run_all()


def _start(recipe: Recipe, run: Path, track: Sequence[str]) -> Accelerator:
    check_trackers(track)
    torch.manual_seed(recipe.seed)
    # Else the first training of a process decides the precision of all that follow.
    AcceleratorState._reset_state()
    lacking = InputError(
        f"this machine cannot train with precision '{recipe.precision}'; "
        "set another: --set precision=no"
    )
    try:
        accelerator = Accelerator(
            mixed_precision=recipe.precision, log_with=list(track) or None, project_dir=run
        )
    except ValueError as error:
        raise lacking from error
    if recipe.precision != "no" and not accelerator.native_amp:
        raise lacking  # else accelerate would compute in float32 and say nothing
    return accelerator


class _Loop:
    """One training; its methods are the steps of `run_all`, in that order."""

    def __init__(
        self,
        dataset: Dataset,
        run: Path,
        recipe: Recipe,
        accelerator: Accelerator,
        show: Callable[[Moment], None],
    ) -> None:
        self.dataset, self.run, self.recipe = dataset, run, recipe
        self.accelerator, self.show = accelerator, show
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.targets, self.held = hold_out(
            dataset, choose_targets(dataset, recipe), recipe.stop_on, recipe.seed
        )
        self.reader = CropReader(dataset, recipe, threads=os.cpu_count() or 1)
        self.network = Network(recipe)
        self.optimiser = make_optimiser(self.network, recipe)
        self.steps = len(plan_epoch(recipe, self.targets, 0))  # as many in every epoch
        size = len(recipe.label_set)
        counts = np.bincount(self.targets.classes, minlength=size)[:size]
        weights = class_weights(recipe.strategy, counts, recipe.beta)
        self.weights = torch.tensor(weights, dtype=torch.float32, device=accelerator.device)
        self.state = State()
        self.log: list[dict[str, Any]] = []
        self.best_weights: dict[str, Tensor] | None = None
        self.average: AveragedModel | None = None
        self.average_weights: dict[str, Tensor] | None = None  # of a checkpoint
        self.scaler: dict[str, Any] | None = None  # of the gradients' scale with fp16
        self.fingerprint = dataset.fingerprint()

    def run_all(self) -> Path:
        try:
            self._tell_rare_classes()
            self._read_pictures()
            prepared = self.accelerator.prepare(self.network, self.optimiser)
            self.wrapped: nn.Module = prepared[0]
            self.optimiser = prepared[1]
            if self.recipe.ema:
                self.average = average_weights(self._plain(), self.recipe.ema)
                if self.average_weights is not None:
                    self.average.load_state_dict(self.average_weights)
            if self.scaler is not None and self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(self.scaler)
            while self.state.epoch < self.recipe.epochs and not self._has_stopped():
                self._train_epoch()
                self._end_epoch()
            return self._export()
        finally:
            self.reader.close()

    def _tell_rare_classes(self) -> None:
        for label, number in count_classes(self.targets, self.recipe.label_set).items():
            if number == 0:
                note = f"no face of {label} to learn from: the model will hardly ever name it"
                self.show(Moment("reading", note=note))

    # -- reading ---------------------------------------------------------------------------

    def _read_pictures(self) -> None:
        rows = np.concatenate([self.targets.rows, self.held.rows])
        done = 0

        def count(number: int) -> None:
            nonlocal done
            done += number
            self.show(Moment("reading", step=done, steps=len(rows)))

        self.reader.keep(rows, count)
        if len(self.reader.broken) == len(rows):
            first = next(iter(self.reader.broken.values()))
            raise InputError(f"not one picture of {self.dataset.path} can be read; first: {first}")

    # -- training --------------------------------------------------------------------------

    def _train_epoch(self) -> None:
        state, recipe = self.state, self.recipe
        began = last = time.monotonic()
        images = 0
        batches = iterate_batches(
            recipe,
            self.targets,
            self.reader,
            epoch=state.epoch,
            start=state.step,
            rank=self.rank,
            world=self.world,
        )
        for batch in batches:
            faces = self._sum(torch.tensor(float(len(batch.images))))
            loss = self._learn(batch, max(1.0, faces))
            state.step += 1
            state.total_steps += 1
            state.loss_sum += loss * faces
            state.loss_count += int(faces)
            images += int(faces)
            now = time.monotonic()
            state.seconds += now - last
            last = now
            if state.total_steps % recipe.checkpoint_steps == 0:
                self._save()
            if state.total_steps % _TRACK_STEPS == 0:
                rate = self.optimiser.param_groups[0]["lr"]
                values = {
                    "loss": loss,
                    "learning_rate": rate,
                    "faces_per_second": images / (now - began),
                }
                self.accelerator.log(values, step=state.total_steps)
            self.show(
                Moment(
                    "training",
                    epoch=state.epoch + 1,
                    epochs=recipe.epochs,
                    step=state.step,
                    steps=self.steps,
                    loss=loss,
                    rate=images / (now - began),
                )
            )

    def _learn(self, batch: Batch, faces: float) -> float:
        """One step; the loss is the mean over the faces of all processes."""
        total = self.steps * self.recipe.epochs
        rate = learning_rate(self.recipe, self.state.total_steps, total)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        try:
            value = self._sum(self._pass(batch, faces))
            if not math.isfinite(value):
                self._refuse_loss(value, rate, batch)
            if self.recipe.sam:
                with climb(self._plain(), self.recipe.sam):
                    self._pass(batch, faces)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            raise TrainingError(_memory_advice(self.recipe)) from error
        if self.recipe.clip:
            self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.recipe.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self._plain())
        return value

    def _refuse_loss(self, value: float, rate: float, batch: Batch) -> NoReturn:
        ids = [self.reader.face_id(row) for row in batch.targets.rows[:3]]
        raise TrainingError(
            f"the loss is {value} in epoch {self.state.epoch + 1}, step {self.state.step + 1} "
            f"(faces {', '.join(ids)}, …), learning rate {rate:g}; the last checkpoint is whole: "
            "try a lower rate, --set learning_rate=…, or --set clip=1"
        )

    def _pass(self, batch: Batch, faces: float) -> Tensor:
        """Forward and backward, in the recipe's pieces; the loss of this process's share."""
        # Dropout and mixup are the same in both passes of a sharpness-aware step.
        torch.manual_seed(_step_seed(self.recipe.seed, self.state.total_steps, self.rank))
        pieces = batch.divide(self.recipe.accumulate)
        total = torch.zeros((), device=self.accelerator.device)
        for number, piece in enumerate(pieces, start=1):
            last = number == len(pieces)
            waiting = contextlib.nullcontext() if last else self.accelerator.no_sync(self.wrapped)
            with waiting:
                loss = self._loss(piece, faces, len(piece) / max(1, len(batch)))
                # DDP averages over processes; `loss` has been divided by the faces of all.
                self.accelerator.backward(loss * self.world)
            total = total + loss.detach()
        return total

    def _loss(self, batch: Batch, faces: float, share: float) -> Tensor:
        """The loss of a piece of this process's batch; `share` is its part of that batch."""
        device, recipe = self.accelerator.device, self.recipe
        # Batch normalisation cannot do with one face: it then takes its running statistics.
        self.wrapped.train(len(batch) > 1)
        if not len(batch):
            # No picture of this process's share can be read: no gradient, but the same steps.
            black = torch.zeros(1, 3, recipe.size, recipe.size, device=device)
            nothing: Tensor = sum(output.sum() * 0.0 for output in self.wrapped(black))
            return nothing
        images = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float()
        shares = torch.from_numpy(batch.targets.shares).to(device)
        truth = torch.from_numpy(batch.targets.affect).to(device)
        if recipe.label_smoothing:
            shares = losses.smooth_targets(shares, recipe.label_smoothing)
        if recipe.mixup:
            images, shares, truth = _mix(recipe.mixup, images, shares, truth)
        with self.accelerator.autocast():
            logits, affect = self.wrapped(images)
        loss = torch.zeros((), device=device)
        if recipe.label_set:
            loss = loss + losses.expression_loss(logits, shares, self.weights) / faces
        if recipe.learns_affect:
            if recipe.affect_loss == "ccc":
                value = losses.ccc_loss(affect, truth) * share / self.world
            else:
                value = losses.euclidean_loss(affect, truth) / faces
            loss = loss + recipe.affect_weight * value
        return loss

    def _sum(self, value: Tensor) -> float:
        """A number summed over all processes."""
        value = value.to(self.accelerator.device)
        return float(self.accelerator.reduce(value, reduction="sum"))

    # -- judging ---------------------------------------------------------------------------

    def _end_epoch(self) -> None:
        state = self.state
        self.show(Moment("judging", state.epoch + 1, self.recipe.epochs))
        # One process's word counts: running statistics differ between them, and must not make
        # one stop and another go on.
        scores = broadcast_object_list([self._judge()])[0]
        value = _watched(self.recipe, scores, state.epoch)
        if value > state.best or state.best_epoch < 0:
            state.best, state.best_epoch = value, state.epoch
            self.best_weights = _copy_state(self._judged())
        row = {
            "epoch": state.epoch + 1,
            "step": state.total_steps,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "loss": state.loss_sum / max(1, state.loss_count),
            **{f"stop_{key}": number for key, number in scores.items()},
            "best": state.best_epoch == state.epoch,
            "seconds": round(state.seconds, 1),
            "broken": len(self.reader.broken),
        }
        self.log.append(row)
        state.epoch += 1
        state.step, state.loss_sum, state.loss_count = 0, 0.0, 0
        # In this order: after a kill between them the log lacks nothing that the checkpoint has.
        if self.accelerator.is_main_process:
            write_log(self.run, self.log)
        self._save()
        numbers = {k: v for k, v in row.items() if k.startswith("stop_")}
        self.accelerator.log(numbers | {"epoch_loss": row["loss"]}, step=state.total_steps)
        self.show(Moment("judging", state.epoch, self.recipe.epochs, row=row))

    def _judge(self) -> dict[str, float]:
        logits, affect, held = self._predict_held(self._judged())
        return judge(
            logits.numpy() if self.recipe.label_set else None,
            affect.numpy() if self.recipe.learns_affect else None,
            held,
        )

    def _predict_held(self, network: nn.Module) -> tuple[Tensor, Tensor, Targets]:
        """Logits and affect of the held-out faces, on the CPU, and those that could be read."""
        network.eval()
        logits, affect, kept = [], [], []
        size = max(1, self.recipe.batch_size)
        with torch.inference_mode():
            for start in range(0, len(self.held), size):
                part = np.arange(start, min(start + size, len(self.held)))
                images, good = self.reader.read(self.held.rows[part])
                if not good.any():
                    continue
                pieces = centre_pieces(self.recipe, images[good])
                tensor = torch.from_numpy(pieces.transpose(0, 3, 1, 2).astype(np.float32))
                outputs = network(tensor.to(self.accelerator.device))
                logits.append(outputs[0].float().cpu())
                affect.append(outputs[1].float().cpu())
                kept.append(part[good])
        if not kept:
            raise InputError("not one of the faces held out for stopping can be read")
        return torch.cat(logits), torch.cat(affect), self.held.select(np.concatenate(kept))

    def _has_stopped(self) -> bool:
        state = self.state
        return state.best_epoch >= 0 and state.epoch - 1 - state.best_epoch >= self.recipe.patience

    # -- files -----------------------------------------------------------------------------

    def _plain(self) -> nn.Module:
        plain: nn.Module = self.accelerator.unwrap_model(self.wrapped)
        return plain

    def _judged(self) -> nn.Module:
        """What is judged and exported: the average of the weights, if there is one."""
        return self._plain() if self.average is None else self.average.module

    def _save(self) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
        checkpoint = {
            "version": CHECKPOINT_VERSION,
            "state": asdict(self.state),
            "weights": self._plain().state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best_weights": self.best_weights,
            "average": self.average.state_dict() if self.average is not None else None,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
            "log": self.log,
            "threads": torch.get_num_threads(),
            "world": self.world,
            "data": self.fingerprint,
        }
        with atomic_file(self.run / "checkpoint.pt") as temporary:
            torch.save(checkpoint, temporary)

    def load(self, *, resume: bool) -> None:
        """The checkpoint, or what the backbone begins with.

        Done before accelerate wraps anything: plain names, any number of processes.
        """
        path = self.run / "checkpoint.pt"
        if not resume or not path.is_file():
            with self.accelerator.main_process_first():  # the others find what it fetched
                load_pretrained(self.network, self.recipe)
            return
        checkpoint = read_checkpoint(path)
        if checkpoint["data"] != self.fingerprint:
            raise MismatchError(
                f"{self.run} was begun on other data than {self.dataset.path}; "
                "resume with the same dataset, or train into another folder"
            )
        load_weights(self.network, checkpoint["weights"], str(path))
        self.optimiser.load_state_dict(checkpoint["optimiser"])
        self.best_weights = checkpoint["best_weights"]
        self.state = State(**checkpoint["state"])
        self.log = checkpoint["log"]
        self.scaler = checkpoint["scaler"]
        self.average_weights = checkpoint.get("average")
        if checkpoint["threads"] != torch.get_num_threads():
            note = (
                f"the run was begun with {checkpoint['threads']} threads and goes on with "
                f"{torch.get_num_threads()}: its last digits will differ"
            )
            self.show(Moment("reading", note=note))

    def _export(self) -> Path:
        self.show(Moment("exporting", self.state.epoch, self.recipe.epochs))
        assert self.best_weights is not None
        # A fresh one: what accelerate prepared may compute in half precision.
        network = Network(self.recipe).to(self.accelerator.device)
        load_weights(network, self.best_weights, str(self.run / "checkpoint.pt"))
        temperature, scores = 1.0, self.log[self.state.best_epoch]
        if self.recipe.label_set and self.recipe.temperature:
            logits, _, held = self._predict_held(network)
            # Against labels, not shares: a score of 0.8 is to be right eight times of ten.
            labels = own_labels(self.dataset, self.recipe.label_set)[held.rows]
            temperature = fit_temperature(logits, torch.from_numpy(labels))
        path = self.run / "model.onnx"
        if self.accelerator.is_main_process:
            facts = Training(
                dataset=self.dataset,
                fingerprint=self.fingerprint,
                targets=self.targets,
                held=len(self.held),
                broken=len(self.reader.broken),
                best_epoch=self.state.best_epoch + 1,
                scores={k: v for k, v in scores.items() if k.startswith("stop_")},
            )
            export_model(network, self.recipe, temperature, facts, path)
        self.accelerator.wait_for_everyone()
        return path


def _watched(recipe: Recipe, scores: dict[str, float], epoch: int) -> float:
    """The value that stopping watches, the larger the better; −∞ where it is undefined."""
    if recipe.stop_metric == "last":
        return float(epoch)
    value = scores.get(recipe.stop_metric, math.nan)
    if math.isnan(value):
        return -math.inf
    return -value if recipe.stop_metric == "loss" else value


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


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _memory_advice(recipe: Recipe) -> str:
    return (
        f"the memory is full with batch_size {recipe.batch_size} in {recipe.accumulate} piece(s); "
        f"go on with more pieces, --resume --set accumulate={2 * recipe.accumulate}, or begin "
        f"anew with --set batch_size={max(2, recipe.batch_size // 2)}"
    )


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
