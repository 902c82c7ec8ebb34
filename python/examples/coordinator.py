"""A sample coordinator: candidate for one or more roles, with a small TCP service.

    coordinator.py --etcd localhost:2379 --role rootcoord --address 127.0.0.1:0

It says on stdout what happens to it, one JSON object a line, and answers text lines on its port: `who ROLE`,
`append ROLE TEXT` (a guarded write), `status`, `resign ROLE`, `transfer ROLE [ID]`. SIGTERM ends it cleanly.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import primacy
from primacy import Answer

STOP = 10.0
REQUEST = 5.0
RETRY = 0.5

out = threading.Lock()
server_id = 0


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def say(event: str, **more: object) -> None:
    """One line on stdout, flushed at once."""
    with out:
        print(json.dumps({"t": now(), "id": server_id, "event": event, **more}), flush=True)


class Role(primacy.Callbacks):
    """What this program does for one role; how long that takes is up to the flags."""

    def __init__(self, name: str, flags: argparse.Namespace) -> None:
        self.name, self.flags = name, flags
        self.election: primacy.Election | None = None
        # Of the last win; kept when it is lost: etcd knows better than we do whether it still counts.
        self.last_token = 0
        self.warming = self.warm = False  # in this standby period
        self.timers: dict[int, threading.Timer] = {}

    def say(self, event: str, **more: object) -> None:
        say(event, role=self.name, **more)

    def on_standby(self, election: primacy.Election, call: primacy.StandbyCall) -> None:
        self.warming = self.warm = False
        holder = call.holder
        self.say("standby", **({"holder": holder.server_id, "address": holder.address} if holder else {}))

    def on_warmup(self, election: primacy.Election, call: primacy.WarmupCall) -> Answer:
        if not self.warming:
            self.warming = True
            self.say("warmup")
        return self.take(0 if self.warm else self.flags.warm_after, call, self.is_warm)

    def on_primary(self, election: primacy.Election, call: primacy.PrimaryCall) -> Answer:
        self.last_token = call.token
        self.say("primary", token=call.token, lease=str(call.lease))
        return self.take(self.flags.activate_ms, call)

    def on_lost(self, election: primacy.Election, call: primacy.LostCall) -> Answer:
        self.say("lost", token=call.token, lease=str(call.lease), reason=call.reason.value)
        return self.take(self.flags.lost_ms, call)

    def on_notice(self, election: primacy.Election, notice: primacy.Notice) -> None:
        if isinstance(notice, (primacy.Suspended, primacy.Resumed, primacy.Ready)):
            self.say(type(notice).__name__.lower(), token=notice.token)

    def is_warm(self) -> Answer:
        if not self.warm:
            self.warm = True
            self.say("warm")
        return Answer.WARM

    def take(self, ms: int, call: primacy.Call, end: Callable[[], Answer] = lambda: Answer.DONE) -> Answer:
        """Ends the call after `ms` (-1: never), on this thread or later; at once when it is cancelled."""
        if ms == 0:
            return end()
        if self.flags.blocking:
            while ms < 0:
                time.sleep(3600)
            return Answer.DONE if call.wait_cancelled(ms / 1000) else end()
        if ms > 0:
            timer = threading.Timer(ms / 1000, partial(self.complete, call, end))
            timer.daemon = True
            self.timers[call.id] = timer
            timer.start()
            if call.cancelled:  # maybe before the timer was in its place
                self.hurry(call)
        return Answer.PENDING

    def complete(self, call: primacy.Call, end: Callable[[], Answer]) -> None:
        if self.timers.pop(call.id, None):
            answer = end()
            if isinstance(call, primacy.WarmupCall) and answer is Answer.WARM:
                call.warm()
            else:
                call.done()

    def on_cancelled(self, election: primacy.Election, call: primacy.Call) -> None:
        self.hurry(call)

    def hurry(self, call: primacy.Call) -> None:
        if timer := self.timers.pop(call.id, None):
            timer.cancel()
            call.done()


class Coordinator:
    """The roles, the session that they are on, and what it answers."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self.root: str = flags.root
        self.roles = {name: Role(name, flags) for name in flags.role}
        self.session: primacy.Session | None = None

    def answer(self, line: str) -> object:
        what, _, rest = line.partition(" ")
        name, has_text, text = rest.partition(" ")
        if line == "status":
            return self.session.snapshot() if self.session else refused("no session yet")
        if (
            not rest
            or what not in ("who", "append", "resign", "transfer")
            or (what == "append" and not has_text)
        ):
            return refused("bad request")
        role = self.roles.get(name)
        if role is None:
            return refused("unknown role")
        if what == "who":
            return self.who(role)
        if what == "append":
            return self.append(role, text)
        if what == "transfer" and has_text and not text.isdecimal():
            return refused("bad request")
        if role.election and what == "transfer":
            role.election.transfer(int(text) if has_text else None)
        elif role.election:
            role.election.resign()
        return {"ok": True}

    def who(self, role: Role) -> object:
        t = now()
        token = role.election.token() if role.election else None
        return {"role": role.name, "id": server_id, "primary": token is not None, "token": token or 0, "t": t}

    def append(self, role: Role, text: str) -> object:
        token = role.last_token
        if self.session is None or role.election is None or token == 0:
            return refused("not_primary")  # never was
        log = f"{self.root}/sample/{role.name}"
        try:
            ((*found,),) = self.session.read(primacy.Txn().get(f"{log}/length"), REQUEST).reads
        except primacy.Error:
            return refused("can not read")  # nothing was written
        n = (int(found[0].value) if found else 0) + 1

        # The library adds the guard: the lock is still held by the win of this token.
        write = (
            primacy.Txn()
            .compare_mod_revision(f"{log}/length", found[0].mod_revision if found else 0)
            .put(f"{log}/log/{n:010}", f"{token} {server_id} {text}".encode(errors="surrogateescape"))
            .put(f"{log}/length", str(n))
        )
        try:
            role.election.commit(token, write, REQUEST)
        except primacy.NotPrimary:
            return refused("not_primary")
        except primacy.Unknown:
            return refused("unknown")
        except primacy.Conflict:
            return refused("conflict")  # another append of ours was faster
        except primacy.Error as error:
            return refused(str(error))
        return {"ok": True, "n": n, "token": token}


