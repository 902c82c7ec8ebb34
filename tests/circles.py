#!/usr/bin/env python3
"""Finds circles among the files of a crate or of a package: files that can only be understood together.

    tests/circles.py            the trees of this repository that must have none
    tests/circles.py ROOT...    others: the lib.rs of a crate, or the folder of a Python package

An edge leads from a file to each file whose names it uses, by `use` or by a path in its code; a name that a
module only passes on leads to the file that has it. These do not count: what a `#[cfg(test)]` guards; a
`mod`, or a `use` of a module, by itself; where a file has a part of the `impl` of a type of the module above
it, what it uses of that module's file, since the two are one; in Python, imports for types alone.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# Each with the folder whose files must be in none.
TREES = {
    "src/lib.rs": "src/host",
    "crates/audit/src/lib.rs": "crates/audit/src",
    "crates/engine/src/lib.rs": "crates/engine/src",
    "crates/model/src/lib.rs": "crates/model/src",
    "bindings/c/src/lib.rs": "bindings/c/src",
    "bindings/python/src/lib.rs": "bindings/python/src",
    "python/primacy": "python/primacy",
}

Graph = dict[Path, set[Path]]
Names = tuple[str, ...]

# Rust

# Comments and texts, which may look like code (`'a'` is one, `'a` a lifetime); and who may see an item.
NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|r(\#*)".*?"\1|"(?:\\.|[^"\\])*"|'(?:\\[^\n]{1,9}?|[^\\'\n])'|\bpub\s*\([^)]*\)""",
    re.DOTALL,
)
FOR_TESTS = re.compile(r"#\s*\[\s*cfg\s*\(\s*(?:test|all\s*\(\s*test\b[^\]]*)\s*\)\s*\]")
MODULE = re.compile(r"\bmod\s+(\w+)\s*;")
USE = re.compile(r"\buse\s+([^;]+);")
IMPL = re.compile(r"\bimpl\b\s*(?:<[^{;]*?>\s*)?(?:[^{;]*?\bfor\s+)?(\w+)[^{;]*\{")
PATH = re.compile(r"(?<![\w:])\w+(?:\s*::\s*\w+)+")


@dataclass
class Module:
    """One file of a crate."""

    file: Path
    above: Module | None
    code: str
    below: dict[str, Module] = field(default_factory=dict)
    # What its `use`s bring, by the name that it has here.
    brings: dict[str, Names] = field(default_factory=dict)


def without_tests(code: str) -> str:
    """The code of a file, without what only tests see of it."""
    code = NO_CODE.sub(" ", code)
    while found := FOR_TESTS.search(code):
        depth, end = 0, len(code)
        for at in range(found.end(), len(code)):
            depth += (code[at] in "{([") - (code[at] in "})]")
            # The end of an item with a block, of one without, or of what it is in.
            if depth < 0 or (depth == 0 and code[at] in "};,"):
                end = at + (depth == 0)
                break
        code = code[: found.start()] + code[end:]
    return code


def read(file: Path, folder: Path, above: Module | None = None) -> Module:
    """A module with those below it, whose files are in `folder`."""
    module = Module(file, above, without_tests(file.read_text()))
    for name in MODULE.findall(module.code):
        for at in (folder / f"{name}.rs", folder / name / "mod.rs"):
            if at.exists():
                module.below[name] = read(at, folder / name, module)
    for tree in USE.findall(module.code):
        module.brings |= leaves(" ".join(tree.split()))
    return module


def leaves(tree: str, before: Names = ()) -> dict[str, Names]:
    """The names that a `use` brings, and what they stand for."""
    head, brace, rest = tree.partition("{")
    names = (*before, *(name.strip() for name in head.split("::") if name.strip()))
    if brace:
        found: dict[str, Names] = {}
        depth = start = 0
        inside = rest.rpartition("}")[0] + ","
        for at, letter in enumerate(inside):
            depth += (letter == "{") - (letter == "}")
            if letter == "," and depth == 0:
                found |= leaves(inside[start:at], names) if inside[start:at].strip() else {}
                start = at + 1
        return found
    last, _, alias = names[-1].partition(" as ")
    path = names[:-1] if last == "self" else (*names[:-1], last)
    return {alias or path[-1]: path}


