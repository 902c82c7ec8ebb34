#!/usr/bin/env python3
"""Breaks the engine on purpose, one line at a time, and expects transcripts and simulation to notice.

    tests/mutations/run.py                 all of table.toml
    tests/mutations/run.py --sample        the mistakes that everybody fears: those with `feared = true`
    tests/mutations/run.py margin lease    those with one of these words in their name
    tests/mutations/run.py --by=simulation only this catcher tries; with the other it is `--by=transcripts`
    tests/mutations/run.py --seeds=20000   so many seeds of the simulation

Works on a copy of the repository (tree.py), of which engine and model alone are built. A mutation is as
expected if the transcripts that the table names notice it, and the simulation if the table says so; what else
notices it is told as well; of the simulation, the rule that was broken. The last line is
`mutations: N, K caught (T by transcripts only, S by simulation only, B by both), X not as expected`; the exit
code is 0 if X is 0.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import tree
from tree import ROOT, TARGET, TREE

CATCHERS = ("transcripts", "simulation")
SEEDS = 3000
# A mutated engine may go round in circles.
TIMEOUT = 300


def build() -> dict[str, Path] | None:
    """The tests, by name; `None` if the tree does not compile."""
    command = ["cargo", "test", "--quiet", "--no-run", "--message-format=json"]
    command += ["--target-dir", str(TARGET)]
    command += ["--package=primacy-engine", "--package=primacy-model"]
    command += [f"--test={name}" for name in CATCHERS]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True)
    if done.returncode != 0:
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        print(*(m["message"]["rendered"] for m in messages if "message" in m), done.stderr, file=sys.stderr)
        return None
    artifacts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    built = [a for a in artifacts if a.get("executable") and a["target"]["name"] in CATCHERS]
    return {a["target"]["name"]: Path(a["executable"]) for a in built}


def run(catcher: str, program: Path, seeds: str) -> set[str]:
    """What was noticed, by name."""
    environment = os.environ | {"SEEDS": seeds, "STOP": "1"}
    try:
        done = subprocess.run(
            [program], cwd=TREE, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return {"(does not end)"}
    if done.returncode == 0:
        return set()
    if catcher == "simulation":
        found = re.findall(r"^seed \d+: ([^:]*):", done.stdout, re.MULTILINE)
    else:
        found = re.findall(r"^    (\w+)$", done.stdout.split("\nfailures:\n")[-1], re.MULTILINE)
    return set(found) or {"(crashes)"}


def judge(
    mutation: dict[str, Any], catchers: tuple[str, ...], seeds: str
) -> tuple[str, dict[str, set[str]], bool]:
    """Runs one mutation; returns what to say, what has noticed it, and whether that is as the table says."""
    with tree.broken(mutation):
        programs = build()
        if programs is None:
            return "does not compile", {}, False
        noticed = {name: run(name, programs[name], seeds) for name in catchers}
    transcripts, simulation = noticed.get("transcripts", set()), noticed.get("simulation", set())
    missing = set(mutation.get("caught_by", [])) - transcripts
    if transcripts & {"(does not end)", "(crashes)"} or "transcripts" not in catchers:
        missing = set()
    says = f"{len(transcripts):3} transcripts; simulation: {', '.join(sorted(simulation)) or '-'}"
    if missing:
        return f"{says}; NOT NOTICED by {', '.join(sorted(missing))}", noticed, False
    if mutation.get("simulation") and not simulation and "simulation" in catchers:
        return f"{says}; NOT NOTICED by the simulation", noticed, False
    if not transcripts and not simulation:
        return "SURVIVED", noticed, False
    return says, noticed, True


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))
    catchers = (options["by"],) if "by" in options else CATCHERS
    seeds = options.get("seeds", str(SEEDS))
    table = tomllib.loads((ROOT / "tests/mutations/table.toml").read_text())["mutation"]
    chosen = [m for m in table if not words or any(word in m["name"] for word in words)]
    if "sample" in options:
        chosen = [m for m in chosen if m.get("feared")]
    known = {path.stem for path in (ROOT / "tests/transcripts").glob("*.txt")}
    for mutation in table:
        for name in set(mutation.get("caught_by", [])) - known:
            sys.exit(f"{mutation['name']}: there is no transcript {name}")
    tree.copy()
    for mutation in table:
        tree.texts(mutation)
    programs = build()
    if programs is None:
        sys.exit("without a mutation, it does not compile")
    for catcher in catchers:
        if failed := run(catcher, programs[catcher], seeds):
            sys.exit(f"without a mutation, {catcher} fails: {failed}")
    good, by = 0, {(True, False): 0, (False, True): 0, (True, True): 0, (False, False): 0}
    for number, mutation in enumerate(chosen, 1):
        verdict, noticed, as_expected = judge(mutation, catchers, seeds)
        good += as_expected
        if noticed:
            by[bool(noticed.get("transcripts")), bool(noticed.get("simulation"))] += 1
        print(f"{number:3}/{len(chosen)} {mutation['name']:55} {verdict}", flush=True)
    caught = f"{sum(by.values()) - by[False, False]} caught"
    ways = f"{by[True, False]} by transcripts only, {by[False, True]} by simulation only, "
    ways += f"{by[True, True]} by both"
    print(f"mutations: {len(chosen)}, {caught} ({ways}), {len(chosen) - good} not as expected")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
