"""How far work has come, for whoever shows it.

What takes long has the parameter `on_progress`: a function that is called now and then with a
`Progress`. What it raises ends the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work has come.

    Attributes:
        phase: what is being done, in a word or two.
        done: how much of it.
        total: how much there is to do; None where that is unknown.
        name: of this work, where it is one of several.
        title: what to call the phase in words that change; the phase if "".
        note: a remark on how it goes, to be shown beside the bar.
        line: something to print, after the name.
        log: the same, where no bar is seen.
        warning: something that the user should know, such as a class without a face.
        stop_at_next: whether an interruption should wait for the next event, because what is done
            until then is kept.
    """

    phase: str
    done: int = 0
    total: int | None = None
    name: str = ""
    title: str = ""
    note: str = ""
    line: str = ""
    log: str = ""
    warning: str = ""
    stop_at_next: bool = False


OnProgress: TypeAlias = Callable[[Progress], None]


def relabel(on_progress: OnProgress, **fields: Any) -> OnProgress:
    """The same callback for one work of several: its events get `fields`, such as a name."""
    return lambda event: on_progress(replace(event, **fields))
