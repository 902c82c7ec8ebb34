"""Real etcd servers of our own, one member or several, plain, with TLS, with users; and faults in them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import signal
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from primacy.testing.certificates import Authority, signing_keys
from primacy.testing.changes import Changes, NotInTime, now
from primacy.testing.gateway import Gateway, Json
from primacy.testing.link import Link, Note
from primacy.testing.ports import free_ports
from primacy.testing.process import Process

UP = 30.0  # seconds that a server may take to answer


@dataclass(frozen=True)
class Options:
    """What an etcd is started with."""

    members: int = 1
    tls: Authority | None = None  # each end shows a certificate that this one has signed
    names: str = ""  # those in the servers' certificates, if not the usual ones
    password: str = ""  # of `root`: turns authentication on
    tokens: str = "simple"  # or jwt
    token_ttl: int = 300  # seconds
    peer_links: bool = False  # members reach each other through links: `members[i].inbound`
    flags: Sequence[str] = field(default=())


class NotOurs(Exception):
    """Something was to be done to a server that the kit has not started."""


class PeerLink(Link):
    """What the other members reach one by; what one of them alone sends passes `of[its address]`, too."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.of: dict[str, Link] = {}

    async def _route(self, reader: asyncio.StreamReader) -> tuple[str, bytes]:
        # Each request of a peer's, except a mere probe, says in a header of etcd's who has made it.
        head = await reader.readuntil(b"\r\n\r\n")
        said = re.search(rb"^X-PeerURLs: http://(\S+)", head, re.IGNORECASE | re.MULTILINE)
        link = self.of.get(said[1].decode()) if said else None
        return (link.address if link else self.target), head


class Member:
    """A member of a cluster: an address, a folder, and a process while it runs."""

    def __init__(self, program: Path, folder: Path, name: str, changes: Changes) -> None:
        self.name = name
        self.client, self.peer = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self.flags: list[str | Path] = []
        self.program, self.changes = program, changes
        self.note: Note = lambda kind, over: None
        self.inbound: PeerLink | None = None  # what the other members connect to, if not to itself
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        if self._process is None:
            raise NotOurs(f"{self.name} at {self.client} was not started here: nothing can be done to it")
        return self._process

    def is_there(self) -> bool:
        """Whether it has not been killed. One that was not started here is taken to be."""
        return self._process is None or self._process.code is None

    async def start(self) -> None:
        """Begins; it may take a while until it answers."""
        args = [
            *("--name", self.name, "--data-dir", self.data, "--log-level", "warn", "--logger", "zap"),
            *self.flags,
        ]
        self._process = await Process.start([self.program, *args], self.log, self.changes)
        self.note("etcd killed", True)

    async def kill(self) -> int:
        """SIGKILL; returns when."""
        before = now()
        if self._process:
            self.note("etcd killed", False)
            await self._process.kill()
        return before

    async def stop(self, bound: float = 15) -> int:
        """SIGTERM, as an operator does it; returns when."""
        self.note("etcd stopped", False)
        before = self.process.signal(signal.SIGTERM)
        await self.process.ended(bound)
        return before

    async def pause(self) -> int:
        """Returns the time after the last thread had stopped."""
        self.note("etcd paused", False)
        return (await self.process.pause())[1]

    def resume(self) -> int:
        self.note("etcd paused", True)
        return self.process.resume()


