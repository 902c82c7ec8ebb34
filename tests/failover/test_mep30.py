"""The start-up steps of Milvus's MEP 30, one by one, and its test plan, for each kind of coordinator."""

from __future__ import annotations

import asyncio
import json

import pytest
from primacy.testing.process import pick
from primacy.testing.scene import Scene

ROLES = ("rootcoord", "datacoord", "querycoord", "indexcoord", "mixcoord")
pytestmark = pytest.mark.short


def order(lines: list[dict[str, object]]) -> list[object]:
    return [line["event"] for line in lines if line.get("role")]


async def test_mep30_step_1_the_first_locks_the_key_and_the_second_does_not(scene: Scene) -> None:
    first, (second,) = await scene.primary_and_standbys()
    await scene.told_of(first.token)
    (put,) = scene.stored("session/rootcoord")
    assert put.event.kv.mod_revision == first.token
    assert str(put.event.kv.lease) == first.wins[0]["lease"]
    assert put.event.kv.version == 1, "it was created by the win"
    assert not second.wins and second.said[-1].token == 0


async def test_mep30_step_2_who_does_not_get_the_lock_enters_standby_mode(scene: Scene) -> None:
    first, (second,) = await scene.primary_and_standbys()
    (standby,) = pick(second.process.lines, "standby")
    assert (standby["holder"], standby["address"]) == (first.wins[0]["id"], first.process.address)
    assert order(second.process.lines)[0] == "standby"


async def test_mep30_step_3_a_deleted_key_makes_the_standby_campaign(scene: Scene) -> None:
    first = await scene.candidate()
    token = (await scene.ready(first))["token"]
    second = await scene.candidate("--warm-after", "60000")  # to who is warm the key would be handed over
    await second.process.line("warmup")
    scene.act("the primary resigns: its key is deleted")
    await first.process.ask("resign rootcoord")
    _, won = await scene.next_primary(token, [second])
    await scene.told_of(won["token"])
    _, deleted, put = scene.stored("session/rootcoord")
    assert deleted.event.deleted and deleted.event.kv.mod_revision < put.event.kv.mod_revision == won["token"]
    assert won["t"] - deleted.t < 1e9, "by its watch, not by a poll"


async def test_mep30_step_4_a_standby_says_so_in_its_log_and_warms_up(scene: Scene) -> None:
    first = await scene.candidate()
    await scene.ready(first)
    second = await scene.candidate("--warm-after", "300")
    await scene.warm(second)
    assert order(second.process.lines) == ["standby", "warmup", "warm"]
    assert "standby" in second.process.log.read_text()
    warmups = pick(second.process.lines, "warmup", "warm")
    assert warmups[1]["t"] - warmups[0]["t"] >= 290e6


async def test_mep30_step_5_who_gets_the_lock_at_first_is_never_a_standby(scene: Scene) -> None:
    first = await scene.candidate()
    await scene.ready(first)
    assert order(first.process.lines) == ["primary", "ready"]


async def test_mep30_step_6_a_standby_that_wins_is_started_with_the_token_of_its_win(scene: Scene) -> None:
    first, (second,) = await scene.primary_and_standbys()
    await first.stop()
    _, won = await scene.next_primary(0, [second])
    await scene.told_of(won["token"])
    assert scene.stored("session/rootcoord")[-1].event.kv.mod_revision == won["token"]
    await scene.ready(second)
    assert second.said[-1].token in (0, won["token"])
    await scene.stays(second, won["token"])


async def test_mep30_step_7_the_warm_up_has_ended_before_the_standby_is_started(scene: Scene) -> None:
    first = await scene.candidate()
    await scene.ready(first)
    second = await scene.candidate("--warm-after", "60000")
    await second.process.line("warmup")
    await first.stop()
    _, won = await scene.next_primary(0, [second], bound=10)  # long before it would be warm
    await scene.ready(second)
    assert order(second.process.lines) == ["standby", "warmup", "primary", "ready"]
    assert won["token"] > 0


@pytest.mark.parametrize("layout", ["milvus", "after_start"])
async def test_mep30_step_8_the_service_is_registered_as_the_primary(scene: Scene, layout: str) -> None:
    first = await scene.candidate("--set", f"primacy.layout={layout}", "--activate-ms", "500")
    ready = await first.process.line("ready")

    def registered() -> bool:
        return bool(scene.stored("session/rootcoord"))

    await scene.until(registered, "the service record")
    record = scene.stored("session/rootcoord")[-1]
    said = json.loads(record.event.kv.value)
    assert (said["ServerName"], said["ServerID"]) == ("rootcoord", first.wins[0]["id"])
    assert said["Address"] == first.process.address
    if layout == "after_start":
        assert record.t >= first.wins[0]["t"] + 490e6, "only once on_primary has succeeded"
        lock = scene.stored("election/rootcoord")[-1]
        assert lock.event.kv.mod_revision == first.token == ready["token"]
        assert lock.event.kv.mod_revision < record.event.kv.mod_revision


async def test_mep30_step_9_a_primary_finds_out_that_it_is_not_alive_any_more(scene: Scene) -> None:
    first, (second,) = await scene.primary_and_standbys()
    token = first.token
    scene.excuse("overlap", "nobody may revoke our lease; it is noticed within a second")
    revoked = scene.act("the primary's lease is revoked")
    await (await scene.gateway()).revoke(int(first.wins[0]["lease"]))
    lost = await scene.lost(first, token)
    assert lost["t"] - revoked < 1e9
    await scene.next_primary(token, [first, second])
    await scene.steady()


# The test plan


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("way", ["removed", "crashed"])
async def test_mep30_plan_1_and_3_a_standby_takes_over_from_a_primary_that_was(
    scene: Scene, way: str, role: str
) -> None:
    """1, Deploy a cluster with primary and standby coords. Manually remove the primary coord or mock some
    crash in the primary coord. The standby coord should take over successfully. The cluster must keep working
    after a short time of partial failure. 3, The test should be done for each kind of coords.
    """
    first, (second,) = await scene.primary_and_standbys(roles=(role,))
    token = first.token
    before = await scene.appended(first)
    gone = scene.act(f"{first} is {way}")
    if way == "removed":
        assert not await first.stop()
    else:
        await first.crash()
    _, won = await scene.next_primary(token, [second])
    assert (won["t"] - gone) / 1e9 < (1 if way == "removed" else scene.ttl + 1.5)
    await scene.ready(second)
    after = await scene.appended(second)
    assert after.n > before.n, "the cluster works on, from where it was"
    await first.start()
    await scene.warm(first)
    await scene.stays(second, won["token"])


@pytest.mark.parametrize("role", ROLES)
async def test_mep30_plan_2_and_3_only_one_of_several_standbys_is_turned_active(
    scene: Scene, role: str
) -> None:
    """2, Deploy multiple backup coordinators. There should be only one of them can turned into active. 3, The
    test should be done for each kind of coords.
    """
    first, others = await scene.primary_and_standbys(4, roles=(role,))
    token = first.token
    scene.act(f"{first} is killed")
    await asyncio.gather(first.crash(), *(other.process.ask("status") for other in others))
    winner, won = await scene.next_primary(token, others)
    await scene.ready(winner)
    await asyncio.sleep(1)  # time for a second one to go wrong
    await scene.steady(role=role)
    wins = [line for other in others for line in pick(other.process.lines, "primary")]
    assert wins == [won]
