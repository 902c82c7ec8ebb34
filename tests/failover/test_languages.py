"""MEP 30's test plan and key points, for each kind of coordinator in each language, and mixed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.changes import now
from primacy.testing.process import Process, pick
from primacy.testing.scene import Scene

ROLES = ("rootcoord", "datacoord", "querycoord", "indexcoord", "mixcoord")
LANGUAGES = ("c", "go", "py")


def teams() -> list[object]:
    """Each kind meets each language once, and all of them at once; another one begins each time."""
    found: list[object] = []
    for i, role in enumerate(ROLES):
        mixed = LANGUAGES[i % 3 :] + LANGUAGES[: i % 3]
        found.append(pytest.param(role, mixed, id=f"{role}-mixed", marks=pytest.mark.short))
        found += [pytest.param(role, (language,) * 3, id=f"{role}-{language}") for language in LANGUAGES]
    return found


@pytest.mark.parametrize(("role", "languages"), teams())
async def test_mep30_plan_1_to_3_and_key_points_2b_and_3(
    scene: Scene, role: str, languages: tuple[str, ...], coordinator_program: Callable[[str], Path]
) -> None:
    """1, Deploy a cluster with primary and standby coords. Manually remove the primary coord or mock some
    crash in the primary coord. The standby coord should take over successfully. The cluster must keep working
    after a short time of partial failure. 2, Deploy multiple backup coordinators. There should be only one of
    them can turned into active. 3, The test should be done for each kind of coords.

    Key point 2b: All clients connected to that coord should failover and update the new coord info in memory
    automatically. Key point 3: The old master can serve as a standby after recovery.

    The first primary is removed, the second crashes.
    """
    scene.with_ttl(3)
    candidates: list[Candidate] = []
    for language in languages:
        candidates.append(await scene.candidate(roles=(role,), program=language))
        await scene.until(
            lambda: candidates[-1].state in ("ready", "warm"), f"{language} being primary or a warm standby"
        )
    client = await scene.client(coordinator_program("client"), role)
    primary, gone = candidates[0], list[Candidate]()
    await works_with(scene, client, primary)
    while len(gone) < len(candidates) - 1:
        token, before = primary.token, await scene.appended(primary)
        await (crashes if gone else is_removed)(scene, primary)
        gone.append(primary)
        standbys = [candidate for candidate in candidates if candidate not in gone]
        primary, won = await scene.next_primary(token, standbys)
        await scene.ready(primary)
        assert (await scene.appended(primary)).n > before.n, "the cluster works on, from where it was"
        await works_with(scene, client, primary)
        wins = [line for standby in standbys for line in standby.wins if line["token"] > token]
        assert wins == [won], "only one of them is turned active"
    assert {*gone, primary} == {*candidates}, "each was primary once"
    token = primary.token
    for old in gone:
        await old.start()
    await scene.warm(*gone)
    assert not [line for old in gone for line in old.wins]
    await scene.stays(primary, token)


async def is_removed(scene: Scene, primary: Candidate) -> None:
    scene.act(f"{primary} is removed: it is sent SIGTERM")
    assert not await primary.stop()


async def crashes(scene: Scene, primary: Candidate) -> None:
    scene.act(f"{primary} crashes")
    await primary.crash()


async def works_with(scene: Scene, client: Process, primary: Candidate) -> None:
    """The client has been told who it is, and its calls are answered there, with nobody's help."""
    since = now()
    won = primary.wins[-1]

    def told() -> bool:
        known = pick(client.lines, "primary", "none")
        answered = pick(client.lines, "ok", token=won["token"])
        return bool(
            known
            and (known[-1].get("id"), known[-1].get("address")) == (won["id"], primary.process.address)
            and answered
            and answered[-1]["t"] > since
        )

    await scene.until(told, f"the client's calls being answered by {primary}", 15)
