"""Archives that are the same bytes whenever and wherever they are written."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from openaffect.errors import InputError


def write_tar(path: Path, members: Iterable[tuple[str, bytes | Path]]) -> None:
    """Write a USTAR archive: no times, no owners, members in the order given.

    Args:
        path: of the archive.
        members: name and content; the names in the order of the archive.

    Raises:
        InputError: a name that USTAR cannot hold: 100 characters, and 155 of folders before them.
    """
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            data = content if isinstance(content, bytes) else content.read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            try:
                archive.addfile(member, io.BytesIO(data))
            except ValueError as error:
                raise InputError(
                    f"the name {name[:120]} does not fit into a tar archive (100 characters, and 155 "
                    "of folders before them); give the face a shorter face_id"
                ) from error
