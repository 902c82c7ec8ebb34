"""What an adapter makes of a service keeps the contract, and passes the guide's own suite."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.conftest import GUIDE, SHOWN
from contract import test_coordinator as contract

if TYPE_CHECKING:
    from contract.conftest import Launch

# Of the contract of the sample coordinators all but what is about their flags alone.
OF_THE_SAMPLES = {
    "test_a_second_one_is_a_standby_that_knows_the_holder_and_gets_warm",
    "test_activation_takes_as_long_as_it_is_told_to",
    "test_the_next_primary_waits_for_on_lost",
}
globals().update(
    {
        name: test
        for name, test in vars(contract).items()
        if name[:5] == "test_" and name not in OF_THE_SAMPLES
    }
)


def test_the_guide_shows_one_program_for_each_language() -> None:
    assert set(SHOWN) == {"greeter.py", "greeter.go"}
    assert len(re.findall("```(?:python|go)\n", GUIDE)) == len(SHOWN) + 1


async def test_a_standby_knows_the_holder_and_gets_warm(launch: Launch) -> None:
    one = await launch()
    won = await one.line("ready")
    two = await launch()
    standby, warmup, warm = await two.line("standby"), await two.line("warmup"), await two.line("warm")
    assert (standby["holder"], standby["address"]) == (won["id"], one.address)
    assert standby["t"] < warmup["t"] < warm["t"]
    one.signal(signal.SIGTERM)
    await two.line("ready")
    assert len([line for line in two.lines if line["event"] in ("warmup", "warm")]) == 2


async def test_what_the_service_prints_goes_to_stderr(launch: Launch) -> None:
    one = await launch()
    await one.line("ready")
    one.signal(signal.SIGTERM)
    assert await one.ended(15) == 0
    assert [line["event"] for line in one.lines if line["event"] not in contract.EVENTS] == []
    assert "lost" in one.log.read_text()


def test_the_guides_ten_lines_pass(
    program: Path, tmp_path: Path, etcd_program: Callable[[str], Path]
) -> None:
    (code,) = re.findall(r"<!-- example: \S+ -->\n```python\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "test_greeter.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-p", "primacy.testing.plugin"]
    command += ["--primacy-coordinator", str(program), "--primacy-etcd", str(etcd_program(""))]
    environment = {name: value for name, value in os.environ.items() if name not in ("COORDINATORS", "ETCD")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
