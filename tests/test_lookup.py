"""Names that are file names."""

from __future__ import annotations

import pytest

from openaffect import lookup
from openaffect.errors import UnknownName


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with three modules and two recipes."""
    folder = tmp_path / "looked_up_package"
    folder.mkdir()
    for name in ("__init__", "_private", "big_net", "alex"):
        (folder / f"{name}.py").write_text(f"WHO = '{name}'\n")
    for name in ("paper-weighted", "quick"):
        (folder / f"{name}.toml").write_text(f"name = '{name}'\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_every_public_file_is_a_name_and_hyphens_are_underscores(package):
    assert lookup.names(package) == ("alex", "big-net")
    assert lookup.names(package, ".toml") == ("paper-weighted", "quick")


@pytest.mark.parametrize("name", ["big-net", "big_net"])
def test_a_name_loads_its_module(package, name):
    assert lookup.load(package, name, "backbone").WHO == "big_net"


@pytest.mark.parametrize("name", ["bignet", "_private", "__init__", "../alex", ""])
def test_what_is_no_public_file_is_refused(package, name):
    with pytest.raises(UnknownName, match=r"unknown backbone .*Known: alex, big-net"):
        lookup.load(package, name, "backbone")


def test_the_nearest_name_is_offered(package):
    with pytest.raises(UnknownName) as caught:
        lookup.load(package, "alexx", "backbone")
    assert caught.value.nearest == "alex"


def test_a_data_file_is_found_and_its_text_read(package):
    assert lookup.find(package, "quick", ".toml", "recipe").read_text() == "name = 'quick'\n"
    with pytest.raises(UnknownName, match="did you mean 'quick'"):
        lookup.find(package, "quik", ".toml", "recipe")


def test_the_private_files_of_formats_are_no_formats():
    assert "-sources" not in lookup.names("openaffect.formats")
    assert "affectnet-plus" in lookup.names("openaffect.formats")
