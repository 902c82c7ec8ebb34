"""For all suites here: tests may be coroutines, on one event loop; a real etcd; coordinators as processes."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import uuid
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from harness.changes import Changes
from harness.coordinator import Coordinator
from harness.etcd import start_etcd

REPOSITORY = Path(__file__).resolve().parents[1]
# Which of target/coordinators/ the suites drive.
LANGUAGES = os.environ.get("COORDINATORS", "c").split(",")

T = TypeVar("T")


class Loop:
    """The event loop of all tests: processes outlive the test that started them, so must the loop."""

    def __init__(self) -> None:
        self.asyncio = asyncio.new_event_loop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.asyncio.run_until_complete(coroutine)


@pytest.fixture(scope="session", autouse=True)
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.asyncio.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    loop = pyfuncitem.funcargs["loop"]
    assert isinstance(loop, Loop)
    loop.run(test)
    return True


@pytest.fixture(scope="session")
def etcd(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a real etcd: the one that $ETCD names, else one of our own."""
    if given := os.environ.get("ETCD"):
        yield given
        return
    found = subprocess.run(
        [REPOSITORY / "tests" / "tools" / "etcd"], stdout=subprocess.PIPE, text=True, check=True
    )
    folder = tmp_path_factory.mktemp("etcd")

    async def start() -> tuple[Any, str]:
        return await start_etcd(Path(found.stdout.strip()), folder, Changes())

    process, endpoint = loop.run(start())
    yield endpoint
    loop.run(process.kill())


@pytest.fixture
def root() -> str:
    """A meta root of the test's own."""
    return f"test-{uuid.uuid4().hex[:8]}/meta"


class Launch(Protocol):
    async def __call__(self, *flags: str, etcd: str = ..., roles: tuple[str, ...] = ...) -> Coordinator: ...


@pytest.fixture(params=LANGUAGES)
def launch(
    request: pytest.FixtureRequest, loop: Loop, etcd: str, root: str, tmp_path: Path
) -> Iterator[Launch]:
    """Starts a sample coordinator, in each language in turn; it ends with the test."""
    name = request.param
    program = Path(name) if "/" in name else REPOSITORY / "target" / "coordinators" / name
    running: list[Coordinator] = []

    async def start(*flags: str, etcd: str = etcd, roles: tuple[str, ...] = ("rootcoord",)) -> Coordinator:
        log = tmp_path / f"coordinator-{len(running)}.log"
        ttl = () if "--ttl" in flags else ("--ttl", "5")
        process = await Coordinator.launch(program, etcd, root, roles, log, Changes(), *ttl, *flags)
        running.append(process)
        return process

    yield start
    for process in running:
        loop.run(process.kill())
        print(f"--- {process}, exit code {process.code}", *process.lines, process.log.read_text(), sep="\n")
