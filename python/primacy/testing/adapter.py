"""Makes of a service that is written with primacy's callbacks a coordinator that the kit can drive.

    #!/usr/bin/env python3
    from primacy.testing import adapter

    from my_service import Greeter

    adapter.run(Greeter)

That program takes the kit's flags, says the kit's lines and answers the kit's requests: docs/testing.md has
them. `Greeter()` is called once for each role, and makes the callbacks for it. The program registers the
address at which it answers. stdout is the kit's: what the service itself prints goes to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import logging
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

import primacy
from primacy import Answer, aio

REQUEST = 5.0  # seconds that a read or a write may take
RETRY = 0.5  # seconds between two tries to reach etcd


def run(service: Callable[[], primacy.Callbacks]) -> None:
    """Runs until SIGTERM or SIGINT; does not return. `service()` makes the callbacks of one role."""
    _Coordinator(service).main()


def run_aio(service: Callable[[], aio.Callbacks]) -> None:
    """The same for callbacks of `primacy.aio`, on an event loop of its own. `service()` is called on that."""
    _Coordinator(service).main(asynchronous=True)


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class _Lines:
    """What the kit reads."""

    def __init__(self) -> None:
        self.id = 0  # until it is known
        self._lock = threading.Lock()
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def say(self, event: str, **more: object) -> None:
        with self._lock:
            print(json.dumps({"t": _now(), "id": self.id, "event": event, **more}), file=self._out)


@dataclass(frozen=True)
class _Warmup(primacy.WarmupCall):
    """Tells, too, when it is completed later."""

    told: Callable[[], None] = lambda: None

    def warm(self) -> None:
        self.told()
        super().warm()


class _Role:
    """The callbacks of a role: each says its line, then does what the service's own does, of either kind."""

    def __init__(self, name: str, callbacks: Any, lines: _Lines) -> None:
        self.name, self._callbacks, self._lines = name, callbacks, lines
        self.election: Any = None
        # Of the last win; kept when it is lost: etcd knows better than we do whether it still counts.
        self.last_token = 0
        self._warmup: _Warmup | None = None  # the last of this standby period
        self._warm = False

    def _say(self, event: str, **more: object) -> None:
        self._lines.say(event, role=self.name, **more)

    def on_standby(self, election: Any, call: primacy.StandbyCall) -> Any:
        self._warmup, self._warm = None, False
        holder = call.holder
        self._say("standby", **({"holder": holder.server_id, "address": holder.address} if holder else {}))
        return self._callbacks.on_standby(election, call)

    def on_warmup(self, election: Any, call: primacy.WarmupCall) -> Any:
        if self._warmup is None:
            self._say("warmup")
        self._warmup = _Warmup(call.id, call._election, call._cancelled, call._over, self._is_warm)
        answer = self._callbacks.on_warmup(election, self._warmup)
        return self._later(answer) if inspect.isawaitable(answer) else self._answered(answer)

    async def _later(self, answer: Any) -> Any:
        return self._answered(await answer)

    def _answered(self, answer: Any) -> Any:
        if answer is Answer.WARM:
            self._is_warm()
        return answer

    def _is_warm(self) -> None:
        if not self._warm:
            self._warm = True
            self._say("warm")

    def on_primary(self, election: Any, call: primacy.PrimaryCall) -> Any:
        self.last_token = call.token
        self._say("primary", token=call.token, lease=str(call.lease))
        return self._callbacks.on_primary(election, call)

    def on_lost(self, election: Any, call: primacy.LostCall) -> Any:
        self._say("lost", token=call.token, lease=str(call.lease), reason=call.reason.value)
        return self._callbacks.on_lost(election, call)

    def on_cancelled(self, election: Any, call: primacy.Call) -> None:
        given = self._warmup
        self._callbacks.on_cancelled(election, given if given and given.id == call.id else call)

    def on_notice(self, election: Any, notice: primacy.Notice) -> None:
        if isinstance(notice, (primacy.Suspended, primacy.Resumed, primacy.Ready)):
            self._say(type(notice).__name__.lower(), token=notice.token)
        self._callbacks.on_notice(election, notice)

    def on_stopped(self, election: Any) -> None:
        self._callbacks.on_stopped(election)


