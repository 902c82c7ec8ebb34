"""Options, the run, what it writes, the exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from peers import bounds, plots, report
from peers.cases import Bench
from peers.kinds import TARGET


async def main() -> int:
    parser = argparse.ArgumentParser(prog="peers")
    parser.add_argument(
        "--rounds", type=int, default=100, help="handovers of each kind; of the rest, in proportion"
    )
    parser.add_argument("--report", type=Path, default=TARGET / "bench/report.json")
    parser.add_argument("--docs", type=Path, default=TARGET.parent / "docs/bench")
    flags = parser.parse_args()
    began, load = report.Run.at(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="primacy-peers-") as folder:
        bench = Bench(Path(folder), flags.rounds)
        await bench.run()
    run = report.Run(flags.rounds, (load, os.getloadavg()[0]), began, report.Run.at())
    judged = bounds.all_of(bench.samples)
    text = report.tables(run, bench.samples, judged)
    report.write(flags.report, report.as_json(run, bench.samples, judged))
    report.write(flags.docs / "README.md", report.page(text))
    plots.draw(bench.samples, flags.docs)
    print(f"\n{text}")
    return sum(not bound.met for bound in judged)


sys.exit(1 if asyncio.run(main()) else 0)
