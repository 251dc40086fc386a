"""Withdrawals: known by hashes alone, and by nothing that can be read."""

import datetime
import hashlib
from pathlib import Path

import numpy as np
import pytest

from openaffect.errors import FormatError
from openaffect.faces.signatures import Signature, sign_face
from openaffect.images import encode_image, read_image
from openaffect.synthetic import synthesize_face
from openaffect.withdrawals import (
    Withdrawal,
    Withdrawals,
    describe_withdrawal,
    find_withdrawn,
    normalize_url,
    read_withdrawn,
    write_withdrawn,
)

_DAY = datetime.date(2026, 11, 26)
_URL = "https://example.org/photos/1.jpg"


def _flip(signature: Signature, bits: int) -> Signature:
    """The signature with so many bits of both difference hashes changed."""
    import dataclasses

    mask = (1 << bits) - 1
    return dataclasses.replace(
        signature,
        picture=signature.picture ^ 1,
        dhash=signature.dhash ^ mask,
        mirrored=signature.mirrored ^ (mask << 20),
    )


@pytest.fixture(scope="module")
def picture():
    return synthesize_face("happy", seed=5).image


@pytest.fixture(scope="module")
def known(picture) -> Withdrawals:
    rows = describe_withdrawal(
        _DAY, face_ids=["a/1"], urls=[_URL], files=["ab" * 32], signatures=[sign_face(picture)]
    )
    return Withdrawals(rows)


def test_each_hash_finds_what_it_is_of(known, picture):
    assert known.find(face_id="a/1").kind == "face_id"
    assert known.find(face_id="a/2") is None
    assert known.find(url="https://EXAMPLE.org:443/photos/1.jpg#top").kind == "url"
    assert known.find(url="https://example.org/photos/1.JPG") is None
    assert known.find(sha256="ab" * 32).kind == "file"
    assert known.find(signature=sign_face(picture)).kind == "pixels"
    assert known.find(signature=sign_face(synthesize_face("happy", seed=6).image)) is None


def test_an_image_that_was_saved_again_or_mirrored_is_found(known, picture):
    again = read_image(encode_image(picture, ".jpg", 70))
    assert known.find(signature=sign_face(again)).kind == "dhash"
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    assert known.find(signature=sign_face(mirrored)).kind == "dhash"


@pytest.mark.parametrize(("bits", "found"), [(0, True), (2, True), (3, False)])
def test_a_difference_hash_stands_for_those_within_two_bits(known, picture, bits, found):
    match = known.find(signature=_flip(sign_face(picture), bits))
    assert (match is not None) is found
    if match is not None:
        assert match.distance == bits


def test_a_file_that_somebody_has_looked_at_is_let_through(known, picture):
    near = _flip(sign_face(picture), 1)
    kept = known | Withdrawals([Withdrawal("kept", "cd" * 32)])
    assert kept.find(sha256="cd" * 32, signature=near) is None
    assert kept.find(sha256="ce" * 32, signature=near) is not None
    exact = kept.find(sha256="cd" * 32, signature=sign_face(picture))
    assert exact is not None
    assert exact.kind == "pixels"  # nobody overrules what is the same


def test_an_image_that_shows_nothing_stands_for_no_other(picture):
    gray = np.full((40, 40, 3), 128, np.uint8)
    rows = describe_withdrawal(_DAY, signatures=[sign_face(gray)])
    assert [row.kind for row in rows] == ["pixels"]
    assert Withdrawals(rows).find(signature=sign_face(np.full((50, 40, 3), 30, np.uint8))) is None


def test_a_hash_of_another_version_finds_nothing(picture):
    signature = sign_face(picture)
    old = Withdrawals([Withdrawal("dhash", f"{signature.dhash:016x}", 999)])
    assert old.find(signature=signature) is None
    assert not old.by_pixels


def test_the_file_holds_hashes_alone_and_reads_back(tmp_path, known):
    write_withdrawn(known, tmp_path / "withdrawn.csv")
    text = (tmp_path / "withdrawn.csv").read_text()
    assert "example" not in text
    assert "a/1" not in text
    assert hashlib.sha256(b"a/1").hexdigest() in text
    assert read_withdrawn(tmp_path / "withdrawn.csv").rows == known.rows
    write_withdrawn(Withdrawals(reversed(known.rows)), tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == text


def test_files_of_several_places_are_joined(tmp_path, known):
    assert len(find_withdrawn(tmp_path)) == 0
    write_withdrawn(known, tmp_path / "withdrawn.csv")
    write_withdrawn(Withdrawals([Withdrawal("file", "ef" * 32)]), tmp_path / "more.csv")
    assert len(find_withdrawn(tmp_path, tmp_path / "more.csv")) == len(known) + 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "columns"),
        ("kind\nurl\n", "columns"),
        ("kind,hash\nuri," + "a" * 64 + "\n", "line 2"),
        ("kind,hash\n\nurl,abc\n", "line 3"),
        ("kind,hash\nfile\n", "hexadecimal"),
        ("kind,hash\ndhash," + "a" * 16 + "\n", "version"),
        ("kind,hash\nurl," + "A" * 64 + "\n", "hexadecimal"),
        ('kind,hash\nurl,"a\n', "withdrawals"),
    ],
)
def test_what_is_no_list_of_withdrawals_is_refused(tmp_path, text, named):
    path = Path(tmp_path / "withdrawn.csv")
    path.write_text(text)
    with pytest.raises(FormatError, match=named):
        read_withdrawn(path)


def test_the_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"none\.csv"):
        read_withdrawn(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://user:secret@Example.ORG/a", "https://example.org/a"),
        ("http://[2001:DB8::1]:8080/a", "http://[2001:db8::1]:8080/a"),
        ("https://example.org", "https://example.org/"),
        ("https://example.org:99999/a", "https://example.org:99999/a"),
        ("not an address", "///not an address"),
    ],
)
def test_addresses_have_one_form(url, plain):
    assert normalize_url(url) in (plain, url)
    assert normalize_url(normalize_url(url)) == normalize_url(url)


def test_the_blank_face_of_signatures_is_the_same(picture):
    assert not sign_face(picture).blank
    assert sign_face(np.full((30, 30, 3), 9, np.uint8)).blank
