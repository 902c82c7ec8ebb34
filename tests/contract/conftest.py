"""What the contract's tests start: one sample coordinator in each language in turn, on a shared etcd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from primacy.testing.changes import Changes
from primacy.testing.coordinator import Coordinator
from primacy.testing.plugin import Loop, Shared, coordinators


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "launch" in metafunc.fixturenames:
        metafunc.parametrize("launch", coordinators(metafunc.config), indirect=True)


@pytest.fixture
def etcd(primacy_loop: Loop, primacy_etcd: Shared) -> str:
    """The endpoint of a real etcd."""
    return primacy_loop.run(primacy_etcd.get()).endpoint


class Launch(Protocol):
    async def __call__(self, *flags: str, etcd: str = ..., roles: tuple[str, ...] = ...) -> Coordinator: ...


@pytest.fixture
def launch(
    request: pytest.FixtureRequest,
    primacy_loop: Loop,
    etcd: str,
    root: str,
    tmp_path: Path,
    coordinator_program: Callable[[str], Path],
) -> Iterator[Launch]:
    """Starts a sample coordinator; it ends with the test."""
    program = coordinator_program(request.param)
    running: list[Coordinator] = []

    async def start(*flags: str, etcd: str = etcd, roles: tuple[str, ...] = ("rootcoord",)) -> Coordinator:
        log = tmp_path / f"coordinator-{len(running)}.log"
        ttl = () if "--ttl" in flags else ("--ttl", "5")
        process = await Coordinator.launch(program, etcd, root, roles, log, Changes(), *ttl, *flags)
        running.append(process)
        return process

    yield start
    for process in running:
        primacy_loop.run(process.kill())
        print(f"--- {process}, exit code {process.code}", *process.lines, process.log.read_text(), sep="\n")
