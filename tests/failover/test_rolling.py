"""Everything is restarted, one after the other, while clients write: what an operator does on a Tuesday."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from primacy.testing.changes import now
from primacy.testing.etcd import Etcd
from primacy.testing.process import pick
from primacy.testing.scene import ROLE, Scene

Measured = Callable[[str, Sequence[float]], None]
pytestmark = pytest.mark.timeout(240)
USUAL = 0.25  # seconds between two writes of one that is primary, on a busy machine


@contextlib.asynccontextmanager
async def load(scene: Scene, etcd: Etcd) -> AsyncIterator[None]:
    """Others write to each member as fast as it answers; the candidates write guarded all the time."""

    ended = asyncio.Event()

    async def write(i: int) -> None:
        gateway = etcd.gateway(etcd.members[i])
        while not ended.is_set():  # no cancellation: before Python 3.12 a wait_for may swallow one
            with contextlib.suppress(OSError, ValueError):
                await gateway.put(f"{scene.root}-others/{i}", "x" * 1000)
            await asyncio.sleep(0.005)

    writing = [asyncio.create_task(write(i)) for i in range(len(etcd.members))]
    try:
        yield
    finally:
        ended.set()
        await asyncio.gather(*writing)


def report(scene: Scene, measured: Measured, what: str, since: int) -> list[float]:
    """The gaps between two accepted writes that are longer than usual."""
    every = scene.history.gaps(ROLE, since)
    gaps = [gap for gap in every if gap > USUAL]
    measured(
        f"no guarded write accepted while {what} (gaps above {USUAL * 1000:.0f} ms: {len(gaps)}, "
        f"sum {sum(gaps) * 1000:.0f} ms; longest of all {max(every) * 1000:.0f} ms)",
        [1000 * gap for gap in every],
    )
    return gaps


async def test_all_members_of_etcd_are_restarted_under_load_and_no_primacy_is_lost(
    scene: Scene, measured: Measured
) -> None:
    etcd = await scene.own_etcd(members=3)
    primary, standbys = await scene.primary_and_standbys(2)
    token, since = primary.token, now()
    async with load(scene, etcd):
        leader = await etcd.leader()
        for member in [*(m for m in etcd.members if m is not leader), leader]:
            scene.act(f"{member.name}{', the leader,' if member is leader else ''} is told to stop")
            await member.stop()
            await scene.appended(primary)
            await member.start()
            await etcd.up()
            scene.act(f"{member.name} is back")
            await scene.appended(primary)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")
    await scene.warm(*standbys)
    gaps = report(scene, measured, "all members of etcd were restarted", since)
    assert sum(gaps) < 3 * scene.ttl, "each of them cost less than a lease"


async def test_all_candidates_are_restarted_under_load_and_hand_over_each_time(
    scene: Scene, measured: Measured
) -> None:
    etcd = await scene.own_etcd(members=3)
    primary, standbys = await scene.primary_and_standbys(2)
    since = now()
    async with load(scene, etcd):
        for candidate in [*standbys, primary, *standbys]:
            token = candidate.token
            scene.act(f"{candidate} is told to stop")
            assert not await candidate.stop()
            if token:
                other, _ = await scene.next_primary(
                    token, [c for c in scene.candidates if c is not candidate]
                )
                await scene.ready(other)
            await candidate.start()
            await scene.warm(candidate)
            await scene.appended(await scene.steady())
    gaps = report(scene, measured, "all candidates were restarted", since)
    assert sum(gaps) < scene.ttl, "handed over, not waited for"


async def test_all_candidates_and_all_members_are_restarted_under_load(
    scene: Scene, measured: Measured
) -> None:
    """Both at once, each as soon as the one before is back."""
    etcd = await scene.own_etcd(members=3)
    primary, standbys = await scene.primary_and_standbys(2)
    since = now()

    async def members() -> None:
        for member in etcd.members:
            scene.act(f"{member.name} is told to stop")
            await member.stop()
            await member.start()
            await etcd.up()

    async def candidates() -> None:
        for candidate in [*standbys, primary]:
            scene.act(f"{candidate} is told to stop")
            assert not await candidate.stop(30)
            await candidate.start()
            await scene.steady(60)

    async with load(scene, etcd):
        await asyncio.gather(members(), candidates())
        await scene.appended(await scene.steady())
    report(scene, measured, "all candidates and all members of etcd were restarted", since)
