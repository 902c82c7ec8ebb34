#!/usr/bin/env python3
"""Breaks the engine on purpose, one line at a time, and expects the transcripts to notice.

    tests/mutations/run.py                 all of table.toml; nightly, or by hand
    tests/mutations/run.py margin lease    those with one of these words in their name

Works on a copy of the tree under target/mutations, with a target folder of its own that is kept, so that only
the mutated crate is compiled each time. The last line is `mutations: N, K caught, S survived`; the exit code
is 0 if all of them were caught by the transcripts that the table names.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "mutations"
TREE = WORK / "tree"
# What looks for a mutation, in this order; the first that fails has caught it.
CATCHERS = {
    "transcripts": ["cargo", "test", "--quiet", "--no-default-features", "--test", "transcripts"],
}
# A mutated engine may go round in circles.
TIMEOUT = 600


def copy_tree() -> None:
    """Copies what git knows of; files that are the same keep their time, and are not built again."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    wanted = {name for name in names if name and (ROOT / name).is_file()}
    for name in wanted:
        source, copy = ROOT / name, TREE / name
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    for copy in [path for path in TREE.rglob("*") if path.is_file()]:
        if str(copy.relative_to(TREE)) not in wanted:
            copy.unlink()


def run(catcher: str) -> set[str] | None:
    """What failed, by name; `None` if it did not get as far as that."""
    command = CATCHERS[catcher] + ["--target-dir", str(WORK / "target")]
    try:
        done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return {"(does not end)"}
    if done.returncode == 0:
        return set()
    if "could not compile" in done.stderr:
        print(done.stderr, file=sys.stderr)
        return None
    failures = done.stdout.split("\nfailures:\n")[-1]
    return set(re.findall(r"^    (\w+)$", failures, re.MULTILINE)) or {"(crashes)"}


def mutate(mutation: dict[str, Any]) -> tuple[Path, str, str]:
    """The file and its text with the mutation in it."""
    path = TREE / mutation["file"]
    text = path.read_text()
    if text.count(mutation["old"]) != 1:
        sys.exit(f"{mutation['name']}: its text is there {text.count(mutation['old'])} times in {path}")
    return path, text, text.replace(mutation["old"], mutation["new"])


def judge(mutation: dict[str, Any]) -> tuple[str, bool]:
    """Runs one mutation; returns whether it is as the table says."""
    path, text, mutated = mutate(mutation)
    path.write_text(mutated)
    try:
        for catcher in CATCHERS:
            failed = run(catcher)
            if failed is None:
                return "does not compile", False
            if failed:
                missing = set(mutation.get("caught_by", [])) - failed
                if missing and "(does not end)" not in failed and "(crashes)" not in failed:
                    return f"caught by {catcher}, but not by {', '.join(sorted(missing))}", False
                return f"caught by {len(failed)} of {catcher}", True
        return "SURVIVED", False
    finally:
        path.write_text(text)


def main() -> int:
    words = sys.argv[1:]
    table = tomllib.loads((ROOT / "tests/mutations/table.toml").read_text())["mutation"]
    chosen = [m for m in table if not words or any(word in m["name"] for word in words)]
    known = {path.stem for path in (ROOT / "tests/transcripts").glob("*.txt")}
    for mutation in table:
        for name in set(mutation["caught_by"]) - known:
            sys.exit(f"{mutation['name']}: there is no transcript {name}")
    copy_tree()
    for mutation in table:
        mutate(mutation)
    for catcher in CATCHERS:
        if (failed := run(catcher)) != set():
            sys.exit(f"without a mutation, {catcher} fails: {failed}")
    good = 0
    for number, mutation in enumerate(chosen, 1):
        verdict, as_expected = judge(mutation)
        good += as_expected
        print(f"{number:3}/{len(chosen)} {mutation['name']:55} {verdict}", flush=True)
    print(f"mutations: {len(chosen)}, {good} caught, {len(chosen) - good} survived")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
