"""Checking a dataset: broken files, copies, leaks, odd labels; and the search behind it."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cv2.typing import MatLike
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from openaffect.curation import CheckResult, check_dataset
from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.errors import ImageError, InputError
from openaffect.face_row import FaceRow
from openaffect.faces.boxes import Box
from openaffect.faces.near_search import ALIKE, Components, NearSearch, count_bits, find_copies
from openaffect.faces.signatures import Signatures, correlate, dhash, mirror, sign_face
from openaffect.images import encode_image
from openaffect.labels import Expression
from openaffect.progress import Progress
from openaffect.synthetic import synthesize_faces


def draw(seed: int, size: int = 96) -> NDArray[np.uint8]:
    """A picture with structure of its own: smooth random patches and a little grain."""
    rng = np.random.default_rng(seed)
    patches = rng.uniform(40, 215, (7, 7, 3)).astype(np.float32)
    smooth = cv2.resize(patches, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)


def png(picture: MatLike) -> bytes:
    return encode_image(np.asarray(picture, np.uint8), ".png")


def make(path: Path, files: dict[str, bytes], rows: list[FaceRow] | None = None) -> Dataset:
    """A dataset of picture files as they are given, broken ones too; all in train by default."""
    pictures = path.with_name(path.name + "-pictures")
    pictures.mkdir()
    for name, data in files.items():
        (pictures / name).write_bytes(data)
    if rows is None:
        rows = [FaceRow(Path(name).stem, name, split="train") for name in files]
    with write_dataset(path, images=pictures, check_images=False) as writer:
        for row in rows:
            assert writer.add(row)
    return open_dataset(path)


def cluster_ids(result: CheckResult) -> set[tuple[str, ...]]:
    return {cluster.face_ids for cluster in result.clusters}


# The search for near hashes


def all_pairs(hashes: NDArray[np.uint64], distance: int) -> set[tuple[int, int]]:
    numbers = [int(value) for value in hashes]
    return {
        (i, j)
        for i, j in itertools.combinations(range(len(numbers)), 2)
        if (numbers[i] ^ numbers[j]).bit_count() <= distance
    }


def found_pairs(search: NearSearch) -> list[tuple[int, int]]:
    return [
        (int(i), int(j)) for left, right in search.pairs() for i, j in zip(left, right, strict=True)
    ]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    distance=st.integers(0, 8),
    flips=st.integers(0, 10),
    n=st.integers(1, 60),
)
def test_near_pairs_are_those_of_all_pairs_each_once(
    seed: int, distance: int, flips: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    centers = rng.integers(0, 2**64, 4, dtype=np.uint64)
    hashes = centers[rng.integers(0, 4, n)]
    for _ in range(flips):
        change = rng.random(n) < 0.7
        hashes[change] ^= np.uint64(1) << rng.integers(0, 64, n, dtype=np.uint64)[change]
    search = NearSearch(hashes, distance)
    found = found_pairs(search)
    assert search.complete
    assert len(found) == len(set(found))
    assert set(found) == all_pairs(hashes, distance)


def test_near_pairs_of_many_random_hashes_and_planted_copies() -> None:
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 2**64, 1500, dtype=np.uint64)
    for row in range(100):
        bits = rng.choice(64, row % 6, replace=False)
        hashes[1000 + row] = hashes[row] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    found = set(found_pairs(NearSearch(hashes, 4)))
    assert found == all_pairs(hashes, 4)
    assert {(row, 1000 + row) for row in range(100) if row % 6 <= 4} <= found


def test_a_crowd_of_equal_hashes_costs_no_more_than_its_budget() -> None:
    hashes = np.zeros(5000, np.uint64)
    search = NearSearch(hashes, 4, budget=100_000)
    found = found_pairs(search)
    assert not search.complete
    assert len(found) <= 100_000
    components = Components(5000)
    left, right = np.array(found).T
    components.join(left, right)
    assert (components.labels == 0).all()  # a crowd still hangs together


def test_count_bits_is_pythons() -> None:
    values = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    assert count_bits(values).tolist() == [int(value).bit_count() for value in values]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40), st.integers(1, 40))
def test_components_are_those_of_a_walk(pairs: list[tuple[int, int]], portion: int) -> None:
    components = Components(30)
    for start in range(0, len(pairs), portion):
        left, right = np.array(pairs[start : start + portion], dtype=np.int64).T
        components.join(left, right)
    expected = list(range(30))
    for _ in range(30):  # the slow, obvious way: spread the smaller label until nothing changes
        for a, b in pairs:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert components.labels.tolist() == expected


def test_correlation_is_numpys_and_nan_for_constants() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 50, 256), dtype=np.uint8)
    expected = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlate(a, b), expected, atol=1e-5)  # float32
    assert np.isnan(correlate(np.full((1, 256), 7, np.uint8), b[:1])).all()


# What makes two pictures one


def test_dhash_by_hand() -> None:
    falling = np.repeat(np.linspace(255, 0, 90).astype(np.uint8)[None, :, None], 80, 0).repeat(3, 2)
    assert dhash(falling) == 2**64 - 1
    assert dhash(falling[:, ::-1].copy()) == 0
    step = np.zeros((8, 9, 3), np.uint8)
    step[0, 0] = 255  # only the first cell of the first row is brighter than the next
    assert dhash(step) == 1 << 63


VARIANTS = {
    "jpeg at quality 90": lambda p: encode_image(p, ".jpg", 90),
    "jpeg at quality 50": lambda p: encode_image(p, ".jpg", 50),
    "half the size": lambda p: png(cv2.resize(p, None, fx=0.5, fy=0.5)),
    "larger": lambda p: png(cv2.resize(p, None, fx=1.4, fy=1.4)),
    "brighter": lambda p: png(cv2.convertScaleAbs(p, alpha=1, beta=15)),
    "less contrast": lambda p: png(cv2.convertScaleAbs(p, alpha=0.8, beta=20)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_changed_copy_is_near_and_other_pictures_are_not(tmp_path: Path, variant: str) -> None:
    pictures = [draw(seed) for seed in range(8)]
    files = {f"{n}.png": encode_image(p, ".png") for n, p in enumerate(pictures)}
    files |= {f"{n}-copy.img": VARIANTS[variant](p) for n, p in enumerate(pictures)}
    result = check_dataset(make(tmp_path / "d", files))
    assert cluster_ids(result) == {(f"{n}", f"{n}-copy") for n in range(8)}
    assert (result.exact_copies, result.near_copies) == (0, 8)
    assert not result.broken


def test_synthetic_faces_of_one_scene_are_apart_and_their_copies_are_found(tmp_path: Path) -> None:
    pictures = [face.image for face in synthesize_faces(24, seed=5, size=96)]
    files = {f"{n:02}.png": encode_image(p, ".png") for n, p in enumerate(pictures)}
    files |= {f"{n:02}-copy.jpg": encode_image(p, ".jpg", 80) for n, p in enumerate(pictures)}
    result = check_dataset(make(tmp_path / "d", files), near=8)
    assert cluster_ids(result) == {(f"{n:02}", f"{n:02}-copy") for n in range(24)}


def test_lossless_copies_in_other_formats_are_exact(tmp_path: Path) -> None:
    picture = draw(1)
    files = {f"{kind}.{kind}": encode_image(picture, f".{kind}") for kind in ("png", "bmp", "tif")}
    result = check_dataset(make(tmp_path / "d", files), near=0)
    assert cluster_ids(result) == {("bmp", "png", "tif")}
    assert (result.exact_copies, result.near_copies) == (2, 0)
    assert result.clusters[0].pictures == (0, 0, 0)


def test_equal_hashes_of_pictures_that_are_not_alike_are_apart(tmp_path: Path) -> None:
    # Rows of one color each: every difference hash is 0, the pictures have nothing in common.
    rng = np.random.default_rng(0)
    striped = [np.repeat(rng.integers(0, 256, (96, 1, 1)), 96, 1).repeat(3, 2) for _ in range(5)]
    pictures = [
        np.repeat(
            np.asarray(cv2.resize(s[::12].astype(np.uint8), (96, 96)), np.uint8)[:, :1], 96, 1
        )
        for s in striped
    ]
    assert {dhash(picture) for picture in pictures} == {0}
    files = {f"{n}.png": encode_image(p, ".png") for n, p in enumerate(pictures)}
    assert not check_dataset(make(tmp_path / "d", files)).clusters


def test_flat_pictures_are_blank_and_only_equal_ones_are_copies(tmp_path: Path) -> None:
    files = {
        f"{gray}-{n}.png": encode_image(np.full((20, 20, 3), gray, np.uint8), ".png")
        for gray in (0, 1, 128, 255)
        for n in range(2)
    }
    fade = np.linspace(0, 3, 20).astype(np.uint8)[None, :, None].repeat(20, 0).repeat(3, 2)
    files |= {f"fade-{g}.png": encode_image(fade + np.uint8(g), ".png") for g in (90, 160)}
    files["face.png"] = encode_image(draw(0), ".png")
    result = check_dataset(make(tmp_path / "d", files))
    assert len(result.blank) == 10
    assert "face" not in result.blank
    assert cluster_ids(result) == {(f"{gray}-0", f"{gray}-1") for gray in (0, 1, 128, 255)}


def test_one_picture_many_times(tmp_path: Path) -> None:
    data = encode_image(draw(0), ".png")
    result = check_dataset(make(tmp_path / "d", {f"{n:03}.png": data for n in range(200)}))
    assert result.exact_copies == 199
    assert [len(cluster.face_ids) for cluster in result.clusters] == [200]


def test_faces_of_one_picture_are_no_copies_but_share_it(tmp_path: Path) -> None:
    left, right = draw(1), draw(2)
    both = encode_image(np.hstack([left, right]), ".png")
    rows = [
        FaceRow("a-left", "a.png", box=(14, 14, 68, 68), split="train"),
        FaceRow("a-right", "a.png", box=(110, 14, 68, 68), split="train"),
        FaceRow("b-left", "b.png", box=(14, 14, 68, 68), split="test"),
        FaceRow("c", "c.png", split="test"),
    ]
    files = {"a.png": both, "b.png": both, "c.png": encode_image(draw(3), ".png")}
    result = check_dataset(make(tmp_path / "d", files, rows))
    assert cluster_ids(result) == {("a-left", "b-left")}
    assert result.pictures == (("a-left", "a-right", "b-left"),)


def test_a_face_box_is_clipped_before_it_is_cut_out() -> None:
    picture = draw(0)
    huge = sign_face(picture, Box(-1e9, -1e9, 2e9, 2e9))
    assert huge.leaves
    assert not sign_face(picture, Box(10, 10, 40, 40)).leaves
    with pytest.raises(ImageError, match="outside the picture of 96 × 96"):
        sign_face(picture, Box(500, 0, 10, 10))


# Dirt


def test_broken_files_are_named_and_never_abort(tmp_path: Path) -> None:
    png, jpg = encode_image(draw(0), ".png"), encode_image(draw(1), ".jpg")
    files = {
        "good.png": png,
        "empty.jpg": b"",
        "text.jpg": b"<html>no picture</html>",
        "short.jpg": jpg[: len(jpg) // 2],
        "short.png": png[: len(png) // 2],
    }
    rows = [FaceRow(name, name) for name in (*files, "missing.png")]
    rows.append(FaceRow("outside", "good.png", box=(900, 900, 10, 10)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = make(tmp_path / "d", files, rows)
        result = check_dataset(dataset, workers=3)
        state = list(warnings.filters)
        check_dataset(dataset, workers=8)
        assert warnings.filters == state  # threads leave no filter behind
    broken = {face.face_id: face.reason for face in result.broken}
    assert set(broken) == {*files, "missing.png", "outside"} - {"good.png"}
    assert "0 bytes" in broken["empty.jpg"]
    assert "no such file" in broken["missing.png"]
    assert "truncated" in broken["short.jpg"]
    assert "outside the picture" in broken["outside"]
    assert not result.clusters
    json.dumps(result.to_dict())


def test_one_row(tmp_path: Path) -> None:
    result = check_dataset(make(tmp_path / "d", {"a.png": encode_image(draw(0), ".png")}))
    assert (result.rows, result.clusters, result.broken) == (1, (), ())
    assert result.complete


def test_only_broken_rows(tmp_path: Path) -> None:
    result = check_dataset(make(tmp_path / "d", {"a.png": b"", "b.png": b""}))
    assert len(result.broken) == 2
    assert not result.clusters


@pytest.mark.parametrize("options", [{"near": 9}, {"near": -1}, {"workers": 0}])
def test_options_out_of_range(tmp_path: Path, options: dict[str, Any]) -> None:
    dataset = make(tmp_path / "d", {"a.png": encode_image(draw(0), ".png")})
    with pytest.raises(InputError, match="expected"):
        check_dataset(dataset, **options)


def test_leaks_conflicts_and_counts(tmp_path: Path) -> None:
    data = encode_image(draw(0), ".png")
    other = encode_image(draw(1), ".png")
    rows = [
        FaceRow("1", "a.png", split="train", expression=Expression.HAPPY),
        FaceRow("2", "b.png", split="validation", expression=Expression.SAD),
        FaceRow("3", "c.png", split="validation"),
        FaceRow("4", "d.png", split="train", expression=Expression.SAD),
        FaceRow("5", "e.png", expression=Expression.SAD),
    ]
    files = {"a.png": data, "b.png": data, "c.png": data, "d.png": other, "e.png": other}
    seen: list[Progress] = []
    result = check_dataset(make(tmp_path / "d", files, rows), on_progress=seen.append)
    assert [(event.done, event.total) for event in seen] == [(5, 5)]
    assert [c.face_ids for c in result.leaks] == [("1", "2", "3")]
    assert [c.face_ids for c in result.conflicts] == [("1", "2", "3")]
    assert result.leaked == {"validation": 2, "test": 0}
    assert result.pictures == ()  # copies are told once, as a cluster
    assert list(result.classes.items()) == [
        (("train", "happy"), 1),
        (("train", "sad"), 1),
        (("validation", "sad"), 1),
        (("validation", None), 1),
        ((None, "sad"), 1),
    ]
    assert (result.nulls["split"], result.nulls["expression"], result.nulls["image"]) == (1, 1, 0)
    told = json.loads(json.dumps(result.to_dict()))
    assert told["summary"]["exact copies"] == 3
    assert told["clusters"][0]["leak"] is True
    assert told["classes"][0] == {"split": "train", "expression": "happy", "faces": 1}


def test_rows_in_any_order_give_the_same_result(tmp_path: Path) -> None:
    pictures = [encode_image(draw(seed // 2), ".png") for seed in range(10)]
    files = {f"{n}.png": data for n, data in enumerate(pictures)} | {"x.png": b""}
    dataset = make(tmp_path / "d", files)
    order = np.random.default_rng(0).permutation(len(dataset))
    assert check_dataset(dataset) == check_dataset(dataset.select(order))


def test_labels_that_contradict(tmp_path: Path) -> None:
    data = encode_image(draw(0), ".png")
    soft = [1.0, 0, 0, 0, 0, 0, 0, 0]
    cases = {
        "fine": FaceRow("", "a.png", expression=Expression.HAPPY, valence=0.6, arousal=0.1),
        "negative": FaceRow("", "a.png", expression=Expression.HAPPY, valence=-0.2, arousal=0.1),
        "too calm": FaceRow("", "a.png", expression=Expression.HAPPY, valence=0.2, arousal=-0.4),
        "glad": FaceRow("", "a.png", expression=Expression.SAD, valence=0.2, arousal=-0.2),
        "even": FaceRow("", "a.png", expression=Expression.SAD, valence=0.0, arousal=-0.2),
        "blank": FaceRow("", "a.png", expression=Expression.HAPPY, valence=0.0, arousal=0.1),
        "moved": FaceRow("", "a.png", expression=Expression.SURPRISE, valence=-0.1, arousal=0.5),
        "none": FaceRow("", "a.png", expression=Expression.NONE, valence=0.3, arousal=-0.7),
        "corner": FaceRow("", "a.png", expression=Expression.NONE, valence=0.9, arousal=0.9),
        "unsure": FaceRow("", "a.png", expression=Expression.UNCERTAIN, valence=0.0, arousal=0.0),
        "unsure, soft": FaceRow("", "a.png", expression=Expression.UNCERTAIN, soft_label=soft),
        "wall": FaceRow("", "a.png", expression=Expression.NO_FACE, valence=0.0, arousal=0.0),
        "wall, soft": FaceRow("", "a.png", expression=Expression.NO_FACE, soft_label=soft),
        "unrated": FaceRow("", "a.png", expression=Expression.HAPPY),
        "leaving": FaceRow("", "a.png", box=(80, 80, 40, 40)),
    }
    for name, row in cases.items():
        row.face_id = name
    result = check_dataset(make(tmp_path / "d", {"a.png": data}, [*cases.values()]))
    assert result.odd == {
        "valence/arousal outside the region of the expression": (
            "even",
            "glad",
            "negative",
            "too calm",
        ),
        "valence of the opposite sign": ("glad", "negative"),
        "valence/arousal outside the unit disc": ("corner",),
        "uncertain, but with valence/arousal": ("unsure",),
        "no face, but with valence/arousal": ("wall",),
        "no face, but with a soft label": ("wall, soft",),
        "box leaves the picture": ("leaving",),
    }


def test_near_copies_need_both_a_near_hash_and_a_like_thumbnail() -> None:
    base = np.random.default_rng(0).integers(0, 256, 256).astype(np.uint8)
    other = np.random.default_rng(1).integers(0, 256, 256).astype(np.uint8)
    assert correlate(base[None], other[None])[0] < ALIKE
    n = 4
    signatures = Signatures(
        pixels=np.arange(n, dtype=np.uint64),
        picture=np.arange(n, dtype=np.uint64),
        dhash=np.array([0, 0b1111, 0b11111, 0], np.uint64),
        mirrored=np.full(n, 2**64 - 1, np.uint64),
        thumbs=np.stack([base, base, base, other]),
        leaves=np.zeros(n, dtype=bool),
        broken={},
    )
    # 0–1 differ in four bits, 1–2 in one, 0–2 in five (joined by way of 1); 3 looks different.
    assert find_copies(signatures, 4)[0].tolist() == [0, 0, 0, 3]
    assert find_copies(signatures, 3)[0].tolist() == [0, 1, 1, 3]
    assert find_copies(signatures, 0)[0].tolist() == [0, 1, 2, 3]


def test_mirrored_copies_are_found_and_other_mirrored_faces_are_not(tmp_path: Path) -> None:
    faces = [draw(seed) for seed in range(4)]
    files = {f"{n}.png": encode_image(face, ".png") for n, face in enumerate(faces)}
    mirrored = np.ascontiguousarray(faces[1][:, ::-1])
    files["mirrored.jpg"] = encode_image(mirrored, ".jpg", 80)
    files["twice.png"] = png(cv2.resize(mirrored[:, ::-1], None, fx=1.5, fy=1.5))
    found = check_dataset(make(tmp_path / "d", files)).clusters
    assert [cluster.face_ids for cluster in found] == [("1", "mirrored", "twice")]


def test_a_mirrored_thumbnail_must_be_alike_in_the_mirror() -> None:
    base = np.random.default_rng(0).integers(0, 256, 256).astype(np.uint8)
    other = mirror(base[None])[0]
    assert correlate(base[None], other[None])[0] < ALIKE
    signatures = Signatures(
        pixels=np.arange(3, dtype=np.uint64),
        picture=np.arange(3, dtype=np.uint64),
        dhash=np.array([0, 2**40 - 1, 0], np.uint64),
        mirrored=np.array([2**40 - 1, 0, 2**50 - 1], np.uint64),
        thumbs=np.stack([base, other, other]),
        leaves=np.zeros(3, dtype=bool),
        broken={},
    )
    # 0 and 1 are near in the mirror, and look alike there; 0 and 2 are near without it, and do not.
    assert find_copies(signatures, 0)[0].tolist() == [0, 0, 2]
