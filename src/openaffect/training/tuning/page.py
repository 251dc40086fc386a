"""The page of a study: one HTML file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from openaffect.pages.text import METRIC_NAMES, number
from openaffect.reports.markup import document, section, table
from openaffect.training.tuning import plots
from openaffect.training.tuning.space import show_value
from openaffect.training.tuning.study import Study, Trial

_LEGEND = (
    '<ul class="legend"><li><i class="swatch" style="--c:var(--accent);border-radius:50%"></i>'
    "complete; the best has a ring around it</li>"
    '<li><i class="swatch" style="background:none;border:2px solid var(--faint);border-radius:50%">'
    "</i>pruned: given up early</li>"
    '<li><b style="color:var(--anger);margin-right:7px">×</b>failed</li></ul>'
)


def metric_name(study: Study) -> str:
    """How the metric is called in print."""
    return {"loss": "Loss"}.get(study.metric) or METRIC_NAMES[study.metric]


def render_study(study: Study) -> str:
    """The whole text of a study's `report.html`."""
    parts = [
        _headline(study),
        _history(study),
        _parameters(study),
        _importances(study),
        _curves(study),
        _table(study),
        _protocol(study),
    ]
    return document(f"{study.recipe.name} on {study.dataset}, tuned", "".join(parts))


def _headline(study: Study) -> str:
    counts = {
        state: sum(trial.state == state for trial in study.trials)
        for state in ("complete", "pruned", "failed", "running")
    }
    facts = [f"<b>{len(study.trials):,}</b> trials"]
    facts += [f"<b>{count:,}</b> {state}" for state, count in counts.items() if count]
    facts.append(f"<b>{len(study.space)}</b> searched keys")
    best, cards = study.best, ""
    if best is not None:
        values = [(metric_name(study), f"trial {best.number}, held-out faces", number(best.value))]
        values += [(key, "best value", show_value(best.settings[key])) for key in study.space]
        cards = "".join(_card(*value) for value in values)
        # However many they are, they fill their lines.
        cards = f'<div class="cards" style="display:flex;flex-wrap:wrap">{cards}</div>'
    title = f"{study.recipe.name} on {study.dataset}"
    return (
        f'<header>\n<p class="kicker">Parameter search</p>\n<h1>{escape(title)}</h1>\n'
        f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul>\n{cards}\n'
        "</header>\n"
    )


def _card(name: str, what: str, value: str) -> str:
    size = ' style="font-size:22px;line-height:1.85"' if len(value) > 6 else ""
    return (
        f'<div class="card" style="flex:1 1 148px"><p class="card-name">{escape(name)} <span>{escape(what)}</span></p>'
        f'<p class="card-value"{size}>{escape(value)}</p></div>'
    )


def _history(study: Study) -> str:
    way = "lower" if study.lower_is_better else "higher"
    lead = (
        f"{escape(metric_name(study))} of each trial on the faces held out of the training split, "
        f"the {way} the better; the line is the best so far. The best of many is partly luck: "
        "judge the recipe on a split that no trial has seen."
    )
    return section("history", "Trials in order", lead, f"{plots.history_plot(study)}{_LEGEND}")


def _parameters(study: Study) -> str:
    figures = "".join(f"<figure>{plots.parameter_plot(study, key)}</figure>" for key in study.space)
    lead = (
        "Each searched key against the value. A best trial at the end of a range says that the "
        "range should reach further."
    )
    return section("parameters", "Each key", lead, f'<div class="figures">{figures}</div>{_LEGEND}')


def _importances(study: Study) -> str:
    title = "Which keys matter"
    if not study.importances:
        return section("importances", title, "Too few complete trials to say.", "")
    lines = [
        [
            escape(key),
            f'<span class="bar" style="display:block;width:260px"><span class="fill" '
            f'style="--c:var(--accent);width:{share:.1%}"></span></span>',
            f"{share:.0%}",
        ]
        for key, share in study.importances.items()
    ]
    what = "the logarithm of the loss" if study.lower_is_better else "the value"
    lead = (
        f"The share of the variance of {what} that each key explains by itself (functional "
        f"ANOVA over {len(study.ranked)} complete trials); shares add up to 100 %. With few trials "
        "it is a hint."
    )
    body = table(["Key", "", "Share"], lines, kinds="lln", name="importances")
    return section("importances", title, lead, f'<div style="max-width:560px">{body}</div>')


def _curves(study: Study) -> str:
    if not any(len(trial.curve) > 1 for trial in study.trials):
        return ""
    lead = "The value after each epoch, a line per trial; the best trial is colored."
    return section("curves", "Learning curves", lead, plots.curves_plot(study))


def _table(study: Study) -> str:
    others = [trial for trial in study.trials if trial not in study.ranked]
    others.sort(key=lambda t: (t.state, study.cost(t.value), t.number))
    lines = [_line(study, trial) for trial in (*study.ranked, *others)]
    heads = ["Trial", "State", metric_name(study), "Epoch", *study.space, "Reason"]
    kinds = "nlnn" + "n" * len(study.space) + "l"
    if not any(trial.reason for trial in study.trials):
        heads, kinds, lines = heads[:-1], kinds[:-1], [line[:-1] for line in lines]
    lead = "Complete trials from the best to the worst, then the others."
    return section("trials", "All trials", lead, table(heads, lines, kinds=kinds, name="trials"))


def _line(study: Study, trial: Trial) -> Sequence[str]:
    huge = trial.value is not None and abs(trial.value) >= 10_000  # a loss that has run away
    value = f"{trial.value:.3g}" if huge else number(trial.value, 4)
    return [
        str(trial.number),
        trial.state,
        f"<b>{value}</b>" if trial == study.best else value,
        f"{trial.epoch} of {max(trial.curve)}" if trial.epoch else "–",
        *(
            escape(show_value(trial.settings[key])) if key in trial.settings else "–"
            for key in study.space
        ),
        f'<span style="white-space:normal">{escape(trial.reason)}</span>',
    ]


def _protocol(study: Study) -> str:
    recipe = study.recipe
    lines = [
        ("Recipe", recipe.name),
        ("Dataset", study.dataset),
        ("Fingerprint of the dataset", study.fingerprint),
        (
            "Judged by",
            f"{metric_name(study)}, the best epoch, on {recipe.stop_on:.0%} of the faces of the "
            f"split train, in whole groups, drawn with the recipe's seed {recipe.seed}",
        ),
        ("Search", f"tree-structured Parzen estimators, seed {study.seed}"),
        *((f"Range of {key}", str(dimension)) for key, dimension in study.space.items()),
    ]
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in lines)
    lead = "What all trials share. The recipe of the best one is <code>best.toml</code>."
    return section("protocol", "Protocol", lead, f'<dl class="protocol">{body}</dl>')
