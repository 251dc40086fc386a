"""What the command line prints: tables on stdout, progress and warnings on stderr.

File names, cards and answers of servers are other people's words: what could steer a terminal
or turn the order of a line around is shown as its code (`texts.printable`), here and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import struct
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import progress as rich_progress
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from openaffect.progress import OnProgress, Progress
from openaffect.texts import UNSAFE, printable

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def out() -> Console:
    """Where results go. A pipe or a file gets whole lines, however long."""
    quiet = _is_follower()
    if sys.stdout.isatty():
        return Console(highlight=False, quiet=quiet)
    return Console(highlight=False, width=10_000, no_color=True, quiet=quiet)


def err() -> Console:
    """Where progress, notes and warnings go."""
    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=_is_follower())


def _is_follower() -> bool:
    """Whether this process is one of several of a training, and not the first: it says errors alone."""
    return os.environ.get("RANK", "0") != "0"


def say(text: str) -> None:
    """A result for people, one line on stdout."""
    out().print(Text(printable(text)), soft_wrap=True)


def note(text: str, console: Console | None = None) -> None:
    """A remark, one line on stderr; while bars are drawn, through their `console`."""
    (console or err()).print(Text(printable(text)))


def warn(text: str, console: Console | None = None) -> None:
    """A warning, one line on stderr; while bars are drawn, through their `console`."""
    (console or err()).print(Text.assemble(("warning: ", "yellow"), printable(text)))


def fail(text: str) -> None:
    """An error, one line on stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), printable(text.replace("\n", " "))))


def fail_usage(text: str) -> None:
    """A wrong use of a command, as the parser tells it, on stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in text.splitlines():
        console.print(Text(printable(line)))


def print_json(data: Any) -> None:
    """Data for programs, on stdout."""
    sys.stdout.write(to_json(data, indent=1) + "\n")


def to_json(data: Any, indent: int | None = None) -> str:
    """Data as JSON, on one line unless `indent` is given, with nothing that a terminal would obey.

    Numbers have the digits of `shorten`.
    """
    text = json.dumps(shorten(data), indent=indent, ensure_ascii=False, allow_nan=False)
    # Of the characters below U+0020 only the line ends of `indent` are left.
    return UNSAFE.sub(lambda c: c[0] if c[0] == "\n" else f"\\u{ord(c[0]):04x}", text)


def shorten(data: Any) -> Any:
    """Data with the shortest digits that carry the information.

    Numbers that a float32 holds get the digits that give this float32 back, others nine digits.

    >>> shorten({"valence": 0.07356449961662292, "mean": 1 / 3, "rows": 12})
    {'valence': 0.0735645, 'mean': 0.333333333, 'rows': 12}
    """
    if isinstance(data, dict):
        return {key: shorten(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [shorten(value) for value in data]
    if not isinstance(data, float) or not math.isfinite(data):
        return data
    for digits in (6, 7, 8):
        short = float(f"{data:.{digits}g}")
        if _is_float32(data) and _to_float32(short) == data:
            return short
    return float(f"{data:.9g}")


def _to_float32(value: float) -> float:
    """The nearest float32, as far as there is one."""
    try:
        found: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.inf
    return found


def _is_float32(value: float) -> bool:
    return _to_float32(value) == value


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None
) -> None:
    """A table on stdout; columns of numbers are set to the right."""
    title = None if title is None else printable(title)
    table = Table(
        title=title and Text(title),
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for number, name in enumerate(header):
        cells = [str(row[number]) for row in rows]
        right = number > 0 and all(_is_number(cell) for cell in cells)
        table.add_column(
            Text(printable(name)), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(printable(_shown(cell))) for cell in row))
    out().print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line, on stdout."""
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        say(f"{key:<{width}}  {_shown(value)}")


def print_counts(counts: Mapping[str, Mapping[str, int]]) -> None:
    """Faces by expression, a column per split."""
    labels = list(dict.fromkeys(label for classes in counts.values() for label in classes))
    rows: list[list[object]] = [
        [label, *(classes.get(label, 0) for classes in counts.values())] for label in labels
    ]
    rows.append(["total", *(sum(classes.values()) for classes in counts.values())])
    print_table(["faces", *counts], rows)


