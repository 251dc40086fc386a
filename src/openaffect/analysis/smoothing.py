"""Smoothing over time: an exponential mean for each track, by seconds and not by frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    time_s: float
    values: Floats


class Smoother:
    """The exponential means of all tracks of one video.

    After a step of Δt seconds the mean moves by 1 − exp(−Δt / τ) of the way to the new values, so
    that the frame rate does not matter, and a face that was away for long starts almost afresh.

    Attributes:
        seconds: the time constant τ; 0 leaves the values as they are.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._states: dict[int, _State] = {}

    def update(self, track: int, time_s: float, values: Floats) -> Floats:
        """The mean of a track after new values (n,), seen at a time."""
        state = self._states.get(track)
        if state is not None and self.seconds > 0:
            share = -math.expm1(-max(0.0, time_s - state.time_s) / self.seconds)
            values = state.values + share * (values - state.values)
        self._states[track] = _State(time_s, values)
        self._drop(time_s)
        return values

    def _drop(self, time_s: float) -> None:
        """Forget tracks of which nothing is left in any mean."""
        if len(self._states) > 1000:
            oldest = time_s - 40 * self.seconds
            kept = {key: state for key, state in self._states.items() if state.time_s >= oldest}
            self._states = kept
