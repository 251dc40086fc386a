"""The search for near copies among all images of a project."""

from __future__ import annotations

import itertools
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import fft

from openaffect.collection import duplicates, spectra
from openaffect.collection.duplicates import PLAIN, find_near_copies
from openaffect.collection.spectra import (
    View,
    compare_aligned,
    find_outlines,
    measure_detail,
)
from openaffect.errors import InputError
from openaffect.faces.signatures import mirror, sign_face
from openaffect.images import encode_image, read_image, resize_image
from openaffect.progress import Progress

Gray = NDArray[np.uint8]


def draw(seed: int, size: int = 120) -> Gray:
    """A gray picture with the spectrum of photographs: it falls with the frequency."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)) + 1 / size
    waves = np.fft.fft2(rng.normal(size=(size, size))) / frequency**1.5
    picture = np.fft.ifft2(waves).real
    picture = (picture - picture.mean()) / picture.std()
    return np.clip(128 + 45 * picture, 0, 255).astype(np.uint8)


def sign(pictures: list[Gray]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    signed = [sign_face(np.repeat(picture[:, :, None], 3, axis=2)) for picture in pictures]
    pixels = np.array([one.pixels for one in signed], np.uint64)
    return pixels, np.stack([one.thumb for one in signed])


def find(pictures: list[Gray]) -> list[int]:
    copies = find_near_copies(*sign(pictures))
    assert copies.complete
    return copies.labels.tolist()


def compress(picture: Gray, quality: int) -> Gray:
    color = np.repeat(picture[:, :, None], 3, axis=2)
    return read_image(encode_image(color, ".jpg", quality))[:, :, 0]


def strip(picture: Gray, share: float) -> Gray:
    tall = round(len(picture) * share)
    paper = np.full((tall, picture.shape[1]), 255, np.uint8)
    cv2.putText(paper, "happy man", (4, tall - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 0, 1)
    return paper


ALTERED: dict[str, Callable[[Gray], Gray]] = {
    "half": lambda p: resize_image(p, 60, 60),
    "double": lambda p: resize_image(p, 240, 240),
    "compressed": lambda p: compress(p, 40),
    "brighter": lambda p: np.asarray(cv2.convertScaleAbs(p, alpha=1.15), np.uint8),
    "darker": lambda p: np.asarray(cv2.convertScaleAbs(p, alpha=0.85), np.uint8),
    "cut at the left": lambda p: p[:, 3:],
    "cut all around": lambda p: p[2:-2, 2:-2],
    "caption added above": lambda p: np.concatenate([strip(p, 0.1), p]),
    "caption added below": lambda p: np.concatenate([p, strip(p, 0.15)]),
    "caption over the top": lambda p: np.concatenate([strip(p, 0.15), p[18:]]),
    "caption over the bottom": lambda p: np.concatenate([p[:-12], strip(p, 0.1)]),
    "mirrored": lambda p: p[:, ::-1],
}

UNRELATED = [draw(seed) for seed in range(150)]


@pytest.mark.parametrize("way", ALTERED)
def test_an_altered_copy_is_found_among_unrelated_images_and_nothing_else(way: str) -> None:
    altered = [np.ascontiguousarray(ALTERED[way](picture)) for picture in UNRELATED[:10]]
    assert find(UNRELATED + altered) == [*range(150), *range(10)]


def test_a_quarter_turn_and_another_cut_of_a_picture_are_no_copies() -> None:
    picture = draw(7)
    others = [np.ascontiguousarray(np.rot90(picture)), picture[:90, :90], picture[30:, 30:]]
    assert find([picture, *others]) == [0, 1, 2, 3]


def partition(labels: list[int], names: list[int]) -> set[frozenset[int]]:
    members: dict[int, set[int]] = {}
    for label, name in zip(labels, names, strict=True):
        members.setdefault(label, set()).add(name)
    return {frozenset(names) for names in members.values()}


def family() -> list[Gray]:
    """Thirty unrelated pictures, and two or three altered copies of some."""
    ways = list(ALTERED.values())
    copies = [ways[i % len(ways)](UNRELATED[i // 2]) for i in range(24)]
    return UNRELATED[:30] + [np.ascontiguousarray(copy) for copy in copies]


def test_permuted_rows_have_permuted_clusters() -> None:
    pictures = family()
    before = find(pictures)
    order = np.random.default_rng(1).permutation(len(pictures)).tolist()
    after = find([pictures[row] for row in order])
    assert partition(after, order) == partition(before, list(range(len(pictures))))
    assert all(label == after.index(label) for label in after)  # the smallest member


def test_unrelated_images_change_nothing() -> None:
    pictures = family()
    together = find(pictures + UNRELATED[30:])
    assert together[: len(pictures)] == find(pictures)
    assert len(set(together[len(pictures) :])) == 120


def test_a_copy_of_a_copy_is_in_its_cluster() -> None:
    _, thumbs = sign([draw(3)])
    noise = np.random.default_rng(0).normal(size=(2, 256))
    steps = np.stack([thumbs[0], *(thumbs[0] + 8 * noise.cumsum(axis=0)).round()]).astype(np.uint8)
    between = compare_aligned(steps[[0, 1, 0]], steps[[1, 2, 2]], View(), View())
    assert min(between[:2]) > duplicates.ALIKE_RICH > between[2]
    three = np.arange(3, dtype=np.uint64)
    assert find_near_copies(three, steps).labels.tolist() == [0, 0, 0]
    assert find_near_copies(three[:2], steps[[0, 2]]).labels.tolist() == [0, 1]


def test_plain_images_are_joined_by_equal_pixels_alone() -> None:
    blank = np.full((40, 40), 90, np.uint8)
    edge = np.where(np.arange(40) < 20, 30, 220)[None].repeat(40, axis=0).astype(np.uint8)
    smudged = edge.copy()
    smudged[0, 0] += 1
    pictures = [blank, blank + 1, edge, smudged, blank, smudged, draw(1), draw(1)]
    assert find(pictures) == [0, 1, 2, 3, 0, 3, 6, 6]


def test_equal_pixels_join_whatever_the_thumbnails_are() -> None:
    _, thumbs = sign(UNRELATED[:3])
    pixels = np.array([5, 9, 5], np.uint64)
    assert find_near_copies(pixels, thumbs).labels.tolist() == [0, 1, 0]


def test_copies_of_equal_pixels_are_in_the_cluster_of_their_first() -> None:
    picture, copy = draw(4), ALTERED["half"](draw(4))
    assert find([draw(5), copy, picture, copy, picture]) == [0, 1, 1, 1, 1]


def crowd(count: int, noise: float) -> tuple[NDArray[np.uint64], Gray]:
    """Digests that differ, and one thumbnail so many times, with noise."""
    _, thumbs = sign([draw(11)])
    changed = thumbs[0] + np.random.default_rng(2).normal(0, noise, (count, 256))
    return np.arange(count, dtype=np.uint64), np.clip(changed, 0, 255).astype(np.uint8)


def alike_by(value: float) -> Callable[..., NDArray[np.float32]]:
    return lambda left, *_: np.full(len(left), value, np.float32)


@pytest.mark.parametrize(
    ("details", "alike", "copies"),
    [
        ((12, 12), 0.991, True),
        ((12, 12), 0.989, False),
        ((11.9, 12), 1, False),
        ((12, 11.9), 1, False),
        ((16, 16), (duplicates.ALIKE_PLAIN + duplicates.ALIKE_RICH) / 2 + 0.001, True),
        ((16, 16), (duplicates.ALIKE_PLAIN + duplicates.ALIKE_RICH) / 2 - 0.001, False),
        ((20, 60), duplicates.ALIKE_RICH + 0.001, True),
        ((60, 20), duplicates.ALIKE_RICH - 0.001, False),
        ((12, 60), 0.989, False),
        ((60, 12), 0.989, False),
    ],
)
def test_the_plainer_of_two_images_says_how_alike_copies_must_be(
    details: tuple[float, float], alike: float, copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = np.array(details, np.float32)
    monkeypatch.setattr(duplicates, "measure_detail", lambda *_: measured)
    monkeypatch.setattr(duplicates, "compare_aligned", alike_by(alike))
    found = find_near_copies(*crowd(2, 0.5))
    assert found.labels.tolist() == ([0, 0] if copies else [0, 1])


@pytest.mark.parametrize(("cut", "candidates"), [(4, True), (12, False)])
def test_low_frequencies_that_are_a_little_apart_make_candidates(
    cut: int, candidates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "compare_aligned", alike_by(1))
    pixels, thumbs = sign([*UNRELATED[:8], *(each[cut:-cut, cut:-cut] for each in UNRELATED[:8])])
    rows = np.arange(8)
    looks = [find_outlines(thumbs, side, View()) for side in (rows, rows + 8)]
    similar = (looks[0] * looks[1]).sum(axis=1)
    least = duplicates.ALIKE_RICH - duplicates.SLACK
    assert ((similar > least) & (similar < duplicates.ALIKE_RICH)).any() == candidates
    assert (similar > least).all() == candidates
    monkeypatch.setattr(duplicates, "_WAYS", duplicates._WAYS[:1])
    labels = find_near_copies(pixels, thumbs).labels
    assert labels[8:].tolist() == ([*range(8)] if candidates else [*range(8, 16)])


# The search in cells


def all_pairs(thumbs: Gray) -> set[frozenset[int]]:
    """Clusters by comparing every two images in every way."""
    labels = list(range(len(thumbs)))
    left, right = np.array(list(itertools.permutations(range(len(thumbs)), 2))).T
    for one, other in duplicates._WAYS:
        alike = compare_aligned(thumbs[left], thumbs[right], one, other)
        detail = np.minimum(measure_detail(thumbs, one)[left], measure_detail(thumbs, other)[right])
        share = np.clip((detail - PLAIN) / (duplicates.RICH - PLAIN), 0, 1)
        least = duplicates.ALIKE_PLAIN * (1 - share) + duplicates.ALIKE_RICH * share
        for a, b in zip(
            *(side[(alike >= least) & (detail >= PLAIN)] for side in (left, right)), strict=True
        ):
            kept, gone = sorted((labels[a], labels[b]))
            labels = [kept if label == gone else label for label in labels]
    return partition(labels, list(range(len(thumbs))))


def mixed() -> list[Gray]:
    """The family in another order: some copies come before what they are copies of."""
    pictures = family()
    return [pictures[row] for row in np.random.default_rng(4).permutation(len(pictures))]


@pytest.mark.parametrize("block", [(256, 8192), (7, 5), (1, 1)])
def test_clusters_are_those_of_comparing_all_pairs(
    block: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    pixels, thumbs = sign(mixed())
    found = find_near_copies(pixels, thumbs)
    expected = all_pairs(thumbs)
    assert partition(found.labels.tolist(), list(range(len(thumbs)))) == expected
    assert len(expected) == 30


def test_one_cell_holds_all(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = find(mixed())
    monkeypatch.setattr(duplicates, "CELLS", 1)
    monkeypatch.setattr(duplicates, "NEAREST", 1)
    assert find(mixed()) == usual


def count_comparisons(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which the size of each comparison will be added."""
    compared: list[int] = []

    def count(left: Gray, right: Gray, one: View, other: View) -> NDArray[np.float32]:
        compared.append(len(left))
        return compare_aligned(left, right, one, other)

    monkeypatch.setattr(duplicates, "compare_aligned", count)
    return compared


