"""Somebody takes keys away from the primary, by hand: it is told within a second, and writes nothing more."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.process import pick
from primacy.testing.scene import Scene

# The lock of an ordinary role, and each key of a mixcoord's set.
KEYS = [
    ("rootcoord", "rootcoord"),
    *(("mixcoord", name) for name in ("mixcoord", "rootcoord", "datacoord", "querycoord")),
]
pytestmark = pytest.mark.short


def excused(scene: Scene) -> None:
    scene.excuse("overlap", "nobody may take keys or leases away; it is noticed within a second")


@pytest.mark.parametrize("role", ["rootcoord", "mixcoord"])
async def test_a_primary_whose_lease_is_revoked_is_told_and_one_is_next(scene: Scene, role: str) -> None:
    excused(scene)
    primary, _ = await scene.primary_and_standbys(2, roles=(role,))
    token = primary.token
    at = scene.act("the primary's lease is revoked")
    await (await scene.gateway()).revoke(int(primary.wins[0]["lease"]))
    lost = await scene.lost(primary, token)
    assert lost["t"] - at < 1e9
    assert lost["reason"] in ("lease_expired", "key_deleted")
    await scene.next_primary(token)
    await scene.steady(role=role)
    assert len(pick([line for c in scene.candidates for line in c.process.lines], "primary")) == 2


@pytest.mark.parametrize(("role", "name"), KEYS)
async def test_a_primary_whose_key_is_deleted_is_told_and_one_is_next(
    scene: Scene, role: str, name: str
) -> None:
    """S7: milvus-io/milvus#21599, #21658: the key was deleted by hand, and the component carried on."""
    excused(scene)
    primary, _ = await scene.primary_and_standbys(2, roles=(role,))
    token = primary.token
    at = scene.act(f"the key {name} is deleted")
    await (await scene.gateway()).delete(f"{scene.root}/session/{name}")
    lost = await scene.lost(primary, token)
    assert (lost["t"] - at < 1e9, lost["reason"]) == (True, "key_deleted")
    await scene.next_primary(token)
    await scene.steady(role=role)
    assert len(pick([line for c in scene.candidates for line in c.process.lines], "primary")) == 2


@pytest.mark.parametrize(("role", "name"), KEYS)
async def test_a_primary_whose_key_is_overwritten_is_told_and_one_is_next_when_it_is_free(
    scene: Scene, role: str, name: str
) -> None:
    """S7: milvus-io/milvus#21599, #21658: the key was deleted by hand, and the component carried on."""
    excused(scene)
    gateway = await scene.gateway()
    primary, _ = await scene.primary_and_standbys(2, roles=(role,))
    token = primary.token
    at = scene.act(f"garbage is put into the key {name}")
    await gateway.put(f"{scene.root}/session/{name}", "{garbage \x01")
    lost = await scene.lost(primary, token)
    assert (lost["t"] - at < 1e9, lost["reason"]) == (True, "key_taken")
    await scene.until(
        lambda: all(c.state in ("standby", "warmup", "warm") for c in scene.candidates), "all being standbys"
    )
    await asyncio.sleep(2)  # time for one to go over a key that is not its own
    kept = await gateway.get(f"{scene.root}/session/{name}")
    assert kept and kept.value == "{garbage \x01", "the key of somebody else is left alone"
    scene.act("the garbage is deleted")
    await gateway.delete(f"{scene.root}/session/{name}")
    await scene.next_primary(token)
    await scene.steady(role=role)