@contextlib.contextmanager
def show_progress(title: str = "", total: int | None = None) -> Iterator[OnProgress]:
    """Show what work tells of itself: lines and warnings on stderr, and bars while it is a terminal.

    Args:
        title: of one bar for all, which is there from the start; by default each phase has its own.
        total: where the work does not tell it.

    Yields:
        What the work is to call. It raises KeyboardInterrupt where Ctrl-C was pressed before, and
        should wait for this event.
    """
    with contextlib.ExitStack() as stack:
        bars = stack.enter_context(_Bars(err())) if sys.stderr.isatty() else None
        shown = _Shown(bars, title, total)
        stack.enter_context(shown.interruptible())
        yield shown


class _Shown:
    """Progress on stderr."""

    def __init__(self, bars: _Bars | None, title: str, total: int | None) -> None:
        self._bars, self._title, self._total = bars, title, total
        # Another one would not know where the cursor is.
        self._console = None if bars is None else bars.console
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._waits = self._pressed = False
        if title:
            self._draw(Progress(title))

    def __call__(self, event: Progress) -> None:
        name = f"{event.name}: " if event.name else ""
        if event.warning:
            warn(event.warning, self._console)
        if event.log and self._bars is None:
            note(name + event.log)
        if event.line:
            note(name + event.line, self._console)
        if self._pressed:
            raise KeyboardInterrupt
        self._waits = event.stop_at_next
        self._draw(event)

    def _draw(self, event: Progress) -> None:
        bars = self._bars
        if bars is None:
            return
        total = self._total if event.total is None else event.total
        title = self._title or event.title or event.phase
        key = ("", "") if self._title else (event.name, event.phase)
        for other, task in self._tasks.items():  # hidden ones keep their time and their speed
            bars.update(task, visible=other == key)
        if key not in self._tasks:
            self._tasks[key] = bars.add_task(title, total=total)
        bars.update(
            self._tasks[key],
            description=printable(title),
            completed=event.done,
            total=total,
            note=printable(event.note),
        )

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let work end at its next event, where the last one asked for that.

        The second Ctrl-C ends it at once. Only the main thread hears signals.
        """

        def handle(*_: object) -> None:
            if self._pressed or not self._waits:
                raise KeyboardInterrupt
            self._pressed = True
            note("stopping after this step; Ctrl-C again stops at once", self._console)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def resumable(hint: str) -> Iterator[None]:
    """Say, where Ctrl-C ends the block, how the work goes on; the exit status is 130."""
    try:
        yield
    except KeyboardInterrupt:
        warn(f"interrupted; {hint}")
        raise SystemExit(INTERRUPTED) from None


class _Done(MofNCompleteColumn):
    """12/300; nothing for what is not counted."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None or task.completed else Text()


class _TimeLeft(TimeRemainingColumn):
    """0:01:20 left; nothing where that cannot be told."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task).append(" left")


class _Bars(rich_progress.Progress):
    """Bars with a remark at their end."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            # On a narrow terminal the bar gives way, then the name; never a number.
            TextColumn(
                "{task.description}",
                table_column=Column(no_wrap=True, overflow="ellipsis"),
                markup=False,
            ),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            _Done(table_column=_whole(9)),
            TimeElapsedColumn(table_column=_whole(7)),
            _TimeLeft(table_column=_whole(12)),
            TextColumn("{task.fields[note]}", table_column=_whole(0)),
            console=console,
            transient=True,
            expand=True,
        )

    def add_task(self, description: str, *args: Any, **fields: Any) -> Any:
        return super().add_task(printable(description), *args, **{"note": "", **fields})


def _whole(width: int) -> Column:
    """A column that is never cut off."""
    return Column(no_wrap=True, min_width=width)


def _is_number(text: str) -> bool:
    return bool(text) and text.replace(",", "").lstrip("-−.0123456789 %±()[]–") == ""


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
