"""The vocabulary: order, ids, spellings, label sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.errors import InputError, UnknownName
from openaffect.labels import (
    EMOTIONS,
    EXPRESSIONS,
    LABEL_SETS,
    Expression,
    parse_expression,
    parse_labels,
)

PUBLISHED = (
    *("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),
    *("none", "uncertain", "no_face"),
)


def test_the_order_is_affectnets():
    assert tuple(EXPRESSIONS) == PUBLISHED
    assert [expression.id for expression in EXPRESSIONS] == list(range(11))
    assert EXPRESSIONS[:8] == EMOTIONS
    assert list(EMOTIONS) != sorted(EMOTIONS)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        *(("Happiness", "happy"), ("Joy", "happy"), ("HAPPY", "happy"), ("Sadness", "sad")),
        *(("Angry", "anger"), ("Surprised", "surprise"), ("Fearful", "fear"), ("Afraid", "fear")),
        *(("Disgusted", "disgust"), ("Contemptuous", "contempt"), ("Neutrality", "neutral")),
        *(
            ("non-face", "no_face"),
            ("No-Face", "no_face"),
            ("NF", "no_face"),
            ("no_face", "no_face"),
        ),
        *(("unknown", "uncertain"), (" no  face ", "no_face"), ("6", "anger"), ("6.0", "anger")),
        *((0, "neutral"), (10, "no_face")),
    ],
)
def test_spellings_of_the_field(spelling, name):
    assert parse_expression(spelling) == name


@given(st.sampled_from(EXPRESSIONS), st.sampled_from([str.upper, str.title, str.swapcase]))
def test_parsing_undoes_writing(expression, change):
    assert parse_expression(change(str(expression))) is expression
    assert parse_expression(expression.id) is expression
    assert parse_expression(str(expression.id)) is expression


@pytest.mark.parametrize("value", ["hapy", "", "11", "-1", "1.5", 11, -1, True])
def test_what_is_no_expression_is_refused(value):
    with pytest.raises(UnknownName, match="Known: "):
        parse_expression(value)


def test_a_refusal_names_the_nearest_and_the_place():
    with pytest.raises(UnknownName, match=r"'hapy' in list.csv line 3; did you mean 'happy'") as e:
        parse_expression("hapy", "list.csv line 3")
    assert e.value.nearest == "happy"


@pytest.mark.parametrize("given_set", ["7", 7, " 7 "])
def test_seven_is_eight_without_contempt(given_set):
    assert parse_labels(given_set) == tuple(e for e in EMOTIONS if e != "contempt")


@given(st.permutations(EXPRESSIONS), st.integers(2, 11))
def test_names_come_in_the_order_of_ids_however_they_are_given(order, count):
    chosen = order[:count]
    assert parse_labels(",".join(chosen)) == parse_labels(chosen)
    assert parse_labels(chosen) == tuple(e for e in EXPRESSIONS if e in chosen)


def test_numbers_that_name_no_set_and_too_small_sets_are_refused():
    assert set(LABEL_SETS) == {"7", "8", "11"}
    with pytest.raises(UnknownName, match="label set '6'"):
        parse_labels("6")
    with pytest.raises(InputError, match="each expression once"):
        parse_labels("happy,joy,sad")
    with pytest.raises(InputError, match="two or more"):
        parse_labels("happy")
    with pytest.raises(UnknownName):
        parse_labels("happy,sda")


def test_an_expression_is_its_name_as_text():
    assert f"{Expression.NO_FACE}" == "no_face"
    assert Expression("no_face") is Expression.NO_FACE
