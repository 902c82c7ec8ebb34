"""The kit as a plugin, for somebody else's suite: the example of docs/testing.md, in a folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from primacy.testing.plugin import Loop, Shared

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "testing.md"
LOADED = """
import sys
def pytest_sessionfinish():
    assert "primacy.testing.scene" in sys.modules and "primacy._primacy" not in sys.modules
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A folder with that example, as somebody else would have it."""
    (name, code), *_ = re.findall(
        r"<!-- example: (\S+) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    assert code.count("\n") == 10
    (tmp_path / name).write_text(code)
    (tmp_path / "conftest.py").write_text(LOADED)
    return tmp_path


@pytest.fixture
def run(suite: Path) -> Callable[..., tuple[int, str]]:
    """pytest, started there; its code and what it said."""

    def start(*flags: str | Path, **more: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "pytest", "-p", "primacy.testing.plugin", "-ra", *map(str, flags)]
        # The package as it is here, installed or not; nothing else of this repository.
        environment = {k: v for k, v in os.environ.items() if k not in ("COORDINATORS", "ETCD")}
        environment |= {"PYTHONPATH": str(REPOSITORY / "python"), **more}
        done = subprocess.run(
            command, cwd=suite, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return start


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def coordinator(coordinator_program: Callable[[str], Path]) -> Path:
    return coordinator_program("c")


def test_the_example_runs_anywhere_as_the_page_says_and_writes_a_report(
    run: Run, suite: Path, coordinator: Path, etcd_program: Callable[[str], Path]
) -> None:
    # Any coordinator, under the name of the page's; that one itself is tried in tests/adapter.
    (suite / "greeter.py").symlink_to(coordinator)
    (suite / "etcd").symlink_to(etcd_program(""))
    command = re.search(r"^pytest (.*)$", PAGE.read_text(), re.MULTILINE)
    assert command
    code, said = run(*shlex.split(command[1]), "-n", "2")
    assert code == 0 and "1 passed" in said, said
    report = (suite / "report.html").read_text()
    assert "A standby takes over from a primary that crashed" in report
    assert "the primary is killed" in report and "lock of greeter" in report
    assert re.search(r"<td>killed<td class=\"number\">5 s<td class=\"number\">1<", report)


def test_it_takes_an_etcd_that_runs_already_and_leaves_out_what_would_harm_it(
    run: Run, suite: Path, coordinator: Path, primacy_loop: Loop, primacy_etcd: Shared
) -> None:
    endpoint = primacy_loop.run(primacy_etcd.get()).endpoint
    (suite / "test_harm.py").write_text(
        "async def test_etcd_dies(scene):\n    etcd = await scene.own_etcd()\n    await etcd.kill()\n"
    )
    code, said = run("--primacy-coordinator", coordinator, "--primacy-etcd", endpoint)
    assert code == 0 and "1 passed, 1 skipped" in said, said
    assert f"--primacy-etcd={endpoint}: this test needs an etcd that it may harm" in said


def test_a_test_whose_history_shows_what_must_not_be_fails(
    run: Run, suite: Path, coordinator: Path, etcd_program: Callable[[str], Path]
) -> None:
    (suite / "test_greeter.py").write_text(
        "async def test_an_end(scene):\n"
        "    primary = await scene.candidate(roles=('greeter',))\n"
        "    await scene.ready(primary)\n"
        "    primary.process.signal(9)\n"
        "    await primary.process.ended(5)\n"
    )
    code, said = run("--primacy-coordinator", coordinator, "--primacy-etcd", etcd_program(""))
    assert code == 1 and "greeter 1 ended with code -9, which nobody asked for" in said, said


def test_what_etcd_has_stored_is_kept_only_where_a_test_has_failed(
    run: Run, suite: Path, coordinator: Path, etcd_program: Callable[[str], Path]
) -> None:
    for passes in (True, False):
        (suite / "test_greeter.py").write_text(
            f"async def test_it(scene):\n    await scene.own_etcd()\n    assert {passes}\n"
        )
        flags = ("--primacy-coordinator", coordinator, "--primacy-etcd", etcd_program(""))
        run(*flags, "--basetemp", suite / "kept")
        kept = [path.name for path in suite.glob("kept/*/etcd-*/*")]
        assert "m1.log" in kept and ("m1" in kept) is not passes


def test_each_of_several_coordinators_is_the_first_in_some_tests(
    run: Run, suite: Path, coordinator: Path, etcd_program: Callable[[str], Path]
) -> None:
    names = [suite / name for name in ("one", "two", "three")]
    for name in names:
        name.write_text(f'#!/bin/sh\nexec "{coordinator}" "$@"\n')
        name.chmod(0o755)
    (suite / "test_greeter.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('i', range(4))\n"
        "async def test_turns(scene, i):\n"
        "    order = [(await scene.candidate(writes=False)).program.name for _ in range(4)]\n"
        "    print('order:', i, *order)\n"
    )
    flags = ("-s", "--primacy-coordinator", ",".join(map(str, names)), "--primacy-etcd", etcd_program(""))
    code, said = run(*flags)
    orders = re.findall(r"order: \d+ (\w+) (\w+) (\w+) (\w+)", said)
    assert code == 0 and len(orders) == 4, said
    assert {first for first, *_ in orders} == {"one", "two", "three"}
    assert set(orders) <= {
        ("one", "two", "three", "one"),
        ("two", "three", "one", "two"),
        ("three", "one", "two", "three"),
    }


# It says that it is primary, and answers `who` with whatever it is told to.
SPEAKS_NONSENSE = """#!{python}
import json, os, signal, socket, sys, threading, time

