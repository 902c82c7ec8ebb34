"""Processes end as they should, in the kit's own book."""

from __future__ import annotations

from pathlib import Path

from primacy.testing.changes import Changes
from primacy.testing.process import Process


async def test_one_that_was_killed_counts_as_ended_at_once(tmp_path: Path) -> None:
    for _ in range(20):
        process = await Process.start(["sleep", "60"], tmp_path / "log", Changes())
        await process.kill()
        assert process.code == -9
