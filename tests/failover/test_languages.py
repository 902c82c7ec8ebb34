"""MEP 30's test plan and key points, for each kind of coordinator in each language, and mixed."""

from __future__ import annotations

import shutil
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


def built(languages: tuple[str, ...], program: Callable[[str], Path]) -> tuple[str, ...]:
    """Without Go, C takes its place among others."""
    if len(set(languages)) > 1 and not (program("c").parent / "go").exists() and not shutil.which("go"):
        return tuple("c" if language == "go" else language for language in languages)
    return languages


@pytest.mark.parametrize(("role", "languages"), teams())
async def test_mep30_plan_1_to_3_and_key_points_2b_and_3(
    scene: Scene, role: str, languages: tuple[str, ...], coordinator_program: Callable[[str], Path]
) -> None:
    """Deploy a cluster with primary and standby coords. Mock some crash in the primary coord. The standby
    coord should take over successfully. The cluster must keep working after a short time of partial failure.
    Deploy multiple backup coordinators: only one of them can turn active. For each kind of coords.

    2b: all clients connected to that coord should failover and update the new coord info in memory
    automatically. 3: the old master can serve as a standby after recovery.
    """
    scene.with_ttl(3)
    candidates: list[Candidate] = []
    for language in built(languages, coordinator_program):
        candidates.append(await scene.candidate(roles=(role,), program=language))
        await scene.until(
            lambda: candidates[-1].state in ("ready", "warm"), f"{language} being primary or a warm standby"
        )
    client = await scene.client(coordinator_program("client"), role)
    primary, crashed = candidates[0], list[Candidate]()
    await works_with(scene, client, primary)
    while len(crashed) < len(candidates) - 1:
        token, before = primary.token, await scene.appended(primary)
        scene.act(f"{primary} crashes")
        await primary.crash()
        crashed.append(primary)
        standbys = [candidate for candidate in candidates if candidate not in crashed]
        primary, won = await scene.next_primary(token, standbys)
        await scene.ready(primary)
        assert (await scene.appended(primary)).n > before.n, "the cluster works on, from where it was"
        await works_with(scene, client, primary)
        wins = [line for standby in standbys for line in standby.wins if line["token"] > token]
        assert wins == [won], "only one of them is turned active"
    assert {*crashed, primary} == {*candidates}, "each was primary once"
    token = primary.token
    for old in crashed:
        await old.start()
    await scene.warm(*crashed)
    assert not [line for old in crashed for line in old.wins]
    await scene.stays(primary, token)


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
