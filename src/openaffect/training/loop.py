"""The training loop: explicit, on accelerate, resumable at any step.

`train` opens a session, and `_fit` is the loop: batches, gradients, steps, and a validation at the
end of each epoch.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from openaffect.dataset import Dataset
from openaffect.errors import InputError, MismatchError, TrainingError
from openaffect.progress import OnProgress, Progress
from openaffect.storage import atomic_file
from openaffect.training.calibration import fit_temperature
from openaffect.training.card import TrainingSummary
from openaffect.training.experiment_tracking import check_trackers, start_tracking
from openaffect.training.imbalance import class_weights
from openaffect.training.loader import CropReader, iterate_batches, plan_epoch
from openaffect.training.network import Network, load_weights
from openaffect.training.optimization import learning_rate, sam_perturbation
from openaffect.training.progress import TrainingProgress, tell_finished, tell_plan, tell_row
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
from openaffect.training.targets import (
    Targets,
    choose_targets,
    count_classes,
    own_labels,
    train_val_split,
)
from openaffect.training.to_onnx import export_model
from openaffect.training.trainer import Trainer
from openaffect.training.validation import predict_held_out, validate

_TRACK_STEPS = 20
_RATE_ADVICE = (
    "the last checkpoint is from before: go on from it with a lower rate, "
    "--resume --set learning_rate=…, or with --set grad_clip_norm=1"
)


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


@dataclass(slots=True)
class _Session:
    """One training: what it works with, and where it stands.

    Attributes:
        learned, held: The faces to learn from, and those held out.
        steps: Number of steps of every epoch.
        log: The rows of log.csv.
        best_weights: Those of the best epoch so far.
        saved_step: The step of the last checkpoint.
        reported: Number of unreadable images that were reported.
    """

    dataset: Dataset
    run: Path
    recipe: Recipe
    accelerator: Accelerator
    on_progress: OnProgress
    learned: Targets
    held: Targets
    reader: CropReader
    trainer: Trainer
    steps: int
    fingerprint: str
    state: State = field(default_factory=State)
    log: list[dict[str, Any]] = field(default_factory=list)
    best_weights: dict[str, Tensor] | None = None
    saved_step: int = 0
    reported: int = 0


def train(
    dataset: Dataset,
    run: str | Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    overwrite: bool = False,
    overrides: Collection[str] = (),
    track: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Path:
    """Train a recipe on a dataset's split `train`, into a run folder, and export the best epoch.

    Args:
        dataset: labeled faces.
        run: the folder to make; with `resume`, the folder to go on in.
        recipe: every value of the training.
        resume: go on from the last checkpoint (from the start if there is none yet).
        overwrite: remove the files of a run that is there.
        overrides: keys, such as `learning_rate`, that an unfinished run goes on with otherwise.
        track: where else the log goes: `tensorboard`, `wandb`, `mlflow`; see
            `experiment_tracking`.
        on_progress: called after every step and at every turn; see `openaffect.training.progress`.

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
    run, on_progress = Path(run), on_progress or (lambda _: None)
    accelerator = _start(recipe, run, track)
    main = accelerator.is_main_process
    if main:
        notes = check_folder(run, recipe, resume=resume, overwrite=overwrite, overrides=overrides)
        for note in notes:
            on_progress(Progress("reading", warning=note))
    if resume:
        recipe = continue_recipe(run, recipe)
    with lock_folder(run) if main else contextlib.nullcontext():
        # What makes the training impossible is told before a file is touched.
        session = _open_session(dataset, run, recipe, accelerator, on_progress)
        _load(session, resume=resume)
        if main:
            prepare_folder(run, recipe, overwrite=overwrite)
        accelerator.wait_for_everyone()
        with (
            start_tracking(accelerator, recipe, track),
            contextlib.closing(session.reader),
            _advise_on_memory(recipe),
        ):
            _read_images(session)
            session.trainer.prepare()
            _fit(session)
            return _export(session)


