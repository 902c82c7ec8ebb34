"""The README's quick start, as it stands: it ends cleanly, and its next start is primary at once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from primacy.testing.changes import Changes
from primacy.testing.etcd import Etcd
from primacy.testing.plugin import Loop, Servers
from primacy.testing.process import Process

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def own_etcd(primacy_loop: Loop, primacy_servers: Servers, tmp_path: Path) -> Iterator[Etcd]:
    """Not that of others: the quick start's root is the default one."""
    started = primacy_loop.run(Etcd.launch(primacy_servers.program(), tmp_path, Changes()))
    yield started
    primacy_loop.run(started.kill())


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Compiled as the README says, but with the library that the sample coordinators are linked to."""
    readme = (REPOSITORY / "README.md").read_text()
    (tmp_path / "quickstart.c").write_text(readme.partition("```c\n")[2].partition("```")[0])
    (command,) = (line for line in readme.splitlines() if line.startswith("cc ") and "quickstart.c" in line)
    for there, here in (("target/local/include", "include"), ("target/local/lib", "target/demo")):
        command = command.replace(there, str(REPOSITORY / here))
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    return tmp_path / "quickstart"


@pytest.fixture
def run(primacy_loop: Loop, program: Path, own_etcd: Etcd, tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Runs it until it says that it is primary, and is told to stop then."""
    changes, started = Changes(), list[Process]()

    async def once() -> Process:
        started.append(
            process := await Process.start([program, own_etcd.endpoint], tmp_path / "log", changes)
        )
        await process.while_running(lambda: "primary: 1" in said(process), 30, "being primary")
        process.signal(signal.SIGTERM)
        await process.ended(10)
        return process

    yield lambda: primacy_loop.run(once())
    for process in started:
        primacy_loop.run(process.kill())
        print(*said(process), f"exit code {process.code}", process.log.read_text(), sep="\n")


def said(process: Process) -> list[str]:
    return [line["text"] for line in process.lines]


def test_it_ends_cleanly_and_its_next_start_is_primary_at_once(
    run: Callable[[], Process], primacy_loop: Loop, own_etcd: Etcd
) -> None:
    for process in (run(), run()):
        assert process.code == 0 and process.log.read_text() == ""
        told = [line for line in said(process) if not line.startswith("primary: ")]
        token = told[0].partition("token ")[2].partition(":")[0]
        assert told == [f"primary, token {token}: ok", f"lost token {token}: stopped"]
    held = primacy_loop.run(own_etcd.gateway().prefix("by-dev/"))
    assert {kv.key for kv in held} == {"by-dev/meta/session/id", "by-dev/meta/greeter/primary-since"}
