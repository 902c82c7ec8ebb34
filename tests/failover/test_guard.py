"""`primacy guard` (docs/guard.md): what a dead host leaves is revoked at once; nothing is while it lives."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.certificates import Authority
from primacy.testing.changes import now
from primacy.testing.plugin import coordinators, in_turn
from primacy.testing.process import Process, below, pick
from primacy.testing.scene import Scene

LONG = 60  # seconds, a TTL that nobody waits for
SOON = 20  # seconds, on a busy machine

Guarded = Callable[..., Path]


@pytest.fixture
def guarded(
    request: pytest.FixtureRequest,
    guard_command: Path,
    coordinator_program: Callable[[str], Path],
    tmp_path: Path,
) -> Iterator[Guarded]:
    """Makes programs that run a sample coordinator under a guard; `host` is a line of shell with it as `$@`.
    None outlives the guard, unless it is said so."""
    names = in_turn(coordinators(request.config), request.node.nodeid.rpartition("/")[2])
    programs = itertools.cycle([coordinator_program(name) for name in names])
    numbers = itertools.count(1)

    def make(host: str = "", before: str = "", outlives: bool = False) -> Path:
        made = tmp_path / f"guarded-{next(numbers)}"
        mortal = "" if outlives else "setpriv --pdeathsig KILL "
        host = f"sh -c {shlex.quote(host)} sh " if host else ""
        made.write_text(
            f'#!/bin/sh\nexec {before} {guard_command} guard -- {mortal}{host}{next(programs)} "$@"\n'
        )
        made.chmod(0o755)
        return made

    yield make


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def host_of(candidate: Candidate) -> int:
    return below(candidate.process.pid)[0]


def kill_host(scene: Scene, candidate: Candidate) -> None:
    candidate.ended_by_us = True
    scene.history.fault("killed", candidate.name)
    os.kill(host_of(candidate), signal.SIGKILL)


def said(candidate: Candidate, what: str) -> list[str]:
    return [line for line in candidate.process.log.read_text().splitlines() if what in line]


async def primary_under_guard(
    scene: Scene, program: Path, *flags: str, etcd: str = ""
) -> tuple[Candidate, Candidate]:
    """It is ready, its guard knows its lease, and beside it is a warm standby."""
    primary = await scene.candidate(*flags, program=program, etcd=etcd)
    await scene.ready(primary)
    assert said(primary, "a crash guard revokes the leases of this session")
    standby = await scene.candidate(*flags)
    await scene.warm(standby)
    return primary, standby


async def revoked(scene: Scene, primary: Candidate, standby: Candidate, code: int = 137) -> None:
    """The host is killed, and the standby does not wait for the lease's end."""
    token, lease = primary.token, scene.lease_of(primary)
    kill_host(scene, primary)
    await scene.next_primary(token, [standby], SOON)
    assert await primary.process.ended(SOON) == code
    (line,) = said(primary, "is dead")
    assert f"lease {lease} is revoked after" in line
    await scene.appended(standby)


@pytest.mark.short
async def test_the_lease_of_a_killed_primary_is_revoked_at_once(scene: Scene, guarded: Guarded) -> None:
    scene.with_ttl(LONG)
    await revoked(scene, *await primary_under_guard(scene, guarded()))


async def test_an_etcd_that_is_a_name_is_found_as_the_host_finds_it(scene: Scene, guarded: Guarded) -> None:
    scene.with_ttl(LONG)
    port = (await scene.etcd()).endpoint.rpartition(":")[2]
    primary, standby = await primary_under_guard(scene, guarded(), etcd=f"localhost:{port}")
    await revoked(scene, primary, standby)


