"""How many small faults in the code do its own tests find? A seeded sample of mutants.

cosmic-ray changes one operator, number, comparison or keyword at a time in a copy of the tree;
the tests of the changed room then run until the first failure. A mutant that no test notices
has survived: it is printed with its change. Stop it and start it again with the same
folder: it goes on where it was.

    python runs/mutants.py FOLDER [--count 200] [--seed 0] [--workers 2]
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkItem, WorkResult

ROOT = Path(__file__).parent.parent
ROOMS = {
    "metrics": "tests/test_metrics*.py tests/test_evaluation.py tests/test_comparison.py",
    "formats": "tests/formats tests/test_every_format.py",
    "faces/crops.py": "tests/test_crops.py",
    "training/imbalance.py": "tests/training/test_imbalance.py tests/training/test_losses.py",
    "curation": "tests/test_curation_*.py",
}
# Types are not evaluated (`from __future__ import annotations`), and decorators are mostly
# @dataclass and @property: such mutants say nothing of the tests.
LEFT_OUT = re.compile(r"BinaryOperator_BitOr_|RemoveDecorator|VariableReplacer|VariableInserter")
SECONDS = 120  # for the tests of a room; what takes longer hangs, and counts as found
_MODES = {True: WorkDB.Mode.open, False: WorkDB.Mode.create}


def sample(path: Path, count: int, seed: int) -> None:
    """Write the mutants that are to be tried."""
    modules = []
    for room in ROOMS:
        place = Path("src/openaffect") / room
        modules += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    with use_db(":memory:") as everything:
        init(modules, everything, {})
        items = [i for i in everything.work_items if not LEFT_OUT.search(_spec(i).operator_name)]
    # Not by job id, which is drawn anew at every start.
    items.sort(
        key=lambda i: (str(_spec(i).module_path), _spec(i).operator_name, _spec(i).occurrence)
    )
    chosen = random.Random(seed).sample(items, min(count, len(items)))
    with use_db(str(path)) as database:
        database.add_work_items(chosen)
    print(f"{len(chosen)} of {len(items):,} mutants, seed {seed}")


def copy_tree(folder: Path) -> None:
    """A copy of what git tracks, to be changed and tested by one worker."""
    if folder.exists():
        shutil.rmtree(folder)
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def begin(trees: list[Path]) -> None:
    """Give each worker process a tree of its own."""
    for tree in trees:
        try:
            (tree / ".taken").mkdir()
        except FileExistsError:
            continue
        os.chdir(tree)
        break
    # The tree comes before the package that is installed.
    os.environ["PYTHONPATH"] = "src"
    logging.disable()


def try_mutant(item: WorkItem) -> WorkResult:
    """Run the tests of its room on one mutant, in this worker's tree."""
    tests = next(
        tests
        for room, tests in ROOMS.items()
        if _spec(item).module_path.is_relative_to(Path("src/openaffect") / room)
    )
    files = " ".join(str(f) for text in tests.split() for f in sorted(Path().glob(text)))
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider {files}"
    return mutate_and_test(item.mutations, command, SECONDS)


def try_unchanged(tree: Path) -> None:
    """Refuse to begin where the tests fail by themselves."""
    files = [
        str(f.relative_to(tree))
        for tests in ROOMS.values()
        for text in tests.split()
        for f in tree.glob(text)
    ]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *sorted(files)]
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"the tests fail without any change:\n{done.stdout[-2000:]}")


def _spec(item: WorkItem) -> MutationSpec:
    return item.mutations[0]


def main() -> None:
    """Try the mutants, then print the share that was found and those that survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    session = options.folder.absolute() / "session.sqlite"
    os.chdir(ROOT)
    if not session.exists():
        sample(session, options.count, options.seed)
    trees = [options.folder.absolute() / f"tree-{n}" for n in range(options.workers)]
    for tree in trees:
        copy_tree(tree)
    try_unchanged(trees[0])
    start = time.monotonic()
    with use_db(str(session), WorkDB.Mode.open) as database:
        pending = list(database.pending_work_items)
        with ProcessPoolExecutor(options.workers, initializer=begin, initargs=(trees,)) as pool:
            running = {pool.submit(try_mutant, item): item for item in pending}
            for done, future in enumerate(as_completed(running), 1):
                result = future.result()
                database.set_result(running[future].job_id, result)
                if done % 10 == 0:
                    print(f"{done} of {len(pending)}", file=sys.stderr, flush=True)
        report(database, time.monotonic() - start)


def report(database: WorkDB, seconds: float) -> None:
    """Print what was found, by room, and each survivor."""
    rooms = {item.job_id: _spec(item) for item in database.work_items}
    results = dict(database.results)
    survivors = [job for job, r in results.items() if r.test_outcome == TestOutcome.SURVIVED]
    for room in ROOMS:
        jobs = [j for j in results if rooms[j].module_path.is_relative_to(f"src/openaffect/{room}")]
        found = sum(job not in survivors for job in jobs)
        print(f"{room:<24} {found:>4} of {len(jobs):>4} found")
    share = 1 - len(survivors) / len(results)
    print(f"all {len(results)} mutants: {share:.0%} found, in {seconds / 60:.0f} minutes")
    for job in survivors:
        changed = [line for line in (results[job].diff or "").splitlines() if line[:1] in "+-"]
        print(f"\nsurvived: {rooms[job].module_path}:{rooms[job].start_pos[0]}")
        print("\n".join(line for line in changed if not line.startswith(("---", "+++"))))


if __name__ == "__main__":
    main()
