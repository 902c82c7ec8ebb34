"""For all suites here: the fault kit, with the etcd and the coordinators that this repository makes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from primacy.testing.plugin import Loop

REPOSITORY = Path(__file__).resolve().parents[1]

pytest_plugins = ["primacy.testing.plugin"]

# A shell that runs the tests in the background leaves these ignored, and so would what they start.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # the report says what was run
def pytest_configure(config: pytest.Config) -> None:
    """What is not said otherwise: this repository's own sample coordinator, and etcd."""
    config.option.primacy_coordinator = (
        config.option.primacy_coordinator or os.environ.get("COORDINATORS") or "c"
    )
    config.option.primacy_etcd = config.option.primacy_etcd or os.environ.get("ETCD", "")


@pytest.fixture(autouse=True)
def coroutines(primacy_loop: Loop) -> None:
    """Any test here may be one."""


@pytest.fixture
def root(primacy_root: str) -> str:
    return primacy_root


@pytest.fixture(scope="session")
def etcd_program() -> Callable[[str], Path]:
    def find(version: str) -> Path:
        get = REPOSITORY / "tools" / "etcd"
        found = subprocess.run([get, *version.split()], stdout=subprocess.PIPE, text=True, check=True)
        return Path(found.stdout.strip())

    return find


@pytest.fixture(scope="session")
def coordinator_program() -> Callable[[str], Path]:
    from primacy.testing.plugin import program_at, wrong  # not before pytest has loaded it as a plugin

    def find(name: str) -> Path:
        if "/" in name:
            return program_at("--primacy-coordinator", name)
        built = REPOSITORY / "target" / "coordinators" / name
        if not built.exists():
            wrong(f"{built} is not there: `make coordinators` makes it")
        return built

    return find


@pytest.fixture(scope="session")
def guard_command() -> Path:
    """The program `primacy`."""
    from primacy.testing.plugin import wrong

    built = REPOSITORY / "target" / "primacy"
    if not built.exists():
        wrong(f"{built} is not there: `make command` makes it")
    return built
