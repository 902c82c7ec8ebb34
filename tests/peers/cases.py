"""What is done, how often, and in which order: rounds go through all kinds in turns, so that what else the
machine does falls on all of them alike. Each round also takes the floors."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from primacy.testing.changes import Changes
from primacy.testing.coordinator import Coordinator
from primacy.testing.etcd import Etcd, Member, Options

from peers.field import Field, Handover, Place
from peers.figures import Samples
from peers.kinds import ALL, CLIENT_GO_10, CONCURRENCY, CROWDED, GO, GUARD, MILVUS_30, TARGET, C, Kind

STANDBYS = (1, 5, 50, 200)
TURNS = 2  # of the fields with many standbys, which stand one at a time
AT_ONCE = 4  # elections of a kind whose primaries are killed together, where each costs the rest of a lease
HANDOVER, STOP = "planned handover", "clean stop"
KILL, RESTART, PANIC = "SIGKILL", "SIGKILL, started again in place", "panic of Go"
GUARDED, GUARDED_LARGE, GUARDED_PANIC = "SIGKILL, guard", "SIGKILL, guard, 200 MB", "panic of Go, guard"
LEADER = "SIGKILL, etcd's leader with it"
HEAVY = TARGET / "bench/heavy.so"
LARGE = (*GUARD, "env", f"LD_PRELOAD={HEAVY}")


class Bench:
    """Runs the cases on one etcd, and keeps what they took."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.samples = Samples()
        self._folder, self._rounds = folder, rounds
        self._changes = Changes()
        self._names = 0

    async def run(self) -> None:
        program = TARGET / "tools/etcd"
        etcd = await Etcd.launch(program, self._folder / "one", self._changes)
        place = Place(etcd.endpoint, self._folder, self._changes)
        try:
            await self._handovers(place)
            await self._stops(place)
            await self._guarded(place)
            await asyncio.gather(*(self._lease_runs_out(place, case) for case in (KILL, RESTART, PANIC)))
        finally:
            await etcd.kill()
        await self._with_leader(program)

    def _tell(self, text: str) -> None:
        print(f"bench-peers: {text}", flush=True)

    def _add(self, case: str, kind: Kind, standbys: int, took: Handover) -> None:
        self.samples.add(case, kind.name, standbys, "whole", took.whole)
        if took.gap is not None:
            self.samples.add(case, kind.name, standbys, "gap", took.gap)

    @contextlib.asynccontextmanager
    async def _floors(self, place: Place) -> AsyncIterator[Coordinator]:
        process = await Coordinator.launch(
            Path("floors"),
            place.etcd,
            "bench/floors",
            ["floors"],
            place.folder / "floors.log",
            place.changes,
            prefix=(str(TARGET / "bench/others"),),
        )
        try:
            yield process
        finally:
            await process.kill()

    async def _floor(self, floors: Coordinator, standbys: int) -> None:
        answer = await floors.ask("floors")
        for name in ("txn", "put to event", "revoke to delete"):
            self.samples.add("floors", name, standbys, "whole", answer[name])

    async def _rounds_of(
        self, place: Place, case: str, fields: Sequence[Field], rounds: int, floors: Coordinator
    ) -> None:
        for number in range(rounds):
            await self._floor(floors, fields[0].standbys)
            for field in random.sample(fields, len(fields)):
                if field.kind.slow and number % 5:
                    continue
                await field.steady()
                took = await (field.hand_over() if case == HANDOVER else field.stop())
                self._add(case, field.kind, field.standbys, took)

    async def _handovers(self, place: Place) -> None:
        async with self._floors(place) as floors:
            for standbys in STANDBYS:
                kinds = ALL if standbys == 1 else CROWDED
                together = [kinds] if standbys <= 5 else [(kind,) for kind in kinds] * TURNS
                for group in together:
                    self._tell(f"{HANDOVER}, {standbys} standbys: {', '.join(kind.name for kind in group)}")
                    rounds = self._rounds if len(group) > 1 else -(-self._rounds // TURNS)
                    async with self._standing(place, group, standbys) as fields:
                        await self._rounds_of(place, HANDOVER, fields, rounds, floors)

    async def _stops(self, place: Place) -> None:
        """The primary's process; with many standbys of ours only, whose primary is never one of the many."""
        async with self._floors(place) as floors:
            for standbys in STANDBYS:
                kinds = ALL if standbys == 1 else (C,)
                self._tell(f"{STOP}, {standbys} standbys")
                async with self._standing(place, kinds, standbys) as fields:
                    await self._rounds_of(place, STOP, fields, -(-self._rounds // 2), floors)

    async def _guarded(self, place: Place) -> None:
        each: tuple[tuple[str, Kind, tuple[str, ...]], ...] = (
            (GUARDED, C, GUARD),
            (GUARDED, GO, GUARD),
            (GUARDED_LARGE, C, LARGE),
            (GUARDED_PANIC, GO, GUARD),
        )
        for case, kind, prefix in each:
            number = signal.SIGQUIT if case == GUARDED_PANIC else signal.SIGKILL
            self._tell(f"{case}: {kind.name}")
            async with self._standing(place, [kind], 1, prefix=prefix) as (field,):
                for _ in range(self._rounds):
                    await field.steady()
                    self._add(case, kind, 1, await field.crash(number))
        self._tell(f"{GUARDED}, with many standbys")
        for standbys in STANDBYS[1:]:
            for _ in range(-(-self._rounds // 10)):
                # The next one may be any of them: so each time begins anew.
                async with self._standing(place, [C], standbys, prefix=GUARD) as (field,):
                    self._add(GUARDED, C, standbys, await field.crash(signal.SIGKILL, restart=False))

    async def _lease_runs_out(self, place: Place, case: str) -> None:
        """Each costs what is left of a lease; so many are killed together, in each kind."""
        kinds: tuple[Kind, ...] = ALL if case == KILL else (C, GO, CONCURRENCY, CLIENT_GO_10, MILVUS_30)
        if case == PANIC:
            kinds = (GO, CONCURRENCY)
        number = signal.SIGQUIT if case == PANIC else signal.SIGKILL
        self._tell(f"{case}: {', '.join(kind.name for kind in kinds)}")
        many = tuple(kind for kind in kinds for _ in range(AT_ONCE))
        async with self._standing(place, many, 1, alone=case == RESTART) as fields:
            for _ in range(max(1, self._rounds // 10)):
                await asyncio.gather(*(self._crashed(case, field, number) for field in fields))

    async def _crashed(self, case: str, field: Field, number: signal.Signals) -> None:
        await field.steady()
        await asyncio.sleep(random.uniform(0, field.kind.ttl / 3))  # anywhere between two renewals
        self._add(case, field.kind, 1, await field.crash(number))

    async def _with_leader(self, program: Path) -> None:
        etcd = await Etcd.launch(program, self._folder / "three", self._changes, Options(members=3))
        place = Place(etcd.endpoint, self._folder, self._changes)
        self._tell(LEADER)
        kinds = tuple(kind for kind in (C, CONCURRENCY, CLIENT_GO_10, MILVUS_30) for _ in range(AT_ONCE))
        try:
            async with self._standing(place, kinds, 1) as fields:
                for _ in range(max(1, self._rounds // 20)):
                    await asyncio.gather(*(field.steady() for field in fields))
                    leader: Member = await etcd.leader()
                    deaths = [asyncio.create_task(field.crash(signal.SIGKILL)) for field in fields]
                    await leader.kill()
                    for field, death in zip(fields, deaths, strict=True):
                        self._add(LEADER, field.kind, 1, await death)
                    await leader.start()
                    await etcd.up(60)
        finally:
            await etcd.kill()

    @contextlib.asynccontextmanager
    async def _standing(
        self,
        place: Place,
        kinds: Sequence[Kind],
        standbys: int,
        prefix: tuple[str, ...] = (),
        alone: bool = False,
    ) -> AsyncIterator[list[Field]]:
        fields = []
        for kind in kinds:
            self._names += 1
            fields.append(Field(place, kind, f"{self._names}", standbys, prefix, alone))
        try:
            for field in fields:
                await field.open()
            yield fields
        finally:
            await asyncio.gather(*(field.close() for field in fields))
