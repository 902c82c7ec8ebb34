"""A copy of the repository to break things in, and one mistake at a time in it.

It is target/mutations/tree, with a target folder of its own that is kept: little is compiled each time.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "mutations"
TREE = WORK / "tree"
TARGET = TREE / "target"
PLACES = ["Cargo.toml", "Cargo.lock", "Makefile", ".cargo", "benches", "bindings", "command", "crates"]
PLACES += [
    "docs",
    "go",
    "include",
    "python",
    "src",
    "tests",
    "tools",
    *(page.name for page in ROOT.glob("*.md")),
]


def files() -> Iterator[str]:
    """The names of the repository's files, but for what was built among them."""
    for place in PLACES:
        for path in (ROOT / place, *(ROOT / place).rglob("*")):
            name = path.relative_to(ROOT)
            built = "__pycache__" in name.parts or name.suffix == ".so" or name.is_relative_to("go/lib")
            if path.is_file() and not built:
                yield str(name)


def copy() -> None:
    """Makes the tree hold the repository's files, and no other ones.

    Those that are the same keep their time, and are not built again.
    """
    wanted = set(files())
    for name in wanted:
        source, to = ROOT / name, TREE / name
        if not to.exists() or to.read_bytes() != source.read_bytes():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, to)
            shutil.copymode(source, to)
    for folder, folders, names in os.walk(TREE):
        if Path(folder) == TREE and "target" in folders:
            folders.remove("target")
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink() and str(path.relative_to(TREE)) not in wanted:
                path.unlink()


def texts(mutation: dict[str, Any]) -> tuple[Path, str, str]:
    """The file, its text, and its text with the mistake in it."""
    path = TREE / mutation["file"]
    text = path.read_text()
    if text.count(mutation["old"]) != 1:
        sys.exit(f"{mutation['name']}: its text is there {text.count(mutation['old'])} times in {path}")
    return path, text, text.replace(mutation["old"], mutation["new"])


@contextmanager
def broken(mutation: dict[str, Any]) -> Iterator[None]:
    """Makes the mistake, and mends it again."""
    path, text, mutated = texts(mutation)
    path.write_text(mutated)
    try:
        yield
    finally:
        path.write_text(text)
