"""Writing a dataset a portion at a time, from tables that are checked already.

`DatasetWriter` judges single rows of other people's formats and remembers every id; here whole
portions of a dataset that was read go out again, with other values, in memory that does not grow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from openaffect.dataset import DatasetInfo, write_info
from openaffect.fingerprints import ContentHash, RowsHash
from openaffect.image_links import check_links, record_link
from openaffect.storage import atomic_folder
from openaffect.tables import parquet_writer

_BATCH = 4_096  # rows that the hash makes texts of at once


class PortionWriter:
    """Takes portions of tables; made by `write_portions`.

    Attributes:
        folder: the folder being written; it gets its final name when all is done.
        rows: faces so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = 0
        self._prints, self._content = RowsHash(), ContentHash()
        self._tables: dict[str, pq.ParquetWriter] = {}

    def add(self, faces: pa.Table) -> None:
        """Write faces, columns of `schemas.FACES` and any others; the same ones each time."""
        for batch in faces.to_batches(max_chunksize=_BATCH):
            self._prints.update(batch)
        self.rows += len(faces)
        self._write("faces", faces)

    def add_annotations(self, annotations: pa.Table) -> None:
        """Write judgments of the faces."""
        self._write("annotations", annotations)

    def _write(self, name: str, table: pa.Table) -> None:
        self._content.update(name, table)
        if name not in self._tables:
            self._tables[name] = parquet_writer(self.folder / f"{name}.parquet", table.schema)
        self._tables[name].write_table(table)

    def _abort(self) -> None:
        for table in self._tables.values():
            table.close()

    def _close(self, info: DatasetInfo) -> None:
        self._abort()
        info = dataclasses.replace(
            info,
            rows=self.rows,
            fingerprint=self._prints.hexdigest(),
            content=self._content.hexdigest(info.describe_content()),
        )
        write_info(info, self.folder, annotations="annotations" in self._tables)


@contextmanager
def write_portions(
    path: str | Path, info: DatasetInfo, *, overwrite: bool = False
) -> Iterator[PortionWriter]:
    """Write a dataset folder; it appears, whole, when the block ends without an error.

    Args:
        path: the folder to make.
        info: of the dataset; rows and hashes are filled in. Where `images` is absolute the dataset
            links to that folder, else the block puts the images there.
        overwrite: replace an existing dataset.

    Raises:
        DestinationExists: `path` exists and `overwrite` is false.
        InputError: other datasets link to the images of the one that would be replaced.
    """
    path = Path(path)
    check_links(path)
    with atomic_folder(path, overwrite=overwrite) as folder:
        writer = PortionWriter(folder)
        try:
            yield writer
            writer._close(info)
        finally:
            writer._abort()
    if Path(info.images).is_absolute():
        record_link(Path(info.images), path)