@pytest.mark.parametrize("waiting", [0, 3, 10**6])
def test_candidates_may_wait(waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = find(family())
    monkeypatch.setattr(duplicates, "_WAITING", waiting)
    monkeypatch.setattr(duplicates, "_PORTION", 2)
    assert find(family()) == usual


def test_candidates_are_compared_once_however_long_they_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = count_comparisons(monkeypatch)
    pixels, thumbs = crowd(30, 12)
    find_near_copies(pixels, thumbs)
    at_once = sum(compared)
    compared.clear()
    monkeypatch.setattr(duplicates, "_WAITING", 5)
    find_near_copies(pixels, thumbs)
    assert sum(compared) == at_once > 0


class Guarded:
    """Thumbnails of which only a few can be taken at a time."""

    def __init__(self, path: Path, thumbs: Gray, most: int) -> None:
        np.save(path, thumbs)
        self._mapped = np.load(path, mmap_mode="r")
        self.shape = thumbs.shape
        self._most = most
        self.taken = 0

    def __len__(self) -> int:
        return len(self._mapped)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Gray:
        part = np.asarray(self._mapped[rows])
        assert len(part) <= self._most
        self.taken += 1
        return part


def test_the_memory_map_is_never_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_PORTION", 16)
    monkeypatch.setattr(spectra, "_PORTION", 16)
    pixels, thumbs = sign(family())
    guarded = Guarded(tmp_path / "thumbs.npy", thumbs, most=16)
    found = find_near_copies(pixels, guarded)  # type: ignore[arg-type]
    assert found.labels.tolist() == find(family())
    assert guarded.taken > len(thumbs) // 16


def test_a_crowd_of_copies_is_one_cluster_and_costs_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = count_comparisons(monkeypatch)
    monkeypatch.setattr(duplicates, "_BLOCK", (16, 64))
    monkeypatch.setattr(duplicates, "_WAITING", 500)
    monkeypatch.setattr(duplicates, "_PORTION", 64)
    copies = find_near_copies(*crowd(600, 0.5))
    assert copies.complete
    assert (copies.labels == 0).all()
    assert 0 < sum(compared) < 1000  # of 179,700 pairs


def test_a_crowd_of_equal_pixels_is_no_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "CROWD", 20)
    _, thumbs = crowd(200, 0)
    copies = find_near_copies(np.full(200, 4, np.uint64), thumbs)
    assert copies.complete
    assert (copies.labels == 0).all()


