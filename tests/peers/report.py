"""The run, written down: `target/bench/report.json` for programs, a page with tables for people."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from peers import cases
from peers.bounds import Bound
from peers.cases import STANDBYS
from peers.figures import Figure, Samples
from peers.kinds import ALL

PLOTS = (("handover.svg", "planned handovers"), ("standbys.svg", "by standbys"), ("deaths.svg", "deaths"))
DEATHS = (
    cases.GUARDED,
    cases.GUARDED_LARGE,
    cases.GUARDED_PANIC,
    cases.KILL,
    cases.RESTART,
    cases.PANIC,
    cases.LEADER,
)


@dataclass(frozen=True)
class Run:
    """What it was run on."""

    rounds: int
    load: tuple[float, float]  # of the last minute, at the beginning and at the end
    began: str
    ended: str

    @staticmethod
    def at() -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")


def as_json(run: Run, samples: Samples, bounds: list[Bound]) -> str:
    figures = [
        {"case": case, "who": who, "standbys": standbys, "what": what, **asdict(figure)}
        for (case, who, standbys, what) in samples.taken
        if (figure := samples.figure((case, who, standbys, what)))
    ]
    machine = {"cores": os.cpu_count(), "kernel": platform.release(), "processor": platform.machine()}
    bound = [{**asdict(bound), "met": bound.met} for bound in bounds]
    made = {"run": asdict(run), "machine": machine, "figures": figures, "bounds": bound}
    return json.dumps(made, indent=1) + "\n"


def tables(run: Run, samples: Samples, bounds: list[Bound]) -> str:
    head = (
        f"{run.rounds} rounds, {run.ended[:10]}, {os.cpu_count()} cores, load {run.load[0]:.1f} at the "
        f"beginning and {run.load[1]:.1f} at the end; etcd 3.7.3 on the same machine, one member, and three "
        "where its leader dies. Medians in ms, in brackets the 95 % range of the median (bootstrap) and how "
        "many there were."
    )
    met = "\n".join(f"- {bound}" for bound in bounds)
    return "\n\n".join(
        (
            head,
            "## Planned handovers, one standby\n\n" + _planned(samples),
            "## By standbys: from `lost` to the next one's `primary`\n\n" + _by_standbys(samples),
            "## Deaths: from the signal to the next one's `primary`\n\n" + _deaths(samples),
            "## What must hold\n\n" + met,
        )
    )


def _cell(figure: Figure | None) -> str:
    if not figure:
        return ""
    return f"{_ms(figure.median)} ({_ms(figure.low)} to {_ms(figure.high)}; {figure.n})"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _rows(head: str, rows: list[list[str]]) -> str:
    line = "|" + "---|" * (head.count("|") - 1)
    return "\n".join((head, line, *(f"| {' | '.join(row)} |" for row in rows)))


def _planned(samples: Samples) -> str:
    rows = [
        [f"etcd: {name}", "", _cell(samples.figure(("floors", name, 1, "whole"))), "", ""]
        for name in ("txn", "put to event", "revoke to delete")
    ]
    for kind in ALL:
        whats = [(case, what) for case in (cases.HANDOVER, cases.STOP) for what in ("whole", "gap")]
        rows.append([kind.name, *(_cell(samples.figure((case, kind.name, 1, what))) for case, what in whats)])
    head = "| | handover, from the request | from `lost` | clean stop, from SIGTERM | from `lost` |"
    return _rows(head, rows)


def _by_standbys(samples: Samples) -> str:
    rows = []
    for case in ("floors", cases.HANDOVER, cases.STOP, cases.GUARDED):
        what = "whole" if case in ("floors", cases.GUARDED) else "gap"
        for who in ("put to event",) if case == "floors" else (kind.name for kind in ALL):
            found = [samples.figure((case, who, standbys, what)) for standbys in STANDBYS]
            if any(found[1:]):
                rows.append([f"{case}: {who}", *map(_cell, found)])
    return _rows(f"| | {' | '.join(map(str, STANDBYS))} |", rows)


def _deaths(samples: Samples) -> str:
    rows = []
    for case in DEATHS:
        for kind in ALL:
            if figure := samples.figure((case, kind.name, 1, "whole")):
                rows.append([case, kind.name, _cell(figure), _ms(figure.p99), _ms(figure.most)])
    return _rows("| | | median | p99 | most |", rows)


def page(text: str) -> str:
    """What stands in docs/bench; made anew by each run."""
    plots = "\n\n".join(f"![{name}]({file})" for file, name in PLOTS)
    return (
        "# Beside others, in one run\n\n"
        "`make bench-peers` writes this page, its plots and `target/bench/report.json`; "
        "[how it measures](../../tests/README.md#beside-others).\n\n"
        f"{text}\n\n{plots}\n"
    )


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
