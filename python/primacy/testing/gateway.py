"""etcd's API through its JSON gateway: with Python's own library only, which shares no bug with ours."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from primacy.testing.changes import within

Json = dict[str, Any]


@dataclass(frozen=True)
class KeyValue:
    key: str
    value: str
    mod_revision: int
    lease: int = 0
    version: int = 1
    create_revision: int = 0


@dataclass(frozen=True)
class KeyEvent:
    """What a watch tells. Of a deleted key: its name, and the revision of the deletion."""

    deleted: bool
    kv: KeyValue


class Compacted(OSError):
    """The revisions that were asked for are gone."""


class Gateway:
    """One endpoint. OSError if it is not there, or refuses."""

    def __init__(
        self, endpoint: str, tls: ssl.SSLContext | None = None, user: tuple[str, str] | None = None
    ) -> None:
        host, _, port = endpoint.rpartition("//")[2].rpartition(":")
        self._host, self._port, self._tls, self._user = host, int(port), tls, user
        self._token = ""
        self.note: Callable[[str, str], None] = lambda kind, what: None  # is told what is tampered with

    # Keys

    async def get(self, key: str) -> KeyValue | None:
        found = (await self.post("kv/range", {"key": _base64(key.encode())})).get("kvs", [])
        return _key_value(found[0]) if found else None

    async def prefix(self, prefix: str) -> list[KeyValue]:
        """All keys that begin so, in order."""
        found: list[KeyValue] = []
        start, end = prefix.encode(), _after(prefix)
        while True:  # in pages: one answer of etcd's is bounded
            body = {"key": _base64(start), "range_end": _base64(end), "limit": "2000"}
            page = (await self.post("kv/range", body)).get("kvs", [])
            found += map(_key_value, page)
            if len(page) < 2000:
                return found
            start = base64.b64decode(page[-1]["key"]) + b"\0"

    async def put(self, key: str, value: str, lease: int = 0) -> int:
        """Returns the revision."""
        self._tampered("key overwritten", key)
        body = {"key": _base64(key.encode()), "value": _base64(value.encode()), "lease": str(lease)}
        return _revision(await self.post("kv/put", body))

    async def delete(self, key: str) -> int:
        self._tampered("key deleted", key)
        return _revision(await self.post("kv/deleterange", {"key": _base64(key.encode())}))

    async def delete_prefix(self, prefix: str) -> int:
        body = {"key": _base64(prefix.encode()), "range_end": _base64(_after(prefix))}
        return _revision(await self.post("kv/deleterange", body))

    async def compact(self, revision: int) -> None:
        await self.post("kv/compaction", {"revision": str(revision), "physical": True})

    async def revision(self) -> int:
        return _revision(await self.post("kv/range", {"key": _base64(b"\0"), "count_only": True}))

    async def watch(self, prefix: str, start: int = 0) -> AsyncIterator[list[KeyEvent]]:
        """What happens to the keys that begin so. First an empty list: from here on nothing is missed."""
        create = {"key": _base64(prefix.encode()), "range_end": _base64(_after(prefix))}
        if start:
            create["start_revision"] = str(start)
        async for message in self._stream("watch", {"create_request": create}):
            result = message.get("result")
            if result is None:
                raise OSError(f"etcd: watch: {message}")
            if result.get("canceled"):
                if "compact_revision" in result:
                    raise Compacted(f"compacted at {result['compact_revision']}")
                raise OSError(f"etcd: watch: {result.get('cancel_reason')}")
            if result.get("created"):
                yield []
            elif events := result.get("events"):
                yield [KeyEvent(e.get("type") == "DELETE", _key_value(e["kv"])) for e in events]

    # Leases

    async def grant(self, ttl: int) -> int:
        """Returns the lease's id."""
        return int((await self.post("lease/grant", {"TTL": str(ttl)}))["ID"])

    async def keep_alive(self, lease: int, bound: float = 10) -> int:
        """Renews it once; returns the TTL, 0 if there is no such lease."""
        answer = await self.post("lease/keepalive", {"ID": str(lease)}, bound)
        if "result" not in answer:  # a stream says so in its only message
            raise OSError(f"etcd: lease/keepalive: {answer}")
        return int(answer["result"].get("TTL", 0))

    async def revoke(self, lease: int) -> None:
        self.note("lease revoked", str(lease))
        # Where every released etcd has it; `kv/lease/revoke` is the older name.
        await self.post("lease/revoke", {"ID": str(lease)})

    async def leases(self) -> list[int]:
        return [int(lease["ID"]) for lease in (await self.post("lease/leases", {})).get("leases", [])]

    # Servers

    async def status(self) -> Json:
        return await self.post("maintenance/status", {})

    async def add_learner(self, peer: str) -> int:
        answer = await self.post("cluster/member/add", {"peerURLs": [peer], "isLearner": True})
        return int(answer["member"]["ID"])

    # Users

    async def add_user(self, name: str, password: str, role: str = "") -> None:
        await self.post("auth/user/add", {"name": name, "password": password})
        if role:
            await self.post("auth/user/grant", {"user": name, "role": role})

    async def add_role(self, name: str, prefix: str) -> None:
        """A role that may read and write what begins so."""
        await self.post("auth/role/add", {"name": name})
        perm = {
            "permType": "READWRITE",
            "key": _base64(prefix.encode()),
            "range_end": _base64(_after(prefix)),
        }
        await self.post("auth/role/grant", {"name": name, "perm": perm})

    async def enable_auth(self, password: str) -> None:
        """With a user `root`; this gateway goes on as that one."""
        await self.add_user("root", password)
        with contextlib.suppress(OSError):  # newer ones have it from the start
            await self.post("auth/role/add", {"name": "root"})
        await self.post("auth/user/grant", {"user": "root", "role": "root"})
        await self.post("auth/enable", {})
        self._user = ("root", password)

    def _tampered(self, kind: str, key: str) -> None:
        if "/session/" in key or "/election/" in key:
            self.note(kind, key.rpartition("/")[2])

    # How it is said

    async def post(self, path: str, body: Json, bound: float = 10) -> Json:
        """One call. With a user, a token that has run out is asked for again."""
        for attempt in range(2):
            if self._user and not self._token:
                await self._log_in(self._user)
            try:
                return await within(self._once(path, body), bound)
            except asyncio.TimeoutError:
                raise OSError(f"etcd: {path}: no answer within {bound:g} s") from None
            except OSError as error:
                old = "auth token" in str(error) or "auth store is old" in str(error)
                if attempt or not (old and self._user):
                    raise
                self._token = ""
        raise AssertionError("unreachable")

    async def _log_in(self, user: tuple[str, str]) -> None:
        answer = await self._once("auth/authenticate", {"name": user[0], "password": user[1]})
        self._token = answer["token"]

    async def _once(self, path: str, body: Json) -> Json:
        async with self._request(path, body) as (status, reader, headers):
            try:
                answer: Json = json.loads(b"".join([part async for part in _body(reader, headers)]))
            except ValueError as error:
                raise OSError(f"no etcd gateway at {self._host}:{self._port}: {error}") from error
        if status != 200:
            raise OSError(f"etcd: {path}: {answer.get('message') or answer}")
        return answer

    async def _stream(self, path: str, body: Json) -> AsyncIterator[Json]:
        if self._user:  # a stream outlives its token, but does not begin with an old one
            await self._log_in(self._user)
        async with self._request(path, body) as (_, reader, headers):
            rest = b""
            async for part in _body(reader, headers):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line:
                        yield json.loads(line)

    @contextlib.asynccontextmanager
    async def _request(
        self, path: str, body: Json
    ) -> AsyncIterator[tuple[int, asyncio.StreamReader, dict[str, str]]]:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        try:
            data = json.dumps(body).encode()
            head = f"POST /v3/{path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(data)}\r\n"
            if self._token and path != "auth/authenticate":
                head += f"Authorization: {self._token}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + data)
            status = (await reader.readline()).split()
            if len(status) < 2:
                raise ConnectionResetError("closed without an answer")
            headers: dict[str, str] = {}
            while line := (await reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            yield int(status[1]), reader, headers
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("closed within an answer") from error
        finally:
            writer.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline() or b"0", 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
    elif length := headers.get("content-length"):
        yield await reader.readexactly(int(length))
    else:
        yield await reader.read()


def _key_value(raw: Json) -> KeyValue:
    return KeyValue(
        base64.b64decode(raw["key"]).decode(errors="replace"),
        base64.b64decode(raw.get("value", "")).decode(errors="replace"),
        int(raw.get("mod_revision", 0)),
        int(raw.get("lease", 0)),
        int(raw.get("version", 0)),
        int(raw.get("create_revision", 0)),
    )


def _revision(answer: Json) -> int:
    return int(answer["header"]["revision"])


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _after(prefix: str) -> bytes:
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])
