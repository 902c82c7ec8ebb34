"""Probes by HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import primacy
import pytest
from conftest import SOON, Open
from primacy import probes


class Slow(primacy.Callbacks):
    """Primary when it is told to be."""

    def __init__(self) -> None:
        self.begun, self.ready = threading.Event(), threading.Event()

    def on_primary(self, election: primacy.Election, call: primacy.PrimaryCall) -> None:
        self.begun.set()
        assert self.ready.wait(SOON)

    def on_lost(self, election: primacy.Election, call: primacy.LostCall) -> None: ...


def ask_wsgi(session: primacy.Session, target: str, method: str = "GET") -> tuple[int, str]:
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method}
    environ["SCRIPT_NAME"] = ""
    setup_testing_defaults(environ)
    said: list[str] = []

    def start(status: str, headers: object, failed: object = None, /) -> Callable[[bytes], object]:
        said.append(status)
        return lambda _: None

    body = validator(probes.wsgi(session))(environ, start)
    try:
        return int(said[0].split()[0]), b"".join(body).decode()
    finally:
        body.close()  # type: ignore[attr-defined]


def ask_asgi(session: primacy.Session, target: str, method: str = "GET") -> tuple[int, str]:
    path, _, query = target.partition("?")
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("there is nothing to read")

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    asyncio.run(probes.asgi(session)(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi])
def test_a_process_is_asked_all_its_life(
    ask: Callable[..., tuple[int, str]], open_session: Open, config: primacy.Config
) -> None:
    session = open_session()
    assert ask(session, "/livez") == (200, "ok\n")
    assert ask(session, "/readyz") == (503, "no role is registered\n")
    slow = Slow()
    election = session.register("r", slow)
    election.campaign()
    assert slow.begun.wait(SOON)
    assert ask(session, "/livez") == (200, "ok\n"), "however long it takes"
    assert ask(session, "/readyz") == (503, "r: on_primary has not succeeded yet\n")
    assert ask(session, "/primary?role=r") == (503, "on_primary has not succeeded yet\n")
    slow.ready.set()
    with primacy.Observer(config, "r") as observer:
        observer.wait_until_ready(SOON)
    assert ask(session, "/primary") == ask(session, "/readyz?role=r") == (200, "ok\n")
    health = session.health()
    assert health["roles"]["r"]["primary"] == health["primary"] == {"ok": True, "why": ""}
    assert ask(session, "/primary?role=other")[0] == ask(session, "/else")[0] == HTTPStatus.NOT_FOUND
    assert ask(session, "/livez", "HEAD") == (200, "")
    assert ask(session, "/livez", "POST")[0] == HTTPStatus.METHOD_NOT_ALLOWED
    session.close()
    assert ask(session, "/livez")[0] == HTTPStatus.SERVICE_UNAVAILABLE
