"""What the operator must settle: from project.toml through the datasets to the pages of a release."""

from __future__ import annotations

import dataclasses
import html
import json
from pathlib import Path

import pytest

from autolabel.labeled import write_faces
from builders import tiny_model
from freezing_builders import fill, make_dataset
from openaffect.autolabel import label_faces
from openaffect.cli import main
from openaffect.collection import add_dataset
from openaffect.curation import check_dataset, clean_dataset, split_dataset
from openaffect.dataset import Dataset, open_dataset, save_dataset
from openaffect.errors import InputError
from openaffect.freezing import FreezeOptions, freeze_project, has_changed
from openaffect.legal import LegalFacts, list_missing_legal
from openaffect.model import open_model
from openaffect.project import create_project, open_project
from openaffect.project.settings import replace_settings, write_settings
from openaffect.publishing import ReleaseOptions, release_dataset

_SAID = {
    "controller": "Lab of <Faces>, Example University",
    "purpose": "research on expression.",
    "legal_basis": "GDPR article 6(1)(e)",
    "ethics_approval": "board of Example University, 2026-17",
    "retention": "until 2031-12-31",
}
_KEYS = [*_SAID]
_OPTIONS = FreezeOptions(splits="drawn", validation="1")


def _write_legal(project: Path, said: dict[str, str]) -> None:
    with open_project(project) as opened:
        settings = replace_settings(
            opened.settings, {f"legal.{key}": text for key, text in said.items()}, opened.path
        )
    (project / "project.toml").unlink()
    write_settings(settings, project / "project.toml")


