"""The command line: parse, call, print."""

from __future__ import annotations

import inspect
import io
import os
import sys

from typer.exceptions import TyperException
from typer.models import CommandInfo

from openaffect import console

# Each of these files adds its commands to the application, and is a panel of its help.
from openaffect.cli import use, data, models, collect, database, publish, replicate  # isort: skip
from openaffect.cli.options import app
from openaffect.errors import OpenAffectError

__all__ = [
    "app",
    "collect",
    "command_names",
    "data",
    "database",
    "main",
    "models",
    "publish",
    "replicate",
    "use",
]

_PANELS = {
    "use": "Use",
    "data": "Data",
    "models": "Models",
    "collect": "Build a database",
    "database": "Build a database",
    "publish": "Build a database",
    "replicate": "Replicate",
}


def _list_commands() -> dict[str, CommandInfo]:
    """Every command by its whole name, such as `replicate affectnet2017`."""
    found: dict[str, CommandInfo] = {}
    for group in (None, *app.registered_groups):
        owner, prefix = (app, "") if group is None else (group.typer_instance, f"{group.name} ")
        for info in owner.registered_commands if owner else ():
            found[prefix + (info.name or str(getattr(info.callback, "__name__", "")))] = info
    return found


for _command in _list_commands().values():
    _command.rich_help_panel = _PANELS[_command.callback.__module__.rpartition(".")[2]]
    # The first paragraph, whole: the parser would cut it to one line.
    _command.short_help = (
        (inspect.getdoc(_command.callback) or "").partition("\n\n")[0].replace("\n", " ")
    )


def command_names() -> list[str]:
    """The whole names of all commands, sorted."""
    return sorted(_list_commands())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status: 0 done, 1 a user's error, 2 wrong usage."""
    try:
        status = app(args=arguments, prog_name="openaffect", standalone_mode=False)
        if status == console.INTERRUPTED:  # what typer makes of Ctrl-C
            console.warn("interrupted")
        return status if isinstance(status, int) else 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except TyperException as error:  # wrong usage
        text = io.StringIO()
        error.show(text)  # type: ignore[attr-defined]  # every one that the parser raises has it
        console.fail_usage(text.getvalue())
        return error.exit_code
    except BrokenPipeError:
        # The reader of a pipe has gone; nothing more can be printed, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OpenAffectError as error:
        console.fail(str(error))
        return 1
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        console.fail(f"{error.strerror or error}{place}")
        return 1
    return 0
