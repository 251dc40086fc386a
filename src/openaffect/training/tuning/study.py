"""What a parameter search is and has found: its trials, and the recipe of the best one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from openaffect.training.recipe import Recipe, make_recipe
from openaffect.training.tuning.space import Categorical, Space, Value, recipe_values

TrialState: TypeAlias = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe that was tried.

    Attributes:
        number: from 0; also the name of its run in `trials/`.
        state: `complete`; `pruned`, given up early since it was worse than most; `failed`, with
            its reason; `running`, or cut off and waiting to go on.
        settings: the keys that are searched, and this trial's values.
        value: the best of the watched metric after any epoch; None if there is none.
        epoch: the one that gave it, from 1.
        curve: the metric after each epoch, as far as it was defined.
        seconds: of training steps; None if unknown.
        reason: why it failed; "" if it did not.
    """

    number: int
    state: TrialState
    settings: Mapping[str, Value]
    value: float | None = None
    epoch: int | None = None
    curve: Mapping[int, float] = dataclasses.field(default_factory=dict)
    seconds: float | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of its run."""
        return f"{self.number:03d}"


@dataclass(frozen=True, slots=True)
class Study:
    """A parameter search and what it has found so far.

    Attributes:
        folder: where it is kept.
        recipe: what all trials share, with the values of the searched keys before the search.
        space: the keys that are searched.
        dataset: name of the dataset.
        fingerprint: of the dataset.
        seed: of the search; that of the trainings is the recipe's.
        trials: in order.
        importances: for each key, its share of the variance of the value that the keys explain
            one by one (fANOVA, Hutter et al. 2014); empty while there are too few trials.
    """

    folder: Path
    recipe: Recipe
    space: Space
    dataset: str
    fingerprint: str
    seed: int
    trials: tuple[Trial, ...] = ()
    importances: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def metric(self) -> str:
        """What the trials are ranked by: the recipe's `stop_metric` on its `early_stopping_fraction` share."""
        return self.recipe.stop_metric

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is to be small."""
        return self.metric == "loss"

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The complete trials, the best first; of equals the earlier."""
        done = [t for t in self.trials if t.state == "complete" and t.value is not None]
        return tuple(sorted(done, key=lambda t: (self.cost(t.value), t.number)))

    @property
    def best(self) -> Trial | None:
        """The best complete trial."""
        return next(iter(self.ranked), None)

    def cost(self, value: float | None) -> float:
        """A value with the sign by which smaller is better; ∞ where there is none."""
        if value is None:
            return float("inf")
        return value if self.lower_is_better else -value

    def recipe_of(self, settings: Mapping[str, Value]) -> Recipe:
        """The recipe of a trial.

        Raises:
            InputError: values that do not go together.
        """
        return make_recipe(recipe_values(self.recipe) | dict(settings), "the trial's recipe")

    def best_recipe(self) -> Recipe | None:
        """The recipe of the best trial, which says where its values come from."""
        best = self.best
        if best is None or best.value is None:
            return None
        recipe = self.recipe_of(best.settings)
        return dataclasses.replace(
            recipe,
            name=f"{recipe.name.removesuffix('-tuned')}-tuned",
            source=f"{recipe.source}; {', '.join(self.space)} found by a search on {self.dataset}, "
            f"trial {best.number} of {len(self.trials)}, held-out {self.metric} {best.value:.4f}",
            # What was searched is no longer recalled from a publication.
            unverified=tuple(key for key in recipe.unverified if key not in self.space),
        )

    def to_dict(self) -> dict[str, Any]:
        """The study, JSON-ready."""
        best = self.best
        return {
            "folder": str(self.folder),
            "recipe": self.recipe.name,
            "dataset": self.dataset,
            "dataset_fingerprint": self.fingerprint,
            "metric": self.metric,
            "lower_is_better": self.lower_is_better,
            "seed": self.seed,
            "space": {
                key: list(d.values)
                if isinstance(d, Categorical)
                else {"low": d.low, "high": d.high, "log": d.log}
                for key, d in self.space.items()
            },
            "best": None if best is None else best.number,
            "importances": dict(self.importances),
            "trials": [
                dataclasses.asdict(t) | {"settings": dict(t.settings), "curve": dict(t.curve)}
                for t in self.trials
            ],
        }


__all__ = ["Study", "Trial", "TrialState"]