def _freeze(project: Path, path: Path) -> Dataset:
    with open_project(project) as opened:
        return freeze_project(opened, path, _OPTIONS).dataset


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of four faces that may be given on, with nothing under `[legal]`."""
    license_of = dict.fromkeys(range(4), "CC0")
    source = make_dataset(tmp_path / "source", ["sad", "happy"] * 2, license=license_of)
    with create_project(tmp_path / "project") as made:
        fill(made, source)
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({}, ()),
        ({"purpose": ""}, ("purpose",)),
        ({"retention": " \t\n", "controller": ""}, ("controller", "retention")),
        (dict.fromkeys(_KEYS, ""), tuple(_KEYS)),
    ],
)
def test_keys_that_say_nothing_are_listed_in_their_order(changed, missing):
    assert list_missing_legal(LegalFacts(**_SAID | changed)) == missing


def test_a_frozen_dataset_says_what_the_project_said(project, tmp_path):
    _write_legal(project, _SAID)
    frozen = _freeze(project, tmp_path / "frozen")
    assert json.loads((frozen.path / "dataset.json").read_text())["legal"] == _SAID
    assert frozen.info.legal == LegalFacts(**_SAID)
    assert "legal" not in json.loads((frozen.path / "freeze.json").read_text())["project"]


def test_another_text_makes_another_content_but_no_other_fingerprint(project, tmp_path):
    first = _freeze(project, tmp_path / "first")
    assert first.info.legal == LegalFacts()
    with open_project(project) as opened:
        assert not has_changed(opened, first)
    _write_legal(project, {"purpose": "research"})
    with open_project(project) as opened:
        assert has_changed(opened, first)
    second = _freeze(project, tmp_path / "second")
    assert second.info.fingerprint == first.info.fingerprint
    assert second.info.content == second.content() != first.info.content


def test_a_dataset_of_no_project_says_nothing_and_keeps_its_hash(tmp_path):
    dataset = make_dataset(tmp_path / "d", ["sad"])
    assert dataset.info.legal is None
    assert [*dataset.info.describe_content()] == ["name", "crop", "license", "shareable", "source"]
    data = json.loads((dataset.path / "dataset.json").read_text())
    del data["legal"]  # as it was before there was this key
    (dataset.path / "dataset.json").write_text(json.dumps(data))
    assert open_dataset(dataset.path).content() == dataset.info.content


def _travel(frozen: Dataset, way: str, path: Path) -> Dataset:
    if way == "split":
        return split_dataset(frozen, path, validation=1, redo=True)
    if way == "clean":
        return clean_dataset(frozen, check_dataset(frozen), path)
    release_dataset(frozen.path, path, ReleaseOptions(pixels="none"))
    return open_dataset(path / "table")


@pytest.mark.parametrize("way", ["split", "clean", "release"])
def test_it_travels_with_the_dataset(project, tmp_path, way):
    _write_legal(project, _SAID)
    made = _travel(_freeze(project, tmp_path / "frozen"), way, tmp_path / "out")
    assert made.info.legal == LegalFacts(**_SAID)
    assert made.info.content == made.content()


def test_a_labeled_dataset_says_what_its_source_did(tmp_path):
    faces = write_faces(tmp_path / "faces", count=150)
    info = dataclasses.replace(faces.info, legal=LegalFacts(**_SAID))
    frozen = save_dataset(dataclasses.replace(faces, info=info), tmp_path / "frozen")
    model = open_model(tiny_model(tmp_path / "tiny.onnx"))
    label_faces(frozen.path, tmp_path / "out", model, coverage=0.8)
    assert open_dataset(tmp_path / "out").info.legal == LegalFacts(**_SAID)


def test_a_project_that_is_labeled_says_it_too(tmp_path):
    with create_project(tmp_path / "project") as made:
        add_dataset(made, write_faces(tmp_path / "faces", count=150), count_imported=True)
    _write_legal(tmp_path / "project", _SAID)
    model = open_model(tiny_model(tmp_path / "tiny.onnx"))
    label_faces(tmp_path / "project", tmp_path / "out", model, coverage=0.8)
    assert open_dataset(tmp_path / "out").info.legal == LegalFacts(**_SAID)


@pytest.mark.parametrize("key", _KEYS)
def test_pictures_are_refused_while_a_key_is_empty(project, tmp_path, key):
    _write_legal(project, _SAID | {key: "  "})
    frozen = _freeze(project, tmp_path / "frozen")
    private = ReleaseOptions(pixels="all", because="for the lab")
    for options in (ReleaseOptions(), private):
        with pytest.raises(InputError, match=rf"nothing under {key}, .*\[legal\] of project\.toml"):
            release_dataset(frozen.path, tmp_path / "r", options)
    assert not (tmp_path / "r").exists()


def test_labels_alone_are_released_without_it(project, tmp_path):
    frozen = _freeze(project, tmp_path / "frozen")
    done = release_dataset(frozen.path, tmp_path / "r", ReleaseOptions(pixels="none"))
    assert (done.faces, done.pictures) == (4, 0)
    page = (tmp_path / "r" / "index.html").read_text()
    assert page.count("Not recorded.") == len(_KEYS)


def test_every_empty_key_is_named_at_once(project, tmp_path):
    _write_legal(project, {"purpose": "research"})
    frozen = _freeze(project, tmp_path / "frozen")
    named = "controller, legal_basis, ethics_approval, retention,"
    with pytest.raises(InputError, match=named):
        release_dataset(frozen.path, tmp_path / "r")


def test_the_command_says_at_freezing_what_a_release_will_refuse(project, tmp_path, capsys):
    arguments = ["--splits", "drawn", "--validation", "1"]
    assert main(["freeze", str(project), str(tmp_path / "f"), *arguments]) == 0
    assert ", ".join(_KEYS) in capsys.readouterr().err
    assert main(["release", str(tmp_path / "f"), str(tmp_path / "r")]) == 1
    assert ", ".join(_KEYS) in capsys.readouterr().err
    _write_legal(project, _SAID)
    assert main(["freeze", str(project), str(tmp_path / "g"), *arguments]) == 0
    assert "[legal]" not in capsys.readouterr().err
    assert main(["release", str(tmp_path / "g"), str(tmp_path / "r")]) == 0


def test_collect_says_what_is_not_settled(project, capsys):
    _write_legal(project, {"controller": "Example University"})
    main(["collect", str(project), "--plan", "--json"])
    said = capsys.readouterr()
    assert f"{', '.join(_KEYS[1:])}: settle it" in said.err
    assert "[legal]" not in said.out
    _write_legal(project, _SAID)
    main(["collect", str(project), "--plan", "--json"])
    assert "[legal]" not in capsys.readouterr().err


def test_card_page_and_croissant_say_who_is_responsible_and_why(project, tmp_path):
    _write_legal(project, _SAID)
    frozen = _freeze(project, tmp_path / "frozen")
    release_dataset(frozen.path, tmp_path / "r")
    card = (tmp_path / "r" / "README.md").read_text()
    page = html.unescape((tmp_path / "r" / "index.html").read_text())
    questions = (
        ("Who is responsible for the data?", "controller"),
        ("For what purpose was it made?", "purpose"),
        ("On which legal basis?", "legal_basis"),
        ("Was there an ethical review?", "ethics_approval"),
        ("How long is it kept?", "retention"),
    )
    for question, key in questions:
        assert f"**{question}** {_SAID[key]}" in card
        assert f'{question}</td><td class="k-l">{_SAID[key]}</td>' in page
    croissant = json.loads((tmp_path / "r" / "croissant.json").read_text())
    assert (
        croissant["rai:dataCollection"] == "Ethical review: board of Example University, 2026-17."
    )
    assert croissant["rai:personalSensitiveInformation"].endswith(
        " Legal basis: GDPR article 6(1)(e)."
    )
    assert croissant["rai:dataUseCases"].startswith("Made for: research on expression. Fit for: ")
    assert croissant["rai:dataReleaseMaintenancePlan"] == (
        "Responsible: Lab of <Faces>, Example University. Kept: until 2031-12-31."
    )


def test_a_dataset_of_no_project_is_released_as_before(tmp_path):
    dataset = make_dataset(tmp_path / "d", ["sad"], license={0: "CC0"})
    release_dataset(dataset.path, tmp_path / "r")
    assert "Who is responsible" not in (tmp_path / "r" / "index.html").read_text()
    croissant = json.loads((tmp_path / "r" / "croissant.json").read_text())
    assert "rai:dataCollection" not in croissant
    assert "Legal basis" not in croissant["rai:personalSensitiveInformation"]


def test_what_was_said_belongs_to_one_project_alone(project, tmp_path):
    """A dataset that is added to another project is under what that project says."""
    _write_legal(project, _SAID)
    frozen = _freeze(project, tmp_path / "frozen")
    with create_project(tmp_path / "other") as other:
        add_dataset(other, frozen)
        fill(other, make_dataset(tmp_path / "more", ["anger"]))
        again = freeze_project(other, tmp_path / "again", _OPTIONS)
    assert again.dataset.info.legal == LegalFacts()


def test_the_keys_are_those_of_project_toml():
    assert [field.name for field in dataclasses.fields(LegalFacts)] == _KEYS
