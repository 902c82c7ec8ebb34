"""A leader of etcd stands still and goes on: until it hears otherwise it acts as if it still led.

It acknowledges renewals that its successor never hears of, and may have leases revoked that its successor
has renewed: docs/etcd-stalled-leader.md. Each version that is tried here does so. What was acknowledged there
does not count for a primary, since nothing confirms it; a lease that is revoked is heard of, and nothing is
written under it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.changes import NotInTime
from primacy.testing.checks import overlaps_in
from primacy.testing.etcd import Etcd, Member
from primacy.testing.process import pick
from primacy.testing.scene import Scene

VERSIONS = ("3.5.35", "3.6.16", "3.7.3")
PAUSES = {5: 3.5, 15: 8.0}  # seconds, by TTL: over before a lease is that was renewed just before
REVOKES = "etcd_debugging_server_lease_expired_total"
GIVEN_UP = 7  # seconds after which a member gives up on a revoke that gets nowhere
TRIES = 15
pytestmark = pytest.mark.timeout(240)

leaders = pytest.mark.parametrize(
    ("version", "ttl", "peers"),
    [
        pytest.param(version, ttl, peers, marks=[pytest.mark.short] * ((version, ttl) == ("3.7.3", 5)))
        for version in VERSIONS
        for ttl in PAUSES
        for peers in ("reached", "cut off")
    ],
)


async def three_members(scene: Scene, version: str) -> tuple[Etcd, Member, Sequence[Member]]:
    """And which of them leads, and which do not."""
    etcd = await scene.own_etcd(version, members=3, peer_links=True)
    leader = await etcd.leader()
    return etcd, leader, [member for member in etcd.members if member is not leader]


async def stands_still(scene: Scene, etcd: Etcd, leader: Member, primary: Candidate, peers: str) -> None:
    """From just after a renewal of the primary's, for as long as `PAUSES` says; the others lead on."""
    left = 0
    while left < 860 * scene.ttl:  # of 900: a tenth is the margin
        await asyncio.sleep(0.02)
        left = (await primary.process.ask("status"))["remaining_ms"]
    scene.act(f"{leader.name}, the leader, stands still" + (", cut off" if peers == "cut off" else ""))
    if peers == "cut off":
        etcd.cut_off(leader)
    await leader.pause()
    await asyncio.sleep(PAUSES[scene.ttl])
    scene.act(f"{leader.name} goes on")
    leader.resume()


async def it_ends(
    scene: Scene, etcd: Etcd, leader: Member, primary: Candidate, record: Callable[[str, object], None]
) -> None:
    """All is as before; what came of it is noted down for the last line of `make stalled-leader`."""
    scene.act(f"{leader.name} is one of three again")
    etcd.join(leader)
    await etcd.up()
    await scene.appended(await scene.steady())
    status = await primary.process.ask("status")
    record("woken", (len(overlaps_in(scene.history)), status["unconfirmed_renewals"]))


@leaders
@pytest.mark.usefixtures("wake")
async def test_a_primary_at_the_old_leader_alone_says_no_before_another_is_primary(
    scene: Scene, record_property: Callable[[str, object], None], version: str, ttl: int, peers: str
) -> None:
    etcd, leader, others = await three_members(scene.with_ttl(ttl), version)
    primary = await scene.candidate(etcd=leader.client)
    await scene.ready(primary)
    standby = await scene.candidate(etcd=",".join(member.client for member in others))
    await scene.at_rest(standby)
    token = primary.token
    await stands_still(scene, etcd, leader, primary, peers)
    if peers == "cut off":
        await scene.next_primary(token, [standby])
        lost = await scene.lost(primary, token)
        assert lost["reason"] == "lease_expired"
    else:
        await asyncio.sleep(ttl)  # what was acknowledged for nothing would be over by now
    await it_ends(scene, etcd, leader, primary, record_property)


@leaders
@pytest.mark.usefixtures("wake")
async def test_a_primary_that_knows_the_others_too_stays_primary(
    scene: Scene, record_property: Callable[[str, object], None], version: str, ttl: int, peers: str
) -> None:
    etcd, leader, others = await three_members(scene.with_ttl(ttl), version)
    primary = await scene.candidate(etcd=",".join(member.client for member in (leader, *others)))
    await scene.ready(primary)
    standby = await scene.candidate(etcd=",".join(member.client for member in others))
    await scene.at_rest(standby)
    token = primary.token
    await stands_still(scene, etcd, leader, primary, peers)
    await asyncio.sleep(ttl)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")
    await it_ends(scene, etcd, leader, primary, record_property)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.timeout(480)
async def test_a_lease_that_the_old_leader_has_revoked_is_heard_of_and_nothing_is_written_under_it(
    scene: Scene, version: str
) -> None:
    """It stood still for longer than a TTL, and of renewals with its successor it knows nothing."""
    scene.excuse("overlap", "nobody may revoke a lease that is renewed; it is noticed within a second")
    etcd = await scene.with_ttl(6).own_etcd(version, members=3)
    await scene.primary_and_standbys()
    for _ in range(TRIES):
        primary, leader = await scene.steady(), await etcd.leader()
        token, revoked = primary.token, await etcd.counted(leader, REVOKES)
        # It has 16 revokes under way at a time, and asks whether it leads before all of them: with these in
        # front it finds out only in between, and sends the rest to its successor.
        for _ in range(20):
            await etcd.gateway(leader).grant(2)
        scene.act(f"{leader.name}, the leader, stands still for longer than a TTL")
        await leader.pause()
        await asyncio.sleep(scene.ttl + 1.5)
        scene.act(f"{leader.name} goes on")
        leader.resume()
        with contextlib.suppress(NotInTime):
            lost = await scene.lost(primary, token, GIVEN_UP + 1)
            if await etcd.counted(leader, REVOKES) > revoked:
                break
    else:
        raise AssertionError(f"none of {TRIES} old leaders revoked the primary's lease: is this etcd mended?")
    assert lost["reason"] in ("key_deleted", "lease_expired")
    deleted = next(
        seen
        for seen in scene.stored(f"session/{primary.role}")
        if seen.event.deleted and seen.event.kv.mod_revision > token
    )
    assert lost["t"] - deleted.t < 1e9
    late = await primary.append()
    assert not late.ok or late.token > token
    await scene.next_primary(token)
    await scene.appended(await scene.steady())
