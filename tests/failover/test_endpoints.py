"""Endpoints that refuse, swallow all packets, or only learn: the good one among them is found and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from primacy.testing.link import Link, Swallow
from primacy.testing.machine import needs_network
from primacy.testing.ports import free_ports
from primacy.testing.process import pick
from primacy.testing.scene import Scene


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("refuses", marks=pytest.mark.short),
        "swallows",
        pytest.param("is silent", marks=pytest.mark.short),
        "learns",
    ],
)
async def test_beside_an_endpoint_that_is_of_no_use_all_goes_on(scene: Scene, what: str) -> None:
    etcd = await (scene.own_etcd() if what == "learns" else scene.etcd())
    swallow = Swallow()
    if what == "refuses":
        useless = f"127.0.0.1:{free_ports(1)[0]}"
    elif what == "swallows":
        useless = swallow.address
    elif what == "learns":
        useless = (await etcd.learner()).client
    else:
        link = await scene.link()
        link.silence()
        useless = link.address
    primary = await scene.candidate(etcd=f"{useless},{etcd.endpoint}")
    await scene.ready(primary)
    standby = await scene.candidate(etcd=f"{etcd.endpoint},{useless}")
    await scene.warm(standby)
    token = primary.token
    await asyncio.sleep(2 * scene.ttl)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")
    await scene.appended(primary)
    scene.act("the primary is killed")
    await primary.crash()
    await scene.next_primary(token, [standby], scene.ttl + 2)
    await scene.appended(standby)
    swallow.close()


def with_hosts(program: Path, folder: Path, hosts: str) -> Path:
    """The program, where /etc/hosts has these lines as well: in a mount namespace of its own."""
    own, script = folder / "hosts", folder / "with-hosts"
    own.write_text(f"{Path('/etc/hosts').read_text()}\n{hosts}")
    bound = f'mount --bind {own} /etc/hosts && exec {program} "$@"'
    script.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{bound}' sh \"$@\"\n")
    script.chmod(0o755)
    return script


@pytest.mark.short
async def test_behind_a_name_with_addresses_that_swallow_and_are_silent_all_goes_on(
    scene: Scene, coordinator_program: Callable[[str], Path]
) -> None:
    needs_network()  # what that needs allows a mount namespace, too
    etcd = await scene.etcd()
    good = await Link.open(etcd.endpoint, "127.0.0.4")
    port = int(good.address.rpartition(":")[2])
    swallow, silent = Swallow("127.0.0.2", port), await Link.open(etcd.endpoint, "127.0.0.3", port)
    silent.silence()
    scene.links += [good, silent]
    hosts = "".join(f"127.0.0.{number} etcd.test\n" for number in (2, 3, 4))
    program = with_hosts(coordinator_program("c"), scene.folder, hosts)
    primary = await scene.candidate(etcd=f"etcd.test:{port}", program=program)
    await scene.ready(primary)
    standby = await scene.candidate(etcd=f"etcd.test:{port}", program=program)
    await scene.warm(standby)
    token = primary.token
    await asyncio.sleep(2 * scene.ttl)
    await scene.stays(primary, token)
    assert not pick(primary.process.lines, "lost")
    scene.act("the primary is killed")
    await primary.crash()
    await scene.next_primary(token, [standby], scene.ttl + 2)
    await scene.appended(standby)
    swallow.close()
