"""Report: how well predictions fit the labels of a dataset, for programs and for people.

`evaluate` makes a Report, `Report.save` writes it as a folder, `open_report` reads it back,
`compare` sets several side by side. docs/reports.md has the rules and the meaning of every key.
"""

from openaffect.reports.comparison import Comparison, Entry, Group, Table, compare
from openaffect.reports.evaluation import evaluate
from openaffect.reports.report import Report, open_report
from openaffect.reports.rows import AffectRows, ScoredRows

__all__ = [
    "AffectRows",
    "Comparison",
    "Entry",
    "Group",
    "Report",
    "ScoredRows",
    "Table",
    "compare",
    "evaluate",
    "open_report",
]
