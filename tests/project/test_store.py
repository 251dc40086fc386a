"""Stores: a folder, and a bucket on a server that speaks the protocol of S3."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyarrow import fs

import moto
from openaffect.cli import main
from openaffect.collection import add_dataset, add_images, detect_faces
from openaffect.dataset import Dataset
from openaffect.errors import ImageError, InputError, StoreError, UnknownName
from openaffect.images import encode_image
from openaffect.project import Project, create_project, open_project
from openaffect.project.backups import backup_project, restore_project
from openaffect.project.s3_store import parse_address
from openaffect.project.store import FolderStore, Store, open_store


def picture(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    return encode_image(noise)


@pytest.fixture
def server(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of the server, which this process uses as if it were AWS."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "geheim-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return s3_server


def client(server: str) -> fs.S3FileSystem:
    host = server.removeprefix("http://")
    return fs.S3FileSystem(
        endpoint_override=host, scheme="http", region="us-east-1", allow_bucket_creation=True
    )


@pytest.fixture
def bucket(server: str) -> str:
    """The name of an empty bucket."""
    name = f"b{uuid.uuid4().hex}"
    client(server).create_dir(name)
    return name


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of either kind."""
    if request.param == "folder":
        made = open_store("store", tmp_path)
    else:
        made = open_store(f"s3://{request.getfixturevalue('bucket')}/some/prefix")
    made.prepare()
    return made


def spoil(store: Store, sha256: str, data: bytes) -> None:
    """Put other bytes under the name of an image."""
    store._write(sha256, "png", data)


def test_what_is_put_is_read_once_and_whole(store: Store) -> None:
    first, second = picture(1), picture(2)
    names = sorted(store.put(data) for data in (first, second, first))
    assert len(set(names)) == 2
    assert {suffix for _, suffix in names} == {"png"}
    assert list(store.iterate()) == sorted(set(names))
    sha256, suffix = store.put(first)
    assert store.read(sha256, suffix) == first
    assert store.size(sha256, suffix) == len(first)
    assert store.exists(sha256, suffix)
    assert open_store(store.location).read(sha256, suffix) == first
    with pytest.raises(ImageError, match="not a picture"):
        store.put(b"text")


def test_many_images_are_put_at_once(store: Store) -> None:
    images = {name(data): data for data in (picture(1), picture(2), picture(3))}
    store.put_all(images)
    store.put_all({})
    assert list(store.iterate()) == sorted(images)
    damaged, *others = images
    spoil(store, damaged[0], b"x" * len(images[damaged]))  # of the right length
    spoil(store, others[0][0], b"")
    store.put_all(images)
    assert {one: store.read(*one) for one in images} == images


def name(data: bytes) -> tuple[str, str]:
    return hashlib.sha256(data).hexdigest(), "png"


def test_images_are_listed_in_order_and_other_files_are_passed_over(store: Store) -> None:
    names = [
        f"{start}{'0' * (64 - len(start))}" for start in ("ff", "abcd1", "abcd3", "abcd2", "0")
    ]
    for name in names:
        store._write(name, "png", b"x")
    store._write(names[1], "partial", b"x")
    store._write("abcd", "png", b"x")
    assert list(store.iterate()) == [(name, "png") for name in sorted(names)]


def test_what_does_not_fit_its_name_is_told_and_mended(store: Store) -> None:
    data = picture(1)
    sha256, suffix = store.put(data)
    for damage in (data[:-1] + b"x", data[:-1], b""):
        spoil(store, sha256, damage)
        with pytest.raises(ImageError, match=f"damaged.*{sha256}"):
            store.read(sha256, suffix)
        assert store.put(data) == (sha256, suffix)
        assert store.read(sha256, suffix) == data


def test_what_is_deleted_is_gone(store: Store) -> None:
    kept, gone = store.put(picture(1)), store.put(picture(2))
    assert store.delete(*gone)
    assert not store.delete(*gone)
    assert not store.exists(*gone)
    assert store.size(*gone) is None
    assert list(store.iterate()) == [kept]
    with pytest.raises(ImageError, match=f"missing.*{gone[0]}"):
        store.read(*gone)


