"""Processes die and pause: there is always exactly one next primary, and the old one writes nothing more."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.changes import now
from primacy.testing.process import pick
from primacy.testing.scene import Scene


@pytest.mark.timeout(400)
async def test_of_20_candidates_exactly_one_is_next_each_time_that_the_primary_is_killed(
    scene: Scene,
) -> None:
    scene.with_ttl(2)
    candidates = [await scene.candidate(ask_every=0.1) for _ in range(20)]
    tokens = []
    for _ in range(20):
        primary = await scene.steady(60)
        tokens.append(primary.token)
        scene.act(f"{primary} is killed")
        await primary.crash()
        rest = [candidate for candidate in candidates if candidate is not primary]
        _, won = await scene.next_primary(tokens[-1], rest)
        await primary.start()
        await scene.steady(60)
        later = [w for c in candidates for w in pick(c.process.lines, "primary") if w["token"] > tokens[-1]]
        assert later == [won], "exactly one of them became primary"
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("layout", [pytest.param("milvus", marks=pytest.mark.short), "after_start"])
async def test_a_paused_primary_that_goes_on_past_its_ttl_is_a_standby_and_writes_nothing(
    scene: Scene, layout: str
) -> None:
    primary, (standby,) = await scene.primary_and_standbys(1, "--set", f"primacy.layout={layout}")
    token = primary.token
    asking, writing = await primary.process.connect(), await primary.process.connect()
    for connection in (asking, writing):  # accepted, and past the library's first call
        await connection.ask("who rootcoord")

    scene.act(f"{primary} is paused")
    stopped = await primary.pause()
    # They wait in its sockets: the first things that it sees when it goes on.
    asking.send("who rootcoord")
    writing.send("append rootcoord late")
    _, won = await scene.next_primary(token, [standby])
    await asyncio.sleep(max(0, scene.ttl + 0.5 - (now() - stopped) / 1e9))
    scene.act(f"{primary} goes on")
    primary.resume()

    first, written = await asking.receive(), await writing.receive()
    assert (first["primary"], first["token"]) == (False, 0)
    assert (written["ok"], written["why"]) == (False, "not_primary")
    lost = await scene.lost(primary, token)
    assert lost["reason"] == "lease_expired"
    await scene.warm(primary)
    assert len(pick(primary.process.lines, "lost")) == 1
    assert won["token"] > token
    asking.close()
    writing.close()


@pytest.mark.short
async def test_a_paused_process_that_goes_on_within_its_ttl_keeps_its_primacy(scene: Scene) -> None:
    primary, (standby,) = await scene.primary_and_standbys()
    token = primary.token
    scene.act(f"{primary} is paused for 2 s")
    await primary.pause()
    await asyncio.sleep(2)
    primary.resume()
    await scene.stays(primary, token)
    await scene.appended(primary)
    await asyncio.sleep(scene.ttl)  # a lease that was not renewed would run out now
    await scene.stays(primary, token)
    assert not pick(standby.process.lines, "primary")
