"""A copy of the repository to break things in, and one mistake at a time in it."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "mutations"


def files(places: Iterable[str]) -> Iterator[str]:
    """The names of all files at or below these places, but for what was built there."""
    for place in places:
        for path in (ROOT / place, *(ROOT / place).rglob("*")):
            name = path.relative_to(ROOT)
            built = "__pycache__" in name.parts or name.suffix == ".so" or name.is_relative_to("go/lib")
            if path.is_file() and not built:
                yield str(name)


def copy(tree: Path, wanted: dict[str, str]) -> None:
    """Makes `tree` hold these files, by the names given, and no other ones.

    Those that are the same keep their time, and are not built again.
    """
    for name, copied in wanted.items():
        source, to = ROOT / name, tree / copied
        if copied == "Cargo.lock" and to.exists():
            continue  # cargo has taken out of it what is not needed
        if not to.exists() or to.read_bytes() != source.read_bytes():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, to)
            shutil.copymode(source, to)
    for folder, folders, files in os.walk(tree):
        if Path(folder) == tree and "target" in folders:
            folders.remove("target")
        for path in (Path(folder, file) for file in files):
            if not path.is_symlink() and str(path.relative_to(tree)) not in wanted.values():
                path.unlink()


def texts(tree: Path, mutation: dict[str, Any]) -> tuple[Path, str, str]:
    """The file, its text, and its text with the mistake in it."""
    path = tree / mutation["file"]
    text = path.read_text()
    if text.count(mutation["old"]) != 1:
        sys.exit(f"{mutation['name']}: its text is there {text.count(mutation['old'])} times in {path}")
    return path, text, text.replace(mutation["old"], mutation["new"])


@contextmanager
def broken(tree: Path, mutation: dict[str, Any]) -> Iterator[None]:
    """Makes the mistake, and mends it again."""
    path, text, mutated = texts(tree, mutation)
    path.write_text(mutated)
    try:
        yield
    finally:
        path.write_text(text)
