"""The demo from beginning to end: processes are started, the stories happen, their history is judged."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
import uuid
from pathlib import Path

from harness.changes import Changes, NotInTime
from harness.etcd import Gateway, start_etcd
from harness.process import Process

from demo import judge
from demo.candidate import Candidate, Cluster
from demo.story import Failover, Story
from demo.view import View, summary

REPOSITORY = Path(__file__).resolve().parents[3]
TARGET = REPOSITORY / "target"
ROLES = ("rootcoord", "datacoord", "querycoord", "indexcoord")
CANDIDATES = 3
TTL = 5  # seconds: short, so that the demo is


class Demo:
    """The whole of it. `failures` is empty as long as everything happened as it must."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.failures: list[str] = []
        self._options = options
        self._folder = folder
        self._view = View()
        self._stories: list[Story] = []
        self._server: Process | None = None

    async def run(self) -> str:
        """Everything; returns the last line to print."""
        changes = Changes()
        given: str | None = self._options.etcd
        endpoint = given or await self._start_etcd(changes)
        gateway = Gateway(endpoint)
        await gateway.prefix("ready")
        cluster = Cluster(endpoint, f"demo-{uuid.uuid4().hex[:8]}/meta", TTL, self._folder, changes)
        names = self._options.coordinators.split(",")
        programs = itertools.cycle([_program(name) for name in names])
        for role in ROLES:
            candidates = [Candidate(cluster, role, i + 1, next(programs)) for i in range(CANDIDATES)]
            self._stories.append(Story(cluster, role, candidates, self._view))
        whose = "the given etcd" if given else "an etcd of its own"
        self._view.event(
            "", f"{len(ROLES)} roles, {CANDIDATES} candidates each, TTL {TTL} s, {whose}, {endpoint}"
        )
        self._view.show(self._stories)

        client = self._options.client
        ends = await asyncio.gather(*(story.run(client) for story in self._stories), return_exceptions=True)
        self.failures += [_why(end) for end in ends if end]
        await self._stop_all()
        self._view.close()
        try:
            return await self._verdict(gateway, cluster.root)
        finally:
            if given:
                await gateway.delete_prefix(cluster.root.partition("/")[0] + "/")

    async def _start_etcd(self, changes: Changes) -> str:
        get = REPOSITORY / "tests" / "tools" / "etcd"
        found = await asyncio.to_thread(subprocess.run, [get], stdout=subprocess.PIPE, text=True)
        if found.returncode:
            raise NotInTime("no etcd to be had; `make demo ETCD=HOST:PORT` uses one that runs already")
        self._server, endpoint = await start_etcd(Path(found.stdout.strip()), self._folder, changes)
        return endpoint

    async def _stop_all(self) -> None:
        """Ends all by SIGTERM: clients, standbys, then primaries, so that nothing fails over any more."""
        for story in self._stories:
            if story.client and story.client.code is None:
                story.client.signal(signal.SIGTERM)
                with contextlib.suppress(NotInTime):
                    if code := await story.client.ended(5):
                        self.failures.append(f"the client of {story.role} ended with code {code}")
        alive = [
            c
            for story in self._stories
            for c in story.candidates
            if c.state not in ("stopped", "down", "paused")
        ]
        primaries = [candidate for candidate in alive if candidate.token]
        standbys = [candidate for candidate in alive if not candidate.token]
        for batch in (standbys, primaries):
            ends = await asyncio.gather(*(candidate.stop() for candidate in batch), return_exceptions=True)
            self.failures += [str(end) for end in ends if end]

    async def _verdict(self, gateway: Gateway, root: str) -> str:
        overlaps = late = 0
        failovers: list[Failover] = []
        for story in self._stories:
            failovers += story.failovers
            prefix = f"{root}/sample/{story.role}/log/"
            log = [judge.Entry.of(kv.key, kv.value, kv.mod_revision) for kv in await gateway.prefix(prefix)]
            found = story.judged(log)
            overlaps += len(found.overlaps)
            late += len(found.late)
            self.failures += [f"{story.role}: {text}" for text in found.wrong()]
        left = [
            kv.key for kv in await gateway.prefix(f"{root}/session/") if not kv.key.endswith("/session/id")
        ]
        if left and not self.failures:
            self.failures.append(f"left in etcd after a clean stop of all: {', '.join(left)}")
        print(f"\n{summary(failovers)}\n", flush=True)
        candidates = sum(len(story.candidates) for story in self._stories)
        return (
            f"demo: {len(self._stories)} roles, {candidates} candidates, {len(failovers)} failovers, "
            f"{overlaps} overlaps, {late} late writes accepted"
        )

    def record(self, path: Path) -> None:
        """Writes down all that was seen, for whoever looks for the fault."""
        with path.open("w") as file:
            for story in self._stories:
                for candidate in story.candidates:
                    for number, process in enumerate(candidate.processes, 1):
                        for line in process.lines:
                            print(
                                json.dumps({"from": f"{candidate.name}, process {number}", **line}), file=file
                            )
                    for said in candidate.said:
                        print(json.dumps({"from": candidate.name, "event": "said", **vars(said)}), file=file)
                for line in story.client.lines if story.client else ():
                    print(json.dumps({"from": f"client of {story.role}", **line}), file=file)
                for call in story.client.acknowledged if story.client else ():
                    print(
                        json.dumps({"from": f"client of {story.role}", "event": "ok", **vars(call)}),
                        file=file,
                    )

    async def close(self) -> None:
        """Ends whatever still runs, at once."""
        self._view.close()
        for story in self._stories:
            for candidate in story.candidates:
                await candidate.kill()
            if story.client:
                await story.client.kill()
        if self._server:
            await self._server.kill()


def _program(name: str) -> Path:
    return Path(name).resolve() if "/" in name else TARGET / "coordinators" / name


def _why(end: BaseException) -> str:
    return str(end) or repr(end)
