"""How an analysis is asked for on the command line, and how its rows are printed."""

from __future__ import annotations

import collections
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openaffect import console
from openaffect.errors import DestinationExists, InputError
from openaffect.texts import counted

if TYPE_CHECKING:
    from openaffect.analysis import Analysis, Camera, TrackSummary
    from openaffect.analysis.analyzing import AnalysisChoices
    from openaffect.model import Model

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be analyzed, and what is to be made of it.

    Attributes:
        source: names of files and the like, or a camera.
        output, overlay, report: what to make; None for what is not asked for.
        resume: go on with an interrupted run.
        json: print JSON.
        overwrite: replace what is there.
        workers: threads; None for one per CPU core.
    """

    source: list[str] | Camera
    output: Path | None
    resume: bool
    overlay: Path | None
    report: Path | None
    json: bool
    overwrite: bool
    workers: int | None

    @property
    def live(self) -> bool:
        """Whether the source is a camera."""
        return not isinstance(self.source, list)

    def check(self) -> None:
        """Refuse, before work is done, what could not be done at its end."""
        if self.resume and self.output is None:
            raise InputError("--resume needs the -o of the run that was interrupted")
        if self.live and self.overlay is not None:
            raise InputError("--overlay reads its pictures again, which a camera cannot give")
        if self.output is not None:
            from openaffect.analysis.table import check_suffix

            check_suffix(self.output)
        if self.report is not None and self.report.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"expected --report to end in .html, but got {self.report}")
        if self.output is not None:
            from openaffect.unfinished import refuse_unfinished

            choices = {"resume": self.resume, "overwrite": self.overwrite}
            # What is made before the table may be there already when a killed run goes on.
            if refuse_unfinished(self.output, **choices) and self.resume:
                return
        for path in (self.output, self.report, self.overlay):
            if path is not None and path.exists() and not self.overwrite and not _is_empty(path):
                raise DestinationExists(path)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def choose_source(sources: Sequence[str] | None, camera: str | None) -> list[str] | Camera:
    """The source that was named; one kind of it and not none."""
    if camera is None:
        if not sources:
            raise InputError("expected a photo, a video, a folder or the like, or --camera 0")
        return list(sources)
    if sources:
        raise InputError(f"expected either sources or --camera, but got both: {', '.join(sources)}")
    from openaffect.analysis.cameras import Camera

    if not camera.isdigit() and "://" not in camera:
        raise InputError(f"expected --camera 0, 1, … or an address, but got '{camera}'")
    return Camera(int(camera) if camera.isdigit() else camera)


def run(task: Task, model: Model, choices: AnalysisChoices) -> None:
    """Analyze, print, and make what was asked for."""
    if task.output is None and task.overlay is None and task.report is None:
        _print_stream(task, model, choices)
        return
    from openaffect.analysis import analyze, analyze_to_file

    def make(analysis: Analysis) -> None:
        _make_extras(analysis, task)

    with console.show_progress("analyzing", _count(task)) as on_progress:
        if task.output is None:
            if task.live:
                raise InputError("--camera with --report needs -o, which keeps the rows")
            analysis = analyze(task.source, model, on_progress=on_progress, **choices)
        else:
            with console.resumable("the same command with --resume goes on from here"):
                analysis = analyze_to_file(
                    task.source,
                    model,
                    task.output,
                    resume=task.resume,
                    overwrite=task.overwrite,
                    before_saving=make,
                    on_progress=on_progress,
                    warn=console.warn,
                    **choices,
                )
    if task.output is not None:
        console.note(f"{counted(len(analysis), 'row')} in {task.output}")
    else:
        _print_rows(task, analysis.rows())
        make(analysis)
    tally = _Tally()
    collections.deque(tally.count(analysis.rows()), maxlen=0)
    tally.check()


class _Tally:
    """How many rows there were, and how many of them are errors."""

    def __init__(self) -> None:
        self._rows = self._errors = 0
        self._first = ""

    def count(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The same rows, counted."""
        for row in rows:
            self._rows += 1
            if row["status"] == "error":
                self._errors += 1
                self._first = self._first or f"{row['source']}: {row['error']}"
            yield row

    def check(self) -> None:
        """Raise an InputError if there is no row but errors."""
        if self._rows and self._errors == self._rows:
            raise InputError(f"nothing could be analyzed; {self._errors:,} failed: {self._first}")


def _make_extras(analysis: Analysis, task: Task) -> None:
    from openaffect.analysis import overlay_folder, write_page

    if task.overlay is not None:
        with console.show_progress("drawing overlays") as on_progress:
            made = overlay_folder(
                analysis,
                task.overlay,
                overwrite=task.overwrite or task.resume,
                workers=task.workers,
                on_progress=on_progress,
            )
        drawn = sum(path is not None for path in made.values())
        console.note(f"{counted(drawn, 'overlay')} in {task.overlay}")
    if task.report is not None:
        write_page(analysis, task.report, overwrite=task.overwrite or task.resume)
        console.note(f"report: {task.report}")


