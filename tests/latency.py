#!/usr/bin/env python3
"""What an etcd that is far away, or writes slowly, costs: this library beside etcd's clientv3/concurrency.

    tests/latency.py [--hold SECONDS] [--out FILE]

Each row is an etcd of its own, and on it, for either, a primary and a standby: how long the first takes
from its start to primary; whether it stays that while it is held; how long the standby takes once the first
is told to stop. All rows run at once. A link makes the way long, half of the round trip each way; strace
makes each fdatasync of etcd's slow. Ends with an error if this library is later than the other by more than
a tenth and 100 ms, or does not keep primacy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from primacy.testing.changes import Changes
from primacy.testing.etcd import Etcd, Options
from primacy.testing.link import Link

REPOSITORY = Path(__file__).resolve().parents[1]
COORDINATOR = REPOSITORY / "target/coordinators/c"
PEER = REPOSITORY / "target/bench/others"
TTL = 10
# A session is to open within the time of one request, and takes four round trips for that, or five.
OURS = ["--role", "rootcoord", "--address", "127.0.0.1:0", "--set", "etcd.requestTimeout=30000"]
ROUND_TRIPS = (1, 10, 100, 300, 1000, 3000)  # ms
SYNCS = (10, 100, 300, 1000)  # ms


class Candidate:
    """A process, and when it said what."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.began = time.monotonic()
        self.said: dict[str, float] = {}
        self._process = process
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, ours: bool, endpoint: str, ttl: int = TTL) -> Candidate:
        flags = OURS if ours else []
        program: list[str | Path] = [COORDINATOR] if ours else [PEER, "concurrency"]
        args = [*program, "--etcd", endpoint, "--ttl", str(ttl), *flags]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        return cls(await asyncio.create_subprocess_exec(*args, stdout=pipe, stderr=null))

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self.said.setdefault(json.loads(line)["event"], time.monotonic())
            self._changed.set()

    async def heard(self, event: str, within: float) -> float | None:
        """When it said so; None: not in time."""
        end = time.monotonic() + within
        while event not in self.said:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                return None
        return self.said[event]

    def stop(self) -> float:
        self._process.send_signal(signal.SIGTERM)
        return time.monotonic()

    async def kill(self) -> float:
        """Returns when."""
        at = time.monotonic()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._reading.cancel()
        return at


@dataclass
class Seen:
    """Seconds; None: not within a minute."""

    primary: float | None = None
    kept: bool = False
    takeover: float | None = None


@dataclass
class Row:
    name: str
    round_trip: float = 0
    sync: float = 0
    ours: Seen = field(default_factory=Seen)
    theirs: Seen = field(default_factory=Seen)


async def story(endpoint: str, round_trip: float, ours: bool, hold: float) -> Seen:
    seen = Seen()
    links = [await Link.open(endpoint) for _ in range(2)]
    for link in links:
        link.slow(round_trip)
    first = await Candidate.start(ours, links[0].address)
    second = None
    try:
        if (at := await first.heard("primary", 60)) is None:
            return seen
        seen.primary = at - first.began
        second = await Candidate.start(ours, links[1].address)
        await asyncio.sleep(hold)
        seen.kept = "lost" not in first.said and "primary" not in second.said
        asked = first.stop()
        if (at := await second.heard("primary", 60)) is not None:
            seen.takeover = at - asked
        return seen
    finally:
        for candidate in (first, second):
            if candidate:
                await candidate.kill()
        for link in links:
            await link.close()


async def run(row: Row, program: Path, folder: Path, hold: float) -> None:
    for ours in (True, False):
        etcd = await Etcd.launch(program, folder / f"{row.name}-{ours}", Changes(), Options())
        slowed = None
        try:
            if row.sync:
                inject = f"inject=fdatasync:delay_exit={int(row.sync * 1e6)}"
                pid = str(etcd.members[0].process.pid)
                args = [
                    "strace",
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    "trace=fdatasync",
                    "-e",
                    inject,
                    "-p",
                    pid,
                ]
                slowed = await asyncio.create_subprocess_exec(*args)
                await asyncio.sleep(1)
            seen = await story(etcd.endpoint, row.round_trip, ours, hold)
            if ours:
                row.ours = seen
            else:
                row.theirs = seen
        finally:
            if slowed:
                slowed.terminate()
                await slowed.wait()
            await etcd.kill()


def seconds(value: float | None) -> str:
    return "never" if value is None else f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.1f} s"


def is_later(ours: float | None, theirs: float | None) -> bool:
    return theirs is not None and (ours is None or ours > theirs * 1.1 + 0.1)


def table(rows: list[Row], hold: float) -> str:
    lines = [
        f"| | start to primary | `concurrency` | primacy kept, {hold:.0f} s | `concurrency` "
        "| stop to the next one | `concurrency` |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, theirs = row.ours, row.theirs
        kept = [("yes" if seen.kept else "no") for seen in (ours, theirs)]
        cells = [row.name, seconds(ours.primary), seconds(theirs.primary), *kept]
        cells += [seconds(ours.takeover), seconds(theirs.takeover)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hold", type=float, default=120, help="how long primacy is looked at, in seconds")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "target/latency.md")
    flags = parser.parse_args()
    rows = [Row(f"{ms} ms there and back", round_trip=ms / 1e3) for ms in ROUND_TRIPS]
    rows += [Row(f"{ms} ms for each fsync", sync=ms / 1e3) for ms in SYNCS]
    with tempfile.TemporaryDirectory() as folder:
        program = REPOSITORY / "target/tools/etcd"
        await asyncio.gather(*(run(row, program, Path(folder), flags.hold) for row in rows))
    text = table(rows, flags.hold)
    flags.out.write_text(text)
    print(text)
    wrong = [f"{row.name}: primacy was not kept" for row in rows if not row.ours.kept]
    for row in rows:
        if is_later(row.ours.primary, row.theirs.primary):
            wrong.append(f"{row.name}: later to primary than clientv3/concurrency")
        if is_later(row.ours.takeover, row.theirs.takeover):
            wrong.append(f"{row.name}: later after a stop than clientv3/concurrency")
    print("\n".join(wrong))
    return len(wrong)


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main()) else 0)
