"""How often things are done; of leaders of etcd that are woken, what came of all of it in one line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--wakes", type=int, help="how often each leader that stands still is woken (default: 1)"
    )
    parser.addoption("--kills", type=int, default=5, help="how often a guarded primary is killed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "wake" in metafunc.fixturenames:
        metafunc.parametrize("wake", range(1, 1 + (metafunc.config.getoption("--wakes") or 1)))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--wakes") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Woken(), "woken")


class Woken:
    """Counts what the tests note down of leaders that were woken, in all workers."""

    def __init__(self) -> None:
        self.wakes, self.overlaps, self.refused = 0, 0, 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "woken":
                assert isinstance(value, tuple)
                self.wakes += 1
                self.overlaps += value[0]
                self.refused += value[1]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """Says it last of all. Where nothing had to be refused, nothing was shown."""
        yield
        if not self.refused:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        assert terminal
        terminal.write_line(
            f"stalled leader: {self.wakes} wakes, {self.overlaps} overlaps, "
            f"{self.refused} renewals refused as unconfirmed"
        )