def _count(task: Task) -> int | None:
    """The number of photos, for a bar that somebody sees; None for videos and cameras.

    A resumed run counts what is left, and nobody knows how much that is.
    """
    from openaffect.analysis.sources import count_photos

    return count_photos(task.source) if sys.stderr.isatty() and not task.resume else None


def _print_stream(task: Task, model: Model, choices: AnalysisChoices) -> None:
    """Print rows without keeping them; those of a camera at once."""
    from openaffect.analysis.analyzing import iterate_rows

    if task.live:
        show: Callable[[Row], None] = _print_json_line if task.json else _print_line
        try:
            for row in iterate_rows(task.source, model, **choices):
                show(row)
        except KeyboardInterrupt:
            console.note("stopped")
        return
    tally = _Tally()
    with console.show_progress("analyzing", _count(task)) as on_progress:
        rows = tally.count(iterate_rows(task.source, model, on_progress=on_progress, **choices))
        if task.json:
            _print_json(rows)
        else:
            printed = _Printed(rows)
    if not task.json:
        printed.print()
    tally.check()


def _print_rows(task: Task, rows: Iterator[Row]) -> None:
    if task.json:
        _print_json(rows)
    else:
        _Printed(rows).print()


def _print_json(rows: Iterator[Row]) -> None:
    """One array, row by row."""
    sign = "[\n"
    for row in rows:
        sys.stdout.write(sign + _to_json(row))
        sign = ",\n"
    sys.stdout.write(("[" if sign == "[\n" else "\n") + "]\n")


def _to_json(row: Row) -> str:
    kept = {key: value for key, value in row.items() if key != "landmarks"}
    return console.to_json(kept)


def _print_json_line(row: Row) -> None:
    sys.stdout.write(_to_json(row) + "\n")
    sys.stdout.flush()


def _print_line(row: Row) -> None:
    time_s = "" if row["time_s"] is None else f"{row['time_s']:8.2f} s  "
    if row["status"] != "ok":
        text = row["error"] or row["status"].replace("_", " ")
    else:
        parts = [f"#{row['track_id']}", row["expression"] or "–", *_numbers(row)]
        text = "  ".join(parts)
    console.say(time_s + text)


class _Printed:
    """The rows of photos, and one line per track of videos, as tables."""

    def __init__(self, rows: Iterator[Row]) -> None:
        from openaffect.analysis.summary import TrackAccumulator

        self._photos: list[list[object]] = []
        self._totals = TrackAccumulator()
        self._failed: list[list[object]] = []
        for row in rows:
            if row["status"] == "error":
                self._failed.append([row["source"], row["frame"], row["error"]])
            elif row["frame"] is None:
                self._photos.append(_photo_cells(row))
            else:
                self._totals.add(row)

    def print(self) -> None:
        """Print the tables that have rows."""
        tracks = self._totals.tracks()
        if self._photos or not (tracks or self._failed):
            heads = ["source", "expression", "confidence", "valence", "arousal", "box"]
            console.print_table(heads, self._photos)
        if tracks:
            heads = ["source", "track", "frames", "seconds", "expression", "share"]
            cells = [_track_cells(track) for track in tracks]
            console.print_table([*heads, "valence", "arousal"], cells)
        if any(frame is not None for _, frame, _ in self._failed):
            console.print_table(["source", "frame", "error"], self._failed)
        elif self._failed:
            console.print_table(["source", "error"], [[s, error] for s, _, error in self._failed])


def _photo_cells(row: Row) -> list[object]:
    if row["status"] != "ok":
        return [row["source"], row["status"].replace("_", " "), "", "", "", ""]
    box = " ".join(f"{value:.0f}" for value in row["box"])
    return [row["source"], row["expression"] or "–", *_numbers(row), box]


def _numbers(row: Row) -> list[str]:
    values = (row["confidence"], row.get("valence"), row.get("arousal"))
    return ["" if value is None else f"{value:.2f}" for value in values]


def _track_cells(track: TrackSummary) -> list[object]:
    seconds = "" if track.start_s is None else f"{track.start_s:.2f}–{track.end_s:.2f}"
    share = track.probabilities.get(track.expression) if track.expression else None
    numbers = (share, track.valence, track.arousal)
    return [
        *(track.source, f"#{track.track}", f"{track.frames:,}", seconds, track.expression or "–"),
        *("" if value is None else f"{value:.2f}" for value in numbers),
    ]
