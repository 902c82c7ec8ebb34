"""A standby always takes over, whatever happened to it while nobody looked."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.process import pick
from primacy.testing.scene import Scene


async def takes_over(scene: Scene, primary: Candidate, standby: Candidate, bound: float = 0) -> None:
    token = primary.token
    scene.act(f"{primary} is killed")
    await primary.crash()
    _, won = await scene.next_primary(token, [standby], bound or scene.ttl + 2)
    await scene.ready(standby)
    await scene.appended(standby)
    assert len(pick(standby.process.lines, "primary")) == 1 and won["token"] > token


@pytest.mark.short
async def test_one_whose_lease_was_revoked_gets_a_new_one_and_takes_over(scene: Scene) -> None:
    primary, (standby,) = await scene.primary_and_standbys()
    old = scene.lease_of(standby)
    scene.act("the standby's lease is revoked")
    await (await scene.gateway()).revoke(old)
    await scene.until(lambda: scene.lease_of(standby) not in (0, old), "its record under a new lease")
    await takes_over(scene, primary, standby)


async def test_one_whose_lease_was_revoked_as_the_primary_died_takes_over(scene: Scene) -> None:
    primary, (standby,) = await scene.primary_and_standbys()
    token = primary.token
    scene.act("the primary is killed, the standby's lease revoked")
    await primary.crash()
    await (await scene.gateway()).revoke(scene.lease_of(standby))
    await scene.next_primary(token, [standby], scene.ttl + 2)
    await scene.ready(standby)


@pytest.mark.short
async def test_one_whose_watched_revision_is_compacted_takes_over(scene: Scene) -> None:
    primary, (standby,) = await scene.primary_and_standbys()
    gateway = await scene.gateway()
    for i in range(5):
        await gateway.put(f"{scene.root}/other", str(i))
        await gateway.compact(await gateway.revision())
    scene.act("all revisions are compacted")
    await takes_over(scene, primary, standby)


@pytest.mark.short
async def test_one_cut_off_while_the_lock_is_freed_and_its_deletion_compacted_takes_over(
    scene: Scene,
) -> None:
    etcd = await scene.etcd()
    primary = await scene.candidate()
    await scene.ready(primary)
    link = await scene.link()
    standby = await scene.candidate(etcd=link.address)
    await scene.warm(standby)
    token = primary.token
    scene.act("the standby's link breaks, the primary ends, the deletion of its lock is compacted")
    link.break_()
    await primary.stop()
    for gateway in [etcd.gateway()]:
        await gateway.put(f"{scene.root}/other", "")
        await gateway.compact(await gateway.revision())
    link.heal()
    await scene.next_primary(token, [standby], scene.ttl + 3)
    await scene.ready(standby)


@pytest.mark.short
async def test_one_paused_over_a_compaction_and_past_its_ttl_takes_over(scene: Scene) -> None:
    scene.with_ttl(3)
    primary, (standby,) = await scene.primary_and_standbys()
    token, gateway = primary.token, await scene.gateway()
    scene.act("the standby is paused")
    await standby.pause()
    await scene.until(lambda: scene.lease_of(standby) == 0, "the end of the standby's lease")
    scene.act("the primary is killed")
    await primary.crash()
    await scene.until(lambda: scene.stored("session/rootcoord")[-1].event.deleted, "the end of the lock")
    await gateway.put(f"{scene.root}/other", "")
    await gateway.compact(await gateway.revision())
    resumed = scene.act("the standby goes on")
    standby.resume()
    _, won = await scene.next_primary(token, [standby], 5)
    await scene.ready(standby)
    assert won["t"] > resumed


async def test_those_whose_link_is_broken_again_and_again_take_over(scene: Scene) -> None:
    primary = await scene.candidate()
    await scene.ready(primary)
    link = await scene.link()
    standby = await scene.candidate(etcd=link.address)
    await scene.warm(standby)
    for _ in range(30):
        link.reset()
        await asyncio.sleep(0.1)
    await takes_over(scene, primary, standby)


@pytest.mark.short
async def test_one_whose_connections_broke_hears_of_the_next_change_at_once(scene: Scene) -> None:
    scene.with_ttl(30)  # so that it is not the re-read that finds out
    primary = await scene.candidate()
    await scene.ready(primary)
    link = await scene.link()
    standby = await scene.candidate(etcd=link.address)
    await scene.warm(standby)
    before = link.accepted
    scene.act("the standby's connections are reset")
    link.reset()
    await scene.until(lambda: link.accepted > before, "a new connection")
    await asyncio.sleep(2)  # and a watch on it
    scene.act("the primary resigns")
    await primary.process.ask("resign rootcoord")
    await scene.next_primary(primary.token, [standby], bound=2)
