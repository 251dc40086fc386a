"""Consensus: one label per face from the judgments of several raters.

One file per rule, found by its name: `dawid-skene` is `expressions/dawid_skene.py`. A file in
`expressions/` is an `ExpressionRule`, one in `affects/` an `AffectRule`; docs/consensus.md says when
to use which. `find_consensus` does the rest.
"""

from openaffect.consensus.finding import (
    AFFECT_RULES,
    EXPRESSION_RULES,
    Consensus,
    affect_rules,
    expression_rules,
    find_consensus,
)

__all__ = [
    "AFFECT_RULES",
    "EXPRESSION_RULES",
    "Consensus",
    "affect_rules",
    "expression_rules",
    "find_consensus",
]
