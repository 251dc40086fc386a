"""Nothing that other people have written steers the terminal."""

from __future__ import annotations

import json

import pytest

from openaffect import console
from openaffect.cli import main
from openaffect.texts import printable

STEERING = {
    "color": "\x1b[31m",
    "title": "\x1b]0;owned\x07",
    "C1": "\x9b31m",
    "DEL": "\x7f",
    "override": "\u202egpj.exe",
    "isolate": "\u2066",
    "line": "\n",
    "line separator": "\u2028",
    "return": "\r",
    "zero": "\0",
    "invisible": "\u200b\ufeff\u2060",
    "half a pair": "\ud800",
}
READABLE = ("Gefühl", "感情", "👩\u200d🚀", "نمی\u200cشود", "a\u200e", "é")


@pytest.mark.parametrize("name", STEERING)
@pytest.mark.parametrize(
    "show",
    [
        console.say,
        console.note,
        console.warn,
        console.fail,
        lambda text: console.print_table([text, "b"], [[text, 1]], title=text),
        lambda text: console.print_facts({"key": text}),
        lambda text: console.print_json({text: [text]}),
        lambda text: main(["info", text]),
        lambda text: main([text]),
        lambda text: main(["analyze", "--every", text, "a.jpg"]),
    ],
    ids=["say", "note", "warn", "fail", "table", "facts", "json", "error", "usage", "option"],
)
def test_what_steers_a_terminal_is_shown_as_its_code(name, show, capfd):
    show(f"a{STEERING[name]}b")
    printed = "".join(capfd.readouterr())
    assert printed
    assert printed == "\n".join(printable(line) for line in printed.split("\n"))


@pytest.mark.parametrize("text", READABLE)
def test_every_script_stays_readable(text, capsys):
    console.say(text)
    console.print_json({"a": text})
    assert capsys.readouterr().out.count(text) == 2


@pytest.mark.parametrize("name", STEERING)
def test_json_gives_the_very_text_back(name, capsys):
    console.print_json({"a": STEERING[name]})
    assert json.loads(capsys.readouterr().out) == {"a": STEERING[name]}


def test_markup_is_text(capsys):
    console.print_table(["[red]a[/red]"], [["[b]c[/b]"]], title="[i]t")
    out = capsys.readouterr().out
    assert all(text in out for text in ("[red]a[/red]", "[b]c[/b]", "[i]t"))


def test_wrong_usage_ends_with_two_and_help_with_nothing(capsys):
    assert main(["analyz"]) == 2
    assert "did you mean" in capsys.readouterr().err.lower()
    assert main(["--help"]) == 0
    assert main(["--version"]) == 0
    assert main([]) == 2
