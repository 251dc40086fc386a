"""The query plan: our word lists, lists and tables of one's own, and what a project keeps of them."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from openaffect.cli import app
from openaffect.collection import queries as plan
from openaffect.collection import words
from openaffect.errors import DestinationExists, FormatError, InputError, UnknownName
from openaffect.project import Project
from openaffect.project.queries import Query, QueryChanges, list_queries, set_queries
from openaffect.project.schema import queries
from openaffect.project.urls import HitRow, add_hits

DEFAULT = plan.make_default_queries()
MINORS = (
    *("baby", "child", "kid", "boy", "girl", "teen", "toddler", "infant", "schoolgirl"),
    *("niñ", "bebé", "chic", "muchach", "adolescente", "menin", "criança", "garot"),
    *("Kind", "Junge", "Mädchen", "jugendlich", "Schüler"),
    *("طفل", "ولد", "بنت", "فتاة", "فتى", "صبي", "رضيع", "مراهق"),
    *("کودک", "بچه", "پسر", "دختر", "نوزاد", "نوجوان"),
)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def test_the_default_plan_is_1250_queries_and_always_the_same() -> None:
    assert len(DEFAULT) == 1250
    assert Counter(query.language for query in DEFAULT) == {
        "ar": 175, "de": 175, "en": 375, "es": 175, "fa": 175, "pt": 175,
    }  # fmt: skip
    assert Counter(query.intended for query in DEFAULT) == {
        "happy": 150, "sad": 150, "anger": 150,
        "surprise": 200, "fear": 200, "disgust": 200, "contempt": 200,
    }  # fmt: skip
    lines = "\n".join(f"{one.text},{one.language},{one.intended}" for one in DEFAULT)
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == "bf4ce3b3d8ca66da"


def test_no_default_query_is_twice_even_when_it_is_normalized() -> None:
    keys = Counter(unicodedata.normalize("NFKC", query.text).casefold() for query in DEFAULT)
    assert keys.most_common(1)[0][1] == 1


def test_default_queries_are_composed_and_of_one_script() -> None:
    scripts = {"en": "LATIN", "es": "LATIN", "pt": "LATIN", "de": "LATIN"}
    for query in DEFAULT:
        plan.check_query(query)
        assert query.text == unicodedata.normalize("NFC", query.text)
        names = {unicodedata.name(one).split()[0] for one in query.text if one.isalpha()}
        assert names == {scripts.get(query.language, "ARABIC")}, query
        others = set(re.sub(r"\w", "", query.text)) - {" "}
        assert others <= ({"\u200c"} if query.language == "fa" else {"-"}), query


def test_no_default_query_asks_for_minors() -> None:
    wrong = [q for q in DEFAULT for word in MINORS if f" {word}" in f" {q.text}"]
    assert wrong == []


@pytest.mark.parametrize("language", words.list_languages())
def test_no_row_claims_a_reviewer_and_every_language_has_all_roles(language: str) -> None:
    found = words.load_words(language)
    assert {word.review for word in found} == {"unreviewed"}
    assert {word.language for word in found} == {language}
    assert Counter(word.role for word in found)["emotion"] == 25
    assert sum(word.role == "excluded" for word in found) >= 9
    assert {word.category for word in found if word.role == "subject"} == {
        "gender", "age", "origin",
    }  # fmt: skip
    assert all(word.arousal in words.AROUSAL for word in found if word.role == "emotion")


def test_a_form_follows_the_word_for_a_person() -> None:
    texts = {query.text for query in DEFAULT}
    assert {"fröhlicher alter Mann", "fröhliche türkische Frau"} <= texts
    assert {"mujer mexicana asustada", "hombre colombiano asustado"} <= texts
    assert {"امرأة مصرية سعيدة", "رجل مغربي سعيد"} <= texts


def test_languages_are_made_in_the_order_asked_for_and_once() -> None:
    found = plan.make_default_queries(["pt", "de", "pt"])
    assert [query.language for query in found] == ["pt"] * 175 + ["de"] * 175
    with pytest.raises(UnknownName, match="ar, de, en, es, fa, pt"):
        plan.make_default_queries(["en", "klingon"])


HEADER = "role,lemma,masculine,feminine,neutral,language,category,arousal,review\n"


def test_a_word_list_of_ones_own_makes_queries(tmp_path: Path) -> None:
    rows = (
        HEADER
        + "subject,homme,{} homme,,,fr,gender,,\n"
        + "subject,femme,,femme {} ici,,fr,gender,,\n"
        + "emotion,joyeux,joyeux,joyeuse,,fr,Happiness,high,Zoé\n"
        + "excluded,dessin,,,dessin,fr,,,\n"
    )
    path = write(tmp_path / "fr.csv", rows, "utf-8-sig")
    assert plan.gather_queries(words=[path]) == [
        Query("joyeux homme", "fr", "happy"),
        Query("femme joyeuse ici", "fr", "happy"),
    ]
    assert words.read_words(path)[2].review == "Zoé"


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("verb,a,a,,,fr,happy,,", "line 2: role: expected emotion, subject, excluded"),
        ("emotion,a,a,,,fr,hapy,,", "line 2: unknown expression 'hapy' in category.*'happy'"),
        ("emotion,a,a,,,fr,neutral,,", "neutral"),
        ("emotion,a,,,,fr,happy,,", "line 2: expected a form"),
        ("emotion,a,a,,,french!,happy,,", "a language's code"),
        ("emotion,a,a,,,fr,happy,huge,", "arousal: expected low, middle, high"),
        ("subject,a,a,,,fr,gender,,", r"with \{\} where"),
        ("subject,a,{} a,{} b,,fr,gender,,", "one form"),
        ("emotion,a,a,,fr,happy", "line 2: expected 9 fields, but got 6"),
        ('emotion,"a', "line 2: "),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        words.read_words(write(tmp_path / "w.csv", HEADER + row + "\n"))


def test_a_missing_form_is_named(tmp_path: Path) -> None:
    rows = HEADER + "subject,homme,homme {},,,fr,gender,,\nemotion,ravie,,ravie,,fr,happy,,\n"
    path = write(tmp_path / "w.csv", rows)
    with pytest.raises(InputError, match=r"'ravie' \(fr\) has no masculine form"):
        plan.make_queries(words.read_words(path))


def test_a_table_of_queries_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan.write_queries([*DEFAULT, Query("a face", "en")], tmp_path / "q.csv")
    assert plan.read_queries(tmp_path / "q.csv") == [*DEFAULT, Query("a face", "en")]
    with pytest.raises(DestinationExists):
        plan.write_queries([], tmp_path / "q.csv")


def test_texts_of_a_table_are_composed_and_doubles_are_one(tmp_path: Path) -> None:
    rows = "language,note,intended,text\nde,x,Anger,wu\u0308tend  \nde,y,anger,W\u00dcTEND\n"
    assert plan.read_queries(write(tmp_path / "q.csv", rows)) == [
        Query("w\u00fctend", "de", "anger")
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("text,language\na,en\n", "text, language, intended; missing: intended$"),
        ("text,language,intended\n", "at least one query"),
        ("", "missing: text, language, intended$"),
        ("text,language,intended\n,en,happy\n", "line 2: text: "),
        (f"text,language,intended\n{'a' * 201},en,happy\n", "at most 200 characters, but got 201"),
        ("text,language,intended\na\x00b,en,happy\n", "line 2"),
        ("text,language,intended\na\u202eb,en,happy\n", "control"),
        ("text,language,intended\na,en,joy!\n", "line 2: unknown expression .* in intended"),
        ("text,language,intended\na,en,happy\nA,en,sad\n", "line 3: 'A' .* both happy and sad"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        plan.read_queries(write(tmp_path / "q.csv", text))


def test_a_text_may_have_200_characters(tmp_path: Path) -> None:
    table = f"text,language,intended\n{'a' * 200},en,\n"
    [query] = plan.read_queries(write(tmp_path / "q.csv", table))
    assert len(query.text) == 200


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_bytes(b"text,language,intended\n\xff,en,happy\n")
    with pytest.raises(FormatError, match="UTF-8"):
        plan.read_queries(tmp_path / "q.csv")


A, B, C = Query("a", "en", "happy"), Query("b", "en", "sad"), Query("a", "de", "happy")


def test_queries_are_added_and_changed_and_their_order_stays(project: Project) -> None:
    assert set_queries(project, [A, B, C], keep_others=True) == QueryChanges(added=3)
    assert set_queries(project, [A, B, C], keep_others=True) == QueryChanges()
    changed = Query("b", "en", "fear")
    assert set_queries(project, [changed], keep_others=True) == QueryChanges(changed=1)
    assert list_queries(project) == [A, changed, C]
    events = [event for event in project.events() if event["kind"] == "queries"]
    assert [event["details"]["added"] for event in events] == [3, 0]


def test_a_query_that_has_hits_is_retired_and_comes_back(project: Project) -> None:
    set_queries(project, [A, B, C])
    with project.database.write() as connection:
        number = connection.execute(
            sa.select(queries.c.id).where(queries.c.text == "b")
        ).scalar_one()
        add_hits(connection, [HitRow("x", "https://a.b/c", query_id=number)])
    assert set_queries(project, [A]) == QueryChanges(removed=1, retired=1)
    assert list_queries(project) == [A]
    assert set_queries(project, [A]) == QueryChanges()
    assert set_queries(project, [B], keep_others=True) == QueryChanges(changed=1)
    assert list_queries(project) == [A, B]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["queries", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_shows_adds_and_takes_an_edited_table(project: Project, tmp_path: Path) -> None:
    assert json.loads(run(project.path, "--json"))["total"] == 0
    shown = run(project.path, "--languages", "de, en", "-o", tmp_path / "q.csv")
    assert re.search(r"^total +175 +375 +550$", shown, re.MULTILINE)
    assert re.search(r"^contempt +28 +60 +88$", shown, re.MULTILINE)
    lines = (tmp_path / "q.csv").read_text(encoding="utf-8").splitlines()
    write(tmp_path / "r.csv", "\n".join([*lines[:11], "ein Gesicht,de,"]))
    found = json.loads(run(project.path, "--from", tmp_path / "r.csv", "--json"))
    assert found["changes"] == {"added": 1, "changed": 0, "removed": 540, "retired": 0}
    assert found["queries"][-1] == {"text": "ein Gesicht", "language": "de", "intended": None}
    assert re.search(r"^any +1 +1$", run(project.path), re.MULTILINE)
    assert len(list_queries(project)) == 11
    found = json.loads(run(project.path, "--add", tmp_path / "q.csv", "--json"))
    assert (found["total"], found["changes"]["added"]) == (551, 540)


@pytest.mark.parametrize("option", ["--languages", "--words", "--add"])
def test_a_table_goes_with_no_other_source(project: Project, tmp_path: Path, option: str) -> None:
    result = CliRunner().invoke(app, ["queries", str(project.path), "--from", "a", option, "en"])
    assert isinstance(result.exception, InputError)
    assert "--from" in str(result.exception)


def test_the_page_shows_the_plan_as_it_is() -> None:
    page = Path(__file__).parents[2] / "docs" / "collecting.md"
    table = re.findall(r"^\| (\w+) \|(.*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    shown = {
        name: [cell.strip().replace(",", "") for cell in cells.split("|")] for name, cells in table
    }
    for intended in ("happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"):
        found = Counter(one.language for one in DEFAULT if one.intended == intended)
        counts = [found[language] for language in words.list_languages()]
        assert shown[intended] == [str(number) for number in (*counts, sum(counts))]