@pytest.mark.parametrize(("name", "limit"), [("CROWD", 20), ("CANDIDATES", 2)])
def test_a_crowd_that_is_not_searched_to_the_end_is_said(
    name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, thumbs = crowd(200, 12)  # alike coarsely, and no copies
    monkeypatch.setattr(duplicates, "_BLOCK", (8, 8))
    monkeypatch.setattr(duplicates, "CANDIDATES", 1000)
    compared = count_comparisons(monkeypatch)
    found = find_near_copies(pixels, thumbs)
    assert found.complete
    assert found.labels.tolist() == list(range(200))
    everything = sum(compared)
    compared.clear()
    monkeypatch.setattr(duplicates, name, limit)
    assert not find_near_copies(pixels, thumbs).complete
    assert 0 < sum(compared) < everything / 4


def test_a_cell_of_as_many_as_allowed_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, thumbs = sign([draw(seed) for seed in range(2)])
    monkeypatch.setattr(duplicates, "CROWD", 1)
    assert find_near_copies(pixels[:1], thumbs[:1]).complete
    same = np.stack([thumbs[0]] * 2)
    assert not find_near_copies(pixels, same).complete


def test_progress_goes_up_to_the_end() -> None:
    seen: list[Progress] = []
    find_near_copies(*sign(UNRELATED[:5]), on_progress=seen.append)
    done = [event.done for event in seen]
    assert done == sorted(set(done))
    assert {event.total for event in seen} == {6 * duplicates.CELLS}
    assert done[0] == 0
    assert done[-1] > 0.99 * 6 * duplicates.CELLS


def test_no_images_have_no_clusters() -> None:
    copies = find_near_copies(np.zeros(0, np.uint64), np.zeros((0, 256), np.uint8))
    assert copies.labels.shape == (0,)
    assert copies.complete


@pytest.mark.parametrize(
    ("digests", "shape"), [((2,), (3, 256)), ((2,), (2, 255)), ((2,), (512,)), ((2, 1), (2, 256))]
)
def test_arrays_that_do_not_fit_are_refused(
    digests: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match=r"expected thumbnails of shape \(2, 256\)"):
        find_near_copies(np.zeros(digests, np.uint64), np.zeros(shape, np.uint8))


# Spectra


def weighted(thumb: NDArray[Any]) -> NDArray[np.float64]:
    frequency = np.hypot(np.arange(16)[:, None], np.arange(16))
    return fft.dctn(thumb.reshape(16, 16).astype(float), norm="ortho") * frequency


def test_detail_is_the_participation_ratio_of_the_weighted_spectrum() -> None:
    _, thumbs = sign(UNRELATED[:20])
    energy = np.stack([weighted(thumb).reshape(-1) ** 2 for thumb in thumbs])
    expected = energy.sum(axis=1) ** 2 / (energy**2).sum(axis=1)
    assert measure_detail(thumbs) == pytest.approx(expected, rel=1e-3)  # edges everywhere
    assert (expected > 15).all()


def test_detail_is_less_where_the_edges_are_in_a_few_places() -> None:
    _, (thumb,) = sign([draw(0)])
    corner = np.full((16, 16), 100, np.uint8)
    corner[:6, :6] = thumb.reshape(16, 16)[:6, :6]
    energy = weighted(corner) ** 2
    frequencies = energy.sum() ** 2 / (energy**2).sum()
    across = np.diff(corner.astype(float), axis=1)[:-1] ** 2
    edges = across + np.diff(corner.astype(float), axis=0)[:, :-1] ** 2
    places = edges.sum() ** 2 / (edges**2).sum()
    assert places < 40
    found = measure_detail(corner.reshape(1, 256))
    assert found == pytest.approx(frequencies * places / 48, rel=1e-3)


def plain_pictures() -> dict[str, Gray]:
    row, column = np.mgrid[:16, :16]
    noise = np.random.default_rng(0).normal(0, 1, (16, 16))
    return {
        "blank": np.full((16, 16), 80),
        "noise": 80 + noise,
        "ramp": 8 * column + 6 * row,
        "edge": np.where(column < 7, 20, 200),
        "slanted edge": np.clip(40 * (column - row / 3 - 5), 10, 220),
        "corner": np.where((column < 3) & (row < 3), 20, 200),
    }


@pytest.mark.parametrize("name", plain_pictures())
def test_walls_ramps_and_edges_are_plain(name: str) -> None:
    picture = np.asarray(plain_pictures()[name]).round().astype(np.uint8)
    assert measure_detail(picture.reshape(1, 256))[0] < PLAIN


@pytest.mark.real
def test_hardly_a_photograph_is_plain() -> None:
    folder = os.environ.get("OPENAFFECT_TEST_DATA", "")
    archive = Path(folder) / "photos.zip"
    if not archive.is_file():
        pytest.skip("OPENAFFECT_TEST_DATA names no folder with photos.zip")
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".jpg"))[::10]
        thumbs = [sign_face(read_image(files.read(name))).thumb for name in names]
    assert len(thumbs) > 200
    assert (measure_detail(np.stack(thumbs)) >= PLAIN).mean() > 0.99