class Etcd:
    """A cluster of our own, of one member or more."""

    def __init__(self, members: Sequence[Member], options: Options, secured: dict[str, Path]) -> None:
        self.members = members
        self.learners: list[Member] = []
        self.options = options
        self._secured = secured
        self._user = ("root", options.password) if options.password else None
        self._context = ssl.create_default_context() if options.tls else None
        self.reload()

    @classmethod
    async def launch(
        cls, program: Path, folder: Path, changes: Changes, options: Options | None = None
    ) -> Etcd:
        """Starts it, and returns when it answers."""
        failure: Exception | None = None
        for attempt in range(3):  # a port that was free a moment ago may be taken
            here = folder / f"etcd-{attempt}"
            here.mkdir(parents=True)
            made = await cls._prepare(program, here, changes, options or Options())
            try:
                await asyncio.gather(*(member.start() for member in made.members))
                await made.up(auth=False)
                if made.options.password:
                    await Gateway(made.members[0].client, made._context).enable_auth(made.options.password)
                return made
            except (NotInTime, OSError) as error:
                failure = error
                await made.kill()
                for link in made.peer_links:
                    await link.close()
        raise NotInTime(f"etcd did not start: {failure}")

    @classmethod
    async def at(cls, endpoint: str) -> Etcd:
        """One that runs already, plain, at HOST:PORT. It is not ours: nothing is done to it."""
        member = Member(Path(), Path(), "etcd", Changes())
        member.client = endpoint
        made = cls([member], Options(), {})
        await made.gateway().revision()
        return made

    @classmethod
    async def _prepare(cls, program: Path, folder: Path, changes: Changes, options: Options) -> Etcd:
        members = [Member(program, folder, f"m{i + 1}", changes) for i in range(options.members)]
        scheme = "https" if options.tls else "http"
        secured: dict[str, Path] = {}
        shared: list[str | Path] = [*options.flags]
        if options.tls:
            signed = options.tls.sign("server", *([options.names] if options.names else []))
            secured = {"cert": signed.cert, "key": signed.key}
            files = (
                "--trusted-ca-file",
                options.tls.cert,
                "--cert-file",
                signed.cert,
                "--key-file",
                signed.key,
            )
            shared += ["--client-cert-auth", *files]
            shared += [
                f"--peer-{flag[2:]}" if str(flag).startswith("--") else flag  # type: ignore[index]
                for flag in ("--client-cert-auth", *files)
            ]
        if options.password and options.tokens == "jwt":
            public, private = signing_keys(folder)
            shared += [
                "--auth-token",
                f"jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl={options.token_ttl}s",
            ]
        elif options.password:
            shared += ["--auth-token-ttl", str(options.token_ttl)]
        if options.peer_links:
            if options.tls:
                raise ValueError("peer_links: with TLS nobody sees which member has made a connection")
            inbound = [await PeerLink.open(member.peer) for member in members]
            for member, link in zip(members, inbound):
                member.inbound = link
                link.of = {one.address: await Link.open(member.peer) for one in inbound if one is not link}
        told = {m.name: f"{scheme}://{m.inbound.address if m.inbound else m.peer}" for m in members}
        cluster = ",".join(f"{name}={peer}" for name, peer in told.items())
        for member in members:
            client, peer = f"{scheme}://{member.client}", f"{scheme}://{member.peer}"
            member.flags = [
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", told[member.name]),
                *("--initial-cluster", cluster, *shared),
            ]
        return cls(members, options, secured)

    def reload(self) -> None:
        """Has the gateways read the certificates again."""
        if self.options.tls and self._context:
            self._context.check_hostname = False
            self._context.load_verify_locations(self.options.tls.cert)
            self._context.load_cert_chain(self._secured["cert"], self._secured["key"])

    @property
    def endpoint(self) -> str:
        """All members, as `--etcd` wants it."""
        return ",".join(member.client for member in self.members)

    @property
    def peer_links(self) -> list[Link]:
        inbound = [member.inbound for member in self.members if member.inbound]
        return [*inbound, *(link for one in inbound for link in one.of.values())]

    def gateway(self, member: Member | None = None) -> Gateway:
        """As an administrator, at that member, or the first that has not been killed."""
        if member is None:
            member = next((member for member in self.members if member.is_there()), self.members[0])
        return Gateway(member.client, self._context, self._user)

    async def up(self, bound: float = UP, auth: bool = True) -> None:
        """Waits until each member whose process runs answers a linearizable read."""
        loop = asyncio.get_running_loop()
        end = loop.time() + bound
        for member in self.members:
            gateway = Gateway(member.client, self._context, self._user if auth else None)
            while True:
                if member.process.code is not None:
                    said = member.log.read_text(errors="replace")[-2000:]
                    raise NotInTime(f"{member.name} ended with code {member.process.code}: {said}")
                try:
                    await gateway.revision()
                    break
                except OSError as error:
                    if loop.time() > end:
                        raise NotInTime(f"{member.name}: not up within {bound:g} s: {error}") from error
                await asyncio.sleep(0.02)

    async def leader(self) -> Member:
        """Who leads, by the word of the first member that answers."""
        for asked in self.members:
            with contextlib.suppress(OSError):
                status = await self._status(asked)
                for member in self.members:
                    with contextlib.suppress(OSError):
                        told = (await self._status(member))["header"]["member_id"]
                        if told == status["leader"]:
                            return member
        raise NotInTime("etcd has no leader")

    async def counted(self, member: Member, name: str) -> float:
        """A metric of a member without TLS; one that has labels, over all of them."""
        reader, writer = await asyncio.open_connection(*member.client.split(":"))
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        lines = (await reader.read()).decode().splitlines()
        writer.close()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{name}[ {{]", line))

    async def version(self) -> tuple[int, ...]:
        """What the first member is: (3, 4, 31)."""
        status = await self._status(self.members[0])
        return tuple(int(part) for part in str(status["version"]).split("."))

    async def _status(self, member: Member) -> Json:
        return await self.gateway(member).post("maintenance/status", {}, bound=2)

    async def learner(self) -> Member:
        """One more member, that only learns: it takes no part in votes and serves hardly anything."""
        first = self.members[0]
        made = Member(first.program, first.data.parent, f"m{len(self.members) + 1}", first.changes)
        await self.gateway().add_learner(f"http://{made.peer}")
        known = [*self.members, made]
        made.flags = [
            *(
                "--listen-client-urls",
                f"http://{made.client}",
                "--advertise-client-urls",
                f"http://{made.client}",
            ),
            *(
                "--listen-peer-urls",
                f"http://{made.peer}",
                "--initial-advertise-peer-urls",
                f"http://{made.peer}",
            ),
            *("--initial-cluster", ",".join(f"{member.name}=http://{member.peer}" for member in known)),
            *("--initial-cluster-state", "existing"),
        ]
        await made.start()
        self.learners.append(made)
        return made

    # Faults

    def cut_off(self, member: Member) -> None:
        """Nothing passes between it and the others, either way, but clients reach it. With `peer_links`."""
        member.note("etcd cut off", False)
        for link in self._between(member):
            link.silence()

    def join(self, member: Member) -> None:
        """It was cut off, and is not any more."""
        member.note("etcd cut off", True)
        for link in self._between(member):
            link.heal()

    def _between(self, member: Member) -> list[Link]:
        assert member.inbound, "own_etcd(peer_links=True) makes links that can be cut"
        outbound = [other.inbound.of.get(member.inbound.address) for other in self.members if other.inbound]
        return [member.inbound, *(link for link in outbound if link)]

    async def pause(self) -> int:
        """All members. Returns the time after the last one had stopped."""
        return max([await member.pause() for member in self.members])

    def resume(self) -> int:
        return min([member.resume() for member in self.members])

    async def kill(self) -> int:
        return min([await member.kill() for member in (*self.members, *self.learners)])

    async def start(self) -> None:
        """Again, on the data that it has; returns when it answers."""
        for member in self.members:
            await member.start()
        await self.up()

    async def copy(self, folder: Path) -> None:
        """Keeps a copy of its data as it is now. The server is away for the moment that this takes."""
        await self.kill()
        for member in self.members:
            shutil.copytree(member.data, folder / member.name)
        await self.start()

    async def restore(self, folder: Path) -> None:
        """Puts it back to that copy."""
        await self.kill()
        for member in self.members:
            shutil.rmtree(member.data)
            shutil.copytree(folder / member.name, member.data)
        await self.start()

    def discard(self) -> None:
        """Its data, once it has been killed; the logs stay."""
        for member in (*self.members, *self.learners):
            shutil.rmtree(member.data, ignore_errors=True)

    def logs(self) -> str:
        """The end of what the servers said, without what is always said."""
        told = []
        for member in self.members:
            lines = member.log.read_text(errors="replace").splitlines() if member.log.exists() else []
            told += [f"{member.name}: {_readable(line)}" for line in lines[-30:]]
        return "\n".join(told)


def _readable(line: str) -> str:
    try:
        said = json.loads(line)
    except ValueError:
        return line
    return f"{said.pop('ts', '')} {said.pop('level', '')}: {said.pop('msg', '')} {said}"[:400]
