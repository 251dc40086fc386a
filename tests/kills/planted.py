"""A worker with commands that lose something when they are killed."""

from __future__ import annotations

from pathlib import Path

from kills import worker


def fake_main(arguments: list[str]) -> int:
    """Write a file in two steps, as the name of the command says."""
    out, inputs = Path("out"), Path("in")
    match arguments[0]:
        case "whole":
            (out / "part").write_text("ab")
            (out / "part").replace(out / "a")
        case "halves":  # goes on as if what is there were whole
            if not (out / "a").exists():
                (out / "a").write_text("")
                with (out / "a").open("a") as file:
                    file.write("ab")
        case "leftover":  # leaves a temporary file of each killed call
            number = len([*out.iterdir()])
            (out / f"part{number}").write_text("ab")
            (out / f"part{number}").replace(out / "a")
        case "refuses":
            if any(out.iterdir()):
                print("error: there is something")
                return 1
            (out / "a").write_text("ab")
            (out / "b").write_text("ab")
        case "inputs":
            (out / "a").write_text("ab")
            (inputs / "x").write_text(f"{len((inputs / 'x').read_text())}")
            (out / "b").write_text("ab")
    return 0


if __name__ == "__main__":
    vars(worker).update(main=fake_main)
    worker.serve()
