"""The demo from beginning to end: processes are started, the stories happen, their history is judged."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import uuid
from pathlib import Path

from primacy.testing.candidate import Candidate, Cluster
from primacy.testing.changes import Changes, NotInTime
from primacy.testing.history import History

from demo.server import TARGET, Server, serve
from demo.story import Failover, Story
from demo.view import View, summary

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
        self._server: Server | None = None
        self._root = f"demo-{uuid.uuid4().hex[:8]}/meta"

    async def run(self) -> str:
        """Everything; returns the last line to print."""
        changes = Changes()
        programs = [_program(name) for name in self._options.coordinators.split(",")]
        for program in (*programs, self._options.client):
            if not program.exists():
                raise NotInTime(f"{program} is not there: `make coordinators` makes those that it can")
        self._server = server = await serve(self._options.etcd, self._folder, changes)
        cluster = Cluster(server.endpoint, self._root, TTL, self._folder, changes, History())
        turns = itertools.cycle(programs)
        for role in ROLES:
            candidates = [Candidate(cluster, [role], i + 1, next(turns)) for i in range(CANDIDATES)]
            self._stories.append(Story(cluster, role, candidates, self._view))
        counts = f"{len(ROLES)} roles, {CANDIDATES} candidates each, TTL {TTL} s"
        self._view.event("", f"{counts}; {server.what}, {server.endpoint}")
        self._view.show(self._stories)

        client = self._options.client
        ends = await asyncio.gather(*(story.run(client) for story in self._stories), return_exceptions=True)
        self.failures += [_why(end) for end in ends if end]
        await self._stop_all()
        self._view.close()
        return await self._verdict(server)

    async def _stop_all(self) -> None:
        """Ends all by SIGTERM: clients, standbys, then primaries, so that nothing fails over any more."""
        for story in self._stories:
            if story.client and story.client.code is None:
                story.client.signal(signal.SIGTERM)
                with contextlib.suppress(NotInTime):
                    if code := await story.client.ended(5):
                        self.failures.append(f"the client of {story.role} ended with code {code}")
        candidates = [candidate for story in self._stories for candidate in story.candidates]
        alive = [candidate for candidate in candidates if candidate.is_running()]
        primaries = [candidate for candidate in alive if candidate.token]
        standbys = [candidate for candidate in alive if not candidate.token]
        for batch in (standbys, primaries):
            ends = await asyncio.gather(*(candidate.stop() for candidate in batch), return_exceptions=True)
            self.failures += [str(end) for end in ends if end]

    async def _verdict(self, server: Server) -> str:
        overlaps = late = 0
        failovers: list[Failover] = []
        for story in self._stories:
            failovers += story.failovers
            acknowledged = story.client.acknowledged if story.client else []
            found = story.judged(await server.log(self._root, story.role, acknowledged))
            overlaps += len(found.overlaps)
            late += len(found.late)
            self.failures += [f"{story.role}: {text}" for text in found.wrong()]
            self.failures += [text for candidate in story.candidates for text in candidate.unasked()]
        left = await server.sessions(self._root)
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

            def write(source: str, **seen: object) -> None:
                print(json.dumps({"from": source, **seen}), file=file)

            for story in self._stories:
                for candidate in story.candidates:
                    for number, process in enumerate(candidate.processes, 1):
                        for line in process.lines:
                            write(f"{candidate.name}, process {number}", **line)
                    for said in candidate.said:
                        write(candidate.name, event="said", **vars(said))
                if story.client:
                    for line in story.client.lines:
                        write(f"client of {story.role}", **line)
                    for call in story.client.acknowledged:
                        write(f"client of {story.role}", event="ok", **vars(call))

    async def close(self) -> None:
        """Ends whatever still runs, at once."""
        self._view.close()
        for story in self._stories:
            for candidate in story.candidates:
                await candidate.kill()
            if story.client:
                await story.client.kill()
        if self._server:
            with contextlib.suppress(OSError):  # a given etcd may have gone
                await self._server.close(self._root)


def _program(name: str) -> Path:
    return Path(name).resolve() if "/" in name else TARGET / "coordinators" / name


def _why(end: BaseException) -> str:
    return str(end) or repr(end)
