"""Where a study is kept: optuna's storage in one SQLite file, and what it was begun with."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from openaffect.errors import FormatError, InputError, MismatchError
from openaffect.training.recipe import make_recipe
from openaffect.training.tuning.space import recipe_values, space_toml
from openaffect.training.tuning.study import Study

ENOUGH = 5
"""Complete trials before others are pruned, or importances mean anything."""

_NAME = "openaffect"
_BEGUN = "begun"  # the attribute that says with what a study was begun


def check_study_folder(folder: Path) -> None:
    """Raise the error that says why a study may not be kept in this folder, if there is one."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"expected a folder for the study, but {folder} is a file")
    if folder.is_dir() and not (folder / "study.db").is_file():
        others = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
        if others:
            raise InputError(
                f"{folder} is no study (it has no study.db, but {sorted(others)[0]}); "
                "choose another folder"
            )


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's own messages off: progress is told to `on_progress`, errors are raised."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextlib.contextmanager
def open_storage(folder: Path) -> Iterator[RDBStorage]:
    """Optuna's storage in the folder, made if there is none.

    Raises:
        FormatError: `study.db` is broken, or of an optuna that this one cannot read.
    """
    path = folder / "study.db"
    url = URL.create("sqlite", database=str(path.absolute()))
    try:
        storage = RDBStorage(url.render_as_string(hide_password=False))
    except (SQLAlchemyError, RuntimeError, optuna.exceptions.OptunaError) as error:
        reason = str(error).splitlines()[0]
        raise FormatError(f"expected optuna's storage at {path}, but got: {reason}") from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def begin_study(wanted: Study, storage: RDBStorage, *, prune: bool) -> optuna.Study:
    """The study in its storage, begun if it is new.

    Raises:
        MismatchError: it was begun with something else.
    """
    # A quarter of the epochs says little yet, above all where the rate is warmed up.
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=ENOUGH, n_warmup_steps=wanted.recipe.epochs // 4 + 1
    )
    study = optuna.create_study(
        storage=storage,
        study_name=_NAME,
        direction="minimize" if wanted.lower_is_better else "maximize",
        pruner=pruner if prune else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    begun: dict[str, Any] | None = study.user_attrs.get(_BEGUN)
    if begun is None:
        facts = {
            "dataset": wanted.fingerprint,
            "seed": wanted.seed,
            "recipe": wanted.recipe.to_toml(),
            "space": space_toml(wanted.space),
        }
        study.set_user_attr(_BEGUN, facts)
    else:
        _check_same(wanted, begun)
    return study


def _check_same(wanted: Study, begun: Mapping[str, Any]) -> None:
    """Raise what differs from how the study was begun."""
    if begun["dataset"] != wanted.fingerprint:
        raise MismatchError(
            f"{wanted.folder} was begun on other data than {wanted.dataset} is now; go on with "
            "the same dataset, or search in another folder"
        )
    recipe = make_recipe(tomllib.loads(begun["recipe"]), f"the recipe of {wanted.folder}")
    before = {"the search's seed": begun["seed"], **recipe_values(recipe)}
    now = {"the search's seed": wanted.seed, **recipe_values(wanted.recipe)}
    searched, searching = (tomllib.loads(t) for t in (begun["space"], space_toml(wanted.space)))
    for what, old, new in (("", before, now), ("the search of ", searched, searching)):
        for key in dict.fromkeys((*old, *new)):
            if old.get(key) != new.get(key):
                raise MismatchError(
                    f"{wanted.folder} was begun with {what}{key} = {old.get(key, 'nothing')!r}, "
                    f"but now it is {new.get(key, 'nothing')!r}; go on as it was begun, or search "
                    "in another folder"
                )


def reopen_trial(storage: RDBStorage, study: optuna.Study, number: int) -> optuna.Trial:
    """A trial that was cut off, to go on with it."""
    study_id = storage.get_study_id_from_name(_NAME)
    return optuna.Trial(study, storage.get_trial_id_from_study_id_trial_number(study_id, number))
