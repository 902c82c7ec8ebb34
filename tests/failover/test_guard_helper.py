"""`primacy.guard=helper` (docs/guard.md): a guard beside the host; and what `required` waits for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.process import below
from primacy.testing.scene import Scene

LONG = 60  # seconds, a TTL that nobody waits for
SOON = 20  # seconds, on a busy machine

Flags = tuple[str, ...]


@pytest.fixture
def helper(guard_command: Path) -> Flags:
    return ("--set", "primacy.guard=helper", "--set", f"primacy.guard_program={guard_command}")


def helper_of(candidate: Candidate) -> int:
    (pid,) = below(candidate.process.pid)
    return pid


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def ends(scene: Scene, pid: int) -> None:
    await scene.until(lambda: not lives(pid), "the helper's end", SOON)


def said(candidate: Candidate, what: str) -> list[str]:
    return [line for line in candidate.process.log.read_text().splitlines() if what in line]


async def primary_with_helper(scene: Scene, flags: Flags) -> tuple[Candidate, Candidate]:
    primary = await scene.candidate(*flags)
    await scene.ready(primary)
    standby = await scene.candidate(*flags)
    await scene.warm(standby)
    return primary, standby


@pytest.mark.short
async def test_the_lease_of_a_killed_host_is_revoked_and_its_helper_ends(scene: Scene, helper: Flags) -> None:
    scene.with_ttl(LONG)
    primary, standby = await primary_with_helper(scene, helper)
    token, lease, beside = primary.token, scene.lease_of(primary), helper_of(primary)
    await primary.crash()
    await scene.next_primary(token, [standby], SOON)
    await scene.until(lambda: said(primary, f"lease {lease} is revoked"), "its word", SOON)
    await ends(scene, beside)


async def test_nothing_is_revoked_while_the_host_is_paused_or_its_helper_is_told_to_end(
    scene: Scene, helper: Flags
) -> None:
    scene.with_ttl(LONG)
    primary, standby = await primary_with_helper(scene, helper)
    token, lease, beside = primary.token, scene.lease_of(primary), helper_of(primary)
    await primary.pause()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.kill(beside, number)
    await asyncio.sleep(3)
    assert lives(beside) and lease in await (await scene.etcd()).gateway().leases()
    primary.resume()
    assert not await primary.stop()
    await scene.next_primary(token, [standby], SOON)
    assert not said(primary, "is dead")
    await ends(scene, beside)


async def test_it_has_nothing_of_the_host_but_its_socket(
    scene: Scene, helper: Flags, tmp_path: Path, coordinator_program: Callable[[str], Path]
) -> None:
    """No secret where others can read it, no descriptor that the host has left open, a group of its own."""
    await scene.own_etcd(password="pass,word")
    leaky = tmp_path / "leaky"
    program = coordinator_program("c")
    leaky.write_text(f'#!/bin/sh\nexec 7</etc/passwd\nOF_THE_HOST=1 exec {program} "$@"\n')
    leaky.chmod(0o755)
    primary = await scene.candidate(*helper, program=leaky)
    await scene.ready(primary)
    beside = helper_of(primary)
    proc = Path(f"/proc/{beside}")
    assert proc.joinpath("cmdline").read_text().split("\0")[1:3] == ["guard", "--beside"]
    environment = proc.joinpath("environ").read_text()
    assert "pass,word" not in environment and "OF_THE_HOST" not in environment
    assert os.getpgid(beside) == beside
    assert "/etc/passwd" not in {str(fd.readlink()) for fd in proc.joinpath("fd").iterdir()}
    assert not await primary.stop()
    await ends(scene, beside)


async def test_a_helper_that_dies_is_told_of_and_its_host_goes_on(scene: Scene, helper: Flags) -> None:
    primary, _ = await primary_with_helper(scene, helper)
    token = primary.token
    # The kernel does not say so; the socket's end does, and it means nothing but that.
    os.kill(helper_of(primary), signal.SIGKILL)
    await scene.until(lambda: said(primary, "the crash guard is gone"), "the host saying so", SOON)
    await asyncio.sleep(1)
    await scene.stays(primary, token)


@pytest.mark.short
async def test_one_that_can_not_be_started_is_named_and_no_session_opens(scene: Scene) -> None:
    flags = ("--set", "primacy.guard=helper", "--set", "primacy.guard_program=/no/such/primacy")
    lonely = await scene.candidate(*flags)
    lonely.ended_by_us = True
    assert await lonely.process.ended(SOON)
    assert "/no/such/primacy, can not be started" in lonely.process.log.read_text()


@pytest.mark.short
async def test_where_a_guard_is_required_no_lease_is_asked_for_before_it_says_that_it_guards(
    scene: Scene, tmp_path: Path, coordinator_program: Callable[[str], Path]
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.set_inheritable(True)
    ours.setblocking(False)
    etcd = await scene.etcd()
    place = f"{theirs.fileno()}:{os.fstat(theirs.fileno()).st_ino}"
    program = coordinator_program("c")
    args: list[str | Path] = [program, "--etcd", etcd.endpoint, "--root", scene.root, "--role", "rootcoord"]
    args += ["--address", "127.0.0.1:0", "--set", "primacy.guard=required"]
    host = await asyncio.create_subprocess_exec(
        *args,
        env={**os.environ, "PRIMACY_GUARD": place},
        pass_fds=[theirs.fileno()],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    theirs.close()
    loop = asyncio.get_running_loop()
    try:
        ready = asyncio.Event()
        loop.add_reader(ours, ready.set)
        await asyncio.wait_for(ready.wait(), SOON)
        loop.remove_reader(ours)
        text, descriptors, _, _ = socket.recv_fds(ours, 1000, 1)
        assert json.loads(text) == {"hello": {"version": 2}}
        before = await etcd.gateway().leases()
        await asyncio.sleep(1.5)
        assert await etcd.gateway().leases() == before, "it has waited"
        with socket.socket(fileno=descriptors[0]) as session:
            session.send(b'{"guarding":{}}')
            assert host.stdout
            while json.loads(await asyncio.wait_for(host.stdout.readline(), SOON))["event"] != "primary":
                pass
            host.terminate()
            assert await asyncio.wait_for(host.wait(), SOON) == 0
    finally:
        ours.close()
        if host.returncode is None:
            host.kill()
        await host.wait()
