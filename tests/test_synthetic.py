"""The renderer: exact landmarks, expressions that can be told apart, faces that detectors find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2.data
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.circumplex import REGIONS, inside_disc
from openaffect.errors import InputError, UnknownName
from openaffect.labels import EMOTIONS, Expression
from openaffect.synthetic import Identity, Scene, SyntheticFace, synthesize_face, synthesize_faces
from openaffect.synthetic.anatomy import BEARDS, FEMININE_HAIR, MASCULINE_HAIR, NECKLINES
from openaffect.synthetic.paint import Canvas
from openaffect.synthetic.scene import BACKGROUNDS, GLASSES, OCCLUSIONS

PERSON = Identity()
FRONT = Scene()
MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]  # noqa: RUF005
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
)


def draw(expression: str, seed: int = 0, **options: object) -> SyntheticFace:
    """The standard person from the front, at a strong expression."""
    settings: dict[str, object] = {"identity": PERSON, "scene": FRONT, "intensity": 0.9}
    return synthesize_face(expression, seed=seed, **(settings | options))  # type: ignore[arg-type]


def small_frontal(number: int) -> SyntheticFace:
    rng = np.random.default_rng(number)
    scene = Scene.sample(rng, frontal=True)
    return synthesize_face(EMOTIONS[number % 8], seed=rng, scene=scene)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


# What is drawn is repeatable.


def test_the_same_arguments_give_the_same_bytes() -> None:
    first, second, other = (synthesize_face("fear", seed=seed) for seed in (5, 5, 6))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.landmarks.tobytes() == second.landmarks.tobytes()
    assert (first.box, first.valence, first.arousal) == (second.box, second.valence, second.arousal)
    assert first.image.tobytes() != other.image.tobytes()


def test_a_face_of_a_series_depends_on_seed_and_place_alone() -> None:
    short, long = (
        list(synthesize_faces(3, seed=4, size=32)),
        list(synthesize_faces(6, seed=4, size=32)),
    )
    assert [f.image.tobytes() for f in short] == [f.image.tobytes() for f in long[:3]]
    assert len({f.image.tobytes() for f in long}) == 6


def test_a_picture_has_the_promised_form() -> None:
    face = synthesize_face(Expression.SAD, seed=1, size=100)
    assert face.image.shape == (100, 100, 3)
    assert face.image.dtype == np.uint8
    assert face.image.flags.c_contiguous
    assert face.landmarks.shape == (68, 2)
    assert face.landmarks.dtype == np.float32
    assert face.expression is Expression.SAD


def test_landmarks_scale_with_the_picture() -> None:
    large, small = (
        synthesize_face("anger", seed=2, size=256),
        synthesize_face("anger", seed=2, size=64),
    )
    np.testing.assert_allclose(small.landmarks * 4, large.landmarks, atol=1e-3)
    np.testing.assert_allclose(np.array(small.box) * 4, large.box, atol=1e-6)


# Landmarks are where they are drawn.


@given(roll=st.floats(-40, 40))
@settings(max_examples=15, deadline=None)
def test_roll_turns_the_landmarks_in_the_plane(roll: float) -> None:
    scene = Scene(yaw=12, pitch=-5)
    level = draw("happy", scene=scene, size=64).landmarks
    rolled = draw("happy", scene=replace(scene, roll=roll), size=64).landmarks
    angle, center = np.radians(roll), np.array((0.5, 0.485)) * 64
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    np.testing.assert_allclose(rolled, (level - center) @ turn.T + center, atol=1e-3)


def test_a_face_from_the_front_is_its_own_mirror_image() -> None:
    points = draw("neutral", intensity=0.0, valence=0.0, arousal=0.0).landmarks
    mirrored = points[MIRROR] * (-1, 1) + (256, 0)
    np.testing.assert_allclose(points, mirrored, atol=1e-3)


def test_pose_moves_the_tip_of_the_nose() -> None:
    front = draw("neutral").landmarks
    left_eye, right_eye = front[36:42].mean(axis=0), front[42:48].mean(axis=0)
    turned = draw("neutral", scene=Scene(yaw=20)).landmarks
    raised = draw("neutral", scene=Scene(pitch=12)).landmarks
    span = right_eye[0] - left_eye[0]
    assert turned[30, 0] > front[30, 0] + 0.2 * span
    assert raised[30, 1] < front[30, 1] - 0.1 * span


@pytest.mark.parametrize("yaw", [-30, 30])
def test_the_jaw_follows_the_visible_outline(yaw: float) -> None:
    """On the side it turns to, no landmark lies beyond the jaw line; without marching, some do."""
    points = draw("neutral", scene=Scene(yaw=yaw)).landmarks
    edge = points[0:17, 0].max() if yaw > 0 else -points[0:17, 0].min()
    inner = points[17:, 0] if yaw > 0 else -points[17:, 0]
    assert inner.max() < edge


def test_landmarks_lie_in_the_box_and_the_box_in_the_picture() -> None:
    faces = list(synthesize_faces(40, seed=9, size=64))
    points = np.stack([face.landmarks for face in faces])
    boxes = np.array([face.box for face in faces])
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    assert ((points >= low - 1e-3) & (points <= high + 1e-3)).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= 64).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_eyes_are_where_their_landmarks_say(seed: int) -> None:
    face = draw("neutral", seed=seed, valence=0.0, arousal=0.3)
    picture = cv2.GaussianBlur(gray(face.image), (0, 0), 0.7)
    for eye in (face.landmarks[36:42], face.landmarks[42:48]):
        x, y = eye.mean(axis=0)
        wide = np.ptp(eye[:, 0])
        pupil = int(picture[round(float(y)), round(float(x))])
        whites = [
            int(picture[round(float(y)) + 1, round(float(x + s * 0.30 * wide))]) for s in (-1, 1)
        ]
        assert pupil < min(whites) - 50


def test_the_skin_has_the_color_of_the_identity() -> None:
    cheek = draw("neutral").landmarks[[2, 30]].mean(axis=0).round().astype(int)
    pale = draw("neutral", identity=replace(PERSON, skin=(246, 218, 200))).image
    dark = draw("neutral", identity=replace(PERSON, skin=(76, 51, 40))).image
    assert gray(pale)[cheek[1], cheek[0]] > gray(dark)[cheek[1], cheek[0]] + 100


# The canvas.


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (1, 64), (3, 4), (39, 41), (64, 64)])
@pytest.mark.parametrize("planes", [False, True])
def test_a_blend_moves_the_window_and_nothing_else(shape: tuple[int, int], planes: bool) -> None:
    rng = np.random.default_rng(0)
    canvas = Canvas(70)
    canvas.pixels[:] = rng.uniform(0, 255, canvas.pixels.shape)
    before = canvas.pixels.astype(float)
    window = slice(2, 2 + shape[0]), slice(3, 3 + shape[1])
    alpha = rng.uniform(0, 1, shape).astype(np.float32)
    color = rng.uniform(0, 255, (3, *shape) if planes else 3)
    canvas.blend(window, color, alpha)
    expected = before.copy()
    ink = color if planes else color[:, None, None]
    expected[:, window[0], window[1]] += alpha * (ink - before[:, window[0], window[1]])
    # OpenCV adds 1e-5 to the weights it divides by.
    np.testing.assert_allclose(canvas.pixels, expected, rtol=2e-5, atol=1e-3)


def test_a_mask_has_the_area_of_its_polygon() -> None:
    square = np.array([(10.25, 10.5), (20.75, 10.5), (20.75, 30.0), (10.25, 30.0)])
    canvas = Canvas(64)
    for blur, scale in ((0.0, 2), (0.0, 4), (1.2, 4), (2.5, 2), (5.0, 2)):
        window = canvas.window(square, 3 * blur + 4)
        mask = canvas.mask([square], window, blur, scale)
        # A filled polygon includes its outline: half a subpixel on every side, roughly.
        area = (10.5 + 1 / scale) * (19.5 + 1 / scale)
        assert mask.sum() == pytest.approx(area, rel=0.05)
        assert mask.max() <= 1 + 1e-6


# Expressions do what they should.


def corner_height(face: SyntheticFace) -> float:
    """How far the corners of the mouth are above the middle of the lips, in pixels."""
    return float(face.landmarks[[62, 66], 1].mean() - face.landmarks[[48, 54], 1].mean())


def mouth_gap(face: SyntheticFace) -> float:
    return float(face.landmarks[66, 1] - face.landmarks[62, 1])


def eye_opening(face: SyntheticFace) -> float:
    p = face.landmarks
    return float(p[[40, 41, 46, 47], 1].mean() - p[[37, 38, 43, 44], 1].mean())


def inner_brow_height(face: SyntheticFace) -> float:
    return float(face.landmarks[[39, 42], 1].mean() - face.landmarks[[21, 22], 1].mean())


def brow_slope(face: SyntheticFace) -> float:
    """Positive when the inner ends of the brows are above the outer ones."""
    return float(face.landmarks[[17, 26], 1].mean() - face.landmarks[[21, 22], 1].mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("expression", "measure", "sign"),
    [
        ("happy", corner_height, 1),
        ("sad", corner_height, -1),
        ("sad", brow_slope, 1),
        ("surprise", mouth_gap, 1),
        ("surprise", eye_opening, 1),
        ("surprise", inner_brow_height, 1),
        ("fear", eye_opening, 1),
        ("fear", brow_slope, 1),
        ("disgust", eye_opening, -1),
        ("anger", inner_brow_height, -1),
        ("anger", brow_slope, -1),
    ],
)
def test_an_expression_moves_the_face_its_own_way(
    expression: str, measure: Callable[[SyntheticFace], float], sign: int, seed: int
) -> None:
    rest = measure(draw("neutral", seed=seed, valence=0.0, arousal=0.0, intensity=0.0))
    assert sign * (measure(draw(expression, seed=seed)) - rest) > 2.0


@pytest.mark.parametrize("seed", range(6))
def test_contempt_is_one_sided_and_the_others_are_not(seed: int) -> None:
    def tilt(face: SyntheticFace) -> float:
        return abs(float(face.landmarks[48, 1] - face.landmarks[54, 1]))

    assert tilt(draw("contempt", seed=seed)) > 4
    others = [e for e in EMOTIONS if e is not Expression.CONTEMPT]
    assert max(tilt(draw(e, seed=seed, size=64)) for e in others) < 0.01


@pytest.mark.parametrize("expression", EMOTIONS)
def test_valence_moves_the_mouth_and_arousal_the_eyes_of_every_expression(
    expression: Expression,
) -> None:
    low, high = (draw(expression, valence=v, arousal=0.2, intensity=0.5) for v in (-0.8, 0.8))
    assert corner_height(high) > corner_height(low) + 3
    calm, awake = (draw(expression, valence=-0.2, arousal=a, intensity=0.5) for a in (-0.8, 0.8))
    assert eye_opening(awake) > eye_opening(calm) + 1
    assert (high.image != low.image).any()


def test_intensity_grows_with_the_distance_from_the_origin() -> None:
    near = [
        synthesize_face("surprise", seed=s, identity=PERSON, scene=FRONT, valence=0.05, arousal=0.1)
        for s in range(12)
    ]
    far = [
        synthesize_face("surprise", seed=s, identity=PERSON, scene=FRONT, valence=0.3, arousal=0.9)
        for s in range(12)
    ]
    assert np.mean([mouth_gap(f) for f in far]) > 1.5 * np.mean([mouth_gap(f) for f in near])


# Valence and arousal.


def test_sampled_affect_lies_in_the_region_and_in_the_disc() -> None:
    faces = list(synthesize_faces(72, seed=1, size=32))
    values = np.array([(f.valence, f.arousal) for f in faces])
    assert inside_disc(values[:, 0], values[:, 1], slack=0.0).all()
    assert all(REGIONS[f.expression].contains(f.valence, f.arousal) for f in faces)
    assert len({f.valence for f in faces}) > 50


@given(
    radius=st.floats(0, 1),
    angle=st.floats(0, 2 * np.pi),
    expression=st.sampled_from(EMOTIONS),
)
@settings(max_examples=15, deadline=None)
def test_given_affect_is_kept(radius: float, angle: float, expression: Expression) -> None:
    valence, arousal = radius * np.cos(angle), radius * np.sin(angle)
    face = synthesize_face(expression, size=32, valence=float(valence), arousal=float(arousal))
    assert (face.valence, face.arousal) == (valence, arousal)


# Series.


def test_expressions_come_in_turn_or_by_weight() -> None:
    turn = [f.expression for f in synthesize_faces(16, seed=0, size=32)]
    assert turn == [*EMOTIONS, *EMOTIONS]
    weights = {Expression.HAPPY: 3.0, Expression.SAD: 1.0, Expression.FEAR: 0.0}
    drawn = [f.expression for f in synthesize_faces(30, seed=0, size=32, expressions=weights)]
    assert set(drawn) == {Expression.HAPPY, Expression.SAD}
    assert drawn.count(Expression.HAPPY) > drawn.count(Expression.SAD)
    assert list(synthesize_faces(0, seed=0)) == []


# Everything that an identity or a scene can name is drawn, and seen.


@pytest.mark.parametrize(
    ("field", "names", "plain"),
    [
        ("hair", FEMININE_HAIR + MASCULINE_HAIR, "bald"),
        ("beard", BEARDS, "none"),
        ("neckline", NECKLINES, "crew"),
    ],
)
def test_every_look_of_an_identity_is_drawn(field: str, names: tuple[str, ...], plain: str) -> None:
    def picture(name: str) -> np.ndarray:
        look: dict[str, Any] = {field: name}
        identity = replace(PERSON, hair="bald")
        return draw("neutral", size=128, identity=replace(identity, **look)).image

    # Each look differs from the plain one by more than grain (standard deviation 1.6).
    base = picture(plain).astype(int)
    changed = [name for name in names if (np.abs(picture(name) - base) > 20).sum() > 60]
    assert sorted({*changed, plain}) == sorted(set(names))


@pytest.mark.parametrize(
    ("field", "names", "plain"),
    [
        ("background", BACKGROUNDS, "gradient"),
        ("glasses", GLASSES, "none"),
        ("occlusion", OCCLUSIONS, "none"),
    ],
)
def test_every_choice_of_a_scene_is_drawn(field: str, names: tuple[str, ...], plain: str) -> None:
    def picture(name: str) -> np.ndarray:
        choice: dict[str, Any] = {field: name}
        return draw("neutral", size=128, scene=replace(FRONT, **choice)).image

    base = picture(plain).astype(int)
    changed = [name for name in names if (np.abs(picture(name) - base) > 20).sum() > 60]
    assert sorted({*changed, plain}) == sorted(names)


@pytest.mark.parametrize(("hair", "falls"), [("scarf", False), ("bald", False), ("long", True)])
def test_a_lock_falls_only_where_hair_is_to_be_seen(hair: str, falls: bool) -> None:
    identity = replace(PERSON, hair=hair)
    bare = draw("neutral", identity=identity, size=128).image
    covered = draw("neutral", identity=identity, size=128, scene=replace(FRONT, occlusion="lock"))
    assert (covered.image.tobytes() != bare.tobytes()) == falls


def test_age_makeup_and_freckles_are_seen() -> None:
    base = draw("neutral").image.astype(int)
    changes: list[dict[str, Any]] = [{"age": 0.95}, {"makeup": 1.0}, {"freckles": 1.0}]
    for change in changes:
        other = draw("neutral", identity=replace(PERSON, **change)).image
        assert (np.abs(other - base) > 20).sum() > 60, change


def test_the_light_falls_from_its_side() -> None:
    left = draw("neutral", scene=Scene(light=(-0.8, -0.3, 0.6), strength=0.8))
    cheeks = left.landmarks[[2, 14]] * 0.6 + left.landmarks[30] * 0.4
    (lx, ly), (rx, ry) = cheeks.round().astype(int)
    assert int(gray(left.image)[ly, lx]) > int(gray(left.image)[ry, rx]) + 15


# Detectors, which have never seen a drawing, find the faces.


def test_haar_finds_the_faces() -> None:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    found = 0
    for number in range(60):
        face = small_frontal(number)
        boxes = cascade.detectMultiScale(gray(face.image), 1.15, 3, minSize=(70, 70))
        found += any(overlap(face.box, tuple(box)) > 0.4 for box in boxes)
    assert found >= 57


@pytest.mark.real
def test_yunet_finds_the_faces_and_agrees_on_the_box(test_weights: Path) -> None:
    model = str(test_weights / "yunet_n_320_320.onnx")
    detector = cv2.FaceDetectorYN.create(model, "", (256, 256), 0.6)
    overlaps = []
    for number in range(60):
        face = small_frontal(number)
        _, rows = detector.detect(cv2.cvtColor(face.image, cv2.COLOR_RGB2BGR))
        boxes = [] if rows is None else [tuple(row[:4]) for row in rows]
        overlaps.append(max((overlap(face.box, box) for box in boxes), default=0.0))
    assert sum(value > 0.4 for value in overlaps) >= 57
    assert np.median(overlaps) >= 0.75


# Models can learn from them.


@pytest.mark.slow
def test_expression_and_affect_can_be_learned_from_pixels_and_landmarks() -> None:
    faces = list(synthesize_faces(480, seed=12, size=64))
    truth = np.array([face.expression.id for face in faces])
    affect = np.array([(face.valence, face.arousal) for face in faces])
    pixels, shapes = [], []
    for face in faces:
        x, y, w, h = (round(value) for value in face.box)
        crop = cv2.resize(gray(face.image)[y : y + h, x : x + w], (32, 32))
        pixels.append((crop - crop.mean()).ravel() / (crop.std() + 1e-6))
        points = face.landmarks - face.landmarks[27:36].mean(axis=0)
        shapes.append((points / points.std()).ravel())
    one_hot = np.eye(8)[truth]
    for features, ridge, least in ((np.array(pixels), 1.0, 0.30), (np.array(shapes), 1e-3, 0.60)):
        train, test = slice(0, 360), slice(360, 480)
        design = np.column_stack((features - features[train].mean(axis=0), np.ones(480)))
        penalty = ridge * np.trace(design[train].T @ design[train]) / design.shape[1]
        gram = design[train].T @ design[train] + penalty * np.eye(design.shape[1])
        weights = np.linalg.solve(gram, design[train].T @ np.column_stack((one_hot, affect))[train])
        guess = design[test] @ weights
        assert (guess[:, :8].argmax(axis=1) == truth[test]).mean() >= least
        for column in (0, 1):
            assert np.corrcoef(guess[:, 8 + column], affect[test, column])[0, 1] > 0.3


# What cannot be drawn is refused.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expression": "none"}, "one of neutral"),
        ({"expression": Expression.NO_FACE}, "one of neutral"),
        ({"size": 31}, "32 pixels or more, but got 31"),
        ({"valence": 0.8, "arousal": 0.8}, "unit disc"),
        ({"valence": float("nan"), "arousal": 0.0}, "unit disc"),
        ({"valence": 0.2}, "together"),
        ({"arousal": 0.2}, "together"),
        ({"intensity": 1.5}, "0 to 1"),
        ({"intensity": -0.1}, "0 to 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, object], message: str) -> None:
    arguments = {"expression": "happy"} | options
    with pytest.raises(InputError, match=message):
        synthesize_face(arguments.pop("expression"), **arguments)  # type: ignore[arg-type]


def test_a_wrong_name_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="surprise"):
        synthesize_face("surprize")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": -1}, "0 or more"),
        ({"expressions": []}, "at least one"),
        ({"expressions": {Expression.HAPPY: -1.0}}, "weights"),
        ({"expressions": {Expression.HAPPY: 0.0}}, "weights"),
        ({"expressions": [Expression.UNCERTAIN]}, "one of neutral"),
    ],
)
def test_a_series_that_cannot_be_drawn_is_refused_at_once(
    options: dict[str, object], message: str
) -> None:
    arguments = {"n": 1, "seed": 0} | options
    with pytest.raises(InputError, match=message):
        synthesize_faces(**arguments)  # type: ignore[arg-type]
