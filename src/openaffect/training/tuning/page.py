"""The page of a study: one HTML file that needs no network and no script."""

from __future__ import annotations

from openaffect.pages import render
from openaffect.pages.text import METRIC_NAMES, number
from openaffect.training.tuning import plots
from openaffect.training.tuning.space import show_value
from openaffect.training.tuning.study import Study, Trial

_STATES = ("complete", "pruned", "failed", "running")


def metric_name(study: Study) -> str:
    """How the metric is called in print."""
    return {"loss": "Loss"}.get(study.metric) or METRIC_NAMES[study.metric]


def render_study(study: Study) -> str:
    """The whole text of a study's `report.html`."""
    return render(
        "training/tuning/templates/study.html.j2",
        study=study,
        title=f"{study.recipe.name} on {study.dataset}",
        metric=metric_name(study),
        facts=_facts(study),
        cards=_cards(study),
        history=plots.history_plot(study),
        parameters=[plots.parameter_plot(study, key) for key in study.space],
        curves=plots.curves_plot(study) if any(len(t.curve) > 1 for t in study.trials) else None,
        trials=_trials(study),
        reasons=any(trial.reason for trial in study.trials),
        show_value=show_value,
        protocol=_protocol(study),
    )


def _facts(study: Study) -> list[tuple[str, str, str]]:
    counts = {state: sum(trial.state == state for trial in study.trials) for state in _STATES}
    return [
        ("", f"{len(study.trials):,}", " trials"),
        *(("", f"{count:,}", f" {state}") for state, count in counts.items() if count),
        ("", f"{len(study.space)}", " searched keys"),
    ]


def _cards(study: Study) -> list[tuple[str, str, str]]:
    best = study.best
    if best is None:
        return []
    values = [(metric_name(study), f"trial {best.number}, held-out faces", number(best.value))]
    return values + [(key, "best value", show_value(best.settings[key])) for key in study.space]


def _trials(study: Study) -> list[tuple[Trial, str]]:
    """All trials with their values in print, the best first."""
    others = [trial for trial in study.trials if trial not in study.ranked]
    others.sort(key=lambda t: (t.state, study.cost(t.value), t.number))
    return [(trial, _value(trial.value)) for trial in (*study.ranked, *others)]


def _value(value: float | None) -> str:
    huge = value is not None and abs(value) >= 10_000  # a loss that has run away
    return f"{value:.3g}" if huge else number(value, 4)


def _protocol(study: Study) -> list[tuple[str, str]]:
    recipe = study.recipe
    return [
        ("Recipe", recipe.name),
        ("Dataset", study.dataset),
        ("Fingerprint of the dataset", study.fingerprint),
        (
            "Judged by",
            f"{metric_name(study)}, the best epoch, on {recipe.early_stopping_fraction:.0%} of the faces of the "
            f"split train, in whole groups, drawn with the recipe's seed {recipe.seed}",
        ),
        ("Search", f"tree-structured Parzen estimators, seed {study.seed}"),
        *((f"Range of {key}", str(dimension)) for key, dimension in study.space.items()),
    ]
