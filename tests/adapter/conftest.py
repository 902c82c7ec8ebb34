"""Programs that the adapters make of a service, for each language that `--primacy-coordinator` names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from primacy.testing.plugin import coordinators

from contract.conftest import etcd as etcd
from contract.conftest import launch as launch

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDE = (REPOSITORY / "docs" / "testing.md").read_text()
SHOWN = dict(re.findall(r"<!-- program: (\S+) -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL))

AIO = """#!/usr/bin/env python3
import asyncio
from primacy import aio
from primacy.testing import adapter


class Greeter(aio.Callbacks):
    async def on_standby(self, election, call):
        await asyncio.sleep(0)

    async def on_primary(self, election, call):
        await asyncio.sleep(0.01)

    def on_lost(self, election, call):
        print("lost")


adapter.run_aio(Greeter)
"""
LATER = """#!/usr/bin/env python3
import threading
import primacy
from primacy.testing import adapter


class Greeter(primacy.Callbacks):
    def on_warmup(self, election, call):
        threading.Timer(0.1, call.warm).start()
        return primacy.Answer.PENDING

    def on_primary(self, election, call):
        threading.Timer(0.1, call.done).start()
        return primacy.Answer.PENDING

    def on_lost(self, election, call):
        print("lost")


adapter.run(Greeter)
"""
PROGRAMS = {"py": {"callbacks": SHOWN["greeter.py"], "aio": AIO, "pending": LATER}, "go": {"go": ""}}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "launch" in metafunc.fixturenames or "program" in metafunc.fixturenames:
        names = [name for language in coordinators(metafunc.config) for name in PROGRAMS[language]]
        fixture = "launch" if "launch" in metafunc.fixturenames else "program"
        metafunc.parametrize(fixture, names, indirect=True)


@pytest.fixture(scope="session")
def coordinator_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the program of that name."""
    folder = tmp_path_factory.mktemp("programs")
    # Its Python is that of these tests, and finds the package as they do.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = str(REPOSITORY / "python")

    def make(name: str) -> Path:
        made = folder / name
        if made.exists():
            return made
        if name == "go":
            source = folder / "greeter.go"
            source.write_text(SHOWN["greeter.go"])
            subprocess.run(["go", "build", "-o", made, source], cwd=REPOSITORY / "go", check=True)
        else:
            made.write_text(PROGRAMS["py"][name])
            made.chmod(0o755)
        return made

    return make


@pytest.fixture
def program(request: pytest.FixtureRequest, coordinator_program: Callable[[str], Path]) -> Path:
    return coordinator_program(request.param)
