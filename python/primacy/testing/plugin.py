"""The kit as pytest fixtures. `pytest_plugins = ["primacy.testing.plugin"]` in a conftest.py switches it on.

Tests may be coroutines: all run on one event loop, since the processes that they share outlive each of them.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import statistics
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from primacy.testing.changes import Changes
from primacy.testing.etcd import Etcd, Options
from primacy.testing.scene import Scene

T = TypeVar("T")
FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("primacy")
    group.addoption(
        "--primacy-coordinator",
        default=os.environ.get("COORDINATORS", "c"),
        help="c, go, py, or the path of a coordinator; several, with commas, take turns (default: c)",
    )


def coordinators(config: pytest.Config) -> list[str]:
    """As the option names them."""
    return str(config.getoption("--primacy-coordinator")).split(",")


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


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, Sequence[float]], None]:
    """Reports how long something took each time, in milliseconds, at the end of the run."""

    def report(what: str, times: Sequence[float]) -> None:
        ordered = sorted(times)
        record_property(
            "measured",
            f"{what}: {len(ordered)} times, least {ordered[0]:.1f} ms, "
            f"median {statistics.median(ordered):.1f}, "
            f"9 of 10 within {ordered[int(len(ordered) * 0.9)]:.1f}, most {ordered[-1]:.1f}",
        )

    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "measured"
    ]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def etcd_program() -> Callable[[str], Path]:
    """Where the etcd of a version is; the empty one means the newest. A conftest.py may know better."""

    def find(version: str) -> Path:
        name = f"etcd-{version}" if version else "etcd"
        if found := shutil.which(name):
            return Path(found)
        raise FileNotFoundError(f"there is no {name} in the PATH")

    return find


@pytest.fixture(scope="session")
def coordinator_program() -> Callable[[str], Path]:
    """Where the coordinator is that the option calls so. A conftest.py may know better."""
    return lambda name: Path(name).resolve()


class Shared:
    """An etcd for all tests that do it no harm, from the first that asks to the last."""

    def __init__(self, program: Callable[[str], Path], folder: Path) -> None:
        self._program, self._folder = program, folder
        self._etcd: Etcd | None = None

    async def get(self) -> Etcd:
        if not self._etcd:
            self._etcd = await Etcd.launch(self._program(""), self._folder, Changes())
        return self._etcd

    async def kill(self) -> None:
        if self._etcd:
            await self._etcd.kill()


@pytest.fixture(scope="session")
def shared_etcd(
    loop: Loop, etcd_program: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    made = Shared(etcd_program, tmp_path_factory.mktemp("shared"))
    yield made
    loop.run(made.kill())


@pytest.fixture
def root() -> str:
    """A meta root of the test's own."""
    return f"test-{uuid.uuid4().hex[:8]}/meta"


@pytest.fixture
def scene(
    request: pytest.FixtureRequest,
    loop: Loop,
    shared_etcd: Shared,
    etcd_program: Callable[[str], Path],
    coordinator_program: Callable[[str], Path],
    root: str,
    tmp_path: Path,
) -> Iterator[Scene]:
    """Ends with the verdict on all that was seen, whatever the test itself looked at."""
    changes = Changes()

    async def launch(version: str, options: Options) -> Etcd:
        return await Etcd.launch(etcd_program(version), tmp_path, changes, options)

    programs = [coordinator_program(name) for name in coordinators(request.config)]
    made = Scene(shared_etcd.get, launch, programs, tmp_path, root, changes)
    try:
        yield made
        if not request.node.stash.get(FAILED, False):
            try:
                loop.run(made.judge())
            except BaseException:
                request.node.stash[FAILED] = True
                raise
    finally:
        if request.node.stash.get(FAILED, False):
            print(made.report())
        loop.run(made.close())
