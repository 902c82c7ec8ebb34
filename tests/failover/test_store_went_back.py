"""etcd is put back to an older copy of its data, and knows nothing of what it answered since."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.etcd import Etcd
from primacy.testing.process import pick
from primacy.testing.scene import Scene

REQUEST = 1.0  # seconds


def excused(scene: Scene) -> None:
    scene.excuse("order", "old tokens are handed out again: the docs say how to restore so that they are not")
    scene.excuse("kept", "what was acknowledged after the copy is gone")
    scene.excuse("overlap", "within the re-read's TTL/2 it can not be seen")


async def is_put_back(scene: Scene, etcd: Etcd, copy: Path, primary: Candidate) -> None:
    token = primary.token
    await scene.restored(copy)
    back = scene.act("etcd answers again")
    lost = await scene.lost(primary, token)
    assert (lost["t"] - back) / 1e9 < scene.ttl / 2 + REQUEST
    # Whichever is seen first: the store's revision, its keys, or that it does not know the lease.
    assert lost["reason"] in ("store_rolled_back", "key_deleted", "key_taken", "lease_expired")
    winner = await scene.steady(3 * scene.ttl + 10)
    await scene.appended(winner)
    assert len(pick(primary.process.lines, "lost", token=token)) == 1


@pytest.mark.short
async def test_to_one_before_the_primary_came(scene: Scene, tmp_path: Path) -> None:
    etcd = await scene.own_etcd()
    await etcd.copy(tmp_path / "copy")
    excused(scene)
    primary, _ = await scene.primary_and_standbys(1)
    for _ in range(20):
        await scene.appended(primary)
    await is_put_back(scene, etcd, tmp_path / "copy", primary)


async def test_to_one_in_which_another_was_primary(scene: Scene, tmp_path: Path) -> None:
    etcd = await scene.own_etcd()
    excused(scene)
    first, (second,) = await scene.primary_and_standbys(1)
    token = first.token
    scene.act("a copy is made")
    await etcd.copy(tmp_path / "copy")
    await scene.stays(first, token)
    await first.process.ask("resign rootcoord")
    await scene.next_primary(token, [second])
    await scene.ready(second)
    await scene.warm(first)
    await is_put_back(scene, etcd, tmp_path / "copy", second)


async def test_to_one_in_which_it_is_the_primary_already(scene: Scene, tmp_path: Path) -> None:
    """The lock is the same, its revision and lease, too: only the store's revision went back."""
    etcd = await scene.own_etcd()
    excused(scene)
    primary, _ = await scene.primary_and_standbys(1)
    scene.act("a copy is made")
    await etcd.copy(tmp_path / "copy")
    await primary.quiet()  # the revisions of a copy that is written to would soon be as high as they were
    gateway = await scene.gateway()
    for i in range(300):
        await gateway.put(f"{scene.root}/other", str(i))
    await asyncio.sleep(scene.ttl / 2)  # until the primary must have read one of them
    token = primary.token
    await scene.restored(tmp_path / "copy")
    back = scene.act("etcd answers again")
    lost = await scene.lost(primary, token)
    assert (lost["t"] - back) / 1e9 < scene.ttl / 2 + REQUEST
    assert lost["reason"] == "store_rolled_back"
    winner = await scene.steady(3 * scene.ttl + 10)
    await scene.appended(winner)