def _fit(session: _Session) -> None:
    """The loop, from where the session stands: steps, and a validation after each epoch."""
    recipe, accelerator, trainer = session.recipe, session.accelerator, session.trainer
    state, optimizer = session.state, session.trainer.optimizer
    if _is_over(recipe, state):
        session.on_progress(tell_finished())
    else:
        log = tell_plan(recipe.epochs, session.steps)
        session.on_progress(Progress("starting", log=log, stop_at_next=True))
    while not _is_over(recipe, state):
        began = last = time.monotonic()
        images = 0
        for batch in iterate_batches(
            recipe,
            session.learned,
            session.reader,
            epoch=state.epoch,
            start=state.step,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        ):
            # The faces of this step in all processes: images that cannot be read are left out.
            faces = _sum(accelerator, torch.tensor(float(len(batch))))
            shared = max(1.0, faces)
            # A checkpoint that is due is taken before the step, and written once these weights
            # have given a finite loss: what lies on disk can always be gone on from.
            checkpoint = _make_checkpoint(session) if _is_due(session) else None

            rate = learning_rate(recipe, state.total_steps, session.steps * recipe.epochs)
            trainer.set_learning_rate(rate)
            optimizer.zero_grad(set_to_none=True)
            loss = _sum(accelerator, trainer.backward(batch, shared, state.total_steps))
            if not math.isfinite(loss):
                ids = [session.reader.face_id(row) for row in batch.targets.rows]
                raise _non_finite_loss(loss, state, ids, rate)
            if checkpoint is not None:
                _write(session, checkpoint)
            if recipe.sam:
                with sam_perturbation(trainer.plain, recipe.sam):
                    trainer.backward(batch, shared, state.total_steps)
            if recipe.grad_clip_norm:
                accelerator.clip_grad_norm_(trainer.network.parameters(), recipe.grad_clip_norm)
            optimizer.step()
            trainer.update_average()

            now = time.monotonic()
            state.seconds += now - last
            last = now
            state.step += 1
            state.total_steps += 1
            state.loss_sum += loss * faces
            state.loss_count += int(faces)
            images += int(faces)
            speed = images / (now - began)
            if state.total_steps % _TRACK_STEPS == 0:
                values = {"loss": loss, "learning_rate": rate, "faces_per_second": speed}
                accelerator.log(values, step=state.total_steps)
            try:
                session.on_progress(_tell_step(session, loss, speed))
            except KeyboardInterrupt:
                if accelerator.num_processes == 1:  # several would have to agree on the step
                    _write(session, _make_checkpoint(session))
                raise

        _end_epoch(session)


def _tell_step(session: _Session, loss: float, speed: float) -> TrainingProgress:
    recipe, state = session.recipe, session.state
    return TrainingProgress(
        "training",
        # Over all epochs, so that the time left is that of the training.
        state.epoch * session.steps + state.step,
        recipe.epochs * session.steps,
        title=f"epoch {state.epoch + 1}/{recipe.epochs}",
        note=f"{speed:,.0f} faces/s · loss {loss:.3f}",
        stop_at_next=True,
        loss=loss,
    )


def _end_epoch(session: _Session) -> None:
    """Validate, remember the best weights, and write log and checkpoint."""
    recipe, state, accelerator = session.recipe, session.state, session.accelerator
    session.on_progress(Progress("validation", stop_at_next=True))
    # One process's word counts: running statistics differ between them, and must not make
    # one stop and another go on.
    scores = broadcast_object_list([_validate(session)])[0]
    value = _watched(recipe, scores, state.epoch)
    if value > state.best or state.best_epoch < 0:
        state.best, state.best_epoch = value, state.epoch
        session.best_weights = _copy_state(session.trainer.eval_model)
    row = {
        "epoch": state.epoch + 1,
        "step": state.total_steps,
        "learning_rate": session.trainer.learning_rate,
        "loss": state.loss_sum / max(1, state.loss_count),
        **{f"stop_{key}": number for key, number in scores.items()},
        "best": state.best_epoch == state.epoch,
        "seconds": round(state.seconds, 1),
        "broken": len(session.reader.broken),
    }
    session.log.append(row)
    state.epoch += 1
    state.step, state.loss_sum, state.loss_count = 0, 0.0, 0
    # In this order: after a kill between them the log lacks nothing that the checkpoint has.
    if accelerator.is_main_process:
        write_log(session.run, session.log)
    _write(session, _make_checkpoint(session))
    numbers = {k: v for k, v in row.items() if k.startswith("stop_")}
    accelerator.log(numbers | {"epoch_loss": row["loss"]}, step=state.total_steps)
    _report_broken(session)
    session.on_progress(tell_row("validation", row, recipe.epochs))


def _validate(session: _Session) -> dict[str, float]:
    """The scores of the held-out faces."""
    recipe = session.recipe
    logits, affect, held = predict_held_out(
        session.trainer.eval_model,
        recipe,
        session.reader,
        session.held,
        device=session.accelerator.device,
    )
    if not (torch.isfinite(logits).all() and torch.isfinite(affect).all()):
        raise TrainingError(
            f"after epoch {session.state.epoch + 1}, step {session.steps}, the network no longer "
            "gives numbers for the held-out faces, learning rate "
            f"{session.trainer.learning_rate:g}; {_RATE_ADVICE}"
        )
    return validate(
        logits[0].numpy() if recipe.label_set else None,
        affect[0].numpy() if recipe.learns_affect else None,
        held,
    )


