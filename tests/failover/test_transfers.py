"""A primary hands over: the lock changes hands in one put, and whoever takes it has agreed to before."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.process import pick
from primacy.testing.scene import Scene

Measured = Callable[[str, Sequence[float]], None]


def id_of(candidate: Candidate) -> int:
    return int(candidate.process.lines[-1]["id"])


async def says_warm(scene: Scene, candidate: Candidate, primary: Candidate) -> None:
    """Waits until the primary knows that it is warm: its line comes first, then its record. What etcd tells
    of that comes to the primary on the connection on which its own write is answered, and before that."""

    def says() -> bool:
        record = scene.record_of(candidate)
        return record is not None and bool(json.loads(record.value).get("Primacy", {}).get("Warm"))

    await scene.until(says, f"{candidate} says that it is warm", 15)
    await scene.appended(primary)


async def with_warm_standbys(scene: Scene, standbys: int) -> tuple[Candidate, list[Candidate]]:
    primary, others = await scene.primary_and_standbys(standbys)
    for standby in others:
        await says_warm(scene, standby, primary)
    return primary, others


def deletes_of_the_lock(scene: Scene) -> int:
    return sum(stored.event.deleted for stored in scene.stored("session/rootcoord"))


@pytest.mark.short
async def test_a_transfer_goes_to_the_standby_that_is_named_and_the_lock_is_never_absent(
    scene: Scene, measured: Measured
) -> None:
    """PD's "transfer leader to", etcd's `move-leader`, Patroni's `switchover --candidate`."""
    primary, standbys = await with_warm_standbys(scene, 2)
    took = []
    for _ in range(4):
        heir = standbys[-1]
        await says_warm(scene, heir, primary)
        token = primary.token
        scene.act(f"{primary} hands over to {heir}")
        assert (await primary.process.ask(f"transfer rootcoord {id_of(heir)}"))["ok"] is True
        _, won = await scene.next_primary(token)
        (lost,) = pick(primary.process.lines, "lost", token=token)
        assert won["id"] == id_of(heir) and lost["reason"] == "transferred"
        took.append((won["t"] - lost["t"]) / 1e6)
        await scene.ready(heir)
        await scene.appended(heir)
        await scene.warm(primary)
        primary, standbys = heir, [primary, *standbys[:-1]]
    await scene.told_of(primary.token)
    assert deletes_of_the_lock(scene) == 0
    measured("a transfer, from on_lost to the next on_primary", took)
    # In virtual time: one put and one event.
    assert statistics.median(took) < 100


@pytest.mark.short
async def test_a_transfer_to_the_best_passes_over_a_standby_that_is_stopped(scene: Scene) -> None:
    primary, (dead, alive) = await with_warm_standbys(scene, 2)
    token = primary.token
    await dead.pause()
    scene.act(f"{primary} hands over; {dead}, who has been there for longer, does not answer")
    await primary.process.ask("transfer rootcoord")
    _, won = await scene.next_primary(token, [alive])
    (lost,) = pick(primary.process.lines, "lost", token=token)
    assert (won["t"] - lost["t"]) / 1e9 < 1, "while nobody had agreed the primary was primary"
    dead.resume()
    await scene.warm(primary, dead)


@pytest.mark.short
async def test_a_transfer_that_nobody_takes_costs_nothing(scene: Scene) -> None:
    """Nobody is there; then one that is stopped. The primary stays what it is."""
    primary = await scene.candidate()
    token = (await scene.ready(primary))["token"]
    await primary.process.ask("transfer rootcoord")
    await asyncio.sleep(1)
    await scene.stays(primary, token)
    standby = await scene.candidate()
    await scene.warm(standby)
    await standby.pause()
    await primary.process.ask(f"transfer rootcoord {id_of(standby)}")
    await asyncio.sleep(2)
    await scene.stays(primary, token)
    standby.resume()
    await scene.warm(standby)
    assert not pick(primary.process.lines, "lost")


