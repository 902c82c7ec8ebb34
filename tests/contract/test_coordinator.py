"""The sample coordinators do the same in every language: flags, lines, answers, exit codes.

Nothing here is about safety: see the demo and the failover suites for that.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from primacy.testing.changes import NotInTime, now
from primacy.testing.gateway import Gateway
from primacy.testing.process import pick

if TYPE_CHECKING:
    from contract.conftest import Launch

EVENTS = {
    *("listening", "standby", "warmup", "warm", "primary", "ready"),
    *("suspended", "resumed", "lost", "stopped"),
}


def well_formed(line: dict[str, Any]) -> bool:
    """What holds for every line."""
    event = line.get("event")
    process_wide = event in ("listening", "stopped")
    of_a_win = event in ("primary", "ready", "suspended", "resumed", "lost")
    return (
        event in EVENTS
        and isinstance(line.get("t"), int)
        and abs(now() - line["t"]) < 60e9
        and isinstance(line.get("id"), int)
        and ("role" in line) != process_wide
        and (not of_a_win or (isinstance(line.get("token"), int) and line["token"] > 0))
        and (event != "lost" or bool(line.get("reason")))
    )


async def test_a_lone_coordinator_becomes_primary_and_ready(launch: Launch) -> None:
    before = now()
    one = await launch()
    won = await one.line("primary")
    ready = await one.line("ready", token=won["token"])
    assert one.lines[0]["event"] == "listening"
    assert one.lines[0]["address"] == one.address
    assert one.address.startswith("127.0.0.1:") and not one.address.endswith(":0")
    assert before < one.lines[0]["t"] <= won["t"] <= ready["t"] < now()
    assert won["id"] > 0 and won["lease"] and won["role"] == "rootcoord"
    assert [line for line in one.lines if not well_formed(line)] == []


async def test_a_second_one_is_a_standby_that_knows_the_holder_and_gets_warm(launch: Launch) -> None:
    one = await launch()
    won = await one.line("primary")
    two = await launch("--warm-after", "300")
    standby = await two.line("standby")
    assert standby["holder"] == won["id"] and standby["id"] != won["id"]
    warmup, warm = await two.line("warmup"), await two.line("warm")
    assert warm["t"] - warmup["t"] >= 290e6
    who = await two.ask("who rootcoord")
    assert (who["id"], who["primary"], who["token"]) == (standby["id"], False, 0)
    refused = await two.ask("append rootcoord hello")
    assert (refused["ok"], refused["why"]) == (False, "not_primary")
    assert [line for line in two.lines if not well_formed(line)] == []


async def test_who_answers_with_the_token_of_the_win_and_a_time_read_before(launch: Launch) -> None:
    one = await launch()
    won = await one.line("ready")
    before = now()
    who = await one.ask("who rootcoord")
    assert (who["role"], who["id"]) == ("rootcoord", won["id"])
    assert (who["primary"], who["token"]) == (True, won["token"])
    assert before < who["t"] < who["received"]


async def test_append_writes_the_log_and_its_length(launch: Launch, etcd: str, root: str) -> None:
    one = await launch()
    won = await one.line("ready")
    first = await one.ask("append rootcoord hello")
    second = await one.ask("append rootcoord two words")
    assert (first["ok"], first["n"], first["token"]) == (True, 1, won["token"])
    assert (second["ok"], second["n"], second["token"]) == (True, 2, won["token"])
    found = await Gateway(etcd).prefix(f"{root}/sample/rootcoord/")
    assert {kv.key.removeprefix(f"{root}/sample/rootcoord/"): kv.value for kv in found} == {
        "length": "2",
        "log/0000000001": f"{won['token']} {won['id']} hello",
        "log/0000000002": f"{won['token']} {won['id']} two words",
    }


async def test_any_number_of_requests_on_a_connection_are_answered_in_order(launch: Launch) -> None:
    one = await launch()
    await one.line("ready")
    async with one.connection() as connection:
        for text in ("a", "b", "c"):
            connection.send(f"append rootcoord {text}")
        connection.send("who rootcoord")
        answers = [await connection.receive() for _ in range(4)]
    assert [answer.get("n") for answer in answers] == [1, 2, 3, None]
    assert answers[3]["primary"] is True


@pytest.mark.parametrize("request_", ["sing", "", "whoever rootcoord"])
async def test_what_is_no_request_is_called_a_bad_one(launch: Launch, request_: str) -> None:
    one = await launch()
    answer = await one.ask(request_)
    assert (answer["ok"], answer["why"]) == (False, "bad request")


async def test_a_role_that_it_does_not_run_is_unknown(launch: Launch) -> None:
    one = await launch()
    answer = await one.ask("who querycoord")
    assert (answer["ok"], answer["why"]) == (False, "unknown role")


async def test_status_is_one_json_object(launch: Launch) -> None:
    one = await launch()
    await one.line("ready")
    assert len(await one.ask("status")) > 1  # more than what we add on receipt


async def test_resign_hands_over_one_role_and_leaves_the_other_alone(launch: Launch) -> None:
    one = await launch(roles=("rootcoord", "datacoord"))
    won = await one.line("ready", role="rootcoord")
    kept = await one.line("ready", role="datacoord")
    assert kept["id"] == won["id"], "two elections of one session have one server id"
    two = await launch()
    await two.line("standby")
    assert (await one.ask("resign rootcoord"))["ok"] is True
    lost = await one.line("lost", role="rootcoord", token=won["token"])
    next_win = await two.line("primary")
    assert lost["reason"] == "resigned"
    assert next_win["token"] > won["token"]
    await one.line("standby", role="rootcoord", after=one.lines.index(lost))
    other = await one.ask("who datacoord")
    assert (other["primary"], other["token"]) == (True, kept["token"])


async def test_transfer_says_whether_it_can(launch: Launch) -> None:
    one = await launch()
    await one.line("ready")
    answer = await one.ask("transfer rootcoord")
    assert answer["ok"] is True or answer["why"] == "not supported"


async def test_sigterm_is_a_clean_stop_that_the_standby_uses(launch: Launch) -> None:
    one = await launch()
    won = await one.line("ready")
    two = await launch()
    await two.line("warm")
    one.signal(signal.SIGTERM)
    assert await one.ended(15) == 0
    (lost,) = pick(one.lines, "lost")
    assert (lost["token"], lost["reason"]) == (won["token"], "stopped")
    assert one.lines[-1]["event"] == "stopped"
    assert (await two.line("primary"))["token"] > won["token"]
    two.signal(signal.SIGTERM)
    assert await two.ended(15) == 0


async def test_a_clean_stop_leaves_no_session_behind(launch: Launch, etcd: str, root: str) -> None:
    one = await launch()
    await one.line("ready")
    one.signal(signal.SIGTERM)
    assert await one.ended(15) == 0
    assert [kv.key for kv in await Gateway(etcd).prefix(f"{root}/session/")] == [f"{root}/session/id"]


async def test_activation_takes_as_long_as_it_is_told_to(launch: Launch) -> None:
    one = await launch("--activate-ms", "300")
    won, ready = await one.line("primary"), await one.line("ready")
    assert ready["t"] - won["t"] >= 290e6
    assert (await one.ask("who rootcoord"))["primary"] is True


@pytest.mark.parametrize("blocking", [(), ("--blocking",)])
async def test_the_next_primary_waits_for_on_lost(launch: Launch, blocking: tuple[str, ...]) -> None:
    one = await launch("--lost-ms", "400", *blocking)
    await one.line("ready")
    two = await launch()
    await two.line("warm")
    await one.ask("resign rootcoord")
    lost, won = await one.line("lost"), await two.line("primary")
    assert won["t"] - lost["t"] >= 390e6


async def test_without_etcd_it_tries_until_it_is_told_to_stop(launch: Launch) -> None:
    one = await launch(etcd="127.0.0.1:1")
    listening = await one.line("listening")
    assert listening["id"] == 0
    who = await one.ask("who rootcoord")
    assert (who["id"], who["primary"], who["token"]) == (0, False, 0)
    refused = await one.ask("append rootcoord hello")
    assert (refused["ok"], refused["why"]) == (False, "not_primary")
    assert isinstance(await one.ask("status"), dict)
    one.signal(signal.SIGTERM)
    assert await one.ended(15) == 0
    assert [line["event"] for line in one.lines] == ["listening", "stopped"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--no-such-flag",),
        ("--set", "no.such.name=1"),
        ("--set", "primacy.margin_ms=-1"),
        ("--ttl", "soon"),
        ("--role", "rootcoord-2"),
    ],
    ids=" ".join,
)
async def test_what_trying_again_cannot_help_ends_it_with_a_message(
    launch: Launch, flags: tuple[str, ...]
) -> None:
    one = await launch(*flags)
    try:
        assert await one.ended(10) != 0
    except NotInTime:
        pytest.fail("it runs on")
    assert one.log.read_text().strip()
    assert "stopped" not in [line["event"] for line in one.lines]
