#!/usr/bin/env python3
"""Breaks what surrounds the engine on purpose, one line at a time, and expects the named test to notice.

    tests/mutations/host.py                 all of host.toml
    tests/mutations/host.py --sample        the mistakes that everybody fears: those with `feared = true`
    tests/mutations/host.py --tree          makes the tree that is tested, and breaks nothing
    tests/mutations/host.py queue python/   those with one of these words in their name or their file

Works on a copy of the repository (tree.py). What the repository's target folder holds of other people's
crates is not built again. Go and Python use the library as it is built there, which `make mutations-host`
does; but for Python's native half, when that is broken. The last line is
`mutations: N, K noticed, X not as expected`; the exit code is 0 if X is 0.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tree
from tree import ROOT, TARGET, TREE

# What the tests need of what is built.
BUILT = (
    "target/tools",
    "target/venv",
    "go/lib",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob("python/primacy/*.so")),
)
# Where the first word of a test's command is run, and as what.
WAYS = {
    "cargo": (".", ["cargo"]),
    "go": ("go", ["go"]),
    "pytest": (
        "python",
        [str(ROOT / "target/venv/bin/python"), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"],
    ),
}
# A mutated program may hang. Compiling may take its time.
TIMEOUT = 1200


def copy_tree() -> None:
    tree.copy()
    link_built()
    seed(ROOT / "target/debug", TARGET / "debug")


def link_built() -> None:
    for name in BUILT:
        link = TREE / name
        if (ROOT / name).exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(ROOT / name)


def seed(built: Path, target: Path) -> None:
    """Links what was built of others: cargo finds it, and does not write to it, as it would to our own."""
    if target.exists() or not built.exists():
        return
    own = {path.name.rpartition("-")[2] for path in (built / ".fingerprint").glob("*primacy*")}
    for part in ("deps", "build", ".fingerprint"):
        for path in (built / part).rglob("*"):
            name = path.relative_to(built)
            hashes = {word.partition(".")[0].rpartition("-")[2] for word in name.parts}
            if path.is_file() and not hashes & own and "primacy" not in path.name:
                to = target / name
                to.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, to)


def run(words: list[str], folder: str = ".", timeout: int | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CARGO_TARGET_DIR": str(TARGET), "PYTHONPATH": str(TREE / "python")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(
            words, cwd=TREE / folder, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, -1, "", f"does not end within {timeout} s")


@contextmanager
def native_half(file: str) -> Iterator[subprocess.CompletedProcess[str]]:
    """The Python package with its native half built here, if that is what is broken."""
    if not file.startswith("bindings/python/"):
        yield run(["true"])
        return
    built = run(["cargo", "build", "--quiet", "--package", "primacy-python"])
    link = TREE / "python/primacy/_primacy.abi3.so"
    link.unlink(missing_ok=True)
    try:
        if built.returncode == 0:
            shutil.copyfile(TARGET / "debug/lib_primacy.so", link)
        yield built
    finally:
        link.unlink(missing_ok=True)
        link_built()


def builds(command: list[str], file: str) -> subprocess.CompletedProcess[str]:
    """Whether what the command tests compiles: a mistake that does not is none."""
    match command[0]:
        case "cargo":
            end = command.index("--") if "--" in command else len(command)
            return run([*command[:end], "--no-run", "--quiet"])
        case "go":
            name = command.index("-run") + 1
            return run([*command[:name], "^$", *command[name + 1 :]], "go")
        case _ if file.endswith(".py"):
            return run([sys.executable, "-c", f"compile(open({file!r}).read(), {file!r}, 'exec')"])
        case _:
            return run(["true"])


def test(command: list[str]) -> subprocess.CompletedProcess[str]:
    folder, words = WAYS[command[0]]
    return run([*words, *command[1:]], folder, TIMEOUT)


def judge(mutation: dict[str, Any]) -> tuple[str, bool]:
    """Makes one mistake; what to say, and whether it was noticed."""
    command = shlex.split(mutation["noticed_by"])
    file = mutation["file"]
    with tree.broken(mutation), native_half(file) as native:
        for built in (native, builds(command, file)):
            if built.returncode != 0:
                return f"DOES NOT COMPILE\n{built.stdout[-2000:]}{built.stderr[-2000:]}", False
        tested = test(command)
    return ("noticed", True) if tested.returncode else ("SURVIVED", False)


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    table = tomllib.loads((ROOT / "tests/mutations/host.toml").read_text())["mutation"]
    chosen = [m for m in table if not words or any(word in m["name"] or word in m["file"] for word in words)]
    if "--sample" in sys.argv:
        chosen = [m for m in chosen if m.get("feared")]
    copy_tree()
    if "--tree" in sys.argv:
        return 0
    for mutation in table:
        tree.texts(mutation)
    for command in dict.fromkeys(m["noticed_by"] for m in chosen):
        split = shlex.split(command)
        for done in (builds(split, ""), test(split)):
            if done.returncode != 0:
                said = f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
                sys.exit(f"without a mistake, this fails: {command}\n{said}")
    good = 0
    for number, mutation in enumerate(chosen, 1):
        verdict, noticed = judge(mutation)
        good += noticed
        print(f"{number:3}/{len(chosen)} {mutation['name']:50} {verdict}", flush=True)
    print(f"mutations: {len(chosen)}, {good} noticed, {len(chosen) - good} not as expected")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
