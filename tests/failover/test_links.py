"""The link between a candidate and etcd falls silent, breaks, or is slow."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.history import Append
from primacy.testing.link import Link
from primacy.testing.process import pick
from primacy.testing.scene import Scene


async def primary_behind_a_link(
    scene: Scene, standbys: int = 2, writes: bool = True
) -> tuple[Candidate, Link]:
    """Its standbys reach etcd without one."""
    link = await scene.link()
    primary = await scene.candidate(etcd=link.address, writes=writes)
    await scene.ready(primary)
    others = [await scene.candidate(writes=writes) for _ in range(standbys)]
    await scene.warm(*others)
    return primary, link


def cut(link: Link, how: str) -> int:
    if how == "by resets":
        return link.break_()
    if how == "silently":
        return link.silence()
    (link.to_server if how == "silently to etcd" else link.to_client).silence()
    return 0


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("silently", marks=pytest.mark.short),
        pytest.param("by resets", marks=pytest.mark.short),
        "silently to etcd",
        "silently from etcd",
    ],
)
async def test_a_primary_that_is_cut_off_says_no_before_another_is_primary(scene: Scene, how: str) -> None:
    primary, link = await primary_behind_a_link(scene)
    token = primary.token
    scene.act(f"the primary is cut off {how}")
    cut(link, how)
    _, won = await scene.next_primary(token)
    lost = await scene.lost(primary, token)
    assert lost["t"] < won["t"]
    assert lost["reason"] == "lease_expired"
    last_yes = max(said.t for said in primary.said if said.token == token)
    assert last_yes < won["t"]
    assert pick(primary.process.lines, "suspended"), "it was told that its renewal is late"
    scene.act("the link is healed")
    link.heal()
    await scene.warm(primary)
    lease = int(primary.wins[0]["lease"])
    await scene.until(lambda: scene.lease_of(primary) not in (0, lease), "its record under a new lease")
    assert (await primary.append()).why == "not_primary"


@pytest.mark.short
async def test_a_link_that_is_away_for_1200_ms_in_each_2700_costs_no_primacy(scene: Scene) -> None:
    scene.with_ttl(6)
    primary, link = await primary_behind_a_link(scene, 1)
    token = primary.token
    for _ in range(9):
        link.silence()
        await asyncio.sleep(1.2)
        link.heal()
        await asyncio.sleep(1.5)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")


async def test_a_link_that_breaks_for_1200_ms_in_each_2700_costs_no_primacy(scene: Scene) -> None:
    scene.with_ttl(6)
    primary, link = await primary_behind_a_link(scene, 1)
    token = primary.token
    for _ in range(9):
        link.break_()
        await asyncio.sleep(1.2)
        link.heal()
        await asyncio.sleep(1.5)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")


async def test_a_round_trip_of_500_ms_at_a_ttl_of_5_s_costs_no_primacy(scene: Scene) -> None:
    link = await scene.link()
    link.slow(0.5)
    primary = await scene.candidate(etcd=link.address)
    await scene.ready(primary)
    standby = await scene.candidate(etcd=link.address)
    await scene.warm(standby)
    token = primary.token
    await asyncio.sleep(4 * scene.ttl)
    await scene.stays(primary, token)
    await primary.quiet()
    await scene.appended(primary)
    assert not pick(primary.process.lines, "lost")
    scene.act("the primary is killed")
    await primary.crash()
    await scene.next_primary(token, [standby], scene.ttl + 4)


async def test_a_link_that_becomes_slow_while_it_is_primary_costs_no_primacy(scene: Scene) -> None:
    primary, link = await primary_behind_a_link(scene, 1)
    token = primary.token
    link.slow(0.5)
    await asyncio.sleep(3 * scene.ttl)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")


@pytest.mark.short
async def test_what_was_sent_before_a_cut_and_arrives_after_it_is_refused(scene: Scene) -> None:
    """Nobody writes under the new token before: a longer log alone would refuse the old writes."""
    primary, link = await primary_behind_a_link(scene, 1, writes=False)
    token = primary.token

    async def write_on() -> str:
        while (done := await primary.append()).why in ("", "conflict"):
            pass
        return done.why

    link.slow(0.1)
    writing = []
    for _ in range(20):  # not in step: an append reads first, and some are to be caught after that
        writing.append(asyncio.create_task(write_on()))
        await asyncio.sleep(0.01)
    await scene.until(
        lambda: [r for r in scene.history.records if isinstance(r, Append) and r.ok], "the first write"
    )
    scene.act("nothing reaches etcd any more, while the primary writes")
    link.to_server.silence()
    winner, _ = await scene.next_primary(token)
    assert "unknown" in await asyncio.gather(*writing)
    assert link.to_server.held, "writes are on their way"
    scene.act("what was on its way arrives")
    link.heal()
    await scene.until(lambda: not link.to_server.held, "its arrival")
    await asyncio.sleep(1)  # time to write it
    await scene.appended(winner)