def _watched(recipe: Recipe, scores: dict[str, float], epoch: int) -> float:
    """The value that stopping watches, the larger the better; −∞ where it is undefined."""
    if recipe.stop_metric == "last":
        return float(epoch)
    value = scores.get(recipe.stop_metric, math.nan)
    if math.isnan(value):
        return -math.inf
    return -value if recipe.stop_metric == "loss" else value


def _is_over(recipe: Recipe, state: State) -> bool:
    unbettered = state.epoch - 1 - state.best_epoch if state.best_epoch >= 0 else 0
    return state.epoch >= recipe.epochs or unbettered >= recipe.patience


def _sum(accelerator: Accelerator, value: Tensor) -> float:
    """A number summed over all processes."""
    return float(accelerator.reduce(value.to(accelerator.device), reduction="sum"))


def _copy_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


# -- before the loop -----------------------------------------------------------------------


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


def _open_session(
    dataset: Dataset,
    run: Path,
    recipe: Recipe,
    accelerator: Accelerator,
    on_progress: OnProgress,
) -> _Session:
    """What a training works with; no file is touched."""
    learned, held = train_val_split(
        dataset, choose_targets(dataset, recipe), recipe.early_stopping_fraction, recipe.seed
    )
    _check_classes(dataset, recipe, learned, on_progress)
    reader = CropReader(dataset, recipe, threads=os.cpu_count() or 1)
    size = len(recipe.label_set)
    counts = np.bincount(learned.classes, minlength=size)[:size]
    return _Session(
        dataset=dataset,
        run=run,
        recipe=recipe,
        accelerator=accelerator,
        on_progress=on_progress,
        learned=learned,
        held=held,
        reader=reader,
        trainer=Trainer(recipe, accelerator, class_weights(recipe.strategy, counts, recipe.beta)),
        steps=len(plan_epoch(recipe, learned, 0)),  # as many in every epoch
        fingerprint=dataset.fingerprint(),
    )


def _check_classes(
    dataset: Dataset, recipe: Recipe, learned: Targets, on_progress: OnProgress
) -> None:
    """Refuse faces of one expression alone, and report which expressions have none."""
    counts = count_classes(learned, recipe.label_set)
    missing = [label for label, number in counts.items() if number == 0]
    if counts and len(missing) >= len(counts) - 1:
        found = next((label for label in counts if label not in missing), "no expression")
        raise InputError(
            "expected faces of two or more expressions to learn from, but those of "
            f"{dataset.path} are all of {found}; choose another label set "
            "(--set labels=…), or learn valence and arousal alone (--set target=affect)"
        )
    if missing:
        note = f"no training faces of {', '.join(missing)}: the model will rarely predict"
        warning = f"{note} {'it' if len(missing) == 1 else 'them'}"
        on_progress(Progress("reading", warning=warning))


def _read_images(session: _Session) -> None:
    """Decode the images that are kept, and report those that cannot be read."""
    rows = np.concatenate([session.learned.rows, session.held.rows])
    reader = session.reader
    reader.keep(rows, session.on_progress)
    if len(reader.broken) == len(rows):
        first = next(iter(reader.broken.values()))
        raise InputError(f"not one picture of {session.dataset.path} can be read; first: {first}")
    _report_broken(session)


def _report_broken(session: _Session) -> None:
    """Warn of images that cannot be read, once for each that is found."""
    broken = session.reader.broken
    if len(broken) == session.reported:
        return
    session.reported = len(broken)
    first, reason = next(iter(broken.items()))
    total = len(session.learned) + len(session.held)
    note = f"{len(broken):,} of {total:,} faces cannot be read and are left out; first {first}:"
    session.on_progress(Progress("reading", warning=f"{note} {reason}"))


# -- checkpoints and the model ---------------------------------------------------------------


def _is_due(session: _Session) -> bool:
    """Whether a checkpoint is to be written with the next step."""
    done = session.state.total_steps
    return done % session.recipe.checkpoint_steps == 0 and done != session.saved_step


def _make_checkpoint(session: _Session) -> dict[str, Any]:
    """What a checkpoint of this moment holds, until the weights move."""
    return {
        "version": CHECKPOINT_VERSION,
        "state": asdict(session.state),
        **session.trainer.state(),
        "best_weights": session.best_weights,
        "log": session.log,
        "threads": torch.get_num_threads(),
        "world": session.accelerator.num_processes,
        "data": session.fingerprint,
    }