def test_a_view_sees_its_rows_and_no_others() -> None:
    thumbs = np.random.default_rng(0).integers(0, 256, (4, 16, 16)).astype(np.uint8)
    hidden, seen = thumbs.copy(), thumbs.copy()
    hidden[:, :3], seen[:, 3] = 0, 0
    rows = np.arange(4)
    looks = [
        find_outlines(each.reshape(4, 256), rows, View(top=3)) for each in (thumbs, hidden, seen)
    ]
    assert np.array_equal(looks[0], looks[1])
    assert (np.abs(looks[0] - looks[2]).max(axis=1) > 0.01).all()
    ends = [
        find_outlines(each[:, ::-1].reshape(4, 256), rows, View(bottom=13))
        for each in (thumbs, hidden)
    ]
    assert np.array_equal(ends[0], ends[1])


def test_a_mirrored_view_is_that_of_the_mirrored_thumbnail() -> None:
    _, thumbs = sign(UNRELATED[:5])
    rows = np.arange(5)
    found = find_outlines(thumbs, rows, View(mirrored=True))
    assert found == pytest.approx(find_outlines(mirror(thumbs), rows, View()), abs=1e-5)


def test_outlines_are_the_low_frequencies() -> None:
    _, thumbs = sign(UNRELATED[:5])
    vertical, horizontal = np.mgrid[:16, :16]
    low = (vertical + horizontal <= 6) & (vertical < 6) & (horizontal < 6)
    low[0, 0] = False
    expected = np.stack([weighted(thumb)[low] for thumb in thumbs])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    rows = np.array([4, 0, 2])
    assert find_outlines(thumbs, rows, View()) == pytest.approx(expected[rows], abs=1e-5)