@pytest.mark.parametrize("tokens", ["simple", pytest.param("jwt", marks=pytest.mark.short)])
async def test_with_a_user_whose_token_has_run_out_since(scene: Scene, guarded: Guarded, tokens: str) -> None:
    scene.with_ttl(LONG)
    etcd = await scene.own_etcd(password="se,cret", tokens=tokens, token_ttl=3)
    await etcd.gateway().add_role("coordinator", f"{scene.root}/")
    await etcd.gateway().add_user("milvus", "pass,word", "coordinator")
    flags = scene.user_flags("milvus", "pass,word")
    primary, standby = await primary_under_guard(scene, guarded(), *flags)
    await asyncio.sleep(8)
    await revoked(scene, primary, standby)


async def test_with_certificates_on_both_ends(scene: Scene, guarded: Guarded, tmp_path: Path) -> None:
    scene.with_ttl(LONG)
    await scene.own_etcd(tls=Authority(tmp_path / "tls"))
    await revoked(scene, *await primary_under_guard(scene, guarded()))


async def test_with_a_member_that_is_silent(scene: Scene, guarded: Guarded) -> None:
    scene.with_ttl(LONG)
    etcd = await scene.own_etcd(members=3)
    link = await scene.link(etcd.members[0].client)
    others = ",".join(member.client for member in etcd.members[1:])
    primary, standby = await primary_under_guard(scene, guarded(), etcd=f"{link.address},{others}")
    link.silence()
    await revoked(scene, primary, standby)


@pytest.mark.short
async def test_nothing_is_revoked_while_the_host_is_paused(scene: Scene, guarded: Guarded) -> None:
    primary, standby = await primary_under_guard(scene, guarded())
    token, host = primary.token, host_of(primary)
    scene.act(f"the host of {primary} is paused for 15 s")
    scene.history.fault("paused", primary.name)
    stored = scene.stored("session/rootcoord")
    os.kill(host, signal.SIGSTOP)
    # etcd has had a renewal a third of the TTL ago at the most: what is gone before that was revoked.
    await asyncio.sleep(scene.ttl / 2)
    assert scene.stored("session/rootcoord") == stored
    await scene.next_primary(token, [standby])
    await asyncio.sleep(15 - scene.ttl)
    os.kill(host, signal.SIGCONT)
    scene.history.fault("paused", primary.name, over=True)
    assert (await scene.lost(primary, token))["reason"] == "lease_expired"
    await scene.warm(primary)
    assert not said(primary, "is dead")
    # It has another lease by now, which the guard knows.
    await standby.stop()
    await scene.ready(primary)
    standby = await scene.candidate()
    await scene.warm(standby)
    await revoked(scene, primary, standby)


@pytest.mark.short
async def test_a_clean_stop_passes_through_and_leaves_nothing_to_revoke(
    scene: Scene, guarded: Guarded
) -> None:
    scene.with_ttl(LONG)
    primary, standby = await primary_under_guard(scene, guarded())
    token = primary.token
    assert not await primary.stop(), "SIGTERM is passed on, and the exit code is the host's"
    await scene.next_primary(token, [standby], SOON)
    assert not said(primary, "primary guard: ")
    assert not said(primary, "is dead")


@pytest.mark.short
async def test_without_its_guard_a_host_goes_on_and_says_so_once(scene: Scene, guarded: Guarded) -> None:
    primary, _ = await primary_under_guard(scene, guarded(outlives=True))
    token, host = primary.token, host_of(primary)
    try:
        scene.act(f"the guard of {primary} is killed")
        os.kill(primary.process.pid, signal.SIGKILL)
        await scene.until(lambda: said(primary, "the crash guard is gone"), "the host saying so", SOON)
        await asyncio.sleep(scene.ttl)
        await scene.stays(primary, token)
        await scene.appended(primary)
        assert len(said(primary, "the crash guard is gone")) == 1
        assert "the crash guard is gone" in str(await primary.process.ask("status"))
    finally:
        primary.ended_by_us = True
        os.kill(host, signal.SIGTERM)
        await primary.process.ended(SOON)