def home(names: Names, here: Module, passed: frozenset[tuple[Path, str]] = frozenset()) -> Module | None:
    """The module that has what is called so in another one; none: a module itself, or another crate's."""
    at = here
    if names[0] == "crate":
        while at.above:
            at = at.above
    elif names[0] == "super" and at.above:
        at = at.above
    elif names[0] != "self" and names[0] not in (*at.below, *at.brings):
        return None
    rest = list(names[names[0] in ("crate", "super", "self") :])
    while rest:
        if rest[0] == "super" and at.above:
            at, rest = at.above, rest[1:]
        elif rest[0] in at.below:
            at, rest = at.below[rest[0]], rest[1:]
        elif rest[0] in at.brings and (at.file, rest[0]) not in passed:
            return home((*at.brings[rest[0]], *rest[1:]), at, passed | {(at.file, rest[0])})
        else:
            return at
    return None


def crate(root: Path) -> Graph:
    def modules(of: Module) -> Iterator[Module]:
        yield of
        for other in of.below.values():
            yield from modules(other)

    graph: Graph = {}
    for module in modules(read(root, root.parent)):
        paths = {tuple(re.split(r"\s*::\s*", path)) for path in PATH.findall(USE.sub(";", module.code))}
        used = {other.file for names in {*module.brings.values(), *paths} if (other := home(names, module))}
        parts = [module.brings[name] for name in IMPL.findall(module.code) if name in module.brings]
        if module.above and any(home(names, module) is module.above for names in parts):
            used.discard(module.above.file)
        graph[module.file] = used - {module.file}
    return graph


# Python


def imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node
    elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        for otherwise in node.orelse:
            yield from imports(otherwise)
    else:
        for below in ast.iter_child_nodes(node):
            yield from imports(below)


def package(folder: Path) -> Graph:
    name_of = {
        path: ".".join(path.with_suffix("").relative_to(folder.parent).parts).removesuffix(".__init__")
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.pyi")])
    }
    file_of = {name: path for path, name in name_of.items()}
    graph: Graph = {}
    for path, name in name_of.items():
        used: set[str] = set()
        for node in imports(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
                continue
            levels = node.level - (path.name == "__init__.py")
            base = name.rsplit(".", levels)[0] if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            below = {f"{module}.{alias.name}" for alias in node.names}
            used |= {other if other in file_of else module for other in below}
        graph[path] = {file_of[other] for other in used if other in file_of} - {path}
    return graph


# Both


def shortest(graph: Graph, start: Path) -> list[Path]:
    """A shortest way from a file back to it; empty: there is none."""
    ways, seen = [[start]], set[Path]()
    for way in ways:
        for other in sorted(graph[way[-1]] - seen):
            if other == start:
                return [*way, start]
            seen.add(other)
            ways.append([*way, other])
    return []


def circles(root: Path, among: Path) -> list[str]:
    """For each file below `among` that is in a circle, one as a text; the same circle once."""
    graph = crate(root) if root.suffix == ".rs" else package(root)
    ways = [shortest(graph, file) for file in sorted(graph) if file.is_relative_to(among)]
    once = {frozenset(way): way for way in reversed(ways) if way}
    base = root.parent if root.suffix == ".rs" else root
    return sorted(" -> ".join(str(file.relative_to(base)) for file in way) for way in once.values())


def main() -> int:
    trees = {name: name.removesuffix("/lib.rs") for name in sys.argv[1:]} or TREES
    found = [
        f"{root}: {circle}"
        for root, among in trees.items()
        for circle in circles(REPOSITORY / root, REPOSITORY / among)
    ]
    print(*found or ["circles: none"], sep="\n")
    return len(found) > 0


if __name__ == "__main__":
    sys.exit(main())
