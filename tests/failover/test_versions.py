"""The same on each etcd that is out there: election, takeover, fencing. docs/etcd.md has the table."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.changes import now
from primacy.testing.process import pick
from primacy.testing.scene import Scene

VERSIONS = ("3.4", "3.5.35", "3.6.16", "")
versions = pytest.mark.parametrize("version", VERSIONS, ids=[version or "newest" for version in VERSIONS])


@versions
async def test_election(scene: Scene, version: str) -> None:
    await scene.own_etcd(version)
    primary, standbys = await scene.primary_and_standbys(3)
    await scene.appended(primary)
    wins = [line for c in scene.candidates for line in pick(c.process.lines, "primary")]
    assert len(wins) == 1 and len(standbys) == 3


@versions
async def test_one_that_may_revoke_a_lease_that_is_kept_alive_is_named(scene: Scene, version: str) -> None:
    """L9: etcd-io/etcd#15247 and its changelogs: fixed in 3.4.31 and 3.5.13."""
    etcd = await scene.own_etcd(version)
    candidate = await scene.candidate()
    await scene.ready(candidate)
    await scene.appended(candidate)
    warned = "may revoke a lease" in candidate.process.log.read_text()
    version_of = await etcd.version()
    assert warned == (version_of < (3, 4, 31) or (3, 5) <= version_of < (3, 5, 13))


@versions
async def test_takeover(scene: Scene, version: str) -> None:
    await scene.own_etcd(version)
    first, others = await scene.primary_and_standbys(2)
    token = first.token
    scene.act(f"{first} is killed")
    killed = await first.crash()
    second, won = await scene.next_primary(token, others)
    assert (won["t"] - killed) / 1e9 < scene.ttl + 1.5
    await scene.ready(second)
    scene.act(f"{second} resigns")
    await second.process.ask("resign rootcoord")
    third, _ = await scene.next_primary(second.token, [c for c in others if c is not second])
    await scene.appended(third)


@versions
async def test_fencing(scene: Scene, version: str) -> None:
    await scene.own_etcd(version)
    primary, (standby,) = await scene.primary_and_standbys()
    token = primary.token
    writing = await primary.process.connect()
    await writing.ask("who rootcoord")
    scene.act(f"{primary} is paused past its TTL")
    stopped = await primary.pause()
    writing.send("append rootcoord late")
    await scene.next_primary(token, [standby])
    await asyncio.sleep(max(0, scene.ttl + 0.5 - (now() - stopped) / 1e9))
    primary.resume()
    late = await writing.receive()
    assert (late["ok"], late["why"]) == (False, "not_primary")
    await scene.lost(primary, token)
    await scene.warm(primary)
    writing.close()