@pytest.mark.parametrize(
    "host",
    [
        pytest.param('exec "$@"', id="exec"),
        pytest.param('"$@"; exit $?', id="script"),
        pytest.param('sleep 1000 & "$@"', id="orphan"),
    ],
)
async def test_whatever_process_opens_the_session_is_the_host(
    scene: Scene, guarded: Guarded, host: str
) -> None:
    scene.with_ttl(LONG)
    primary, standby = await primary_under_guard(scene, guarded(host))
    orphans = [pid for pid in below(primary.process.pid) if name_of(pid) == "sleep"]
    try:
        token, lease = primary.token, scene.lease_of(primary)
        primary.ended_by_us = True
        scene.history.fault("killed", primary.name)
        coordinator = next(pid for pid in below(primary.process.pid) if pid not in orphans)
        os.kill(coordinator, signal.SIGKILL)
        await scene.next_primary(token, [standby], SOON)
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        assert await primary.process.ended(SOON) == 137
        assert f"lease {lease} is revoked" in said(primary, "is dead")[0]
    finally:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def test_a_daemon_that_leaves_its_guard_behind_loses_nothing(scene: Scene, guarded: Guarded) -> None:
    daemon = guarded('"$@" & echo $! >&2; sleep 4', outlives=True)
    primary, standby = await primary_under_guard(scene, daemon)
    token = primary.token
    host = int(primary.process.log.read_text().splitlines()[0])
    try:
        await scene.until(lambda: said(primary, "the crash guard is gone"), "the guard's end", SOON)
        await asyncio.sleep(scene.ttl)
        await scene.stays(primary, token)
        assert not said(primary, "is dead")
        assert not pick(standby.process.lines, "primary")
    finally:
        primary.ended_by_us = True
        os.kill(host, signal.SIGTERM)
        await primary.process.ended(SOON)


@pytest.mark.short
async def test_a_host_that_closes_all_it_has_is_not_dead(scene: Scene, guarded: Guarded) -> None:
    script = "import os, sys; os.closerange(3, 1000); os.execv(sys.argv[1], sys.argv[1:])"
    program = guarded(f'exec {sys.executable} -c {shlex.quote(script)} "$@"')
    primary = await scene.candidate(program=program)
    await scene.ready(primary)
    token = primary.token
    await asyncio.sleep(scene.ttl)
    await scene.stays(primary, token)
    assert "was it closed" in said(primary, "no crash guard")[0]
    assert not said(primary, "is dead")


TWO_SESSIONS = """
import contextlib, json, os, queue, socket, sys, time
import primacy

class Host(primacy.Callbacks):
    def on_primary(self, election, call):
        won.put(call.lease)

    def on_lost(self, election, call):
        pass

won = queue.Queue()
etcd, root, ttl = sys.argv[1:]
meta_root, _, sub = root.partition("/")
config = {"etcd.endpoints": etcd, "etcd.rootPath": meta_root, "etcd.metaSubPath": sub}
config["common.session.ttl"] = ttl
sessions = [primacy.Session(config, primacy.Candidate("127.0.0.1:1", "2.4.0")) for _ in range(2)]
for session, role in zip(sessions, ("rootcoord", "datacoord")):
    session.register(role, Host()).campaign()
leases = [won.get(timeout=20) for _ in sessions]
for fd in range(3, 100):
    with contextlib.suppress(OSError):
        if socket.socket(fileno=os.dup(fd)).type == socket.SOCK_SEQPACKET:
            os.close(fd)
print(json.dumps({"event": "closed", "leases": leases}), flush=True)
time.sleep(1000)
"""


