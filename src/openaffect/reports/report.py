"""Report: `report.json`, one self-contained `report.html`, and the scored rows behind them.

::

    REPORT/
    ├── report.html    for people: one file, no network
    ├── rows.parquet   truth and prediction of every scored row, so that reports can be compared
    └── report.json    for programs: every number, its interval, and the protocol; written last
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import pyarrow as pa

import openaffect
from openaffect.dataset import Dataset
from openaffect.documents import decode_versioned, read_bytes
from openaffect.errors import FormatError, InputError
from openaffect.reports.contents import SCHEMA, Contents, check_contents
from openaffect.reports.page import render_page
from openaffect.reports.rows import ScoredRows
from openaffect.storage import atomic_folder, read_folder
from openaffect.tables import read_parquet, write_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Contents):
    """What was scored and how it came out; made by `evaluate` or `open_report`.

    `report.categorical.accuracy.orig.value` reads a number.

    Attributes:
        table: truth and prediction of every scored row, sorted by face_id; None when only
            `report.json` is there.
    """

    table: pa.Table | None = field(default=None, compare=False, repr=False)

    @property
    def rows(self) -> ScoredRows:
        """The scored rows.

        Raises:
            InputError: only `report.json` is there.
        """
        if self.table is None:
            raise InputError(
                "this report has no rows.parquet beside its report.json; keep the whole folder, "
                "or evaluate again"
            )
        return ScoredRows.from_table(self.table, self.protocol.labels, "rows.parquet")

    def to_json(self) -> str:
        """The text of `report.json`, strict JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def to_html(self, dataset: Dataset | None = None, pictures: bool | None = None) -> str:
        """The text of `report.html`; see `save`."""
        if pictures and dataset is None:
            raise InputError("pictures of faces are wanted, but no dataset was given to take them")
        return render_page(self, self.rows, dataset, pictures)

    def save(
        self,
        folder: str | Path,
        *,
        dataset: Dataset | None = None,
        pictures: bool | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the report as a folder, whole or not at all; the path of its `report.html`.

        Args:
            folder: to make.
            dataset: where pictures of mistakes are taken from.
            pictures: show them: True, False, or by default only if the dataset says that it may
                be shared.
            overwrite: replace an existing folder.

        Raises:
            DestinationExists: `folder` exists and `overwrite` is false.
        """
        page = self.to_html(dataset, pictures)
        with atomic_folder(folder, overwrite=overwrite) as temporary:
            write_table(self.table, temporary / "rows.parquet")
            (temporary / "report.html").write_text(page, encoding="utf-8")
            (temporary / "report.json").write_text(self.to_json(), encoding="utf-8")
        return Path(folder) / "report.html"


def open_report(path: str | Path) -> Report:
    """Open a report: its folder, or its `report.json`.

    Raises:
        FormatError: no report, or a broken one.
        NewerSchema: written by a newer openaffect.
    """
    path = Path(path)
    if path.name == "report.json":
        return _read_report(path)
    return read_folder(path, lambda: _read_report(path / "report.json"))


def _read_report(path: Path) -> Report:
    if not path.is_file():
        raise FormatError(
            f"expected a report at {path}, but there is none; make one with `openaffect evaluate`"
        )
    contents = decode_versioned(read_bytes(path, "a report"), Contents, SCHEMA, str(path))
    check_contents(contents, str(path))
    rows = path.with_name("rows.parquet")
    table = read_parquet(rows, "the rows of a report") if rows.exists() else None
    return Report(**{f.name: getattr(contents, f.name) for f in fields(contents)}, table=table)


def made_by() -> str:
    """The openaffect that writes."""
    return f"openaffect {openaffect.__version__}"
