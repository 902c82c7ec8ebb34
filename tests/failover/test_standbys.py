"""A standby always takes over, whatever happened to it while nobody looked."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.gateway import KeyValue
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
    """L1: milvus-io/milvus#30100, #28834, #44111, #44112: "requested lease not found", for ever."""
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


async def fall_behind(scene: Scene, record: KeyValue) -> None:
    """Changes a standby's own record until etcd holds no more for the client that watches it.

    The first fill what the client's HTTP/2 takes unread, and the rest etcd's queue of 128. What happens to
    its watches after that etcd has to read from its history once the client listens again.
    """
    gateway = (await scene.etcd()).gateway()
    long = json.dumps({**json.loads(record.value), "Padding": "x" * 1_000_000})
    for _ in range(4):
        await gateway.put(record.key, long, record.lease)
    for _ in range(20):
        await asyncio.gather(*(gateway.put(record.key, record.value, record.lease) for _ in range(10)))


async def compact(scene: Scene) -> bytes:
    """All that there was. Returns what etcd says to end a watch that needs it, as it is sent."""
    gateway = await scene.gateway()
    revision = await gateway.put(f"{scene.root}/other", "")
    await gateway.compact(revision)
    scene.act(f"all is compacted, at {revision}")
    return b"\x20\x01\x28" + varint(revision)  # canceled: true, compact_revision: ...


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


@pytest.mark.short
async def test_one_whose_watched_revision_is_compacted_takes_over(scene: Scene) -> None:
    """L3: milvus-io/milvus#9810, #36554: the watch dies or blocks after a compaction."""
    scene.with_ttl(60)  # so that it is not the re-read that finds out
    primary = await scene.candidate(writes=False)
    await scene.ready(primary)
    link = await scene.link()
    standby = await scene.candidate(etcd=link.address, writes=False)
    record = await scene.at_rest(standby)
    second = await scene.candidate(writes=False)
    await scene.at_rest(second)
    token, link.to_client.passed = primary.token, bytearray()
    scene.act("the standby hears nothing; it falls behind, and the lock changes hands")
    link.to_client.silence()
    await fall_behind(scene, record)
    await primary.stop()
    _, won = await scene.next_primary(token, [second], 5)
    ended = await compact(scene)
    link.heal()
    passed = link.to_client.passed
    await scene.until(lambda: ended in passed, "its watch being ended by the compaction", 5)
    await scene.ready(second)
    scene.act("the second primary is told to stop")
    await second.stop()
    await scene.next_primary(won["token"], [standby], 10)
    await scene.ready(standby)


@pytest.mark.short
async def test_one_cut_off_while_the_lock_is_freed_and_its_deletion_compacted_takes_over(
    scene: Scene,
) -> None:
    """L3: milvus-io/milvus#9810, #36554: the watch dies or blocks after a compaction."""
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
    primary = await scene.candidate()
    await scene.ready(primary)
    link = await scene.link()
    standby = await scene.candidate(etcd=link.address)
    record = await scene.at_rest(standby)
    token, link.to_client.passed = primary.token, bytearray()
    scene.act("the standby is paused")
    await standby.pause()
    await scene.until(lambda: scene.lease_of(standby) == 0, "the end of the standby's lease")
    await fall_behind(scene, replace(record, lease=0))
    await (await scene.gateway()).delete(record.key)
    scene.act("the primary is killed")
    await primary.crash()
    await scene.until(lambda: scene.stored("session/rootcoord")[-1].event.deleted, "the end of the lock")
    ended = await compact(scene)
    resumed = scene.act("the standby goes on")
    standby.resume()
    passed = link.to_client.passed
    await scene.until(lambda: ended in passed, "its watch being ended by the compaction", 5)
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
