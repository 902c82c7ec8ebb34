"""For all suites here: the fault kit, with the etcd and the coordinators that this repository makes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

pytest_plugins = ["primacy.testing.plugin"]


@pytest.fixture(scope="session")
def etcd_program() -> Callable[[str], Path]:
    def find(version: str) -> Path:
        get = REPOSITORY / "tests" / "tools" / "etcd"
        found = subprocess.run([get, *version.split()], stdout=subprocess.PIPE, text=True, check=True)
        return Path(found.stdout.strip())

    return find


@pytest.fixture(scope="session")
def coordinator_program() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        return Path(name).resolve() if "/" in name else REPOSITORY / "target" / "coordinators" / name

    return find
