"""What deploy/ holds, run as it stands there: with other paths and ports, and no cluster around it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from primacy.testing.plugin import Loop, Shared

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SOON = 60.0  # for what is only waited for, on a machine that may be busy

Program = tuple[list[str], dict[str, str]]


def stateful_set() -> Any:
    (found,) = [
        document
        for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
        if document["kind"] == "StatefulSet"
    ]
    return found


def of_kubernetes(name: str) -> Program:
    """Command and environment of a pod's container, as the kubelet would have them."""
    (container,) = stateful_set()["spec"]["template"]["spec"]["containers"]
    environment: dict[str, str] = {}
    for entry in container["env"]:
        if "value" in entry:
            environment[entry["name"]] = re.sub(
                r"\$\((\w+)\)", lambda known: environment[known.group(1)], entry["value"]
            )
        elif entry["valueFrom"].get("fieldRef") == {"fieldPath": "metadata.name"}:
            environment[entry["name"]] = name
        else:
            assert entry["valueFrom"]["secretKeyRef"]["optional"], entry
    return container["command"], environment


def of_compose(name: str) -> Program:
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][name]
    return service["command"], service["environment"]


def unit(name: str) -> str:
    text = (DEPLOY / "coordinator.service").read_text()
    (value,) = re.findall(f"^{name}=(.*)$", text, re.MULTILINE)
    return str(value)


def of_systemd(name: str) -> Program:
    lines = (DEPLOY / "coordinator.env").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines)
    return shlex.split(unit("ExecStart")), environment | {"INSTANCE": name}


@dataclass
class Candidate:
    process: subprocess.Popen[str]
    port: int

    def get(self, path: str) -> int:
        """The status of an answer; 0: none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=SOON) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def answers(self, status: int, path: str) -> None:
        until(f"{status} at {path}", lambda: self.get(path) == status)

    def host(self) -> int:
        (child,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)


def until(what: str, reached: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not reached():
        assert time.monotonic() < end, f"not within {SOON:.0f} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def etcd_endpoint(primacy_loop: Loop, primacy_etcd: Shared) -> str:
    return primacy_loop.run(primacy_etcd.get()).endpoint


@pytest.fixture
def start(guard_command: Path, etcd_endpoint: str, root: str) -> Iterator[Callable[[Program], Candidate]]:
    started: list[Candidate] = []

    def one(program: Program) -> Candidate:
        command, environment = program
        places = {"primacy": guard_command, "python3": sys.executable}
        command = [str(places.get(Path(word).name, word)).replace("/srv/", f"{DEPLOY}/") for word in command]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        here = {"ETCD": etcd_endpoint, "LISTEN": f"127.0.0.1:{port}", "ROLE": root.partition("/")[0]}
        missing = here.keys() - environment.keys()
        assert not missing, f"{missing} is not set"
        path = {"PATH": os.environ["PATH"]}
        process = subprocess.Popen(command, env=path | environment | here, stdout=subprocess.PIPE, text=True)
        started.append(Candidate(process, port))
        return started[-1]

    yield one
    for candidate in started:
        if candidate.process.poll() is None:
            os.kill(candidate.host(), signal.SIGKILL)
        candidate.process.wait(SOON)


@pytest.mark.parametrize("of", [of_kubernetes, of_compose, of_systemd])
def test_a_cluster_of_two(of: Callable[[str], Program], start: Callable[[Program], Candidate]) -> None:
    """Both ready, one primary; killed, the other one is; back in its place; ended as the manifest says."""
    names = ["one", "two"]
    candidates = {name: start(of(name)) for name in names}
    for candidate in candidates.values():
        candidate.answers(200, "/livez")
        candidate.answers(200, "/readyz")
    until("a primary", lambda: [c.get("/primary") for c in candidates.values()].count(200) == 1)
    first = next(name for name in names if candidates[name].get("/primary") == 200)
    (second,) = {*names} - {first}
    assert candidates[first].get("/") == 200 and candidates[second].get("/") == 503
    os.kill(candidates[first].host(), signal.SIGKILL)
    assert candidates[first].process.wait(SOON) == 137
    candidates[second].answers(200, "/primary")
    candidates[first] = start(of(first))
    candidates[first].answers(200, "/readyz")
    assert candidates[first].get("/primary") == 503
    candidates[second].process.terminate()
    assert candidates[second].process.wait(SOON) == 0
    candidates[first].answers(200, "/primary")


def test_the_probes_are_answered_and_there_is_time_to_end(start: Callable[[Program], Candidate]) -> None:
    pod = stateful_set()["spec"]["template"]["spec"]
    candidate = start(of_kubernetes("coordinator-0"))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = pod["containers"][0][probe]["httpGet"]["path"]
        candidate.answers(200, path)
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    seconds = {pod["terminationGracePeriodSeconds"], int(unit("TimeoutStopSec"))}
    seconds |= {int(services[name]["stop_grace_period"].rstrip("s")) for name in ("one", "two")}
    assert min(seconds) > 30, "primacy.drain_timeout_ms"


def test_systemd_knows_each_line_of_the_unit(tmp_path: Path) -> None:
    """It looks for the program, too; warnings are all that it has for a line that it does not know."""
    text = (DEPLOY / "coordinator.service").read_text()
    (tmp_path / "coordinator.service").write_text(re.sub("(?m)^ExecStart=.*$", "ExecStart=/bin/true", text))
    verify = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "coordinator.service")]
    said = subprocess.run(verify, capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("", "")
