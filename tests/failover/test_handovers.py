"""How fast the lock changes hands on a real etcd. Each bound is ten times what holds in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from primacy.testing.changes import now
from primacy.testing.process import pick
from primacy.testing.scene import Scene

Measured = Callable[[str, Sequence[float]], None]


@contextlib.asynccontextmanager
async def others_write(scene: Scene) -> AsyncIterator[None]:
    """Revisions pass all the time, by writers that the election knows nothing of."""
    gateway, ended = await scene.gateway(), asyncio.Event()

    async def write() -> None:
        i = 0
        while not ended.is_set():  # no cancellation: before Python 3.12 a wait_for may swallow one
            i += 1
            await gateway.put(f"{scene.root}/others/{i % 10}", str(i))

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        ended.set()
        await writing


@pytest.mark.short
async def test_50_handovers_to_a_watch_just_opened_while_others_write_wait_for_no_100_ms_round(
    scene: Scene, measured: Measured
) -> None:
    """etcd serves a watch that starts in the past in rounds of 100 ms: ours start from now on.

    In each round one candidate is new: its watch was confirmed a moment before its `standby` line, and with
    that the primary resigns. The way back, to a standby whose watch is old, tells how fast this machine is
    now. A watch that waits for the next round makes the first way slower by up to 100 ms, 40 in the middle.
    """
    old = await scene.candidate("--warm-after", "0", writes=False)
    token = (await scene.ready(old))["token"]
    new = await scene.candidate("--warm-after", "0", writes=False)
    at_once, to_new_watch, to_old_watch = [], [], []
    async with old.process.connection() as of_old, others_write(scene):
        for _ in range(50):
            standby = await new.process.line("standby")
            asked = now()
            await of_old.ask("resign rootcoord")
            _, won = await scene.next_primary(token, [new], 10)
            at_once.append((asked - standby["t"]) / 1e6 < 20)
            to_new_watch.append((won["t"] - asked) / 1e6)
            await scene.ready(new)
            await scene.warm(old)
            asked = now()
            await new.process.ask("resign rootcoord")
            _, won = await scene.next_primary(won["token"], [old], 10)
            to_old_watch.append((won["t"] - asked) / 1e6)
            token = won["token"]
            assert not await new.stop()
            await new.start()
    measured("a handover to a watch just opened", to_new_watch)
    measured("a handover to a watch of long ago", to_old_watch)
    to_new_watch = [took for took, soon in zip(to_new_watch, at_once, strict=True) if soon]
    assert len(to_new_watch) >= 10, "else most rounds were over before the primary resigned"
    slower = statistics.median(to_new_watch) - statistics.median(to_old_watch)
    assert slower < 25, "half of what waiting for the round costs in the middle"


async def test_a_warm_standby_is_primary_soon_after_the_primary_is_told_to_stop(
    scene: Scene, measured: Measured
) -> None:
    scene.with_ttl(10)
    took = []
    for _ in range(3):
        await scene.candidate()
    for _ in range(12):
        primary = await scene.steady()
        token = primary.token
        asked = scene.act(f"{primary} is told to stop")
        stopping = asyncio.create_task(primary.stop())
        _, won = await scene.next_primary(token, [c for c in scene.candidates if c is not primary])
        took.append((won["t"] - asked) / 1e6)
        assert not await stopping
        await primary.start()
    measured("takeover after a stop", took)
    assert sorted(took)[6] < 200


async def test_a_warm_standby_is_primary_a_ttl_and_half_a_second_after_the_primary_died(
    scene: Scene, measured: Measured
) -> None:
    scene.with_ttl(2)
    took = []
    for _ in range(3):
        await scene.candidate()
    for _ in range(12):
        primary = await scene.steady()
        token = primary.token
        asked = scene.act(f"{primary} is killed")
        await primary.crash()
        _, won = await scene.next_primary(token, [c for c in scene.candidates if c is not primary])
        took.append((won["t"] - asked) / 1e6)
        await primary.start()
        await scene.warm(primary)
    measured("takeover after a kill at TTL 2", took)
    assert max(took) < 2500 + 500
    assert not [c for c in scene.candidates if pick(c.process.lines, "lost")]
