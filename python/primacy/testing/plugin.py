"""The kit as pytest fixtures. It is there where the package is installed; else `-p primacy.testing.plugin`.

Tests that use them may be coroutines: all run on one event loop, since the processes that they share outlive
each of them. Other tests are left alone.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import shutil
import statistics
import uuid
import zlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, Optional, TypeVar

import pytest
from primacy.testing.changes import Changes
from primacy.testing.etcd import Etcd, Options
from primacy.testing.scene import Scene
from primacy.testing.timeline import Timeline, timeline

T = TypeVar("T")
FAILED = pytest.StashKey[bool]()
TIMELINE = pytest.StashKey[Optional[Timeline]]()
VERSION = re.compile(r"\d+(\.\d+)+")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("primacy")
    group.addoption(
        "--primacy-coordinator",
        metavar="PROGRAM[,...]",
        help="the program that candidates run; several take turns",
    )
    group.addoption(
        "--primacy-etcd",
        metavar="ETCD",
        default="",
        help="the etcd to test with: a program, a version such as 3.5.35, or HOST:PORT of one that runs, for "
        "tests that do it no harm (default: `etcd` in the PATH)",
    )
    group.addoption(
        "--primacy-report", metavar="FILE", help="write what happened in each test as an HTML page"
    )


def pytest_configure(config: pytest.Config) -> None:
    if (file := config.getoption("--primacy-report")) and not hasattr(config, "workerinput"):
        try:
            from primacy.testing.report import Report
        except ModuleNotFoundError as error:
            raise pytest.UsageError(f"--primacy-report: pip install {error.name}") from error
        config.pluginmanager.register(Report(Path(file), config), "primacy-report")


def wrong(text: str) -> NoReturn:
    """What can not be tested is told in one sentence, without where that was found out."""
    pytest.fail(text, pytrace=False)


def program_at(option: str, name: str) -> Path:
    """A program in the PATH, or at a path."""
    found = shutil.which(name) or shutil.which(f"./{name}")
    if found is None:
        wrong(f"{option}={name}: {'not executable' if Path(name).is_file() else 'no such program'}")
    return Path(found).absolute()


def coordinators(config: pytest.Config) -> list[str]:
    """As the option names them."""
    named = config.getoption("--primacy-coordinator")
    if not named:
        wrong("--primacy-coordinator=PROGRAM is missing: what candidates are to run")
    return str(named).split(",")


def in_turn(names: Sequence[str], test: str) -> list[str]:
    """Another one is the first in each test, but always the same in one: the first is mostly the primary."""
    first = zlib.crc32(test.encode()) % len(names)
    return [*names[first:], *names[:first]]


class Loop:
    """The event loop of all tests: processes outlive the test that started them, so must the loop."""

    def __init__(self) -> None:
        self.asyncio = asyncio.new_event_loop()
        asyncio.set_event_loop(self.asyncio)  # before Python 3.10 an Event belongs to the loop it is made in

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.asyncio.run_until_complete(coroutine)


@pytest.fixture(scope="session")
def primacy_loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.asyncio.close()
    asyncio.set_event_loop(None)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    loop = pyfuncitem.funcargs.get("primacy_loop")
    if loop is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
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
    if call.when == "teardown" and (drawn := item.stash.get(TIMELINE, None)):
        report.primacy_timeline = drawn  # travels with the report, also from a worker of xdist's
    if call.when == "call" and (test := getattr(item, "function", None)):
        report.primacy_doc = inspect.getdoc(test) or ""
    return report


@pytest.fixture(scope="session")
def etcd_program() -> Callable[[str], Path]:
    """Where the etcd of a version is; the empty one means the newest. A conftest.py may know better."""

    def find(version: str) -> Path:
        name = f"etcd-{version}" if version else "etcd"
        if found := shutil.which(name):
            return Path(found)
        wrong(f"there is no {name} in the PATH; --primacy-etcd=FILE says where one is")

    return find


@pytest.fixture(scope="session")
def coordinator_program() -> Callable[[str], Path]:
    """Where the coordinator is that the option calls so. A conftest.py may know better."""
    return lambda name: program_at("--primacy-coordinator", name)


class Servers:
    """The etcds that `--primacy-etcd` speaks of."""

    def __init__(self, wanted: str, find: Callable[[str], Path]) -> None:
        self._wanted, self._find = wanted, find
        host, colon, port = wanted.rpartition(":")
        self.running = wanted if colon and host and port.isdigit() and "/" not in port else ""

    def program(self, version: str = "") -> Path:
        """Of that version; the empty one means what the option says, or the newest."""
        if version or not self._wanted:
            return self._find(version)
        if self.running:
            pytest.skip(f"--primacy-etcd={self.running}: this test needs an etcd that it may harm")
        if VERSION.fullmatch(self._wanted):
            return self._find(self._wanted)
        return program_at("--primacy-etcd", self._wanted)


class Shared:
    """An etcd for all tests that do it no harm, from the first that asks to the last."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self._servers, self._folder = servers, folder
        self._etcd: Etcd | None = None

    async def get(self) -> Etcd:
        if not self._etcd:
            if self._servers.running:
                self._etcd = await Etcd.at(self._servers.running)
            else:
                self._etcd = await Etcd.launch(self._servers.program(), self._folder, Changes())
        return self._etcd

    async def kill(self) -> None:
        if self._etcd:
            await self._etcd.kill()


@pytest.fixture(scope="session")
def primacy_servers(pytestconfig: pytest.Config, etcd_program: Callable[[str], Path]) -> Servers:
    return Servers(str(pytestconfig.getoption("--primacy-etcd")), etcd_program)


@pytest.fixture(scope="session")
def primacy_etcd(
    primacy_loop: Loop, primacy_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    made = Shared(primacy_servers, tmp_path_factory.mktemp("shared"))
    yield made
    primacy_loop.run(made.kill())


@pytest.fixture
def primacy_root() -> str:
    """A meta root of the test's own."""
    return f"test-{uuid.uuid4().hex[:8]}/meta"


@pytest.fixture
def scene(
    request: pytest.FixtureRequest,
    primacy_loop: Loop,
    primacy_etcd: Shared,
    primacy_servers: Servers,
    coordinator_program: Callable[[str], Path],
    primacy_root: str,
    tmp_path: Path,
) -> Iterator[Scene]:
    """Ends with the verdict on all that was seen, whatever the test itself looked at."""
    changes = Changes()

    async def launch(version: str, options: Options) -> Etcd:
        return await Etcd.launch(primacy_servers.program(version), tmp_path, changes, options)

    # Without the folders: which there are depends on where pytest is started, and how.
    names = in_turn(coordinators(request.config), request.node.nodeid.rpartition("/")[2])
    request.node.user_properties.append(("coordinators", ", ".join(names)))
    programs = [coordinator_program(name) for name in names]
    made = Scene(primacy_etcd.get, launch, programs, coordinator_program, tmp_path, primacy_root, changes)
    try:
        yield made
        if not request.node.stash.get(FAILED, False):
            try:
                primacy_loop.run(made.judge())
            except BaseException:
                request.node.stash[FAILED] = True
                raise
    finally:
        failed = request.node.stash.get(FAILED, False)
        if failed:
            print(made.report())
        primacy_loop.run(made.close(keep=failed))
        if request.config.getoption("--primacy-report"):
            request.node.stash[TIMELINE] = timeline(made.history, made.ttl)
