#!/usr/bin/env python3
"""How often a primary outlives the loss of etcd's leader, and how long a standby takes after a crash, by TTL.

    tests/survival.py [--ttl 3,5,10] [--times N] [--crashes N] [--out FILE]

For each TTL an etcd of three members with a primary on it. N times its leader is ended, in turns by SIGKILL
and by SIGSTOP, and comes back once the primary has had one TTL and three seconds to lose its primacy. Then a
standby is started, the primary killed, and the standby followed. All TTLs run at once. Ends with an error if
primacy was lost at TTL 5.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from primacy.testing.changes import Changes
from primacy.testing.etcd import Etcd, Options

from latency import REPOSITORY, Candidate


@dataclass
class Row:
    ttl: int
    survived: int = 0
    times: int = 0
    takeovers: list[float] = field(default_factory=list)

    def line(self) -> str:
        took = "" if not self.takeovers else f"{statistics.median(self.takeovers):.1f} s"
        most = "" if not self.takeovers else f"{max(self.takeovers):.1f} s"
        return f"| {self.ttl} s | {self.survived} of {self.times} | {took} | {most} |"


async def lose_leader(etcd: Etcd, primary: Candidate, row: Row, kill: bool) -> None:
    await etcd.up(60)
    leader = await etcd.leader()
    primary.said.pop("lost", None)
    await (leader.kill() if kill else leader.pause())
    lost = await primary.heard("lost", row.ttl + 3)
    row.times += 1
    row.survived += lost is None
    if kill:
        await leader.start()
    else:
        leader.resume()
    if lost is not None:
        primary.said.pop("primary", None)
        await primary.heard("primary", 60)


async def run(row: Row, program: Path, folder: Path, times: int, crashes: int) -> None:
    etcd = await Etcd.launch(program, folder / str(row.ttl), Changes(), Options(members=3))
    candidates: list[Candidate] = []

    async def start() -> Candidate:
        candidates.append(await Candidate.start(True, etcd.endpoint, row.ttl))
        return candidates[-1]

    try:
        primary = await start()
        await primary.heard("primary", 60)
        for number in range(times):
            await lose_leader(etcd, primary, row, number % 2 == 0)
        for _ in range(crashes):
            standby = await start()
            await standby.heard("warm", 60)
            await asyncio.sleep(1)
            before = await primary.kill()
            if (at := await standby.heard("primary", 3 * row.ttl + 30)) is not None:
                row.takeovers.append(at - before)
            primary = standby
    finally:
        for candidate in candidates:
            await candidate.kill()
        await etcd.kill()


async def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ttl", default="3,5,10,15,30", help="in seconds")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--crashes", type=int, default=5)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "target/survival.md")
    flags = parser.parse_args()
    rows = [Row(int(ttl)) for ttl in flags.ttl.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        program = REPOSITORY / "target/tools/etcd"
        runs = [run(row, program, Path(folder), flags.times, flags.crashes) for row in rows]
        await asyncio.gather(*runs)
    head = "| TTL | outlived the loss of etcd's leader | from a crash to the next primary: median | most |"
    text = "\n".join([head, "|---|---|---|---|", *(row.line() for row in rows)]) + "\n"
    flags.out.write_text(text)
    print(text)
    return sum(row.times - row.survived for row in rows if row.ttl == 5)


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main()) else 0)