async def test_sessions_whose_host_closes_their_sockets_are_guarded_all_the_same(
    scene: Scene, guard_command: Path, tmp_path: Path
) -> None:
    pytest.importorskip("primacy._primacy")
    etcd = await scene.etcd()
    script = tmp_path / "host.py"
    script.write_text(TWO_SESSIONS)
    host: list[str | Path] = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        sys.executable,
        script,
        etcd.endpoint,
        scene.root,
        str(LONG),
    ]
    log = tmp_path / "host.log"
    guard = await Process.start([guard_command, "guard", "--", *host], log, scene.changes)
    try:
        (line,) = await guard.while_running(lambda: pick(guard.lines, "closed"), SOON, "both primaries")
        leases = set(line["leases"])
        assert len(leases) == 2
        gateway = etcd.gateway()
        await asyncio.sleep(2)
        assert {kv.lease for kv in await gateway.prefix(f"{scene.root}/session/") if kv.lease} == leases
        os.kill(below(guard.pid)[0], signal.SIGKILL)
        assert await guard.ended(SOON) == 137
        assert not [kv for kv in await gateway.prefix(f"{scene.root}/session/") if kv.lease]
        words = log.read_text()
        assert all(f"lease {lease} is revoked" in words for lease in leases)
    finally:
        await guard.kill()


@pytest.fixture
def unshare() -> str:
    if subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode:
        pytest.skip("LEFT OUT: no PID namespace can be made here")
    return "unshare --pid --fork --kill-child"


async def test_as_the_first_process_of_a_pid_namespace(scene: Scene, guarded: Guarded, unshare: str) -> None:
    scene.with_ttl(LONG)
    await revoked(scene, *await primary_under_guard(scene, guarded(before=unshare)))


@pytest.mark.short
async def test_where_a_guard_is_required_no_session_opens_without(scene: Scene) -> None:
    lonely = await scene.candidate("--set", "primacy.guard=required")
    lonely.ended_by_us = True
    assert await lonely.process.ended(SOON)
    assert "`primacy guard -- PROGRAM`" in lonely.process.log.read_text()


async def test_where_it_is_off_the_guard_hears_nothing(scene: Scene, guarded: Guarded) -> None:
    primary = await scene.candidate("--set", "primacy.guard=off", program=guarded())
    await scene.ready(primary)
    token = primary.token
    standby = await scene.candidate()
    await scene.warm(standby)
    kill_host(scene, primary)
    await scene.next_primary(token, [standby])
    assert not said(primary, "guard")


@pytest.mark.timeout(1200)
async def test_how_long_after_a_kill_the_next_one_is_primary(
    scene: Scene,
    guarded: Guarded,
    measured: Callable[[str, Sequence[float]], None],
    pytestconfig: pytest.Config,
) -> None:
    """Beside how long etcd takes from a revoke to the event, seen by the same watch."""
    scene.with_ttl(10)
    program, gateway = guarded(), (await scene.etcd()).gateway()
    candidates = [await scene.candidate(program=program, ask_every=0.2, writes=False) for _ in range(2)]
    revokes, deletes, wins = [], [], []
    for _ in range(int(pytestconfig.getoption("--kills"))):
        primary = await scene.steady(60)
        (standby,) = (candidate for candidate in candidates if candidate is not primary)
        await scene.at_rest(standby)

        probe = f"{scene.root}/probe"
        lease = await gateway.grant(LONG)
        await gateway.put(probe, "", lease)
        await scene.until(lambda: any(not e.event.deleted for e in scene.stored("probe")[-1:]), "its event")
        begun = now()
        await gateway.revoke(lease)
        await scene.until(lambda: scene.stored("probe")[-1].event.deleted, "its end")
        revokes.append((scene.stored("probe")[-1].t - begun) / 1e6)

        token = primary.token
        killed = now()
        kill_host(scene, primary)
        _, won = await scene.next_primary(token, [standby], SOON)
        wins.append((won["t"] - killed) / 1e6)
        gone = next(e for e in scene.stored("session/rootcoord") if e.event.deleted and e.t > killed)
        deletes.append((gone.t - killed) / 1e6)
        await primary.process.ended(SOON)
        await primary.start()
    measured("etcd alone: revoke to event", revokes)
    measured("SIGKILL to event", deletes)
    measured("SIGKILL to on_primary of the next", wins)


# The program by itself


