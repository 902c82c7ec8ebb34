"""Hosts that lend the library their own etcd client: one cluster with the others, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from primacy.testing.changes import now
from primacy.testing.process import pick
from primacy.testing.scene import Scene

LENT = "go-lent"


@pytest.mark.short
async def test_hosts_that_lend_their_client_and_others_take_over_from_each_other(scene: Scene) -> None:
    scene.with_ttl(3)
    candidates = []
    for program in (LENT, "c", LENT, "go"):
        candidates.append(await scene.candidate(program=program))
        await scene.until(lambda: candidates[-1].state in ("ready", "warm"), f"{program} being up")
    for crashes in (True, False, True):
        primary = await scene.steady()
        token, rest = primary.token, [c for c in candidates if c is not primary]
        await scene.appended(primary)
        scene.act(f"{primary} {'is killed' if crashes else 'is stopped'}")
        await (primary.crash() if crashes else primary.stop())
        candidates.remove(primary)
        await scene.next_primary(token, rest)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("program", ["go", LENT])
async def test_one_of_three_members_is_silent_and_primacy_is_kept_and_handed_over(
    scene: Scene, program: str, measured: Callable[[str, Sequence[float]], None]
) -> None:
    scene.with_ttl(5)
    etcd = await scene.own_etcd(members=3)
    endpoints = ",".join(member.client for member in etcd.members)
    candidates = [await scene.candidate(etcd=endpoints, program=program) for _ in range(2)]
    primary = await scene.steady()
    leader = await etcd.leader()
    follower = next(member for member in etcd.members if member is not leader)
    scene.act("a follower falls silent")
    await follower.pause()
    times = []
    for _ in range(10):
        token = primary.token
        await scene.warm(*[candidate for candidate in candidates if candidate is not primary])
        await asyncio.sleep(1)
        asked = now()
        await primary.process.ask("resign rootcoord")
        _, won = await scene.next_primary(token, candidates, 2 * scene.ttl)
        times.append((won["t"] - asked) / 1e6)
        primary = await scene.steady()
    follower.resume()
    measured(f"a handover with one of three members silent, {program}", times)
    await scene.stays(primary, primary.token)
    for candidate in candidates:
        assert {line["reason"] for line in pick(candidate.process.lines, "lost")} <= {"resigned"}
