"""Curation: what is wrong with a dataset, a clean copy of it, and splits that do not leak."""

from openaffect.curation.checking import BrokenFace, CheckResult, Cluster, check_dataset
from openaffect.curation.cleaning import Removal, choose_removals, clean_dataset
from openaffect.curation.deriving import derive_affect
from openaffect.curation.folding import assign_folds
from openaffect.curation.splitting import (
    SplitPlan,
    plan_split,
    split_dataset,
)

__all__ = [
    "BrokenFace",
    "CheckResult",
    "Cluster",
    "Removal",
    "SplitPlan",
    "assign_folds",
    "check_dataset",
    "choose_removals",
    "clean_dataset",
    "derive_affect",
    "plan_split",
    "split_dataset",
]
