"""What docs/python.md and README.md show, runs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import primacy
import pytest
from conftest import SOON, Open, Start, candidate
from primacy._config import raw_config
from primacy.testing.etcd import Etcd
from primacy.testing.plugin import Loop

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs/python.md").read_text()
BLOCKS = dict(re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", GUIDE, re.DOTALL))


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> str:
    """A store inside the process, where the guide says etcd: it allows what has to be allowed for one."""
    settings: dict[str, primacy.Value] = {"primacy.allow_memory_store": True, "common.session.ttl": 5}

    def raw(given: dict[str, primacy.Value] | primacy.Config) -> object:
        return raw_config(given if isinstance(given, primacy.Config) else {**settings, **given})

    for module in ("_session", "_observer", "aio._session", "aio._observer"):
        monkeypatch.setattr(f"primacy.{module}.raw_config", raw)
    return "mem://guide"


def run(name: str, endpoint: str, **more: object) -> None:
    names = {"ETCD": endpoint, "primacy": primacy, "candidate": candidate(), **more}
    exec(compile(BLOCKS[name], f"docs/python.md: {name}", "exec"), names)


def test_every_block_is_tested() -> None:
    assert set(BLOCKS) == {"greeter", "writes", "events", "asyncio", "observer"}
    assert GUIDE.count("```python") == len(BLOCKS)


def test_the_greeter_ends_cleanly_and_its_next_start_is_primary_at_once(
    etcd: Etcd, primacy_loop: Loop, tmp_path: Path
) -> None:
    """As it stands, in a file of its own."""
    file = tmp_path / "greeter.py"
    file.write_text(BLOCKS["greeter"])
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, file, etcd.endpoint],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert process.stdout and process.stdout.readline() == "primary\n"
            process.terminate()
            rest, _ = process.communicate(timeout=SOON)
            assert rest == "lost: stopped\n"
            assert process.returncode == 0
        finally:
            process.kill()
    held = primacy_loop.run(etcd.gateway().prefix("by-dev/"))
    assert {kv.key for kv in held} == {"by-dev/meta/session/id", "by-dev/meta/greeter/primary"}


def test_the_candidate_of_the_readme_ends_by_ctrl_c(etcd: Etcd, program: Start) -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    started = program(shown.replace("localhost:2379", etcd.endpoint))
    assert started.line() == "primary"
    started.process.send_signal(signal.SIGINT)
    _, said, complaint = started.end()
    assert said == "lost: stopped"
    assert complaint.splitlines()[-1] == "KeyboardInterrupt"


def test_a_guarded_write_and_its_conflict(open_session: Open, capsys: pytest.CaptureFixture[str]) -> None:
    election = open_session().register("r")
    election.campaign()
    call = election.next_event(SOON)
    assert isinstance(call, primacy.PrimaryCall)
    call.done()
    for token in (call.token, call.token, call.token + 1):
        run("writes", "", election=election, token=token)
    assert capsys.readouterr().out == (
        "written at revision True\n"
        "jobs/7 was there already; read: 1\n"
        "somebody else may be primary: nothing was written\n"
    )


def test_events(open_session: Open, capsys: pytest.CaptureFixture[str]) -> None:
    run("events", "", session=open_session())
    assert capsys.readouterr().out == "primary under a token: True\nover\n"


def test_asyncio(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    here = candidate()
    run("asyncio", endpoint, candidate=here)
    assert capsys.readouterr().out == f"the primary is {here.address}\nlost: stopped\n"


def test_an_observer(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("observer", endpoint)
    assert capsys.readouterr().out == "nobody is ready\n"
