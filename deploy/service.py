"""A small service with one primary: what deploy/ runs, and what yours would be in its place.

GET / is answered by the primary alone, with its token, and by nobody else. /livez, /readyz and /primary say how
this process is. What it needs stands in its environment: see docs/deploy.md.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer, make_server

import primacy
from primacy import probes

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class Service(primacy.Callbacks):
    """Its work would begin and end in these."""

    def on_primary(self, election: primacy.Election, call: primacy.PrimaryCall) -> None:
        print("primary under", call.token, flush=True)

    def on_lost(self, election: primacy.Election, call: primacy.LostCall) -> None:
        print("lost:", call.reason.name, flush=True)


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def settings(of: os._Environ[str]) -> dict[str, primacy.Value]:
    chosen: dict[str, primacy.Value] = {
        "etcd.endpoints": of["ETCD"],
        "primacy.guard": "required",
    }
    if instance := of.get("INSTANCE"):
        chosen |= {"primacy.reclaim": "on", "primacy.instance": instance}
    if password := of.get("ETCD_PASSWORD"):
        chosen |= {"etcd.auth.enabled": True, "etcd.auth.userName": of["ETCD_USER"]}
        chosen |= {"etcd.auth.password": password}
    return chosen


def main() -> None:
    env = os.environ
    # Made before there is a thread: whoever is told to end, ends below.
    told = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, told)
    candidate = primacy.Candidate(env["ADDRESS"], "1.0.0")
    with primacy.Session(settings(env), candidate) as session:
        election = session.register(env["ROLE"], Service())
        election.campaign()
        answers = probes.wsgi(session)

        def answer(request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            if request["PATH_INFO"] != "/":
                return answers(request, start)
            token = election.token
            if not election.is_primary():
                start("503 Service Unavailable", [("Content-Type", "text/plain")])
                return [b"not primary\n"]
            start("200 OK", [("Content-Type", "text/plain")])
            return [f"{token}\n".encode()]

        host, _, port = env["LISTEN"].rpartition(":")
        with make_server(host, int(port), answer, Server) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            signal.sigwait(told)
            # Primacy goes first: the session's end hands it over. Until then the others are told who is primary.
            session.close()
            server.shutdown()


if __name__ == "__main__":
    main()
