"""etcd itself is away: nobody is primary beyond a lease, and when it is back, exactly one is."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.changes import now
from primacy.testing.process import pick
from primacy.testing.scene import Scene


@pytest.mark.short
async def test_stopped_for_two_and_a_half_ttls_and_resumed(scene: Scene) -> None:
    scene.with_ttl(4)
    etcd = await scene.own_etcd()
    primary, _ = await scene.primary_and_standbys(2)
    token = primary.token
    scene.act("etcd is stopped")
    stopped = await etcd.pause()
    lost = await scene.lost(primary, token)
    assert lost["t"] - stopped < scene.ttl * 1e9
    assert lost["reason"] == "lease_expired"
    await asyncio.sleep(2.5 * scene.ttl - (now() - stopped) / 1e9)
    assert not [c for c in scene.candidates if c.said[-1].token], "nobody is primary without etcd"
    scene.act("etcd goes on")
    etcd.resume()
    await scene.next_primary(token, bound=3 * scene.ttl)
    winner = await scene.steady()
    await scene.appended(winner)


@pytest.mark.short
async def test_killed_and_restarted_three_times_within_a_ttl(scene: Scene) -> None:
    scene.with_ttl(6)
    etcd = await scene.own_etcd()
    primary, _ = await scene.primary_and_standbys(2)
    begun = now()
    for _ in range(3):
        scene.act("etcd is killed and started again")
        await etcd.kill()
        await etcd.start()
    took = (now() - begun) / 1e9
    after = now()
    winner = await scene.steady()
    await scene.until(lambda: [s for s in winner.said[-20:] if s.t > after and s.token], "an answer of yes")
    await scene.appended(winner)
    if took < scene.ttl / 2:  # on a machine that is not too slow for it
        assert winner is primary and not pick(primary.process.lines, "lost"), "it costs no primacy"


async def test_killed_and_restarted_while_a_standby_takes_over(scene: Scene) -> None:
    scene.with_ttl(3)
    etcd = await scene.own_etcd()
    primary, _ = await scene.primary_and_standbys(2)
    token = primary.token
    scene.act("the primary and etcd are killed; etcd is started again")
    await primary.crash()
    await etcd.kill()
    await etcd.start()
    await scene.next_primary(token, bound=2 * scene.ttl + 5)  # a lease begins anew with its server
    await scene.steady()


@pytest.mark.short
async def test_started_after_the_candidates(scene: Scene) -> None:
    etcd = await scene.own_etcd()
    await etcd.kill()
    scene.act("etcd is not there yet")
    candidates = [await scene.candidate() for _ in range(3)]
    await scene.until(
        lambda: all("trying again" in c.process.log.read_text() for c in candidates) or None,
        "all having tried",
        30,
    )
    scene.act("etcd is started")
    await etcd.start()
    winner = await scene.steady()
    await scene.appended(winner)
    assert len(pick([line for c in candidates for line in c.process.lines], "primary")) == 1


async def test_away_for_longer_than_any_patience(scene: Scene) -> None:
    scene.with_ttl(3)
    etcd = await scene.own_etcd()
    primary, _ = await scene.primary_and_standbys(2)
    token = primary.token
    scene.act("etcd is killed")
    await etcd.kill()
    await scene.lost(primary, token)
    await asyncio.sleep(25)  # more than the longest wait between two attempts
    scene.act("etcd is started again")
    begun = now()
    await etcd.start()
    _, won = await scene.next_primary(token)
    assert (won["t"] - begun) / 1e9 < 3 * scene.ttl + 5
    await scene.steady()
