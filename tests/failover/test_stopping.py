"""A process that holds nothing ends as soon as it is told to, whatever etcd does."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.changes import now
from primacy.testing.link import Swallow
from primacy.testing.scene import Scene

# Of this the library takes a tenth at most; the rest is a busy machine's, and the end of an interpreter.
WITHIN = 1.0

pytestmark = pytest.mark.short


async def end_at_once(scene: Scene, *candidates: Candidate) -> None:
    """One after the other: together they would measure each other."""
    for candidate in candidates:
        await candidate.process.up()
        begun = now()
        assert not await candidate.stop()
        took = (now() - begun) / 1e9
        scene.act(f"{candidate}, {candidate.program.name}: from SIGTERM to its exit {took * 1e3:.0f} ms")
        assert took < WITHIN


async def test_that_has_not_opened_yet(scene: Scene) -> None:
    swallow = Swallow()
    silent = await scene.link()
    silent.silence()
    opening = [await scene.candidate(etcd=to) for to in (swallow.address, silent.address) for _ in range(3)]
    await asyncio.sleep(1)
    await end_at_once(scene, *opening)
    swallow.close()


async def test_that_stands_by_or_has_lost_its_lease_while_etcd_stands_still(scene: Scene) -> None:
    scene.with_ttl(3)
    etcd = await scene.own_etcd()
    primary, standbys = await scene.primary_and_standbys(5)
    scene.act("etcd is stopped")
    await etcd.pause()
    await end_at_once(scene, *standbys[:3])
    await scene.lost(primary, primary.token or primary.wins[-1]["token"])
    await end_at_once(scene, primary, *standbys[3:])
    etcd.resume()

    def gone() -> bool:
        records = [scene.record_of(candidate) for candidate in scene.candidates]
        return scene.stored("session/rootcoord")[-1].event.deleted and not any(records)

    await scene.until(gone, "an end of what their leases held", 15)