def test_an_image_of_too_many_bytes_is_not_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = store.put(picture(1))
    size = store.size(*name)
    monkeypatch.setattr("openaffect.project.store.MAX_BYTES", size)
    assert store.read(*name)
    monkeypatch.setattr("openaffect.project.store.MAX_BYTES", size - 1)
    with pytest.raises(ImageError, match="too large"):
        store.read(*name)


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIAGEHEIM:geheim@bucket/prefix",
        "s3://AKIAGEHEIM:ge/heim@bucket/prefix",
        "s3://geheim@bucket/prefix",
        "s3://AKIAGEHEIM:geheim",
        "s3://bucket/prefix?secret_key=geheim",
        "s3://bucket/prefix?access_key=geheim&region=x",
        "s3://bucket/prefix?session_token=geheim",
        "s3://bucket?endpoint_override=ada:geheim@host",
        "https://ada:geheim@host/bucket",
        "gs://geheim",
    ],
)
def test_an_address_with_a_key_is_refused_and_not_repeated(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        create_project(tmp_path / "p", store=address)
    assert "geheim" not in str(caught.value).lower()
    assert ("AWS_PROFILE" in str(caught.value)) == address.startswith("s3:")
    assert not (tmp_path / "p").exists()
    create_project(tmp_path / "q").close()
    toml = tmp_path / "q" / "project.toml"
    toml.write_text(toml.read_text().replace('store = "store"', f'store = "{address}"'))
    with pytest.raises(InputError) as caught:
        open_project(tmp_path / "q")
    assert "geheim" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("s3://bucket/p?regoin=x", UnknownName, "did you mean 'region'"),
        ("s3://bucket/p?scheme=ftp", UnknownName, "https, http"),
        ("s3://bucket/p?region", InputError, "s3://bucket/prefix"),
        ("s3://bucket/p?endpoint_override=a/b", InputError, "host:port"),
        ("s3://bucket/a//b", InputError, "slashes"),
        ("s3://bucket/a/../b", InputError, "slashes"),
        ("s3://bucket/a#b", InputError, "slashes"),
        ("s3://", InputError, "name of a bucket"),
        ("s3:///prefix", InputError, "name of a bucket"),
        ("s3://b/prefix", InputError, "name of a bucket"),
        ("s3://[bucket/prefix", InputError, "s3://bucket/prefix"),
        ("file:///tmp/x", InputError, "another kind"),
    ],
)
def test_an_address_that_cannot_be_one_is_told(
    address: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        parse_address(address)
    assert words in str(caught.value)


def test_the_address_says_what_pyarrow_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    assert parse_address("s3://bucket").root == "bucket"
    found = parse_address("s3://bucket/a/b/?region=eu-west-1&endpoint_override=h:9000&scheme=http")
    assert found.root == "bucket/a/b"
    assert found.options == {"region": "eu-west-1", "endpoint_override": "h:9000", "scheme": "http"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://general:1")
    assert parse_address("s3://bucket").options["endpoint_override"] == "general:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://special")
    assert parse_address("s3://bucket").options == {
        "endpoint_override": "special",
        "scheme": "https",
    }
    assert parse_address("s3://bucket?endpoint_override=own:2").options["endpoint_override"] == (
        "own:2"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "ada:geheim@host")
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL") as caught:
        parse_address("s3://bucket")
    assert "geheim" not in str(caught.value)


def test_a_folder_is_found_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = open_store("store", Path("p"))
    assert isinstance(made, FolderStore)
    assert made.folder == Path("p/store")
    assert made.location == str(tmp_path / "p" / "store")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(one) for one in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.slow
def test_a_project_in_a_bucket_from_its_beginning_to_its_copies(
    bucket: str,
    server: str,
    tmp_path: Path,
    drawn: Dataset,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, address = tmp_path / "faces", f"s3://{bucket}/faces"
    photo = tmp_path / "photo.png"
    photo.write_bytes(picture(1))
    assert run(capsys, "new", folder, "--store", address)[0] == 0
    assert f'store = "{address}"' in (folder / "project.toml").read_text()
    assert not (folder / "store").exists()
    assert run(capsys, "add", folder, drawn.path, photo)[0] == 0
    status, out, err = run(capsys, "detect", folder, "--workers", 2, "--json")
    assert status == 0, err
    assert (json.loads(out)["images"], json.loads(out)["measured"]) == (9, 8)
    state = json.loads(run(capsys, "status", folder, "--json")[1])
    assert state["steps"]["detect"] == {"pending": 0, "done": 9, "failed": {}, "refused": {}}
    # By reference, into the same bucket's images; and whole, into a folder and another prefix.
    assert run(capsys, "backup", folder, tmp_path / "r.zip")[0] == 0
    assert run(capsys, "new", tmp_path / "r", "--from", tmp_path / "r.zip")[0] == 0
    assert run(capsys, "backup", folder, tmp_path / "w.zip", "--with-store")[0] == 0
    assert run(capsys, "new", tmp_path / "w", "--from", tmp_path / "w.zip")[0] == 0
    other = f"s3://{bucket}/other"
    assert (
        run(capsys, "new", tmp_path / "o", "--from", tmp_path / "w.zip", "--store", other)[0] == 0
    )
    places = {"r": address, "w": str((tmp_path / "w" / "store").absolute()), "o": other}
    with open_project(folder) as first:
        images = list(first.store.iterate())
        assert len(images) == 9
        for name, place in places.items():
            with open_project(tmp_path / name) as copy:
                assert copy.store.location == place
                assert list(copy.store.iterate()) == images
                assert [copy.store.read(*one) for one in images] == [
                    first.store.read(*one) for one in images
                ]
    written = [path.read_bytes() for path in tmp_path.glob("*/project.*")]
    assert len(written) >= 8
    assert not any(b"geheim" in data for data in written)


@pytest.fixture
def filled(bucket: str, tmp_path: Path, drawn: Dataset) -> Iterator[Project]:
    with create_project(tmp_path / "faces", store=f"s3://{bucket}/faces") as made:
        add_dataset(made, drawn)
        yield made


@pytest.mark.slow
def test_an_object_that_is_away_or_damaged_fails_its_image_alone(
    filled: Project, bucket: str, server: str, tmp_path: Path
) -> None:
    (first, suffix), (second, _), *_ = filled.store.iterate()
    filled.store.delete(first, suffix)
    spoil(filled.store, second, b"text")
    failed = detect_faces(filled, workers=2, engine="threads").failed
    assert failed == {"missing or unreadable image": 1, "damaged image in the store": 1}
    with pytest.raises(ImageError, match=f"s3://{bucket}/faces/.*{first}"):
        backup_project(filled, tmp_path / "b.zip", with_store=True)
    assert not (tmp_path / "b.zip").exists()


@pytest.mark.slow
def test_a_store_that_cannot_be_reached_fails_no_image(
    filled: Project, bucket: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup_project(filled, tmp_path / "b.zip")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = f"s3://{bucket}/faces?endpoint_override=127.0.0.1:{port}&scheme=http"
    none = f"s3://none-{uuid.uuid4().hex}/faces"
    photo = tmp_path / "photo.png"
    photo.write_bytes(picture(7))
    toml = filled.path / "project.toml"
    text = toml.read_text()
    for address, words in ((away, "no connection"), (none, "expected the bucket")):
        toml.write_text(text.replace(f"s3://{bucket}/faces", address))
        with open_project(filled.path) as opened:
            for work in (
                lambda: detect_faces(opened, workers=2, engine="threads"),
                lambda: add_images(opened, photo),
                lambda: backup_project(opened, tmp_path / "c.zip", with_store=True),
                lambda: list(opened.store.iterate()),
            ):
                with pytest.raises(StoreError, match=words) as caught:
                    work()
                assert "\n" not in str(caught.value)
            steps = opened.status()["steps"]["detect"]
            assert (steps["pending"], steps["failed"]) == (8, {})
        with pytest.raises(StoreError, match=words):
            create_project(tmp_path / "p", store=address)
        with pytest.raises(StoreError, match=words):
            restore_project(tmp_path / "b.zip", tmp_path / "p", store=address)
        assert not (tmp_path / "p").exists()
    toml.write_text(text)
    with open_project(filled.path) as opened:
        assert detect_faces(opened, workers=2, engine="threads").images == 8


@pytest.mark.slow
def test_credentials_that_are_not_known_are_told(
    server: str,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if hasattr(pytestconfig, "workerinput") else shared
    strict = moto.start(shared, tmp_path / "moto.log", INITIAL_NO_AUTH_ACTION_COUNT="0")
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", strict["address"])
        with pytest.raises(StoreError, match="credentials") as caught:
            create_project(tmp_path / "p", store="s3://bucket/faces")
        assert "geheim" not in str(caught.value)
        assert "\n" not in str(caught.value)
    finally:
        os.kill(strict["pid"], signal.SIGTERM)