def refused(why: str) -> object:
    return {"ok": False, "why": why}


class Server(socketserver.ThreadingTCPServer):
    """One thread for each connection: an append that waits for etcd holds up nobody else's `who`."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: str, coordinator: Coordinator) -> None:
        host, _, port = address.rpartition(":")
        self.address_family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        super().__init__((host.strip("[]"), int(port)), Connection)
        self.coordinator = coordinator
        self.address = f"{host}:{self.server_address[1]}"


class Connection(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        try:
            for line in self.rfile:
                text = line.decode(errors="surrogateescape").rstrip("\r\n")
                self.wfile.write(json.dumps(self.server.coordinator.answer(text)).encode() + b"\n")
        except ConnectionError:
            pass  # the client is gone


def open_session(config: primacy.Config, candidate: primacy.Candidate) -> primacy.Session:
    """While etcd can not be reached, tries again."""
    while True:
        try:
            return primacy.Session(config, candidate)
        except primacy.Error as error:
            if not error.may_pass:
                raise
            print(f"coordinator: {error}; trying again", file=sys.stderr)
        time.sleep(RETRY)


def run(coordinator: Coordinator, config: primacy.Config, candidate: primacy.Candidate) -> None:
    """Until SIGTERM."""
    global server_id
    session = open_session(config, candidate)
    try:
        server_id = session.server_id
        for role in coordinator.roles.values():
            role.election = session.register(role.name, role)
        coordinator.session = session
        for role in coordinator.roles.values():
            if role.election:
                role.election.campaign()
        # Not signal.pause(): a thread that is just being started may take the signal, and it sleeps on.
        session.join()
    finally:
        session.close(STOP)


def settings(flags: argparse.Namespace) -> primacy.Config:
    parent, _, last = flags.root.rpartition("/")
    if not (parent and last):
        raise ValueError(f"--root {flags.root} is not like by-dev/meta")
    config = primacy.Config({"etcd.rootPath": parent, "etcd.metaSubPath": last})
    for name, value in (("etcd.endpoints", flags.etcd), ("common.session.ttl", flags.ttl)):
        if value is not None:
            config.set(name, value)
    for setting in flags.set:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting} is not NAME=VALUE")
        config.set(name, value)
    return config


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    add: Any = parser.add_argument
    add("--etcd", metavar="EP[,EP]", help="endpoints; also mem://NAME")
    add("--root", default="by-dev/meta", help="meta root; its last part is etcd.metaSubPath")
    add("--role", action="append", required=True, help="may be given several times")
    add("--address", metavar="HOST:PORT", required=True, help="where it serves; port 0: a free one")
    add("--ttl", metavar="S", help="lease TTL asked for")
    add("--version", metavar="SEMVER", default=primacy.__version__, help="the version that it registers")
    add("--warm-after", metavar="MS", type=int, default=200, help="how long its warm-up takes")
    add("--activate-ms", metavar="MS", type=int, default=0, help="how long on_primary takes; -1: for ever")
    add("--lost-ms", metavar="MS", type=int, default=0, help="how long on_lost takes; -1: for ever")
    add("--blocking", action="store_true", help="callbacks block that long instead of being pending")
    add("--set", metavar="NAME=VALUE", action="append", default=[], help="any setting")
    return parser.parse_args()


def on_signal(number: int, frame: FrameType | None) -> None:
    for ends in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ends, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    flags = parse()
    logging.basicConfig(format="coordinator: %(levelname)s: %(message)s", level=logging.INFO)
    try:
        config = settings(flags)
        coordinator = Coordinator(flags)
        server = Server(flags.address, coordinator)
        for ends in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ends, on_signal)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        say("listening", address=server.address)
        run(coordinator, config, primacy.Candidate(server.address, flags.version))
    except KeyboardInterrupt:
        say("stopped")
    except (primacy.Error, ValueError, OSError) as error:
        sys.exit(f"coordinator: {error}")


if __name__ == "__main__":
    main()
