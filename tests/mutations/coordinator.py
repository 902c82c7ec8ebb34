#!/usr/bin/env python3
"""Makes a sample coordinator in C on an engine with one mistake of table.toml in it, and prints its path.

    tests/mutations/coordinator.py margin_dropped

For mistakes that real processes and a real etcd are to notice. Works on the copy that host.py works on.
"""

import shutil
import sys
import tomllib
from pathlib import Path

import host
import tree

MADE = Path("target/coordinators/c")


def main() -> int:
    (name,) = sys.argv[1:]
    table = tomllib.loads((tree.ROOT / "tests/mutations/table.toml").read_text())["mutation"]
    mutation = next((m for m in table if m["name"] == name), None)
    if mutation is None:
        sys.exit(f"{name}: table.toml has no such mutation")
    host.copy_tree()
    host.seed(tree.ROOT / "target/demo", tree.TARGET / "demo")
    with tree.broken(mutation):
        done = host.run(["make", str(MADE)])
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    kept = tree.WORK / f"coordinator-{name}"
    shutil.copy(tree.TREE / MADE, kept)
    print(kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
