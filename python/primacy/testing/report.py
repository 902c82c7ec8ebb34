"""What a run showed, as one HTML page for people: timelines, faults, takeover times."""

from __future__ import annotations

import datetime
import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, PackageLoader, select_autoescape
from primacy.testing.timeline import Lane, Takeover, Timeline

STATES = {
    "primary": "primary, ready",
    "activating": "primary, not ready yet",
    "suspended": "primary, its renewal is late; a slow link",
    "lost": "was told that it is not any more",
    "warm": "standby, warm",
    "standby": "standby",
    "starting": "starting",
    "paused": "paused",
    "dead": "killed, cut off",
    "held": "holds the lock, as etcd tells",
    "accepted": "guarded writes are accepted",
}
ORDER = {"failed": 0, "passed": 1, "skipped": 2}


@dataclass
class Result:
    """How a test went, as the page shows it."""

    nodeid: str
    line: int = 0  # where it begins, in its file
    outcome: str = "passed"
    why: str = ""  # it failed, or was left out
    where: str = ""  # it failed: the whole text of pytest's
    doc: str = ""
    coordinators: str = ""  # in the order in which they took turns; empty where there was one
    seconds: float = 0.0
    measured: list[str] = field(default_factory=list)
    timeline: Timeline | None = None

    @property
    def file(self) -> str:
        return self.nodeid.partition("::")[0]

    @property
    def title(self) -> str:
        """Its name as a sentence."""
        name, bracket, parameters = self.nodeid.rpartition("::")[2].partition("[")
        words = name.removeprefix("test_").replace("_", " ")
        return words[:1].upper() + words[1:] + (f" [{parameters}" if bracket else "")

    @property
    def anchor(self) -> str:
        return re.sub(r"[^\w-]+", "-", self.nodeid).strip("-")

    @property
    def takeovers(self) -> Sequence[Takeover]:
        return self.timeline["takeovers"] if self.timeline else ()

    @property
    def used(self) -> list[str]:
        """The states that its timeline shows, in the legend's order."""
        lanes: Iterable[Lane] = self.timeline["lanes"] if self.timeline else ()
        there = {bar["state"] for lane in lanes for bar in lane["bars"]}
        return [state for state in STATES if state in there]


@dataclass(frozen=True)
class Row:
    """The takeovers after one kind of fault at one TTL."""

    fault: str
    ttl: int
    times: list[float]  # milliseconds, in order

    @property
    def median(self) -> float:
        return statistics.median(self.times)


class Report:
    """The plugin that collects what the page shows, and writes it at the end."""

    def __init__(self, file: Path, config: pytest.Config) -> None:
        self._file = file
        self._about = f"coordinators: {config.getoption('--primacy-coordinator')}"
        if etcd := config.getoption("--primacy-etcd"):
            self._about += f"; etcd: {etcd}"
        self._begun = datetime.datetime.now().astimezone()
        self._tests: dict[str, Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests.setdefault(report.nodeid, Result(report.nodeid, report.location[1] or 0))
        test.seconds += report.duration
        if report.failed:
            test.outcome = "failed"
            crash = getattr(report.longrepr, "reprcrash", None)
            test.why += f"{crash.message if crash else report.longreprtext}\n"
            test.where += f"{report.longreprtext}\n"
        elif report.skipped and test.outcome == "passed":
            test.outcome = "skipped"
            longrepr = report.longrepr
            test.why = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
        test.doc = getattr(report, "primacy_doc", test.doc)
        test.timeline = getattr(report, "primacy_timeline", test.timeline)
        (test.coordinators,) = [
            str(value)
            for name, value in report.user_properties
            if name == "coordinators" and "," in str(value)
        ] or [test.coordinators]
        test.measured = [str(value) for name, value in report.user_properties if name == "measured"]

    def pytest_sessionfinish(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(page(self._tests.values(), self._begun, self._about), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_line(f"what happened in each test: {self._file}")


def table(tests: Iterable[Result]) -> list[Row]:
    """Takeover times by fault and TTL."""
    times: dict[tuple[str, int], list[float]] = {}
    for test in tests:
        for takeover in test.takeovers:
            times.setdefault((takeover["fault"], takeover["ttl"]), []).append(takeover["ms"])
    return [Row(fault, ttl, sorted(found)) for (fault, ttl), found in sorted(times.items())]


def page(collected: Iterable[Result], begun: datetime.datetime, about: str) -> str:
    """The whole page; nothing in it is fetched from elsewhere."""
    tests = sorted(collected, key=lambda test: (test.file, test.line, test.nodeid))
    environment = Environment(
        loader=PackageLoader("primacy.testing", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, moment=moment, percent=percent)
    files: dict[str, list[Result]] = {}
    for test in tests:
        files.setdefault(test.file, []).append(test)
    rows = table(tests)
    text: str = environment.get_template("report.html").render(
        tests=tests,
        files=files,
        rows=rows,
        scale=Scale(rows),
        count={name: sum(test.outcome == name for test in tests) for name in ORDER},
        worst=sorted(tests, key=lambda test: ORDER[test.outcome]),
        states=STATES,
        begun=begun,
        seconds=(datetime.datetime.now().astimezone() - begun).total_seconds(),
        about=about,
        axis=axis,
        spread=spread,
    )
    return text


class Scale:
    """Where a time lies on the table's axis, in percent: logarithmic, from a power of ten to the next."""

    def __init__(self, rows: Sequence[Row]) -> None:
        every = [max(time, 0.1) for row in rows for time in row.times] or [1.0]
        self._low = math.floor(math.log10(min(every)))
        self._high = max(math.ceil(math.log10(max(every))), self._low + 1)
        self.ticks = [10.0**power for power in range(self._low, self._high + 1)]

    def __call__(self, ms: float) -> float:
        return round(100 * (math.log10(max(ms, 0.1)) - self._low) / (self._high - self._low), 2)


def duration(ms: float) -> str:
    """As people say it."""
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:,.0f} ms" if ms < 1000 else f"{ms / 1000:,.2f} s"


def moment(seconds: float) -> str:
    return f"{seconds:.2f} s"


def percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 3)


def axis(seconds: float) -> list[float]:
    """At most eight moments to write under a timeline."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600):
        if seconds / step <= 7:
            break
    return [i * step for i in range(int(seconds / step) + 1)]


def spread(places: Sequence[float], apart: float = 3.2, rows: int = 4) -> list[int]:
    """In which row each mark goes, so that neighbours do not cover each other; places are percent, rising."""
    ends = [-apart] * rows
    chosen: list[int] = []
    for place in places:
        row = next((i for i, end in enumerate(ends) if place - end >= apart), -1)
        if row < 0:
            row = (chosen[-1] + 1) % rows
        ends[row] = place
        chosen.append(row)
    return chosen