def _write(session: _Session, checkpoint: dict[str, Any]) -> None:
    session.saved_step = checkpoint["state"]["total_steps"]
    session.accelerator.wait_for_everyone()
    if not session.accelerator.is_main_process:
        return
    with atomic_file(session.run / "checkpoint.pt") as temporary:
        torch.save(checkpoint, temporary)


def _load(session: _Session, *, resume: bool) -> None:
    """Put in the checkpoint, or the weights that the recipe names.

    Done before accelerate wraps anything: plain names, any number of processes.
    """
    path = session.run / "checkpoint.pt"
    if not resume or not path.is_file():
        session.trainer.init_weights()
        return
    checkpoint = read_checkpoint(path)
    if checkpoint["data"] != session.fingerprint:
        raise MismatchError(
            f"{session.run} was begun on other data than {session.dataset.path}; "
            "resume with the same dataset, or train into another folder"
        )
    session.trainer.load(checkpoint, str(path))
    session.best_weights = checkpoint["best_weights"]
    session.state = State(**checkpoint["state"])
    session.saved_step = session.state.total_steps
    session.log = checkpoint["log"]
    if checkpoint["threads"] != torch.get_num_threads():
        note = (
            f"the run started with {checkpoint['threads']} threads and is resumed with "
            f"{torch.get_num_threads()}: its results will differ in the last digits"
        )
        session.on_progress(Progress("reading", warning=note))


def _export(session: _Session) -> Path:
    recipe, state, accelerator = session.recipe, session.state, session.accelerator
    best = state.best_epoch + 1
    early = ", the training stopped early" * (state.epoch < recipe.epochs)
    line = f"epoch {best} of {state.epoch} is kept{early}"
    session.on_progress(Progress("exporting", line=line))
    assert session.best_weights is not None
    # A fresh one: what accelerate prepared may compute in half precision.
    network = Network(recipe).to(accelerator.device)
    load_weights(network, session.best_weights, str(session.run / "checkpoint.pt"))
    temperature, scores = 1.0, session.log[state.best_epoch]
    if recipe.label_set and recipe.temperature:
        logits, _, held = predict_held_out(
            network,
            recipe,
            session.reader,
            session.held,
            device=accelerator.device,
            views=True,
        )
        # Against labels, not shares: a score of 0.8 is to be right eight times of ten.
        labels = own_labels(session.dataset, recipe.label_set)[held.rows]
        temperature = fit_temperature(logits, torch.from_numpy(labels))
    path = session.run / "model.onnx"
    if accelerator.is_main_process:
        reader = session.reader
        ids = (reader.face_id(int(row)) for row in session.learned.rows)
        readable = np.array([face not in reader.broken for face in ids])
        summary = TrainingSummary(
            dataset=session.dataset,
            fingerprint=session.fingerprint,
            targets=session.learned.select(readable),
            held=len(session.held),
            broken=len(reader.broken),
            best_epoch=best,
            scores={k: v for k, v in scores.items() if k.startswith("stop_")},
            images=reader.hash_images(session.learned.rows),
        )
        export_model(network, recipe, temperature, summary, path)
    accelerator.wait_for_everyone()
    return path


# -- what ends a training before its time ----------------------------------------------------


def _non_finite_loss(loss: float, state: State, faces: Sequence[str], rate: float) -> TrainingError:
    return TrainingError(
        f"the loss is {loss} in epoch {state.epoch + 1}, step {state.step + 1} "
        f"(faces {', '.join(faces[:3])}, …), learning rate {rate:g}; {_RATE_ADVICE}"
    )


@contextlib.contextmanager
def _advise_on_memory(recipe: Recipe) -> Iterator[None]:
    """Within it, a full memory is an error that says which values to try."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not (full or "can't allocate memory" in str(error)):
            raise
        raise out_of_memory(recipe) from error


def out_of_memory(recipe: Recipe) -> TrainingError:
    """The error of a full memory, on whatever device; it says which values to try."""
    least = 2 if recipe.learns_affect and recipe.affect_loss == "ccc" else 1  # faces a piece
    pieces = min(2 * recipe.accumulate, recipe.batch_size // least)
    more = ""
    if pieces > recipe.accumulate:
        more = f"go on with more pieces, --resume --set accumulate={pieces}, or "
    return TrainingError(
        f"the memory is full with batch_size {recipe.batch_size} in {recipe.accumulate} piece(s); "
        f"{more}begin anew with --overwrite --set batch_size={max(2, recipe.batch_size // 2)}"
    )
