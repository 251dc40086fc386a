"""Nothing that other people have written steers the terminal."""

from __future__ import annotations

import io
import json
import re
import signal

import pytest
from rich.console import Console

from openaffect import console
from openaffect.cli import main
from openaffect.progress import Progress, relabel
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


def tell(**texts: str) -> None:
    with console.show_progress() as on_progress:
        on_progress(Progress("working", **texts))  # type: ignore[arg-type]


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
        lambda text: tell(name=text, line=text, log=text, warning=text),
        lambda text: main(["info", text]),
        lambda text: main([text]),
        lambda text: main(["analyze", "--every", text, "a.jpg"]),
    ],
    ids=[
        "say",
        "note",
        "warn",
        "fail",
        "table",
        "facts",
        "json",
        "progress",
        "error",
        "usage",
        "option",
    ],
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


# ---- progress ---------------------------------------------------------------------------


def drawn(bars: console._Bars) -> str:
    """What a terminal shows of bars now."""
    stream = io.StringIO()
    bars.console.file = stream
    bars.console.print(bars.get_renderable())
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())


def make_bars() -> console._Bars:
    return console._Bars(Console(file=io.StringIO(), width=100, force_terminal=True))


def test_work_prints_its_lines_and_warnings(capsys):
    with console.show_progress("working", 3) as on_progress:
        on_progress(Progress("reading", 1, 3, note="fast"))
        on_progress(Progress("reading", 2, 3, line="half", log="begun", warning="slow"))
        relabel(on_progress, name="second")(Progress("reading", line="half", log="begun"))
    assert capsys.readouterr() == (
        "",
        "warning: slow\nbegun\nhalf\nsecond: begun\nsecond: half\n",
    )


def test_a_log_is_for_those_who_see_no_bar_and_a_line_begins_where_the_bar_was():
    bars = make_bars()
    with bars:
        on_progress = console._Shown(bars, "", None)
        on_progress(Progress("reading", 1, 3))
        bars.refresh()
        on_progress(Progress("reading", 2, 3, line="half", log="begun", warning="slow"))
    assert isinstance(bars.console.file, io.StringIO)
    printed = bars.console.file.getvalue()
    assert "\r\x1b[2Khalf\n" in printed
    assert "\r\x1b[2K\x1b[33mwarning: \x1b[0mslow\n" in printed
    assert "begun" not in printed


def test_each_phase_of_each_work_has_a_bar_and_the_last_is_seen():
    bars = make_bars()
    on_progress = console._Shown(bars, "", None)
    for name in ("one", "two"):
        tell = relabel(on_progress, name=name)
        tell(Progress("reading", 3, 7, title="reading pictures"))
        assert "reading pictures" in drawn(bars)
        tell(Progress("training", 1, 9, title="epoch 1/3"))
        tell(Progress("validation"))
        assert drawn(bars).split()[0] == "validation"
        tell(Progress("training", 4, 9, title="epoch 2/3", note="40 faces/s"))
        seen = drawn(bars)
        assert all(part in seen for part in ("epoch 2/3", "4/9", "40 faces/s"))
        assert "validation" not in seen
        assert len(seen.splitlines()) == 1
    assert len(bars.tasks) == 6


def test_a_title_is_that_of_one_bar_which_is_there_from_the_start():
    bars = make_bars()
    on_progress = console._Shown(bars, "adding faces", 12)
    assert "adding faces" in drawn(bars)
    assert "0/12" in drawn(bars)
    on_progress(Progress("writing", 5))
    assert "5/12" in drawn(bars)
    on_progress(Progress("predicting", 6, 20))
    assert "adding faces" in drawn(bars)
    assert "6/20" in drawn(bars)
    assert len(bars.tasks) == 1


def work(*steps: Progress | None) -> None:
    """Tell of steps, with Ctrl-C where one is None."""
    with console.show_progress() as on_progress:
        for step in steps:
            if step is None:
                signal.raise_signal(signal.SIGINT)
            else:
                on_progress(step)


def test_ctrl_c_waits_for_the_next_event_where_work_asks_for_that(capsys):
    before = signal.getsignal(signal.SIGINT)
    step, end = Progress("training", 1, 9, stop_at_next=True), Progress("validation", line="end")
    with pytest.raises(KeyboardInterrupt):
        work(step, None, end, Progress("exporting", line="too far"))
    assert capsys.readouterr().err == (
        "stopping after this step; Ctrl-C again stops at once\nend\n"
    )
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_other_work_at_once_and_the_second_one_ends_any(capsys):
    step, end = Progress("training", 1, 9, stop_at_next=True), Progress("exporting", line="end")
    with pytest.raises(KeyboardInterrupt):
        work(step, None, None, end)
    with pytest.raises(KeyboardInterrupt):
        work(step, Progress("exporting"), None, end)
    assert "end" not in capsys.readouterr().err
