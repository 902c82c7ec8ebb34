"""The check for circles of imports finds those that are there, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

import circles


def found(folder: Path, root: str, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return circles.circles(folder / root, folder)


LIB = {"lib.rs": "mod a; mod b; mod c;", "c.rs": "pub struct C;"}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("use crate::b::B;", "use crate::{c::C, a::{self, A}};"),
        ("fn a() { super::b::f() }", "fn f(_: crate::a::A) {}"),
        ("use crate::b as z; fn a() { z::f() }", "use super::a::*;"),
    ],
)
def test_files_of_a_crate_that_use_each_other_are_a_circle(tmp_path: Path, a: str, b: str) -> None:
    assert found(tmp_path, "lib.rs", {**LIB, "a.rs": a, "b.rs": b}) == ["a.rs -> b.rs -> a.rs"]
    assert found(tmp_path, "lib.rs", {**LIB, "a.rs": a, "b.rs": "use crate::c::C;"}) == []


def test_a_name_that_is_passed_on_leads_to_the_file_that_has_it(tmp_path: Path) -> None:
    files = {
        "lib.rs": "mod a; mod m; pub use m::{One, Two as Three};",
        "m/mod.rs": "mod one; mod two; pub use one::One; pub use two::Two;",
        "m/one.rs": "use crate::a::A;",
        "m/two.rs": "",
    }
    assert found(tmp_path, "lib.rs", {**files, "a.rs": "use crate::One;"}) == ["a.rs -> m/one.rs -> a.rs"]
    assert found(tmp_path, "lib.rs", {**files, "a.rs": "use crate::Three;"}) == []


def test_a_name_that_leads_to_itself_is_another_crates(tmp_path: Path) -> None:
    files = {"lib.rs": "mod a; pub use log::log;", "a.rs": "use crate::log; fn f() { log::log() }"}
    assert found(tmp_path, "lib.rs", files) == []


MOD = {"lib.rs": "mod m;", "m/mod.rs": "mod part; use part::Part; pub struct M; struct Other;"}


def test_a_part_of_an_impl_is_one_with_its_type(tmp_path: Path) -> None:
    assert found(tmp_path, "lib.rs", {**MOD, "m/part.rs": "use super::M; impl<'a> M { }"}) == []
    assert found(tmp_path, "lib.rs", {**MOD, "m/part.rs": "use super::Other; impl Part { }"}) == [
        "m/mod.rs -> m/part.rs -> m/mod.rs"
    ]


@pytest.mark.parametrize(
    "part",
    [
        "#[cfg(test)] mod tests { use super::super::M; fn f() { crate::m::M {}; } }",
        '#[cfg(all(test, feature = "x"))]\nuse super::{M};',
        "struct S { #[cfg(test)] m: super::M, n: u8 }",
        '// use super::M;\n/* super::M */ const T: &str = "super::M"; const Q: char = \'"\';',
        "pub(in super::m) fn f<'a>(_: &'a u8) {}",
    ],
)
def test_what_only_tests_see_and_what_is_no_code_does_not_count(tmp_path: Path, part: str) -> None:
    assert found(tmp_path, "lib.rs", {**MOD, "m/part.rs": part}) == []
    assert found(tmp_path, "lib.rs", {**MOD, "m/part.rs": f"{part} fn f(_: super::M) {{}}"}) != []


@pytest.mark.parametrize(
    "b", ["import p.a", "from p.a import A", "from . import a", "def f():\n    from .a import A"]
)
def test_modules_of_a_package_that_import_each_other_are_a_circle(tmp_path: Path, b: str) -> None:
    files = {"p/__init__.py": "from p.a import A", "p/c.py": "", "p/a.py": "from p.b import B"}
    assert found(tmp_path, "p", {**files, "p/b.py": b}) == ["a.py -> b.py -> a.py"]
    assert found(tmp_path, "p", {**files, "p/b.py": "from p import c"}) == []
    for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import A"
    assert found(tmp_path, "p", {**files, "p/b.py": for_types}) == []
