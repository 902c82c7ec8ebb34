"""What a machine can do to a process beyond signals: a network of its own that loses packets, a clock that
runs at another rate.

Not every machine allows it: a test asks first, by :func:`needs_network` or :func:`needs_faketime`, and is
left out with the reason where it can not be had.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from primacy.testing.link import Note

_numbers = itertools.count(os.getpid() % 60 * 4)  # of address ranges: tests may run side by side
NOWHERE = "02:00:00:00:00:01"


def needs_network() -> None:
    """Leaves the test out where no network namespace can be made."""
    if shutil.which("ip") is None:
        pytest.skip("LEFT OUT: a network of its own needs the program `ip` (Debian: iproute2)")
    if why := _no_network():
        pytest.skip(f"LEFT OUT: no network of its own can be made here: {why}")


def _no_network() -> str:
    """Why not; empty if one can. Root in a container may have no right to."""
    name = f"pr{uuid.uuid4().hex[:6]}"
    for action in ("add", "delete"):
        command = ["ip", "netns", action, name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{' '.join(command[:3])}: {done.stderr.strip()}"
    return ""


def needs_faketime() -> None:
    """Leaves the test out where no clock can be made to run at another rate."""
    if not _faketime():
        pytest.skip("LEFT OUT: another rate of the clock needs libfaketime (Debian: faketime)")


def _faketime() -> str:
    """The library, for programs with threads; the program `faketime` would stand between us and its child."""
    found = sorted(Path("/").glob("usr/lib*/**/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else ""


@dataclass(frozen=True)
class Clock:
    """The clocks of a process, CLOCK_BOOTTIME included, run at this rate: 0.95 is slow, 1.05 fast.

    Go's own clocks are not affected, those of the library inside a Go program are. Under libfaketime, timers
    that are set to a moment of CLOCK_BOOTTIME never fire: what the library says is right by that clock, but
    what it does at a certain time is done when something else wakes it. Python's own waits may not end.
    """

    rate: float

    @property
    def prefix(self) -> Sequence[str]:
        if self.rate == 1:
            return ()
        return ("env", f"LD_PRELOAD={_faketime()}", f"FAKETIME=+0 x{self.rate:g}")


REAL = Clock(1)


class _Pair:
    """Two ends of a wire: `near` on the machine, `far` in the namespace."""

    def __init__(self, namespace: str, letter: str, network: str) -> None:
        self.namespace = namespace
        self.near_device, self.far_device = f"{namespace}{letter}0", f"{namespace}{letter}1"
        self.near, self.far = f"{network}.1", f"{network}.2"

    async def lay(self) -> None:
        inside = ("-n", self.namespace)
        await _ip("link", "add", self.near_device, "type", "veth", "peer", "name", self.far_device)
        await _ip("link", "set", self.far_device, "netns", self.namespace)
        await _ip("address", "add", f"{self.near}/30", "dev", self.near_device)
        await _ip(*inside, "address", "add", f"{self.far}/30", "dev", self.far_device)
        await _ip("link", "set", self.near_device, "up")
        await _ip(*inside, "link", "set", self.far_device, "up")

    async def lose(self, loses: bool) -> None:
        """All packets, both ways: they go to an address on the wire that nobody has; no end hears of it."""
        for where, address, device in (
            ((), self.far, self.near_device),
            (("-n", self.namespace), self.near, self.far_device),
        ):
            if loses:
                await _ip(
                    *where, "neigh", "replace", address, "lladdr", NOWHERE, "dev", device, "nud", "permanent"
                )
            else:
                await _ip(*where, "neigh", "del", address, "dev", device)


class Network:
    """A network of a candidate's own, with two wires to it: one to etcd, one for questions of the test's."""

    def __init__(self) -> None:
        self.name = f"pr{uuid.uuid4().hex[:6]}"
        self.note: Note = lambda kind, over: None
        self.prefix: Sequence[str] = ("ip", "netns", "exec", self.name)
        number = next(_numbers) % 250
        self._etcd = _Pair(self.name, "e", f"10.201.{number}")
        self._questions = _Pair(self.name, "q", f"10.202.{number}")

    @classmethod
    async def open(cls) -> Network:
        made = cls()
        await _ip("netns", "add", made.name)
        try:
            await _ip("-n", made.name, "link", "set", "lo", "up")
            await made._etcd.lay()
            await made._questions.lay()
        except BaseException:
            await made.close()
            raise
        return made

    @property
    def machine(self) -> str:
        """The machine's address, as candidates here see it: where their way to etcd has to begin."""
        return self._etcd.near

    @property
    def address(self) -> str:
        """Where candidates here listen."""
        return self._questions.far

    async def lose_packets(self) -> None:
        """Between here and etcd, all of them, silently; questions of the test's still arrive."""
        self.note("packets lost", False)
        await self._etcd.lose(True)

    async def heal(self) -> None:
        self.note("packets lost", True)
        await self._etcd.lose(False)

    async def close(self) -> None:
        """The wires go with it."""
        await _ip("netns", "delete", self.name)


async def _ip(*args: str) -> None:
    child = await asyncio.create_subprocess_exec(
        "ip", *args, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await child.communicate()
    if child.returncode:
        raise OSError(f"ip {' '.join(args)}: {said.decode().strip()}")