class _Coordinator:
    """The roles, the session that they are on, and what it answers."""

    def __init__(self, service: Callable[[], Any]) -> None:
        self.flags = _parse()
        self._service = service
        self._lines = _Lines()
        self._roles: dict[str, _Role] = {}
        self._session: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # From the start to the end

    def main(self, asynchronous: bool = False) -> None:
        logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO)
        try:
            config = _settings(self.flags)
            server = _Server(self.flags.address, self)
            for ends in (signal.SIGTERM, signal.SIGINT):
                signal.signal(ends, _on_signal)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self._lines.say("listening", address=server.address)
            candidate = primacy.Candidate(server.address, self.flags.version)
            with suppress(KeyboardInterrupt, asyncio.CancelledError):
                if asynchronous:
                    asyncio.run(self._run_aio(config, candidate))
                else:
                    self._run(config, candidate)
        except (primacy.Error, ValueError, OSError) as error:
            sys.exit(f"{sys.argv[0]}: {error}")
        self._lines.say("stopped")

    def _run(self, config: primacy.Config, candidate: primacy.Candidate) -> None:
        while True:
            try:
                session = primacy.Session(config, candidate)
                break
            except primacy.Error as error:
                self._try_again(error)
            time.sleep(RETRY)
        try:
            self._campaign(session)
            session.join()
        finally:
            session.close()

    async def _run_aio(self, config: primacy.Config, candidate: primacy.Candidate) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task
        for ends in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(ends, task.cancel)
        while True:
            try:
                session = await aio.Session(config, candidate).open()
                break
            except primacy.Error as error:
                self._try_again(error)
            await asyncio.sleep(RETRY)
        try:
            self._campaign(session)
            await session.join()
        finally:
            await session.close()

    def _try_again(self, error: primacy.Error) -> None:
        """Where that may help."""
        if not error.may_pass:
            raise error
        print(f"{sys.argv[0]}: {error}; trying again", file=sys.stderr)

    def _campaign(self, session: Any) -> None:
        self._lines.id = session.server_id
        roles = [_Role(name, self._service(), self._lines) for name in self.flags.role]
        for role in roles:
            role.election = session.register(role.name, role)
        self._session = session
        self._roles = {role.name: role for role in roles}
        for role in roles:
            role.election.campaign()

    # Answers, each on a thread of its connection's

    def answer(self, line: str) -> object:
        what, _, rest = line.partition(" ")
        name, has_text, text = rest.partition(" ")
        if line == "status":
            return self._session.snapshot() if self._session else _refused("no session yet")
        if (
            not rest
            or what not in ("who", "append", "resign", "transfer")
            or (what == "append" and not has_text)
        ):
            return _refused("bad request")
        if name not in self.flags.role:
            return _refused("unknown role")
        role = self._roles.get(name)
        if what == "who":
            return self._who(name, role)
        if what == "append":
            return self._append(role, text)
        if what == "transfer" and has_text and not text.isdecimal():
            return _refused("bad request")
        if role and what == "transfer":
            role.election.transfer(int(text) if has_text else None)
        elif role:
            role.election.resign()
        return {"ok": True}

    def _who(self, name: str, role: _Role | None) -> object:
        t = _now()
        token = role.election.token() if role else None
        return {"role": name, "id": self._lines.id, "primary": bool(token), "token": token or 0, "t": t}

    def _append(self, role: _Role | None, text: str) -> object:
        if role is None or not role.last_token:
            return _refused("not_primary")  # never was
        token, log = role.last_token, f"{self.flags.root}/sample/{role.name}"
        try:
            read = self._wait(self._session.read(primacy.Txn().get(f"{log}/length"), REQUEST))
        except primacy.Error:
            return _refused("can not read")  # nothing was written
        before = read.reads[0][0] if read.reads[0] else None
        n = (int(before.value) if before else 0) + 1
        write = (
            primacy.Txn()
            .compare_mod_revision(f"{log}/length", before.mod_revision if before else 0)
            .put(f"{log}/log/{n:010}", f"{token} {self._lines.id} {text}".encode(errors="surrogateescape"))
            .put(f"{log}/length", str(n))
        )
        try:
            self._wait(role.election.commit(token, write, REQUEST))
        except primacy.NotPrimary:
            return _refused("not_primary")
        except primacy.Unknown:
            return _refused("unknown")
        except primacy.Conflict:
            return _refused("conflict")  # another append of ours was faster
        except primacy.Error as error:
            return _refused(str(error))
        return {"ok": True, "n": n, "token": token}

    def _wait(self, result: Any) -> Any:
        """What threads have at once, a coroutine has when the loop has run it."""
        return asyncio.run_coroutine_threadsafe(result, self._loop).result() if self._loop else result


def _refused(why: str) -> object:
    return {"ok": False, "why": why}


class _Server(socketserver.ThreadingTCPServer):
    """One thread for each connection: an append that waits for etcd holds up nobody else's `who`."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: str, coordinator: _Coordinator) -> None:
        host, _, port = address.rpartition(":")
        self.address_family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        super().__init__((host.strip("[]"), int(port)), _Connection)
        self.coordinator = coordinator
        self.address = f"{host}:{self.server_address[1]}"


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client is gone
            for line in self.rfile:
                text = line.decode(errors="surrogateescape").rstrip("\r\n")
                self.wfile.write(json.dumps(self.server.coordinator.answer(text)).encode() + b"\n")


def _on_signal(number: int, frame: FrameType | None) -> None:
    for ends in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ends, signal.SIG_IGN)
    raise KeyboardInterrupt


def _settings(flags: argparse.Namespace) -> primacy.Config:
    parent, _, last = flags.root.rpartition("/")
    if not (parent and last):
        raise ValueError(f"--root {flags.root} is not like by-dev/meta")
    config = primacy.Config({"etcd.rootPath": parent, "etcd.metaSubPath": last, "etcd.endpoints": flags.etcd})
    if flags.ttl:
        config.set("common.session.ttl", flags.ttl)
    for setting in flags.set:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting} is not NAME=VALUE")
        config.set(name, value)
    return config


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A coordinator for primacy's fault kit.", allow_abbrev=False)
    add: Any = parser.add_argument
    add("--etcd", metavar="EP[,EP]", required=True, help="endpoints")
    add("--root", metavar="PATH", default="by-dev/meta", help="meta root; its last part is etcd.metaSubPath")
    add("--role", action="append", required=True, help="may be given several times")
    add("--address", metavar="HOST:PORT", required=True, help="where it answers; port 0: a free one")
    add("--ttl", metavar="S", help="lease TTL asked for")
    add("--version", metavar="SEMVER", default=primacy.__version__, help="the version that it registers")
    add("--set", metavar="NAME=VALUE", action="append", default=[], help="any setting")
    return parser.parse_args()
