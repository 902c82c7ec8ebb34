"""What a leader of etcd that stood still does to leases, shown with bare requests: nothing here is primacy's.

    PYTHONPATH=tests:python target/venv/bin/python -m bare_leases 3.5.15 3.7.3 3.7.3+patch

Of three members the leader is stopped (SIGSTOP) for six seconds and goes on (SIGCONT), again and again.
Counted are the pauses with

* a wrong revoke: a lease of 3 s that is renewed twice a second through the two other members is gone within
  3 s of the sending of a renewal that was acknowledged. There are 20 more leases that nobody renews: of what
  the old leader revokes, it has 16 under way at a time;
* a false acknowledgement: a renewal of a lease of 8 s, sent to the leader in its last second of standing
  still or in the first thereafter, is answered with a TTL, and the lease is gone within 8 s of the sending.

In as many further pauses the leader is cut off: nothing passes between it and the others, from its stop until
two seconds after it goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from primacy.testing.changes import Changes, now
from primacy.testing.etcd import Etcd, Member, Options

REPOSITORY = Path(__file__).resolve().parents[1]
PAUSE = 6.0  # seconds
CUT_OFF = 1.0  # seconds after the last question
SHORT, LONG = 3, 8  # seconds: TTLs
WATCHED = 1 + LONG  # seconds after the pause; a revoke that gets nowhere is given up after 7
RENEWED, ASKED, LEFT = 4, 10, 20  # leases
RENEW_EVERY = 0.5  # seconds
ASK_EVERY = 0.2  # seconds
HEADS = (
    "etcd",
    "wrong revokes",
    "of one cut off",
    "seconds after it goes on",
    "false acknowledgements",
    "of one cut off",
    "seconds too early",
)


@dataclass
class Lease:
    """One that hangs on a key of its own."""

    key: str
    ttl: int
    id: int = 0
    acknowledged: int = 0  # when the last renewal was sent that was acknowledged; 0: none was
    deleted: int = 0  # when that was heard of; 0: not yet

    @classmethod
    async def grant(cls, etcd: Etcd, member: Member, key: str, ttl: int) -> Lease:
        gateway = etcd.gateway(member)
        made = cls(key, ttl, await gateway.grant(ttl))
        await gateway.put(key, "", made.id)
        return made

    async def renew(self, etcd: Etcd, member: Member, bound: float) -> None:
        sent = now()
        with contextlib.suppress(OSError):
            if await etcd.gateway(member).keep_alive(self.id, bound) > 0:
                self.acknowledged = sent

    @property
    def promised(self) -> int:
        return self.acknowledged + self.ttl * 10**9

    def too_early(self) -> float:
        """By how many seconds it ended before it was promised to; what is heard of late makes this less."""
        if not self.acknowledged or not self.deleted:
            return 0
        return max(0, self.promised - self.deleted) / 1e9


@dataclass
class Counted:
    """In how many pauses something was wrong."""

    pauses: int = 0
    revokes: int = 0
    acknowledgements: int = 0
    after: list[float] = field(default_factory=list, repr=False)  # seconds, of wrong revokes
    too_early: list[float] = field(default_factory=list, repr=False)  # seconds, of false acknowledgements


class Cluster:
    def __init__(self, etcd: Etcd) -> None:
        self.etcd = etcd
        self.leases: dict[str, Lease] = {}

    async def grant(self, member: Member, ttl: int, how_many: int) -> list[Lease]:
        names = [f"lease/{len(self.leases) + i}" for i in range(how_many)]
        made = [await Lease.grant(self.etcd, member, name, ttl) for name in names]
        self.leases.update({lease.key: lease for lease in made})
        return made

    async def follow(self, member: Member, there: asyncio.Event) -> None:
        """What is deleted, by the word of a member that is not stopped."""
        async for events in self.etcd.gateway(member).watch("lease/"):
            there.set()
            for event in events:
                if event.deleted:
                    self.leases[event.kv.key].deleted = now()

    async def renew(self, lease: Lease, members: Sequence[Member]) -> None:
        while True:
            for member in members:
                await lease.renew(self.etcd, member, 1)
                await asyncio.sleep(RENEW_EVERY)

    async def pause(self, cut_off: bool, counted: Counted) -> None:
        await self.etcd.up()
        leader = await self.etcd.leader()
        others = [member for member in self.etcd.members if member is not leader]
        there = asyncio.Event()
        short = await self.grant(others[0], SHORT, RENEWED)
        running = [asyncio.create_task(self.renew(lease, others)) for lease in short]
        running.append(asyncio.create_task(self.follow(others[0], there)))
        await there.wait()
        for _ in range(LEFT):
            await self.etcd.gateway(leader).grant(SHORT)
        await asyncio.sleep(1)
        long = await self.grant(leader, LONG, ASKED)
        if cut_off:
            self.etcd.cut_off(leader)
        await leader.pause()
        await asyncio.sleep(PAUSE - ASK_EVERY * ASKED / 2)
        asked, woken = [], 0
        for i, lease in enumerate(long):
            if i == ASKED / 2:
                woken = leader.resume()
            asked.append(asyncio.create_task(lease.renew(self.etcd, leader, LONG)))
            await asyncio.sleep(ASK_EVERY)
        if cut_off:
            await asyncio.sleep(CUT_OFF)
            self.etcd.join(leader)
        await asyncio.gather(*asked)
        await asyncio.sleep((woken - now()) / 1e9 + WATCHED)
        counted.pauses += 1
        revoked = [lease for lease in short if lease.too_early()]
        counted.revokes += bool(revoked)
        counted.after += [(lease.deleted - woken) / 1e9 for lease in revoked]
        early = [seconds for lease in long if (seconds := lease.too_early())]
        counted.acknowledgements += bool(early)
        counted.too_early += early
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def program(version: str) -> Path:
    got = subprocess.run(
        [REPOSITORY / "tools" / "etcd", version], stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(got.stdout.strip())


async def measure(version: str, pauses: int, folder: Path, turn: asyncio.Semaphore) -> str:
    """A row of the table."""
    counts = Counted(), Counted()
    async with turn:
        etcd = await Etcd.launch(
            program(version), folder / version, Changes(), Options(members=3, peer_links=True)
        )
        try:
            cluster = Cluster(etcd)
            for cut_off in (False, True):
                for _ in range(pauses):
                    await cluster.pause(cut_off, counts[cut_off])
                    print(f"{version}: {counts[cut_off]}", file=sys.stderr, flush=True)
        finally:
            await etcd.kill()
            for link in etcd.peer_links:
                await link.close()
    return row(
        version,
        *(f"{counted.revokes} of {counted.pauses}" for counted in counts),
        spread(counts[False].after + counts[True].after),
        *(f"{counted.acknowledgements} of {counted.pauses}" for counted in counts),
        spread(counts[False].too_early + counts[True].too_early),
    )


def spread(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.2f} to {max(seconds):.2f}" if seconds else ""


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", nargs="+", help="as tools/etcd takes them")
    parser.add_argument("--pauses", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4, help="how many clusters run side by side")
    options = parser.parse_args()
    turn = asyncio.Semaphore(options.at_once)
    with tempfile.TemporaryDirectory(prefix="bare-leases-") as folder:
        rows = await asyncio.gather(
            *(measure(version, options.pauses, Path(folder), turn) for version in options.version)
        )
    print(row(*HEADS), row(*("---" for _ in HEADS)), *rows, sep="\n")


asyncio.run(main())
