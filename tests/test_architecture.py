"""The rules of docs/design.md that a machine can read."""

from __future__ import annotations

import ast
import functools
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import openaffect

SOURCE = Path(openaffect.__file__).parent
LAYERS = (
    {
        "errors",
        "labels",
        "circumplex",
        "documents",
        "unfinished",
        "download",
        "addresses",
        "lookup",
        "storage",
        "schemas",
        "fingerprints",
        "parquet_footer",
        "tables",
        "extras",
        "parallel",
        "images",
        "image_headers",
        "weights",
        "texts",
        "model_files",
        "progress",
        "legal",
        "licenses",
        "metrics",
        "pages",
    },
    {"faces", "face_table"},
    {"withdrawals"},
    {"dataset", "face_row", "annotation_row", "image_links", "row_groups"},
    {
        *("dataset_portions", "dataset_writer", "judgments", "model", "predictions", "project"),
        "withdrawing",
    },
    {"synthetic"},
    {"consensus", "golden", "inference", "reports"},
    {"recognition", "streamed_inference", "freezing", "forgetting"},
    {"formats"},
    {
        *("curation", "training", "analysis", "collection", "annotation", "autolabel"),
        *("exchange", "external_models", "publishing"),
    },
    {"replication", "info", "demo", "web"},
    {"console"},
    {"cli"},
    {"__main__"},
)
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
STAGES = {
    "curation",
    "training",
    "analysis",
    "collection",
    "annotation",
    "autolabel",
    "exchange",
    "external_models",
    "publishing",
}
MODULES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> set[str]:
    """Modules that a file imports when it runs; those for type checkers only do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_rooms(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imports(path) if name.startswith("openaffect.")}
    return names & set(LAYER_OF)


def test_every_file_has_a_layer() -> None:
    rooms = {room(path) for path in MODULES} - {"__init__"}
    assert rooms == set(LAYER_OF)


def test_imports_go_one_way() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports {other}"
        for path in MODULES
        if room(path) in LAYER_OF
        for other in own_rooms(path)
        if other != room(path) and LAYER_OF[other] > LAYER_OF[room(path)]
    ]
    assert wrong == []
    assert sum(len(own_rooms(path)) for path in MODULES) > 100  # the reading itself works


def test_stages_do_not_import_each_other() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports {other}"
        for path in MODULES
        if room(path) in STAGES
        for other in own_rooms(path)
        if other in STAGES and other != room(path)
    ]
    assert wrong == []


def test_only_training_knows_torch() -> None:
    users = {
        room(path)
        for path in MODULES
        if {name.split(".")[0] for name in imports(path)} & {"torch", "accelerate", "timm", "onnx"}
    }
    assert users == {"training", "external_models"}


def test_one_room_speaks_to_a_cluster() -> None:
    users = [path for path in MODULES if any(n.split(".")[0] == "ray" for n in imports(path))]
    assert [room(path) for path in users] == ["parallel"]


@pytest.mark.parametrize(
    "module", ["openaffect", "openaffect.cli", "openaffect.analysis", "openaffect.reports"]
)
def test_the_core_loads_no_heavy_library(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "import openaffect\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'timm',"
        " 'accelerate', 'dlib', 'av', 'optuna', 'fastapi', 'sqlalchemy', 'alembic', 'jinja2', 'ray',"
        " 'aiohttp'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_core_works_without_the_extras(tmp_path: Path) -> None:
    """Importing an extra's library fails here as if it were not installed."""
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {{'torch', 'torchvision', 'accelerate', 'timm', 'onnx', 'onnxscript',
                                  'sklearn', 'scipy', 'pandas', 'dlib', 'filelock', 'sqlalchemy',
                                  'alembic', 'psycopg', 'ray', 'aiohttp'}}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Missing())
from openaffect.cli import main
assert main(['synthesize', '8', r'{tmp_path}/d', '--size', '64']) == 0
assert main(['info', r'{tmp_path}/d']) == 0
assert main(['check', r'{tmp_path}/d']) == 0
assert main(['export', 'csv', r'{tmp_path}/d', r'{tmp_path}/c']) == 0
assert main(['train', r'{tmp_path}/d', r'{tmp_path}/run']) == 1
assert main(['new', r'{tmp_path}/p']) == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '[train]"' in done.stderr
    assert '[project]"' in done.stderr


def test_public_names_are_what_they_say() -> None:
    homes = {name for names in openaffect._HOMES.values() for name in names}
    assert set(openaffect.__all__) == homes | {"__version__"}
    for name in openaffect.__all__:
        assert getattr(openaffect, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'anlyze'"):
        _ = openaffect.anlyze


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_public_name_in_all_exists(path: Path) -> None:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    name = ".".join(("openaffect", *parts)).removesuffix(".__init__")
    module = importlib.import_module(name)
    assert all(hasattr(module, public) for public in getattr(module, "__all__", []))
    assert module.__doc__


def test_no_module_mentions_a_machine_or_prints() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert "/work/" not in text
        assert "/root/" not in text
        calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
        names = {n.func.id for n in calls if isinstance(n.func, ast.Name)}
        assert "print" not in names, path
