"""What ends a training before its time, and what helps then."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from openaffect.errors import TrainingError
from openaffect.training.recipe import Recipe

_RATE_ADVICE = (
    "the last checkpoint is from before: go on from it with a lower rate, "
    "--resume --set learning_rate=…, or with --set grad_clip_norm=1"
)


def lost_numbers(
    value: float, epoch: int, step: int, faces: Sequence[str], rate: float
) -> Exception:
    """The error of a loss that is no number.

    Args:
        value: the loss.
        epoch, step: from 1.
        faces: ids of the batch.
        rate: the learning rate.
    """
    return TrainingError(
        f"the loss is {value} in epoch {epoch}, step {step} (faces {', '.join(faces[:3])}, …), "
        f"learning rate {rate:g}; {_RATE_ADVICE}"
    )


def lost_answers(epoch: int, step: int, rate: float) -> Exception:
    """The error of a network whose answers for the held-out faces are no numbers.

    Args:
        epoch, step: the last that was learned, from 1.
        rate: the learning rate.
    """
    return TrainingError(
        f"after epoch {epoch}, step {step}, the network no longer gives numbers for the held-out "
        f"faces, learning rate {rate:g}; {_RATE_ADVICE}"
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch or NumPy ran out of memory, on whatever device."""
    full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return full or "can't allocate memory" in str(error)


def out_of_memory(recipe: Recipe) -> Exception:
    """The error that says which values to try."""
    least = 2 if recipe.learns_affect and recipe.affect_loss == "ccc" else 1  # faces a piece
    pieces = min(2 * recipe.accumulate, recipe.batch_size // least)
    more = ""
    if pieces > recipe.accumulate:
        more = f"go on with more pieces, --resume --set accumulate={pieces}, or "
    return TrainingError(
        f"the memory is full with batch_size {recipe.batch_size} in {recipe.accumulate} piece(s); "
        f"{more}begin anew with --overwrite --set batch_size={max(2, recipe.batch_size // 2)}"
    )