@pytest.mark.short
@pytest.mark.parametrize("how", ["resign", "stop"])
async def test_who_resigns_or_stops_hands_over_to_a_warm_standby(
    scene: Scene, how: str, measured: Measured
) -> None:
    took = []
    primary, standbys = await with_warm_standbys(scene, 2)
    for _ in range(3):
        token = primary.token
        scene.act(f"{primary} {how}s")
        if how == "resign":
            await primary.process.ask("resign rootcoord")
            _, won = await scene.next_primary(token, standbys)
        else:
            stopping = asyncio.create_task(primary.stop())
            _, won = await scene.next_primary(token, standbys)
            assert not await stopping
        (lost,) = pick(primary.process.lines, "lost", token=token)
        assert lost["reason"] == ("resigned" if how == "resign" else "stopped")
        took.append((won["t"] - lost["t"]) / 1e6)
        if how == "stop":
            await primary.start()
        primary = await scene.steady()
        standbys = [c for c in scene.candidates if c is not primary]
    await scene.told_of(primary.token)
    assert deletes_of_the_lock(scene) == 0
    measured(f"{how} with a warm standby, from on_lost to the next on_primary", took)
    assert statistics.median(took) < 100


async def test_the_standby_dies_while_on_lost_runs_and_the_next_one_takes_over(scene: Scene) -> None:
    """It had agreed; its lease still stands. Whoever let go finds out by etcd, and the other one is asked."""
    scene.with_ttl(2)
    primary = await scene.candidate("--lost-ms", "4000")
    await scene.ready(primary)
    first, second = await scene.candidate(), await scene.candidate()
    await scene.warm(first, second)
    token = primary.token
    await primary.process.ask(f"transfer rootcoord {id_of(first)}")
    await scene.lost(primary, token)
    scene.act(f"{first} is killed")
    await first.crash()
    _, won = await scene.next_primary(token, [primary, second])
    assert won["token"] > token
    await scene.ready(primary if won["id"] == id_of(primary) else second)


async def asked(scene: Scene, command: Path, *arguments: str) -> tuple[int | None, dict[str, Any]]:
    """What `primacy` came to, as an operator runs it: its exit code, and what it said."""
    etcd, (parent, last) = await scene.etcd(), scene.root.rsplit("/", 1)
    where = ["--etcd", etcd.endpoint, "--set", f"etcd.rootPath={parent}", "--set", f"etcd.metaSubPath={last}"]
    scene.act(f"primacy {' '.join(arguments)}")
    process = await asyncio.create_subprocess_exec(
        command, *arguments, "--json", *where, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return process.returncode, json.loads(said)


def is_asked(scene: Scene, primary: Candidate) -> bool:
    record = scene.record_of(primary)
    return record is not None and "Asked" in json.loads(record.value).get("Primacy", {})


@pytest.mark.short
async def test_an_operator_has_it_handed_to_the_standby_that_is_named(
    scene: Scene, guard_command: Path
) -> None:
    primary, (other, heir) = await with_warm_standbys(scene, 2)
    token = primary.token
    code, said = await asked(scene, guard_command, "transfer", "rootcoord", "--to", str(id_of(heir)))
    _, won = await scene.next_primary(token)
    (lost,) = pick(primary.process.lines, "lost", token=token)
    assert (code, said["outcome"], lost["reason"]) == (0, "done", "transferred")
    assert (won["id"], said["primary"]["token"]) == (id_of(heir), won["token"])
    await scene.ready(heir)
    await scene.warm(primary, other)
    await says_warm(scene, primary, heir)
    code, said = await asked(scene, guard_command, "resign", "rootcoord")
    _, won = await scene.next_primary(won["token"])
    (lost,) = pick(heir.process.lines, "lost")
    assert (code, said["outcome"], lost["reason"]) == (0, "done", "resigned")
    await scene.told_of(won["token"])
    assert deletes_of_the_lock(scene) == 0
    assert not any(is_asked(scene, candidate) for candidate in scene.candidates)


@pytest.mark.short
async def test_what_an_operator_asks_in_vain_costs_nothing_and_is_not_done_later(
    scene: Scene, guard_command: Path
) -> None:
    """The one that is named does not answer; then the primary is stopped for longer than one waits."""
    primary, (standby,) = await with_warm_standbys(scene, 1)
    token = primary.token
    await standby.pause()
    code, said = await asked(scene, guard_command, "transfer", "rootcoord", "--to", str(id_of(standby)))
    assert (code, said["outcome"]) == (1, "refused")
    assert "did not accept" in said["why"]
    await scene.stays(primary, token)
    standby.resume()
    await scene.warm(standby)
    await primary.pause()
    code, said = await asked(scene, guard_command, "transfer", "rootcoord", "--timeout-ms", "500")
    assert (code, said["outcome"]) == (1, "unanswered")
    primary.resume()
    await scene.appended(primary)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")
    assert not is_asked(scene, primary)