answer = {answer!r}
server = socket.create_server(("127.0.0.1", 0))

def say(event, **fields):
    line = {{"t": time.clock_gettime_ns(time.CLOCK_BOOTTIME), "id": 1, "event": event, **fields}}
    os.write(1, json.dumps(line).encode() + b"\\n")  # print can not be interrupted by itself

def end(*_):
    say("lost", role="greeter", token=5, reason="stopped")
    say("stopped")
    sys.exit({code})

def serve(connection):
    for request in connection.makefile():
        connection.sendall(answer.encode())

signal.signal(signal.SIGTERM, end)
say("listening", address="127.0.0.1:%d" % server.getsockname()[1])
say("primary", role="greeter", token=5, lease="1")
say("ready", role="greeter", token=5)
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""


@pytest.mark.parametrize(
    ("answer", "excuse", "text"),
    [
        ('{"primary": true}\n', "", "asked: greeter 1 was asked no more after KeyError('token')"),
        ("nonsense\n", "", "asked: greeter 1 was asked no more after JSONDecodeError"),
        ("[]\n", "", "asked: greeter 1 was asked no more after TypeError"),
        ("", "", "asked: greeter 1: it never said that it is primary of greeter under token 5"),
        ("", "asked", "1 passed"),
        ("", "askd", "the verdict has no such check; it has overlap, order,"),
    ],
    ids=["no token", "no JSON", "no object", "nothing", "excused", "excused wrongly"],
)
def test_a_coordinator_that_does_not_say_who_is_primary_fails_its_test(
    run: Run, suite: Path, etcd_program: Callable[[str], Path], answer: str, excuse: str, text: str
) -> None:
    program = suite / "speaks-nonsense"
    program.write_text(SPEAKS_NONSENSE.format(python=sys.executable, answer=answer, code=0))
    program.chmod(0o755)
    (suite / "test_greeter.py").write_text(
        "import asyncio\n"
        "async def test_it(scene):\n"
        + (f"    scene.excuse({excuse!r}, 'why')\n" if excuse else "")
        + "    one = await scene.candidate(roles=('greeter',), writes=False)\n"
        "    await scene.ready(one)\n"
        "    await asyncio.sleep(1.2)\n"
    )
    code, said = run("--primacy-coordinator", program, "--primacy-etcd", etcd_program(""))
    assert code == (0 if text == "1 passed" else 1) and text in said, said


