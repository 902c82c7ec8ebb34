"""A scene: an etcd, candidates on it, what is done to them, and at the end the verdict on what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from primacy.testing.candidate import ASK_EVERY, UP, Candidate, Cluster
from primacy.testing.changes import Changes, Ended, NotInTime, now
from primacy.testing.checks import CHECKS, Entry, verdict
from primacy.testing.etcd import Etcd, Options
from primacy.testing.gateway import Compacted, Gateway, KeyValue
from primacy.testing.history import Append, History, Stored
from primacy.testing.link import Link
from primacy.testing.machine import Clock, Network
from primacy.testing.process import Line, Process, pick

T = TypeVar("T")
ROLE = "rootcoord"
JUDGED = (*CHECKS, "asked", "alive", "stop")


class Scene:
    """Made for one test."""

    def __init__(
        self,
        shared: Callable[[], Awaitable[Etcd]],
        launch: Callable[[str, Options], Awaitable[Etcd]],
        programs: Sequence[Path],
        program: Callable[[str], Path],
        folder: Path,
        root: str,
        changes: Changes,
    ) -> None:
        self.root, self.folder, self.changes = root, folder, changes
        self.ttl = 5
        self.history = History()
        self.candidates: list[Candidate] = []
        self.links: list[Link] = []
        self.excused: set[str] = set()
        self._clients: list[Process] = []
        self._networks: list[Network] = []
        self._shared, self._launch = shared, launch
        self._programs, self._program = itertools.cycle(programs), program
        self._etcd: Etcd | None = None
        self._own: Etcd | None = None
        self._watching: asyncio.Task[None] | None = None
        self._confirmed = False

    # The etcd

    async def own_etcd(self, version: str = "", **options: object) -> Etcd:
        """One that this test alone uses, and may do anything to. `version`: empty for the newest."""
        self._own = await self._launch(version, Options(**options))  # type: ignore[arg-type]
        self.links += self._own.peer_links
        await self._use(self._own)
        return self._own

    async def _use(self, etcd: Etcd, start: int = 0) -> None:
        self._etcd, self._confirmed = etcd, False
        if etcd is self._own:
            for member in etcd.members:
                member.note = partial(self._fault, f"etcd {member.name}")
        self._watching = asyncio.create_task(self._watch(etcd, start))
        await self.until(lambda: self._confirmed, "a watch on etcd", 15)

    async def etcd(self) -> Etcd:
        """The test's own, or the one that tests share which do it no harm."""
        if not self._etcd:
            await self._use(await self._shared())
        assert self._etcd
        return self._etcd

    async def gateway(self) -> Gateway:
        made = (await self.etcd()).gateway()
        made.note = lambda kind, what: self.history.fault(kind, what)
        return made

    async def link(self, target: str = "") -> Link:
        """A connection of a candidate's own to etcd, or one member of it."""
        made = await Link.open(target or (await self.etcd()).endpoint)
        self.links.append(made)
        made.note = partial(self._fault, f"link {len(self.links)}")
        return made

    async def network(self) -> tuple[Network, Link]:
        """A network for a candidate, and its way to etcd from there. Ask `needs_network` first."""
        made = await Network.open()
        self._networks.append(made)
        link = await Link.open((await self.etcd()).endpoint, made.machine)
        self.links.append(link)
        return made, link

    def _fault(self, target: str, kind: str, over: bool) -> None:
        self.history.fault(kind, target, over)

    async def restored(self, folder: Path) -> None:
        """Puts the etcd back to a copy of its data. From then on its revisions are other ones."""
        assert self._own and self._watching
        self._watching.cancel()
        self.act("etcd is put back to the copy")
        self.history.fault("etcd put back", "etcd")
        await self._own.restore(folder)
        self.history.epoch += 1
        await self._use(self._own, start=1)  # what was written before this watch counts, too

    async def _watch(self, etcd: Etcd, start: int) -> None:
        """Records what etcd tells of our keys, over each end of a stream."""
        while True:
            gateway = etcd.gateway()
            with contextlib.suppress(OSError, ValueError):
                try:
                    async for events in gateway.watch(f"{self.root}/", start):
                        if not start and not events:
                            for kv in await gateway.prefix(f"{self.root}/"):
                                start = max(start, kv.mod_revision + 1)
                        self._confirmed = True
                        self.history.stored(events)
                        for event in events:
                            start = max(start, event.kv.mod_revision + 1)
                        self.changes.tell()
                except Compacted:
                    start = 0
            await asyncio.sleep(0.05)

    # The candidates

    async def candidate(
        self,
        *flags: str,
        roles: Sequence[str] = (ROLE,),
        etcd: str = "",
        program: Path | str | None = None,
        ask_every: float = ASK_EVERY,
        writes: bool = True,
        clock: float = 1,
        network: Network | None = None,
    ) -> Candidate:
        """Starts one more. `etcd`: its endpoints, if not all of them, directly. `program`: a path, or a name
        as in `--primacy-coordinator`; else the next of that option's. `clock`: the rate of its clocks."""
        here = await self.etcd()
        if here.options.tls and "etcd.ssl.enabled=true" not in flags:
            flags += self.tls_flags()
        if here.options.password and "etcd.auth.enabled=true" not in flags:
            flags += self.user_flags("root", here.options.password)
        cluster = Cluster(
            etcd or here.endpoint,
            self.root,
            self.ttl,
            self.folder,
            self.changes,
            self.history,
            Clock(clock),
            network,
        )
        made = Candidate(
            cluster,
            roles,
            len(self.candidates) + 1,
            self._program(program) if isinstance(program, str) else program or next(self._programs),
            flags,
            ask_every,
            writes,
        )
        self.candidates.append(made)
        for i, link in enumerate(self.links):
            if link.address in cluster.etcd.split(","):
                link.note = partial(self._fault, f"link {i + 1} of {made}")
        if network:
            network.note = partial(self._fault, f"network of {made}")
        await made.start()
        return made

    async def client(self, program: Path, role: str = ROLE) -> Process:
        """A program that follows the primary and calls it: flags and lines as primacy's own `client` has."""
        here = await self.etcd()
        args: list[str | Path] = [program, "--etcd", here.endpoint, "--root", self.root, "--role", role]
        made = await Process.start(args, self.folder / f"client-{len(self._clients) + 1}.log", self.changes)
        self._clients.append(made)
        return made

    async def primary_and_standbys(
        self, standbys: int = 1, *flags: str, roles: Sequence[str] = (ROLE,)
    ) -> tuple[Candidate, list[Candidate]]:
        """The first is ready, the others are warm."""
        primary = await self.candidate(*flags, roles=roles)
        await self.ready(primary)
        others = [await self.candidate(*flags, roles=roles) for _ in range(standbys)]
        await self.warm(*others)
        return primary, others

    def tls_flags(self, **other: str) -> tuple[str, ...]:
        """What a candidate needs for an etcd with TLS; `other` in place of one of these."""
        assert self._etcd and self._etcd.options.tls
        ca = self._etcd.options.tls.cert
        values = {
            "enabled": "true",
            "tlsCACert": str(ca),
            "tlsCert": str(ca.parent / "server.pem"),
            "tlsKey": str(ca.parent / "server.key"),
            **other,
        }
        return tuple(
            flag for name, value in values.items() if value for flag in ("--set", f"etcd.ssl.{name}={value}")
        )

    def user_flags(self, name: str, password: str) -> tuple[str, ...]:
        settings = ("enabled=true", f"userName={name}", f"password={password}")
        return tuple(flag for setting in settings for flag in ("--set", f"etcd.auth.{setting}"))

    # Conditions

    async def until(self, holds: Callable[[], T | None], what: str, bound: float = UP) -> T:
        """What `holds` returns, once that is true. Ended as soon as a candidate has ended that nobody ended:
        then it may never be."""

        def found() -> T | None:
            result = holds()
            if not result and "alive" not in self.excused and (gone := self._gone()):
                raise Ended("\n".join(gone))
            return result

        return await self.changes.until(found, bound, what)

    def _gone(self) -> list[str]:
        return [
            f"{c} ended with code {c.process.code}, which nobody asked for{c.process.last_words()}"
            for c in self.candidates
            if c.processes and c.process.code is not None and not c.ended_by_us
        ]

    async def ready(self, candidate: Candidate, bound: float = UP) -> Line:
        """Returns its last `primary` line."""
        await self.until(candidate.is_ready, f"{candidate} being ready ({candidate.describe()})", bound)
        return candidate.wins[-1]

    async def warm(self, *candidates: Candidate, bound: float = UP) -> None:
        for candidate in candidates:
            what = f"{candidate} being a warm standby"
            await self.until(lambda c=candidate: c.state == "warm", what, bound)  # type: ignore[misc]

    async def at_rest(self, standby: Candidate) -> KeyValue:
        """It is warm and has told so: no request of it is under way. Returns its own record."""
        await self.warm(standby)

        def holds() -> KeyValue | None:
            record = self.record_of(standby)
            return record if record and json.loads(record.value).get("Primacy", {}).get("Warm") else None

        return await self.until(holds, f"{standby} telling that it is warm")

    async def next_primary(
        self, token: int, among: Iterable[Candidate] | None = None, bound: float | None = None, role: str = ""
    ) -> tuple[Candidate, Line]:
        """Whoever is primary under a token higher than that one; returns the first such line."""
        candidates = list(self.candidates if among is None else among)

        def found() -> tuple[Candidate, Line] | None:
            for candidate in candidates:
                for line in candidate.process.lines:
                    if (
                        line.get("event") == "primary"
                        and line["token"] > token
                        and line["role"] == (role or candidate.role)
                    ):
                        return candidate, line
            return None

        bound = 3 * self.ttl + 10.0 if bound is None else bound
        return await self.until(found, f"a primary after token {token}", bound)

    async def lost(self, candidate: Candidate, token: int, bound: float = UP, role: str = "") -> Line:
        """Its line that says so."""
        role = role or candidate.role

        def found() -> list[Line]:
            return pick(candidate.process.lines, "lost", role=role, token=token)

        return (await self.until(found, f"{candidate} losing token {token} of {role}", bound))[0]

    async def steady(self, bound: float = 30, role: str = ROLE) -> Candidate:
        """One ready primary, all others that run are warm. Returns the primary."""

        def holds() -> Candidate | None:
            alive = [c for c in self.candidates if c.role == role and c.is_running()]
            ready = [c for c in alive if c.is_ready()]
            warm = [c for c in alive if c.state == "warm"]
            return ready[0] if len(ready) == 1 and len(warm) == len(alive) - 1 else None

        try:
            return await self.until(holds, f"one primary of {role}, and warm standbys", bound)
        except NotInTime as late:
            states = ", ".join(f"{c} {c.describe()}" for c in self.candidates)
            raise NotInTime(f"{late} ({states})") from None

    async def stays(self, candidate: Candidate, token: int) -> None:
        """It answers yes under that token to a question that is asked now."""
        begun = now()
        said = await self.until(
            lambda: [said for said in reversed(candidate.said[-50:]) if said.t > begun],
            f"an answer of {candidate}",
            10,
        )
        assert said[0].token == token, f"{candidate} is not primary under token {token} any more"

    async def appended(self, candidate: Candidate) -> Append:
        """A guarded write through it that succeeds; one that got no answer is tried again.

        On a slow machine each may meet one of those that the scene makes all the time, and be the loser of
        the two: then the other one will do.
        """
        begun = now()
        for _ in range(10):
            done = await candidate.append()
            if not done.ok:
                assert done.why in ("unknown", "conflict", "can not read"), f"{candidate}: {done}"
            since = (r for r in self.history.records if isinstance(r, Append) and r.ok and r.t >= begun)
            for append in since:
                if (append.candidate, append.role) == (candidate.name, candidate.role):
                    return append
        raise NotInTime(f"{candidate}: no append succeeded")

    def act(self, text: str) -> int:
        return self.history.act(text)

    def stored(self, name: str) -> list[Stored]:
        """What etcd told of the key ROOT/name, in order."""
        key = f"{self.root}/{name}"
        return [r for r in self.history.records if isinstance(r, Stored) and r.event.kv.key == key]

    async def told_of(self, revision: int) -> None:
        """Waits until etcd has told of all up to that revision: a candidate's line may be faster."""
        await self.until(lambda: self._seen() >= revision, f"etcd's own events up to {revision}", 10)

    def record_of(self, candidate: Candidate) -> KeyValue | None:
        """Its own record as etcd told of it last."""
        id_ = next((line["id"] for line in reversed(candidate.process.lines) if line["id"]), 0)
        seen = self.stored(f"session/{candidate.role}-{id_}")
        return None if not seen or seen[-1].event.deleted else seen[-1].event.kv

    def lease_of(self, candidate: Candidate) -> int:
        """That its own record is under now; 0 if there is none."""
        record = self.record_of(candidate)
        return record.lease if record else 0

    def excuse(self, check: str, why: str) -> None:
        """This check of the verdict does not hold here, for a reason that a reader should know."""
        if check not in JUDGED:
            raise ValueError(f"excuse({check!r}): the verdict has no such check; it has {', '.join(JUDGED)}")
        self.act(f"(from here on {check!r} is not judged: {why})")
        self.excused.add(check)

    def with_ttl(self, ttl: int) -> Scene:
        self.ttl = ttl
        return self

    # The end

    async def judge(self) -> None:
        """Fails if anything that was seen must not be."""
        wrong = [f"alive: {text}" for text in self._gone()]
        await asyncio.gather(*(candidate.quiet() for candidate in self.candidates))
        wrong += await self._stop_all()
        wrong += [f"asked: {text}" for c in self.candidates for text in c.unasked()]
        held: dict[str, list[Entry]] = {}
        if self._etcd:
            gateway = self._etcd.gateway()
            for kv in await gateway.prefix(f"{self.root}/sample/"):
                _, role, *rest = kv.key.removeprefix(f"{self.root}/").split("/")
                if rest[0] == "log":
                    held.setdefault(role, []).append(Entry.of(kv.key, kv.value, kv.mod_revision))
            # The watch may be a moment behind the read: what it has not told yet is not judged wrong.
            last = max((e.revision for entries in held.values() for e in entries), default=0)
            await self.told_of(last)
        wrong += verdict(self.history, self.root, held)
        wrong = [text for text in wrong if text.partition(":")[0] not in self.excused]
        assert not wrong, "the history shows what must not be:\n  " + "\n  ".join(wrong)

    async def _stop_all(self) -> list[str]:
        """Ends all that still run, at once. What was not clean about this or an earlier stop."""
        self.act("the end: all are told to stop")
        alive = [candidate for candidate in self.candidates if candidate.is_running()]
        ends = await asyncio.gather(*(candidate.stop(30) for candidate in alive), return_exceptions=True)
        wrong = [f"stop: {text}" for candidate in self.candidates for text in candidate.unclean]
        wrong += [
            f"stop: {candidate}: {end!r}"
            for candidate, end in zip(alive, ends)
            if isinstance(end, BaseException) and not candidate.unclean
        ]
        ids = {id_ for candidate in self.candidates for id_ in candidate.ids_of_clean_stops()}
        if self._etcd and ids:
            wrong += [f"stop: {key} was left in etcd" for key in await self._left(self._etcd, ids)]
        return wrong

    async def _left(self, etcd: Etcd, ids: set[int]) -> list[str]:
        """Keys under leases of these, at most a TTL later: a standby has not waited long for the end of its
        lease, and a busy etcd may not have heard that it was to revoke it."""
        end = now() + (self.ttl + 2) * 1e9
        while True:
            stored = await etcd.gateway().prefix(f"{self.root}/session/")
            left = [kv.key for kv in stored if kv.lease and json.loads(kv.value)["ServerID"] in ids]
            if not left or now() > end:
                return left
            await asyncio.sleep(0.05)

    def _seen(self) -> int:
        """The newest revision that the watch has told."""
        for record in reversed(self.history.records):
            if isinstance(record, Stored) and record.epoch == self.history.epoch:
                return record.event.kv.mod_revision
        return 0

    async def close(self, keep: bool = True) -> None:
        """Ends all that runs. `keep`: what its etcd has stored stays on the disk, 64 MB a member at least."""
        if self._watching:
            self._watching.cancel()
        await asyncio.gather(*(candidate.kill() for candidate in self.candidates))
        for client in self._clients:
            await client.kill()
        for link in self.links:
            await link.close()
        for network in self._networks:
            await network.close()
        if self._own:
            await self._own.kill()
            if not keep:
                self._own.discard()

    def report(self) -> str:
        """For whoever looks for the fault."""
        logs = [f"==== {c} stderr\n{c.process.log.read_text()[-3000:]}" for c in self.candidates]
        if self._etcd:
            logs.append(f"==== etcd\n{self._etcd.logs()}")
        (self.folder / "history.jsonl").write_text(self.history.dump())
        return "\n".join([f"==== history ({self.folder}/history.jsonl)", self.history.story(), *logs])
