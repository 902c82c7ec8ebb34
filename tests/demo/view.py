"""What a person sees: lines as things happen, a live table below them on a terminal, a summary at the end."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from primacy.testing.changes import now

from demo.story import Case, Failover, Story, ms

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

STYLES = {
    "primary": "bold green",
    "ready": "bold green",
    "resumed": "bold green",
    "suspended": "yellow",
    "lost": "yellow",
    "warm": "cyan",
    "standby": "dim cyan",
    "warmup": "dim cyan",
    "paused": "bold yellow",
    "down": "bold red",
    "stopped": "dim",
    "starting": "dim",
}
NAMES = {"ready": "primary", "resumed": "primary", "warmup": "standby", "warm": "warm standby"}


class View:
    """Plain lines, and the table where stdout is a terminal."""

    def __init__(self) -> None:
        self._start = now()
        self._live: Live | None = None
        self._stories: Sequence[Story] = ()

    def event(self, role: str, text: str) -> None:
        line = f"{(now() - self._start) / 1e9:7.2f} s  {role:<10}  {text}"
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)

    def show(self, stories: Sequence[Story]) -> None:
        """Begins the live table. Without a terminal, or without `rich`, there is none."""
        self._stories = stories
        if not sys.stdout.isatty():
            return
        try:
            from rich.live import Live
        except ImportError:
            return
        self._live = Live(self._table(), auto_refresh=False)  # its own thread would read what we change
        self._live.start()
        self._drawing = asyncio.create_task(self._draw(self._live))

    async def _draw(self, live: Live) -> None:
        while True:
            live.update(self._table(), refresh=True)
            await asyncio.sleep(0.1)

    def close(self) -> None:
        if self._live:
            self._drawing.cancel()
            self._live.update(self._table(), refresh=True)
            self._live.stop()
            self._live = None

    def _table(self) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("role", min_width=10)
        for number in range(1, 1 + max(len(story.candidates) for story in self._stories)):
            table.add_column(f"candidate {number}", min_width=14)
        table.add_column("its primary is", min_width=28)
        table.add_column("takeovers, ms", min_width=17)
        table.add_column("calls answered", justify="right")
        for story in self._stories:
            cells = []
            for candidate in story.candidates:
                state, token = candidate.state, candidate.token
                name = NAMES.get(state, state)
                cells.append(Text(f"{name} {token}" if token else name, STYLES.get(state, "")))
            took = "  ".join(f"{failover.takeover / 1e6:,.0f}" for failover in story.failovers)
            calls = len(story.client.acknowledged) if story.client else 0
            table.add_row(story.role, *cells, story.phase, took, f"{calls:,}")
        return table


def summary(failovers: Sequence[Failover]) -> str:
    """A table of the cases: median, and least to most where there is more than one."""
    rows: list[tuple[str, ...]] = [
        ("the primary is", "failovers", "takeover", "gap seen by client", "back as standby in")
    ]
    for case in Case:
        of = [failover for failover in failovers if failover.case is case]
        times = ([f.takeover for f in of], [f.gap for f in of], [f.back for f in of])
        rows.append((case.value, str(len(of)), *(_spread(values) for values in times)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _spread(values: Sequence[int]) -> str:
    if not values:
        return "-"
    middle = ms(int(statistics.median(values)))
    return middle if len(values) == 1 else f"{middle} ({min(values) / 1e6:,.0f} to {max(values) / 1e6:,.0f})"
