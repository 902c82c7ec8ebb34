"""One fault after the other, drawn at random, several at once; the verdict on the history is the test.

The seed is in the test's name. It repeats the faults, not the moments at which they meet the processes.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.changes import now
from primacy.testing.etcd import Etcd
from primacy.testing.link import Link
from primacy.testing.scene import Scene

LASTS = 75.0  # seconds
ROLES = ("rootcoord", "datacoord")


class Faults:
    """What may happen next. Each ends by itself."""

    def __init__(self, scene: Scene, etcd: Etcd, links: list[Link], seed: int) -> None:
        self.scene, self.etcd, self.links = scene, etcd, links
        self.draw = random.Random(seed)
        self.busy: set[object] = set()

    async def one(self) -> None:
        fault = self.draw.choice(
            [
                *(self.candidate_dies, self.candidate_ends, self.candidate_pauses, self.candidate_resigns),
                *(self.link_is_silent, self.link_breaks, self.link_is_slow, self.link_is_reset),
                *(self.member_dies, self.member_pauses, self.compaction),
            ]
        )
        await fault()

    def candidate(self) -> Candidate | None:
        free = [c for c in self.scene.candidates if c not in self.busy]
        return self.draw.choice(free) if free else None

    async def candidate_dies(self) -> None:
        if candidate := self.candidate():
            self.busy.add(candidate)
            self.scene.act(f"{candidate} is killed")
            await candidate.crash()
            await asyncio.sleep(self.draw.uniform(0, 8))
            await candidate.start()
            self.busy.discard(candidate)

    async def candidate_ends(self) -> None:
        if candidate := self.candidate():
            self.busy.add(candidate)
            self.scene.act(f"{candidate} is told to stop")
            assert not await candidate.stop(30)
            await candidate.start()
            self.busy.discard(candidate)

    async def candidate_pauses(self) -> None:
        if candidate := self.candidate():
            self.busy.add(candidate)
            self.scene.act(f"{candidate} is paused")
            await candidate.pause()
            await asyncio.sleep(self.draw.uniform(0.5, 9))
            self.scene.act(f"{candidate} goes on")
            candidate.resume()
            self.busy.discard(candidate)

    async def candidate_resigns(self) -> None:
        if (candidate := self.candidate()) and candidate.is_running():
            self.busy.add(candidate)  # else another fault may kill it while it is asked
            self.scene.act(f"{candidate} resigns")
            await candidate.process.ask(f"resign {candidate.role}")
            self.busy.discard(candidate)

    async def link_is_silent(self) -> None:
        link = self.draw.choice(self.links)
        self.scene.act(f"link {self.links.index(link)} is silent")
        way = self.draw.choice([link.to_server.silence, link.to_client.silence, link.silence])
        way()
        await asyncio.sleep(self.draw.uniform(0.5, 9))
        link.heal()

    async def link_breaks(self) -> None:
        link = self.draw.choice(self.links)
        self.scene.act(f"link {self.links.index(link)} is broken")
        link.break_()
        await asyncio.sleep(self.draw.uniform(0.5, 9))
        link.heal()

    async def link_is_slow(self) -> None:
        link = self.draw.choice(self.links)
        self.scene.act(f"link {self.links.index(link)} is slow")
        link.slow(0.4)
        await asyncio.sleep(self.draw.uniform(0.5, 9))
        link.heal()

    async def link_is_reset(self) -> None:
        self.draw.choice(self.links).reset()

    async def member_dies(self) -> None:
        if self.etcd not in self.busy:
            self.busy.add(self.etcd)
            member = self.draw.choice(self.etcd.members)
            self.scene.act(f"{member.name} is killed")
            await member.kill()
            await asyncio.sleep(self.draw.uniform(0, 5))
            await member.start()
            await self.etcd.up()
            self.busy.discard(self.etcd)

    async def member_pauses(self) -> None:
        # For less than a lease has left: a leader that slept longer has leases revoked that were renewed.
        if self.etcd not in self.busy:
            self.busy.add(self.etcd)
            member = self.draw.choice(self.etcd.members)
            self.scene.act(f"{member.name} is paused")
            await member.pause()
            await asyncio.sleep(self.draw.uniform(0.5, 2))
            member.resume()
            self.busy.discard(self.etcd)

    async def compaction(self) -> None:
        try:
            gateway = self.etcd.gateway()
            await gateway.compact(await gateway.revision() - 5)
        except OSError:
            return
        self.scene.act("compacted")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_faults_at_random(scene: Scene, seed: int) -> None:
    etcd = await scene.own_etcd(members=3)
    links = []
    for role in ROLES:
        for _ in range(3):
            own = [await scene.link(member.client) for member in etcd.members]
            links += own
            await scene.candidate(roles=(role,), etcd=",".join(link.address for link in own))
    faults = Faults(scene, etcd, links, seed)
    running: set[asyncio.Task[None]] = set()
    end = now() + LASTS * 1e9
    while now() < end:
        task = asyncio.create_task(faults.one())
        running.add(task)
        await asyncio.sleep(faults.draw.uniform(0, 3))
        for done in [task for task in running if task.done()]:
            running.discard(done)
            done.result()
    await asyncio.gather(*running)
    scene.act("no more faults")
    for role in ROLES:
        winner = await scene.steady(45, role)
        await scene.appended(winner)
