"""Probes by HTTP, as a WSGI or an ASGI application: ``/livez``, ``/readyz``, ``/primary``.

Each is answered by 200, or by 503 with why not as its text; with ``?role=ROLE`` for that role alone.
docs/deploy.md has the table of what is answered when. They ask nothing of etcd, block nobody, and need no
other package.

    with primacy.Session(config, candidate) as session:
        wsgiref.simple_server.make_server("", 8080, primacy.probes.wsgi(session)).serve_forever()
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from primacy._errors import Stopped

if TYPE_CHECKING:
    from primacy._health import Health, Verdict
    from primacy._session import CommonSession

PATHS = {"/livez": "alive", "/readyz": "ready", "/primary": "primary"}
"""What is asked at each path."""

PLAIN = "text/plain; charset=utf-8"


def wsgi(session: CommonSession) -> Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]:
    """A WSGI application (PEP 3333) that answers for ``session``. Anything else than its paths is 404: mount
    it where they are. Any thread."""

    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        status, text = answer(
            session, environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
        )
        body = text.encode()
        headers = [("Content-Type", PLAIN), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        start_response(f"{status.value} {status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return application


Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def asgi(session: CommonSession) -> Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]:
    """An ASGI application (version 3) that answers for ``session``, as :func:`wsgi` does, by HTTP alone."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"probes are asked by HTTP, not by {scope['type']}")
        status, text = answer(session, scope["method"], scope["path"], scope["query_string"].decode())
        body = text.encode()
        headers = [
            (b"content-type", PLAIN.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return application


def answer(session: CommonSession, method: str, path: str, query: str) -> tuple[HTTPStatus, str]:
    """Status and text of the answer to one request, for whoever has another server."""
    if path not in PATHS:
        return HTTPStatus.NOT_FOUND, f"not one of {', '.join(PATHS)}\n"
    if method not in ("GET", "HEAD"):
        return HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD\n"
    try:
        verdict = _verdict(session.health(), PATHS[path], parse_qs(query).get("role", [None])[0])
    except Stopped as over:
        verdict = {"ok": False, "why": str(over)}
    if verdict is None:
        return HTTPStatus.NOT_FOUND, "this process has not registered that role\n"
    if verdict["ok"]:
        return HTTPStatus.OK, "ok\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, f"{verdict['why']}\n"


def _verdict(health: Health, what: str, role: str | None) -> Verdict | None:
    probes = health if role is None else health["roles"].get(role)
    found: Verdict | None = None if probes is None else probes[what]  # type: ignore[literal-required]
    return found
