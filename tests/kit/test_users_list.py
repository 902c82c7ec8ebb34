"""docs/users.md tells the truth: its tests exist, those of test_users.py are in it, each has its threads."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
USERS = "tests/failover/test_users.py"
ROWS = dict(
    re.findall(
        r"^\| ([A-Z]\d+) \| [^|]+ \| (.+) \|$", (REPOSITORY / "docs/users.md").read_text(), re.MULTILINE
    )
)


def declared_in(file: str) -> dict[str, str]:
    """The tests of a file, with their docstrings."""
    text = (REPOSITORY / file).read_text()
    if not file.endswith(".py"):
        return dict.fromkeys(re.findall(r"^ *(?:func|fn|static void) (\w+)\(", text, re.MULTILINE), "")
    tree = ast.parse(text)
    functions = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {node.name: ast.get_docstring(node) or "" for node in functions if node.name.startswith("test_")}


def test_each_row_has_a_test_that_exists_or_is_open() -> None:
    assert len(ROWS) == 56
    for row, text in ROWS.items():
        named = re.findall(r"`([^`]+)`", text)
        assert "open: " in text or named, row
        for name in named:
            if name.startswith("test_"):
                assert name in declared_in(USERS), f"{row}: {name}"
                assert re.search(rf"_{row.lower()}_", f"_{name}"), f"{row}: {name} is named after another row"
            elif "::" in name:
                file, _, test = name.partition("::")
                assert test in declared_in(file), f"{row}: {name}"
            elif "/" in name:
                assert name.startswith(("tests/go/", "tools/")), f"{row}: {name} is no test"
                assert (REPOSITORY / name).exists(), f"{row}: {name}"


def test_each_test_is_in_a_row_and_names_its_thread() -> None:
    text = " ".join(ROWS.values())
    for name, doc in declared_in(USERS).items():
        assert f"`{name}`" in text, name
        assert re.search(r"#\d+|`|CVE|AURORA", doc), f"{name} names no thread"


def test_what_is_tested_elsewhere_names_its_thread_there_or_in_its_row() -> None:
    for row, text in ROWS.items():
        for name in re.findall(r"`([^`]+/[^`]+)`", text):
            file, _, test = name.partition("::")
            doc = declared_in(file)[test] if test else ""
            assert re.search(r"#\d+", doc + text), f"{row}: neither {name} nor the row names a thread"