@pytest.mark.parametrize(
    ("code", "then", "text"),
    [
        (0, "", "1 passed"),
        (3, "", "stop: greeter 1: not a clean stop: exit code 3, last line 'stopped'"),
        (3, "scene.excuse('stop', 'why')", "1 passed"),
        (0, "await g.put(f'{scene.root}/session/greeter-1', '{\"ServerID\": 1}', LEASE)", "was left in etcd"),
    ],
    ids=["clean", "exit code", "excused", "key"],
)
def test_a_candidate_that_does_not_stop_cleanly_in_the_middle_of_a_test_fails_it(
    run: Run, suite: Path, etcd_program: Callable[[str], Path], code: int, then: str, text: str
) -> None:
    program = suite / "ends-wrongly"
    lease = "int((await g.post('lease/grant', {'TTL': 60}))['ID'])"
    yes = '{"role": "greeter", "id": 1, "primary": true, "token": 5, "t": 1}\n'
    program.write_text(SPEAKS_NONSENSE.format(python=sys.executable, answer=yes, code=code))
    program.chmod(0o755)
    (suite / "test_greeter.py").write_text(
        "async def test_it(scene):\n"
        "    one, g = await scene.candidate(roles=('greeter',), writes=False), await scene.gateway()\n"
        "    await scene.ready(one)\n"
        "    await one.stop()\n"
        f"    {then.replace('LEASE', lease)}\n"
    )
    ended, said = run("--primacy-coordinator", program, "--primacy-etcd", etcd_program(""))
    assert ended == (0 if text == "1 passed" else 1) and text in said, said


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("sys.exit('no database at 10.0.0.1')", "greeter 1 ended with code 1, which nobody asked for"),
        ("os.kill(os.getpid(), 9)", "greeter 1 ended with code -9, which nobody asked for"),
        ("sys.exit(0)", "greeter 1 ended with code 0, which nobody asked for"),
    ],
    ids=["fails", "killed", "ends"],
)
def test_a_program_that_ends_at_once_fails_the_test_at_once_with_its_code_and_stderr(
    run: Run, suite: Path, etcd_program: Callable[[str], Path], code: str, text: str
) -> None:
    program = suite / "ends"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\nprint('why', file=sys.stderr, flush=True)\n{code}\n"
    )
    program.chmod(0o755)
    ended, said = run("--primacy-coordinator", program, "--primacy-etcd", etcd_program(""))
    assert ended == 1 and f"Ended: {text}; the end of its stderr:" in said, said
    assert "    why" in said and ("no database at 10.0.0.1" in said or "sys.exit('" not in code), said
    assert "not within" not in said, "it did not wait for what can not come"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--primacy-etcd", "./no-such-etcd"), "--primacy-etcd=./no-such-etcd: no such program"),
        (
            ("--primacy-etcd", "9.9.9"),
            "there is no etcd-9.9.9 in the PATH; --primacy-etcd=FILE says where one is",
        ),
        (("--primacy-coordinator", "./no-such"), "--primacy-coordinator=./no-such: no such program"),
        (("--primacy-coordinator", "conftest.py"), "--primacy-coordinator=conftest.py: not executable"),
        (
            ("--primacy-coordinator", ""),
            "--primacy-coordinator=PROGRAM is missing: what candidates are to run",
        ),
    ],
    ids=["etcd", "version", "program", "mode", "option"],
)
def test_what_is_missing_is_said_in_one_sentence(run: Run, flags: tuple[str, str], text: str) -> None:
    code, said = run("--primacy-coordinator", "true", *flags)
    assert code == 1 and f"\n{text}\n" in said, said
    assert "Traceback" not in said and "\nE  " not in said, said


def test_a_program_that_can_not_be_started_is_called_so(
    run: Run, suite: Path, etcd_program: Callable[[str], Path]
) -> None:
    program = suite / "script"
    program.write_text("print('no interpreter')\n")
    program.chmod(0o755)
    code, said = run("--primacy-coordinator", program, "--primacy-etcd", etcd_program(""))
    assert (
        code == 1 and f"{program} can not be started: Exec format error; a script begins with #!" in said
    ), said


def test_other_suites_are_left_alone(run: Run, suite: Path) -> None:
    (suite / "test_greeter.py").write_text("def test_one(): pass\n")
    (suite / "conftest.py").write_text("")
    code, said = run()
    assert code == 0 and "1 passed" in said, said
