"""The etcd that the demo runs on: one of its own, a given one, or primacy's own server for development."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

from primacy.testing.changes import Changes, NotInTime
from primacy.testing.checks import Acknowledged, Entry
from primacy.testing.etcd import Etcd
from primacy.testing.gateway import Gateway
from primacy.testing.process import Process

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = REPOSITORY / "target"


@dataclass(frozen=True)
class Server:
    what: str
    endpoint: str
    process: Process | None  # ours, to be ended
    gateway: Gateway | None  # the server for development has none

    async def log(self, root: str, role: str, acknowledged: list[Acknowledged]) -> list[Entry]:
        """What the store holds; where it can not be read, what the client was told that it holds."""
        if not self.gateway:
            return [Entry(call.n, call.token, call.id, "", 0) for call in acknowledged]
        held = await self.gateway.prefix(f"{root}/sample/{role}/log/")
        return [Entry.of(kv.key, kv.value, kv.mod_revision) for kv in held]

    async def sessions(self, root: str) -> list[str]:
        """Keys of sessions and elections. The counter of server ids stays for good."""
        if not self.gateway:
            return []
        found = [
            *await self.gateway.prefix(f"{root}/session/"),
            *await self.gateway.prefix(f"{root}/election/"),
        ]
        return [kv.key for kv in found if kv.key != f"{root}/session/id"]

    async def close(self, root: str) -> None:
        if self.process:
            await self.process.kill()
        elif self.gateway:
            await self.gateway.delete_prefix(f"{root.partition('/')[0]}/")


async def serve(asked: str | None, folder: Path, changes: Changes) -> Server:
    """`asked`: HOST:PORT, `embedded`, or None for a real one, and that failing the embedded one."""
    if asked and asked != "embedded":
        gateway = Gateway(asked)
        try:
            await gateway.prefix("ready")
        except OSError as error:
            raise NotInTime(f"no etcd answers at {asked}: {error}") from error
        return Server("the given etcd", asked, None, gateway)
    if not asked:
        get = REPOSITORY / "tools" / "etcd"
        found = await asyncio.to_thread(subprocess.run, [get], stdout=subprocess.PIPE, text=True)
        if found.returncode == 0:
            program = Path(found.stdout.strip())
            own = await Etcd.launch(program, folder, changes)
            return Server(f"{program.name} of its own", own.endpoint, own.members[0].process, own.gateway())
        print("demo: no etcd can be had; on primacy's own server for development instead", flush=True)
    return await _embedded(folder, changes)


async def _embedded(folder: Path, changes: Changes) -> Server:
    make = ["make", "--silent", "-C", str(REPOSITORY), "command"]
    made = await asyncio.to_thread(subprocess.run, make)
    if made.returncode:
        raise NotInTime("no server to run on; `make demo ETCD=HOST:PORT` uses an etcd that runs already")
    program = TARGET / "primacy"
    process = await Process.start([program, "dev", "--listen", "127.0.0.1:0"], folder / "dev.log", changes)
    # It prints its address, and nothing else.
    await changes.until(lambda: process.lines or process.code is not None, 10, "the address of primacy dev")
    if not process.lines:
        raise NotInTime("primacy dev ended at once")
    return Server(f"{program.name} dev, no real etcd", str(process.lines[0]["text"]), process, None)
