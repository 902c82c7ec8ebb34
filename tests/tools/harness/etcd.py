"""A real etcd of our own, and reading any etcd through its JSON gateway."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.changes import Changes, NotInTime
from harness.process import Process


@dataclass(frozen=True)
class KeyValue:
    key: str
    value: str
    mod_revision: int


class Gateway:
    """Enough of etcd's API for a judge: linearizable reads, and tidying up. OSError if it is not there."""

    def __init__(self, endpoint: str) -> None:
        self._host, _, port = endpoint.removeprefix("http://").rpartition(":")
        self._port = int(port)

    async def prefix(self, prefix: str) -> list[KeyValue]:
        """All keys that begin so, in order."""
        found: list[KeyValue] = []
        start, end = prefix.encode(), _after(prefix)
        while True:  # in pages: one answer of etcd's is bounded
            body = {"key": _base64(start), "range_end": _base64(end), "limit": "2000"}
            page = (await self._post("kv/range", body)).get("kvs", [])
            for kv in page:
                key, value = base64.b64decode(kv["key"]), base64.b64decode(kv.get("value", ""))
                found.append(KeyValue(key.decode(), value.decode(), int(kv["mod_revision"])))
                start = key + b"\0"
            if len(page) < 2000:
                return found

    async def delete_prefix(self, prefix: str) -> None:
        await self._post(
            "kv/deleterange", {"key": _base64(prefix.encode()), "range_end": _base64(_after(prefix))}
        )

    async def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        return await asyncio.to_thread(self._post_blocking, path, body)

    def _post_blocking(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=5)
        try:
            connection.request("POST", f"/v3/{path}", json.dumps(body))
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"no etcd gateway at {self._host}:{self._port}: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"etcd: {path}: {answer}")
        return answer


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _after(prefix: str) -> bytes:
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


async def start_etcd(program: Path, folder: Path, changes: Changes) -> tuple[Process, str]:
    """Starts a member of its own cluster in `folder`. Returns it, and its endpoint."""
    failure = ""
    for attempt in range(3):  # a port that was free a moment ago may be taken
        client, peer = (f"127.0.0.1:{port}" for port in _free_ports(2))
        log = folder / f"etcd-{attempt}.log"
        process = await Process.start(
            [
                program,
                *("--name", "demo", "--data-dir", folder / f"etcd-{attempt}"),
                *("--listen-client-urls", f"http://{client}", "--advertise-client-urls", f"http://{client}"),
                *("--listen-peer-urls", f"http://{peer}", "--initial-advertise-peer-urls", f"http://{peer}"),
                *("--initial-cluster", f"demo=http://{peer}", "--log-level", "warn", "--logger", "zap"),
            ],
            log,
            changes,
        )
        failure = await _serving(process, Gateway(client))
        if not failure:
            return process, client
        await process.kill()
    raise NotInTime(f"etcd did not start: {failure}")


async def _serving(process: Process, gateway: Gateway, bound: float = 20) -> str:
    """Empty once it answers, else why it does not."""
    loop = asyncio.get_running_loop()
    end = loop.time() + bound
    while process.code is None:
        try:
            await gateway.prefix("ready")
            return ""
        except OSError as error:
            if loop.time() > end:
                return str(error)
        await asyncio.sleep(0.02)
    return process.log.read_text(errors="replace")[-2000:] or f"exit code {process.code}"
