"""The training loop: explicit, on accelerate, resumable at any step."""

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

from openaffect.dataset import Dataset
from openaffect.errors import (
    InputError,
    MismatchError,
    TrainingError,
)
from openaffect.storage import atomic_file
from openaffect.training.imbalance import class_weights
from openaffect.training.judging import judge
from openaffect.training.learner import Learner
from openaffect.training.moment import Moment
from openaffect.training.network import Network, load_weights
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
from openaffect.training.schedule import learning_rate
from openaffect.training.to_onnx import Training, export_model, fit_temperature
from openaffect.training.tracking import check_trackers, start_tracking

_TRACK_STEPS = 20


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
        self.steps = len(plan_epoch(recipe, self.targets, 0))  # as many in every epoch
        size = len(recipe.label_set)
        counts = np.bincount(self.targets.classes, minlength=size)[:size]
        weights = class_weights(recipe.strategy, counts, recipe.beta)
        self.learner = Learner(recipe, accelerator, weights)
        self.state = State()
        self.log: list[dict[str, Any]] = []
        self.best_weights: dict[str, Tensor] | None = None
        self.fingerprint = dataset.fingerprint()

    def run_all(self) -> Path:
        try:
            self._tell_rare_classes()
            self._read_pictures()
            self.learner.prepare()
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
                values = {
                    "loss": loss,
                    "learning_rate": self.learner.rate,
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
        done = self.state.total_steps
        rate = learning_rate(self.recipe, done, self.steps * self.recipe.epochs)
        try:
            value = self._sum(self.learner.find_gradient(batch, faces, done, rate))
            if not math.isfinite(value):
                self._refuse_loss(value, rate, batch)
            self.learner.move(batch, faces)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            raise TrainingError(_memory_advice(self.recipe)) from error
        return value

    def _refuse_loss(self, value: float, rate: float, batch: Batch) -> NoReturn:
        ids = [self.reader.face_id(row) for row in batch.targets.rows[:3]]
        raise TrainingError(
            f"the loss is {value} in epoch {self.state.epoch + 1}, step {self.state.step + 1} "
            f"(faces {', '.join(ids)}, …), learning rate {rate:g}; the last checkpoint is whole: "
            "try a lower rate, --set learning_rate=…, or --set clip=1"
        )

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
            self.best_weights = _copy_state(self.learner.judged)
        row = {
            "epoch": state.epoch + 1,
            "step": state.total_steps,
            "learning_rate": self.learner.rate,
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
        logits, affect, held = self._predict_held(self.learner.judged)
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

    def _save(self) -> None:
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
        checkpoint = {
            "version": CHECKPOINT_VERSION,
            "state": asdict(self.state),
            **self.learner.state(),
            "best_weights": self.best_weights,
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
            self.learner.begin()
            return
        checkpoint = read_checkpoint(path)
        if checkpoint["data"] != self.fingerprint:
            raise MismatchError(
                f"{self.run} was begun on other data than {self.dataset.path}; "
                "resume with the same dataset, or train into another folder"
            )
        self.learner.load(checkpoint, str(path))
        self.best_weights = checkpoint["best_weights"]
        self.state = State(**checkpoint["state"])
        self.log = checkpoint["log"]
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


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _memory_advice(recipe: Recipe) -> str:
    return (
        f"the memory is full with batch_size {recipe.batch_size} in {recipe.accumulate} piece(s); "
        f"go on with more pieces, --resume --set accumulate={2 * recipe.accumulate}, or begin "
        f"anew with --set batch_size={max(2, recipe.batch_size // 2)}"
    )


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
