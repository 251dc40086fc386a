"""Other people's files that the pages need: onnxruntime-web, and Swagger UI for `/docs`.

They are not in the repository. `make web` runs this module, which gets them with npm, checks
their hashes and keeps the few files that are used; a wheel contains them. Without them the
service works, and its page says what is missing.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from openaffect.errors import OpenAffectError
from openaffect.storage import atomic_folder

STATIC = Path(__file__).parent / "static"
"""The folder of the pages."""

VENDOR = STATIC / "vendor"
"""The folder of other people's files."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package of npm: which of its files are kept, and what its archive must hash to."""

    name: str
    version: str
    sha256: str
    license: str
    files: tuple[str, ...]


RUNTIME = Package(
    "onnxruntime-web",
    "1.30.0",
    "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
    "MIT, Copyright Microsoft Corporation",
    (
        "dist/ort.wasm.min.mjs",
        "dist/ort-wasm-simd-threaded.mjs",
        "dist/ort-wasm-simd-threaded.wasm",
    ),
)
API_PAGE = Package(
    "swagger-ui-dist",
    "5.35.0",
    "1b8e891893404ea4c3558b6a87e2a3e494e7eedba41168c2ece5800a391a6ea6",
    "Apache-2.0, Copyright SmartBear Software Inc.",
    ("swagger-ui-bundle.js", "swagger-ui.css"),
)


class CannotFetch(OpenAffectError):  # noqa: N818 - named after what is wrong
    """npm is missing, has no answer, or sent something else."""


def is_installed(package: Package, folder: Path = VENDOR) -> bool:
    """Whether all files of a package are here, of the version that is asked for."""
    kept = folder / package.name
    if not all((kept / Path(name).name).is_file() for name in ("VERSION", *package.files)):
        return False
    text = (kept / "VERSION").read_text(encoding="utf-8")
    return text.startswith(f"{package.name} {package.version}\n")


def fetch_packages(folder: Path = VENDOR) -> list[Package]:
    """Get the packages that are not here yet.

    Returns:
        Those that were fetched.

    Raises:
        CannotFetch: npm is not installed or did not do it, or a hash is wrong; nothing is changed.
    """
    missing = [one for one in (RUNTIME, API_PAGE) if not is_installed(one, folder)]
    for package in missing:
        with tempfile.TemporaryDirectory() as scratch:
            archive = _pack(package, Path(scratch))
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_folder(folder / package.name, overwrite=True) as temporary:
                _keep(package, archive, temporary)
    return missing


def _pack(package: Package, scratch: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise CannotFetch("npm is not installed")
    wanted = f"{package.name}@{package.version}"
    command = [npm, "pack", "--silent", "--pack-destination", str(scratch), wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotFetch(f"npm gave no answer for {wanted}: {error}") from error
    archive = scratch / f"{package.name}-{package.version}.tgz"
    if done.returncode or not archive.is_file():
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CannotFetch(f"npm could not get {wanted}: {reason}")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != package.sha256:
        raise CannotFetch(f"{wanted} has SHA-256 {found}, expected {package.sha256}")
    return archive


def _keep(package: Package, archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for name in package.files:
            source = tar.extractfile(f"package/{name}")
            if source is None:
                raise CannotFetch(f"{package.name} {package.version} has no {name}")
            with source, open(folder / Path(name).name, "wb") as file:
                shutil.copyfileobj(source, file)
    text = f"{package.name} {package.version}\n{package.license}\n"
    (folder / "VERSION").write_text(text, encoding="utf-8")


def _main() -> int:
    try:
        fetched = fetch_packages()
    except CannotFetch as error:
        sys.stderr.write(
            f"The files for the camera and /docs were not fetched ({error}); `openaffect serve` "
            "works without them, and `make web` tries again.\n"
        )
        return 0
    names = ", ".join(f"{one.name} {one.version}" for one in fetched)
    sys.stdout.write(f"fetched {names}\n" if fetched else "all files for the browser are here\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
