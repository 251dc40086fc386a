"""The training loop: explicit, on accelerate, resumable at any step."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from openaffect.dataset import Dataset
from openaffect.errors import InputError, MismatchError
from openaffect.storage import atomic_file
from openaffect.training.failures import (
    is_out_of_memory,
    lost_answers,
    lost_numbers,
    out_of_memory,
)
from openaffect.training.imbalance import class_weights
from openaffect.training.judging import judge
from openaffect.training.learner import Learner
from openaffect.training.moment import Moment
from openaffect.training.network import Network, cut_views, load_weights
from openaffect.training.recipe import Recipe
from openaffect.training.run_folder import (
    CHECKPOINT_VERSION,
    check_folder,
    continue_recipe,
    lock_folder,
    prepare_folder,
    read_checkpoint,
    write_log,
)
from openaffect.training.samples import (
    Batch,
    CropReader,
    Targets,
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
    change: Collection[str] = (),
    track: Sequence[str] = (),
    show: Callable[[Moment], None] | None = None,
) -> Path:
    """Train a recipe on a dataset's split `train`, into a run folder, and export the best epoch.

    Args:
        dataset: labeled faces.
        run: the folder to make; with `resume`, the folder to go on in.
        recipe: every value of the training.
        resume: go on from the last checkpoint (from the start if there is none yet).
        overwrite: remove the files of a run that is there.
        change: keys, such as `learning_rate`, that an unfinished run goes on with otherwise.
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
    run, show = Path(run), show or (lambda _: None)
    accelerator = _start(recipe, run, track)
    main = accelerator.is_main_process
    if main:
        for note in check_folder(run, recipe, resume=resume, overwrite=overwrite, change=change):
            show(Moment("reading", note=note))
    if resume:
        recipe = continue_recipe(run, recipe)
    with lock_folder(run) if main else contextlib.nullcontext():
        # What makes the training impossible is told before a file is touched.
        loop = _Loop(dataset, run, recipe, accelerator, show)
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
            # Without a GPU accelerate would take every process for one that is alone.
            cpu=not torch.accelerator.is_available(),
            mixed_precision=recipe.precision,
            log_with=list(track) or None,
            project_dir=run,
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
            dataset, choose_targets(dataset, recipe), recipe.early_stopping_fraction, recipe.seed
        )
        self._check_classes()
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
        self._saved_step = 0
        self._told_broken = 0

    def run_all(self) -> Path:
        try:
            self._read_pictures()
            self.learner.prepare()
            if self._is_over():
                self.show(Moment("finished", self.state.epoch, self.recipe.epochs))
            while not self._is_over():
                self._train_epoch()
                self._end_epoch()
            return self._export()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(self.recipe) from error
        finally:
            self.reader.close()

    def _check_classes(self) -> None:
        """Refuse faces of one expression alone, and tell which expressions have none."""
        counts = count_classes(self.targets, self.recipe.label_set)
        missing = [label for label, number in counts.items() if number == 0]
        if counts and len(missing) >= len(counts) - 1:
            found = next((label for label in counts if label not in missing), "no expression")
            raise InputError(
                "expected faces of two or more expressions to learn from, but those of "
                f"{self.dataset.path} are all of {found}; choose another label set "
                "(--set labels=…), or learn valence and arousal alone (--set target=affect)"
            )
        if missing:
            note = f"no training faces of {', '.join(missing)}: the model will rarely predict"
            self.show(Moment("reading", note=f"{note} {'it' if len(missing) == 1 else 'them'}"))

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
        self._tell_broken()

    def _tell_broken(self) -> None:
        """Warn of pictures that cannot be read, once for each that is found."""
        broken = self.reader.broken
        if len(broken) == self._told_broken:
            return
        self._told_broken = len(broken)
        first, reason = next(iter(broken.items()))
        total = len(self.targets) + len(self.held)
        note = f"{len(broken):,} of {total:,} faces cannot be read and are left out; first {first}:"
        self.show(Moment("reading", note=f"{note} {reason}"))

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
            if state.total_steps % _TRACK_STEPS == 0:
                values = {
                    "loss": loss,
                    "learning_rate": self.learner.rate,
                    "faces_per_second": images / (now - began),
                }
                self.accelerator.log(values, step=state.total_steps)
            try:
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
            except KeyboardInterrupt:
                if self.world == 1:  # several processes would have to agree on the step
                    self._write(self._make_checkpoint())
                raise

    def _learn(self, batch: Batch, faces: float) -> float:
        """One step; the loss is the mean over the faces of all processes.

        A checkpoint that is due is taken before the step, and written once these weights have
        given a loss that is a number: what lies on disk can always be gone on from.
        """
        done = self.state.total_steps
        rate = learning_rate(self.recipe, done, self.steps * self.recipe.epochs)
        due = done % self.recipe.checkpoint_steps == 0 and done != self._saved_step
        checkpoint = self._make_checkpoint() if due else None
        value = self._sum(self.learner.find_gradient(batch, faces, done, rate))
        if not math.isfinite(value):
            ids = [self.reader.face_id(row) for row in batch.targets.rows]
            place = self.state.epoch + 1, self.state.step + 1
            raise lost_numbers(value, *place, ids, rate)
        if checkpoint is not None:
            self._write(checkpoint)
        self.learner.move(batch, faces)
        return value

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
        self._write(self._make_checkpoint())
        self._tell_broken()
        numbers = {k: v for k, v in row.items() if k.startswith("stop_")}
        self.accelerator.log(numbers | {"epoch_loss": row["loss"]}, step=state.total_steps)
        self.show(Moment("judging", state.epoch, self.recipe.epochs, row=row))

    def _judge(self) -> dict[str, float]:
        logits, affect, held = self._predict_held(self.learner.judged)
        if not (torch.isfinite(logits).all() and torch.isfinite(affect).all()):
            raise lost_answers(self.state.epoch + 1, self.steps, self.learner.rate)
        return judge(
            logits[0].numpy() if self.recipe.label_set else None,
            affect[0].numpy() if self.recipe.learns_affect else None,
            held,
        )

    def _predict_held(
        self, network: nn.Module, *, views: bool = False
    ) -> tuple[Tensor, Tensor, Targets]:
        """Logits and affect of the held-out faces, on the CPU, and those that could be read.

        Both are (pieces, n, …): of the center alone or, with `views`, of all that prediction averages.
        """
        network.eval()
        logits, affect, kept = [], [], []
        size = -(-self.recipe.batch_size // self.recipe.accumulate)
        with torch.inference_mode():
            for start in range(0, len(self.held), size):
                part = np.arange(start, min(start + size, len(self.held)))
                images, good = self.reader.read(self.held.rows[part])
                if not good.any():
                    continue
                crops = torch.from_numpy(images[good].transpose(0, 3, 1, 2).astype(np.float32))
                pieces = cut_views(crops.to(self.accelerator.device), self.recipe)
                outputs = [network(piece) for piece in (pieces if views else pieces[:1])]
                logits.append(torch.stack([output[0] for output in outputs]).float().cpu())
                affect.append(torch.stack([output[1] for output in outputs]).float().cpu())
                kept.append(part[good])
        if not kept:
            raise InputError("not one of the faces held out for stopping can be read")
        held = self.held.select(np.concatenate(kept))
        return torch.cat(logits, dim=1), torch.cat(affect, dim=1), held

    def _is_over(self) -> bool:
        state = self.state
        unbettered = state.epoch - 1 - state.best_epoch if state.best_epoch >= 0 else 0
        return state.epoch >= self.recipe.epochs or unbettered >= self.recipe.patience

    # -- files -----------------------------------------------------------------------------

    def _make_checkpoint(self) -> dict[str, Any]:
        """What a checkpoint of this moment holds, until the weights move."""
        return {
            "version": CHECKPOINT_VERSION,
            "state": asdict(self.state),
            **self.learner.state(),
            "best_weights": self.best_weights,
            "log": self.log,
            "threads": torch.get_num_threads(),
            "world": self.world,
            "data": self.fingerprint,
        }

    def _write(self, checkpoint: dict[str, Any]) -> None:
        self._saved_step = checkpoint["state"]["total_steps"]
        self.accelerator.wait_for_everyone()
        if not self.accelerator.is_main_process:
            return
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
        self._saved_step = self.state.total_steps
        self.log = checkpoint["log"]
        if checkpoint["threads"] != torch.get_num_threads():
            note = (
                f"the run started with {checkpoint['threads']} threads and is resumed with "
                f"{torch.get_num_threads()}: its results will differ in the last digits"
            )
            self.show(Moment("reading", note=note))

    def _export(self) -> Path:
        best = self.state.best_epoch + 1
        self.show(Moment("exporting", self.state.epoch, self.recipe.epochs, best=best))
        assert self.best_weights is not None
        # A fresh one: what accelerate prepared may compute in half precision.
        network = Network(self.recipe).to(self.accelerator.device)
        load_weights(network, self.best_weights, str(self.run / "checkpoint.pt"))
        temperature, scores = 1.0, self.log[self.state.best_epoch]
        if self.recipe.label_set and self.recipe.temperature:
            logits, _, held = self._predict_held(network, views=True)
            # Against labels, not shares: a score of 0.8 is to be right eight times of ten.
            labels = own_labels(self.dataset, self.recipe.label_set)[held.rows]
            temperature = fit_temperature(logits, torch.from_numpy(labels))
        path = self.run / "model.onnx"
        if self.accelerator.is_main_process:
            facts = Training(
                dataset=self.dataset,
                fingerprint=self.fingerprint,
                targets=self._read_targets(),
                held=len(self.held),
                broken=len(self.reader.broken),
                best_epoch=best,
                scores={k: v for k, v in scores.items() if k.startswith("stop_")},
                images=self.reader.hash_images(self.targets.rows),
            )
            export_model(network, self.recipe, temperature, facts, path)
        self.accelerator.wait_for_everyone()
        return path

    def _read_targets(self) -> Targets:
        """The faces that were learned: those whose picture could be read."""
        ids = (self.reader.face_id(int(row)) for row in self.targets.rows)
        return self.targets.select(np.array([face not in self.reader.broken for face in ids]))


def _watched(recipe: Recipe, scores: dict[str, float], epoch: int) -> float:
    """The value that stopping watches, the larger the better; −∞ where it is undefined."""
    if recipe.stop_metric == "last":
        return float(epoch)
    value = scores.get(recipe.stop_metric, math.nan)
    if math.isnan(value):
        return -math.inf
    return -value if recipe.stop_metric == "loss" else value


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
