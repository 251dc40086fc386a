"""Copies among the images of a project, on both databases."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import sqlalchemy as sa

from freezing_builders import draw_picture
from openaffect.collection import add_images, detect_faces
from openaffect.collection.copies import choose_originals, find_image_copies, is_compared
from openaffect.collection.examination import examine_image
from openaffect.forgetting import forget
from openaffect.images import encode_image
from openaffect.project import Project, forgotten, schema, urls
from openaffect.project.copies import Looks, open_looks
from openaffect.project.rows import ImageRow
from openaffect.project.settings import CollectSettings
from openaffect.withdrawals import Withdrawals


def draw(number: int) -> np.ndarray[Any, Any]:
    """A picture with much in it, 240 × 240."""
    noise = np.random.default_rng(number).integers(0, 256, (14, 14, 3), np.uint8)
    return cv2.resize(noise, (240, 240), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def half(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return cv2.resize(image, (120, 120), interpolation=cv2.INTER_AREA).astype(np.uint8)


def add(project: Project, *pictures: np.ndarray[Any, Any]) -> list[int]:
    """Add pictures as `collect` does; their ids."""
    found = []
    for picture in pictures:
        data = encode_image(picture, ".jpg", quality=85)
        row = ImageRow("", "", 0, "x", "x")
        seen = examine_image(data, row, CollectSettings(), Withdrawals())
        assert seen.image is not None
        project.store.put(data)
        with project.database.write() as connection:
            ids, _ = urls.add_images(connection, [seen.image], {seen.image.sha256: seen.thumb})
        found.append(ids[seen.image.sha256])
    return found


def known_copies(project: Project) -> dict[int, int]:
    statement = sa.select(schema.images.c.id, schema.images.c.copy_of).where(
        schema.images.c.copy_of.is_not(None)
    )
    with project.database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(statement)}


def test_the_largest_stays_and_its_copies_leave_the_queue(project: Project) -> None:
    small, large, other = add(project, half(draw(1)), draw(1), draw(2))
    done = find_image_copies(project)
    assert (done.images, done.copies, done.new, done.complete) == (3, 1, 1, True)
    assert known_copies(project) == {small: large}
    status = project.status()
    assert status["images"]["copies"] == 1
    assert status["steps"]["detect"]["pending"] == 2
    assert status["steps"]["detect"]["refused"] == {"copy": 1}
    again = find_image_copies(project)
    assert (again.copies, again.new) == (1, 0)
    assert project.status() == status
    assert detect_faces(project, workers=1).images == 2
    assert other not in known_copies(project)


def test_it_is_known_whether_all_were_compared(project: Project) -> None:
    assert is_compared(project)
    small, _ = add(project, half(draw(1)), draw(1))
    assert not is_compared(project)
    find_image_copies(project)
    assert is_compared(project)
    (other,) = add(project, draw(2))
    assert not is_compared(project)
    find_image_copies(project)
    for number in (small, other):
        with project.database.write() as connection:
            forgotten.delete_image(connection, number, project.settings)
    assert not is_compared(project)
    find_image_copies(project)
    assert is_compared(project)


def test_what_was_searched_is_no_copy_whatever_comes_later(project: Project) -> None:
    (small,) = add(project, half(draw(1)))
    assert detect_faces(project, workers=1).images == 1
    (large,) = add(project, draw(1))
    find_image_copies(project)
    assert known_copies(project) == {large: small}
    assert project.status()["steps"]["detect"]["pending"] == 0


def test_a_larger_one_that_comes_later_takes_the_place(project: Project) -> None:
    (small,) = add(project, half(draw(1)))
    (middle,) = add(project, draw(1)[6:, 6:])
    find_image_copies(project)
    assert known_copies(project) == {small: middle}
    (large,) = add(project, draw(1))
    done = find_image_copies(project)
    assert (done.copies, done.new) == (2, 1)
    assert known_copies(project) == {small: large, middle: large}
    assert project.status()["images"]["copies"] == 2
    assert project.status()["steps"]["detect"]["pending"] == 1


def test_images_of_a_folder_take_part_once_they_were_searched(
    project: Project, tmp_path: Any
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encode_image(draw(1), ".jpg"))
    add_images(project, folder)
    with open_looks(project.database) as looks:
        assert len(looks.ids) == 0
    detect_faces(project, workers=1)
    (small,) = add(project, half(draw(1)))
    find_image_copies(project)
    (original,) = known_copies(project).values()
    assert known_copies(project) == {small: original}
    assert original != small


def test_a_copy_of_what_is_forgotten_and_kept_is_searched_after_all(project: Project) -> None:
    small, large = add(project, half(draw(1)), draw(1))
    find_image_copies(project)
    with project.database.write() as connection:  # somebody has said that it is another picture
        forgotten.delete_image(connection, large, project.settings)
    assert known_copies(project) == {}
    status = project.status()
    assert status["images"] == {**status["images"], "total": 1, "copies": 0}
    assert status["steps"]["detect"]["pending"] == 1
    with project.database.write() as connection:
        forgotten.delete_image(connection, small, project.settings)
    assert set(project.status()["images"].values()) == {0}


def test_a_copy_is_forgotten_with_its_original(project: Project) -> None:
    _, large = add(project, half(draw(1)), draw(1))
    find_image_copies(project)
    with project.database.read() as connection:
        sha256 = connection.execute(
            sa.select(schema.images.c.sha256).where(schema.images.c.id == large)
        ).scalar_one()
    assert forget(project, [sha256], because="asked").images == 2
    assert set(project.status()["images"].values()) == {0}
    with project.database.read() as connection:
        assert connection.execute(sa.select(schema.thumbnails)).all() == []


def test_what_resembles_no_more_is_freed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = add(project, half(draw(1)), draw(1))
    find_image_copies(project)
    from openaffect.collection import copies, duplicates

    def find_nothing(*_: object, **__: object) -> duplicates.Copies:
        return duplicates.Copies(np.arange(2), True)

    monkeypatch.setattr(copies, "find_near_copies", find_nothing)
    done = find_image_copies(project)
    assert (done.copies, known_copies(project)) == (0, {})
    assert project.status()["steps"]["detect"] == {
        "pending": 2,
        "done": 0,
        "failed": {},
        "refused": {},
    }
    assert small != large


def test_the_looks_are_those_of_the_rows(project: Project) -> None:
    ids = add(project, draw(1), half(draw(2)), draw_picture(5))
    with open_looks(project.database) as looks:
        assert looks.ids.tolist() == sorted(ids)
        assert isinstance(looks.thumbs, np.memmap)
        order = [sorted(ids).index(number) for number in ids]
        assert looks.areas[order].tolist()[:2] == [240 * 240, 120 * 120]
        with project.database.read() as connection:
            rows = connection.execute(
                sa.select(schema.thumbnails).order_by(schema.thumbnails.c.image_id)
            ).all()
            digests = connection.execute(
                sa.select(schema.images.c.pixels).order_by(schema.images.c.id)
            ).scalars()
            assert [value % 2**64 for value in digests] == looks.pixels.tolist()
        assert [row.thumb for row in rows] == [thumb.tobytes() for thumb in looks.thumbs]
        assert not looks.searched.any()


def make_looks(areas: list[int], searched: list[bool]) -> Looks:
    n = len(areas)
    return Looks(
        np.arange(10, 10 + n),
        np.arange(n, dtype=np.uint64),
        np.zeros((n, 256), np.uint8),
        np.array(areas, np.int64),
        np.array(searched, bool),
        np.zeros(n, np.int64),
    )


@pytest.mark.parametrize(
    ("areas", "searched", "labels", "expected"),
    [
        ([5, 5, 5], [False] * 3, [0, 0, 0], {11: 10, 12: 10}),  # of equal ones the oldest
        ([5, 7, 7], [False] * 3, [0, 0, 0], {10: 11, 12: 11}),
        ([9, 7, 5], [False, False, True], [0, 0, 0], {10: 12, 11: 12}),
        ([9, 7, 5], [True, False, True], [0, 0, 0], {11: 10}),
        ([1, 2, 3, 4], [False] * 4, [0, 1, 0, 1], {10: 12, 11: 13}),
        ([1, 2], [False] * 2, [0, 1], {}),
        ([], [], [], {}),
    ],
)
def test_one_of_each_cluster_stays(
    areas: list[int], searched: list[bool], labels: list[int], expected: dict[int, int]
) -> None:
    assert choose_originals(make_looks(areas, searched), np.array(labels, np.int64)) == expected
