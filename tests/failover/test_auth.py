"""Users and their tokens: they run out, are changed, do not suffice."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.process import pick
from primacy.testing.scene import Scene

pytestmark = pytest.mark.timeout(180)


async def with_users(scene: Scene, tokens: str, ttl: int, **options: object) -> tuple[str, ...]:
    """An etcd with a user who may do no more than a coordinator needs. Returns the flags for it."""
    etcd = await scene.own_etcd(password="secret", tokens=tokens, token_ttl=ttl, **options)  # type: ignore[arg-type]
    gateway = etcd.gateway()
    await gateway.add_role("coordinator", f"{scene.root}/")
    await gateway.add_user("milvus", "pass,word", "coordinator")
    return scene.user_flags("milvus", "pass,word")


@pytest.mark.parametrize(
    ("tokens", "ttl", "idle", "version"),
    [
        ("simple", 2, 10, ""),
        pytest.param("jwt", 3, 10, "", marks=pytest.mark.short),
        ("simple", 5, 60, ""),
        ("jwt", 5, 60, ""),
        ("simple", 5, 20, "3.5.35"),
        ("jwt", 5, 20, "3.5.35"),
        ("simple", 5, 20, "3.4"),
        ("jwt", 5, 20, "3.4"),
    ],
)
async def test_idle_for_longer_than_a_token_lasts_primary_and_standby_are_what_they_were(
    scene: Scene, tokens: str, ttl: int, idle: int, version: str
) -> None:
    if tokens == "simple":
        scene.with_ttl(4 * ttl)  # renewals, too, are too seldom to keep such a token alive
    user = await with_users(scene, tokens, ttl, version=version)
    primary = await scene.candidate(*user, writes=False)
    await scene.ready(primary)
    standby = await scene.candidate(*user, writes=False)
    await scene.warm(standby)
    token = primary.token
    await asyncio.sleep(idle)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost"), "no renewal was refused for long"
    await scene.appended(primary)
    scene.act("the primary is killed")
    await primary.crash()
    await scene.next_primary(token, [standby], scene.ttl + 2)
    await scene.ready(standby)
    await scene.appended(standby)


@pytest.mark.short
async def test_tokens_that_a_restart_of_etcd_forgets_are_fetched_again(scene: Scene) -> None:
    user = await with_users(scene, "simple", 300)
    primary, (standby,) = await scene.primary_and_standbys(1, *user)
    token = primary.token
    scene.act("etcd is killed and started again")
    etcd = await scene.etcd()
    await etcd.kill()
    await etcd.start()
    await scene.appended(primary)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")
    scene.act("the primary resigns")
    await primary.process.ask("resign rootcoord")
    await scene.next_primary(token, [standby], 5)


async def test_a_password_that_takes_longer_to_check_than_a_renewal_waits_costs_no_primacy(
    scene: Scene,
) -> None:
    scene.with_ttl(3)
    # Checking it takes etcd more than half a second; a renewal is given up after half a second.
    user = await with_users(scene, "jwt", 6, flags=("--bcrypt-cost", "13"))
    primary = await scene.candidate(*user, writes=False)
    await scene.ready(primary)
    token = primary.token
    await asyncio.sleep(20)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")


@pytest.mark.short
async def test_users_are_added_under_jwt_and_no_primacy_is_lost(scene: Scene) -> None:
    """X2: api7/aisix#1136, etcdv3/etcd-client#54: "auth store is old" after any change of a user."""
    user = await with_users(scene, "jwt", 300)
    primary, (standby,) = await scene.primary_and_standbys(1, *user)
    token, gateway = primary.token, await scene.gateway()
    for i in range(6):
        scene.act("a user is added")
        await gateway.add_user(f"another-{i}", "x")
        await asyncio.sleep(1)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")
    await scene.appended(primary)
    scene.act("the primary resigns")
    await primary.process.ask("resign rootcoord")
    await scene.next_primary(token, [standby], 5)


@pytest.mark.short
async def test_a_user_without_the_rights_and_a_wrong_password_end_it_with_a_message(scene: Scene) -> None:
    await with_users(scene, "simple", 300)
    gateway = await scene.gateway()
    await gateway.add_role("elsewhere", "somewhere/else/")
    await gateway.add_user("guest", "guest", "elsewhere")
    for flags, why in (
        (scene.user_flags("guest", "guest"), "permission denied"),
        (scene.user_flags("milvus", "wrong"), "authentication failed"),
        (scene.user_flags("nobody", "pass,word"), "authentication failed"),
    ):
        refused = await scene.candidate(*flags)
        assert await refused.process.ended(15) not in (0, None)
        refused.ended_by_us = True
        assert why in refused.process.log.read_text()
        assert not pick(refused.process.lines, "primary", "standby")


async def test_a_primary_whose_rights_are_taken_away_is_told_in_time(scene: Scene) -> None:
    user = await with_users(scene, "simple", 300)
    primary = await scene.candidate(*user)
    await scene.ready(primary)
    token, gateway = primary.token, await scene.gateway()
    scene.act("the user's role is taken away, and its password changed")
    await gateway.post("auth/user/revoke", {"name": "milvus", "role": "coordinator"})
    await gateway.post("auth/user/changepw", {"name": "milvus", "password": "other"})
    assert (await primary.append()).ok is False
    other = await scene.candidate(*scene.user_flags("root", "secret"))
    lost = await scene.lost(primary, token)
    _, won = await scene.next_primary(token, [other])
    assert lost["t"] < won["t"] and lost["reason"] == "lease_expired"
    await scene.appended(other)
    assert primary.process.code is None, "it waits for its rights"
    scene.act("the old password and the role are given back")
    await gateway.post("auth/user/changepw", {"name": "milvus", "password": "pass,word"})
    await gateway.post("auth/user/grant", {"user": "milvus", "role": "coordinator"})
    await scene.steady(40)
