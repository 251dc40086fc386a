"""Archives that are the same bytes whenever and wherever they are written."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from openaffect.errors import InputError


class TarWriter:
    """A USTAR archive: no times, no owners, members in the order given; use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        self._archive = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def add(self, name: str, data: bytes) -> None:
        """Write a member.

        Raises:
            InputError: a name that USTAR cannot hold: 100 characters, and 155 of folders before them.
        """
        member = tarfile.TarInfo(name)
        member.size = len(data)
        member.mode = 0o644
        try:
            self._archive.addfile(member, io.BytesIO(data))
        except ValueError as error:
            raise InputError(
                f"the name {name[:120]} does not fit into a tar archive (100 characters, and 155 "
                "of folders before them); give the face a shorter face_id"
            ) from error