def test_without_moves_the_comparison_is_a_correlation_of_spectra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spectra, "MOVE", 0.0)
    _, thumbs = sign(UNRELATED[:12])
    vertical, horizontal = np.mgrid[:16, :16]
    fine = (vertical + horizontal <= 12) & (vertical < 12) & (horizontal < 12)
    fine[0, 0] = False
    vectors = np.stack([weighted(thumb)[fine] for thumb in thumbs])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = (vectors[:6] * vectors[6:]).sum(axis=1)
    found = compare_aligned(thumbs[:6], thumbs[6:], View(), View())
    assert found == pytest.approx(expected, abs=1e-4)


MOVES: dict[str, tuple[slice, slice]] = {
    "to the side": (slice(4, 116), slice(8, 120)),
    "down": (slice(8, 120), slice(4, 116)),
    "narrower": (slice(4, 116), slice(2, 118)),
    "lower": (slice(2, 118), slice(4, 116)),
}


@pytest.mark.parametrize("name", MOVES)
def test_a_small_move_is_undone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [draw(seed) for seed in range(20)]
    whole = sign([picture[4:116, 4:116] for picture in pictures])[1]
    moved = sign([np.ascontiguousarray(picture[MOVES[name]]) for picture in pictures])[1]
    aligned = compare_aligned(whole, moved, View(), View())
    assert np.median(aligned) > 0.94
    monkeypatch.setattr(spectra, "MOVE", 0.0)
    still = compare_aligned(whole, moved, View(), View())
    assert np.median((1 - aligned) / (1 - still)) < 0.65


def test_the_comparison_of_a_blank_thumbnail_is_a_number() -> None:
    blank = np.zeros((2, 256), np.uint8)
    assert compare_aligned(blank, blank, View(), View()).tolist() == [0, 0]


def test_the_moves_are_central_differences_with_repeated_edges() -> None:
    vertical, horizontal = np.mgrid[:16, :16]
    fine = (vertical + horizontal <= 12) & (vertical < 12) & (horizontal < 12)
    fine[0, 0] = False
    spectrum = np.where(fine, np.random.default_rng(0).normal(size=(16, 16)), 0)
    picture = fft.idctn(spectrum / np.maximum(1, np.hypot(vertical, horizontal)), norm="ortho")
    padded = np.pad(picture, 1, mode="edge")
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    from_middle = (np.arange(16) - 7.5) / 7.5
    expected = [across, down, across * from_middle, down * from_middle[:, None]]
    found = (spectrum[fine] @ spectra._moves()).reshape(4, -1)
    for move, change in zip(found, expected, strict=True):
        assert move == pytest.approx(weighted(change)[fine], abs=1e-4)