def run(command: Path, *program: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    args = [str(command), "guard", "--", *program]
    return subprocess.run(args, capture_output=True, text=True, check=False, timeout=60, env=env)


@pytest.mark.short
def test_the_exit_code_is_the_programs(guard_command: Path) -> None:
    for script, code in (("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)):
        ran = run(guard_command, "sh", "-c", script)
        assert (ran.returncode, ran.stdout, ran.stderr) == (code, "", "")
    missing = run(guard_command, "/no/such/program")
    assert missing.returncode == 127 and "/no/such/program" in missing.stderr
    assert run(guard_command, "/etc/passwd").returncode == 126
    assert subprocess.run([guard_command, "guard"], capture_output=True, check=False).returncode == 2


@pytest.mark.short
def test_signals_are_passed_on(guard_command: Path) -> None:
    names = ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "CONT", "WINCH"]
    script = "import signal, time\n" + "".join(
        f"signal.signal(signal.SIG{name}, lambda *_: print('{name}', flush=True))\n" for name in names
    )
    script += "print('up', flush=True)\nwhile True: time.sleep(0.01)"
    guard = subprocess.Popen(
        [guard_command, "guard", "--", sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )
    try:
        assert guard.stdout and guard.stdout.readline() == "up\n"
        (host,) = below(guard.pid)
        for name in names:
            guard.send_signal(signal.Signals[f"SIG{name}"])
            assert guard.stdout.readline() == f"{name}\n"
        os.kill(host, signal.SIGKILL)
        assert (guard.wait(20), guard.stdout.read()) == (137, "")
    finally:
        guard.kill()


def test_what_was_ignored_when_it_was_started_stays_ignored(guard_command: Path) -> None:
    script = f"trap '' HUP; exec {guard_command} guard -- grep SigIgn /proc/self/status"
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert int(ran.stdout.split()[1], 16) & 1


def test_what_was_blocked_when_it_was_started_reaches_it_and_stays_blocked_for_the_program(
    guard_command: Path,
) -> None:
    blocked = {signal.SIGCHLD, signal.SIGTERM}
    ran = subprocess.run(
        [guard_command, "guard", "--", "grep", "SigBlk", "/proc/self/status"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, blocked),
    )
    assert int(ran.stdout.split()[1], 16) == sum(1 << (number - 1) for number in blocked)


def test_the_terminal_is_given_back(guard_command: Path) -> None:
    script = f"{guard_command} guard -- true; read line; echo got $line"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", script])
    try:
        os.write(terminal, b"this\n")
        said = b""
        with contextlib.suppress(OSError):  # the end, of a terminal
            while chunk := os.read(terminal, 1000):
                said += chunk
        assert b"got this" in said
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def test_orphans_are_reaped(guard_command: Path) -> None:
    script = 'sh -c "sleep 0.1 & echo \\$!"; sleep 1; exec cat'
    guard = subprocess.Popen(
        [guard_command, "guard", "--", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert guard.stdin and guard.stdout
        orphan = int(guard.stdout.readline())
        guard.stdin.write("alive\n")
        guard.stdin.flush()
        assert guard.stdout.readline() == "alive\n"
        assert not Path(f"/proc/{orphan}").exists(), "no zombie is left"
        guard.stdin.close()
        assert guard.wait(20) == 0
    finally:
        guard.kill()


def test_it_needs_nothing_of_the_image_that_it_runs_in(guard_command: Path) -> None:
    """Linked statically: what LD_PRELOAD names is for the program alone."""
    if not shutil.which("ldd"):
        pytest.skip("LEFT OUT: no ldd, of libc-bin")
    ldd = subprocess.run(["ldd", guard_command], capture_output=True, text=True, check=False)
    assert "statically linked" in ldd.stdout or "not a dynamic executable" in ldd.stderr
    nowhere = {"LD_PRELOAD": "/no/such/library.so"}
    ran = run(guard_command, sys.executable, "-c", "import os; print(os.environ['LD_PRELOAD'])", env=nowhere)
    assert ran.stdout == f"{nowhere['LD_PRELOAD']}\n"
    assert ran.stderr.count("cannot be preloaded") == 1, "by the program's loader, not by the guard's"
