"""`primacy.reclaim` (docs/guarantees.md): who is back succeeds its dead predecessor, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from primacy.testing.machine import needs_network
from primacy.testing.plugin import coordinators, in_turn
from primacy.testing.ports import free_ports
from primacy.testing.process import pick
from primacy.testing.scene import Scene

LONG = 60  # seconds, a TTL that nobody waits for
SOON = 20  # seconds, on a busy machine
RECLAIMS = ("--set", "primacy.reclaim=on")


@pytest.fixture
def contained(
    request: pytest.FixtureRequest, coordinator_program: Callable[[str], Path], tmp_path: Path
) -> Path:
    """A program that runs a sample coordinator in a namespace of processes of its own, as a container does.
    It can be killed, and not be told to stop, which `unshare` does not pass on."""
    name = in_turn(coordinators(request.config), request.node.nodeid.rpartition("/")[2])[0]
    made = tmp_path / "contained"
    made.write_text(
        "#!/bin/sh\n"
        f'exec unshare --pid --fork --kill-child=KILL --mount-proc -- {coordinator_program(name)} "$@"\n'
    )
    made.chmod(0o755)
    return made


async def test_a_restart_in_place_takes_over_long_before_the_lease_ends(scene: Scene) -> None:
    scene.with_ttl(LONG)
    server = await scene.candidate(*RECLAIMS)
    await scene.ready(server)
    token = server.token
    scene.act("it is killed, and starts again")
    await server.crash()
    await server.start()
    await scene.next_primary(token, [server], SOON)


async def test_a_predecessor_that_stands_still_is_waited_for(scene: Scene) -> None:
    scene.with_ttl(3)
    first = await scene.candidate(*RECLAIMS)
    await scene.ready(first)
    token = first.token
    stopped = await first.pause()
    second = await scene.candidate(*RECLAIMS)
    _, won = await scene.next_primary(token, [second])
    assert won["t"] - stopped > (scene.ttl - 2) * 1e9, "it did not wait for the lease"
    first.resume()
    await scene.lost(first, token)


async def test_two_hosts_of_one_address_take_nothing_from_each_other(scene: Scene, contained: Path) -> None:
    needs_network()
    scene.excuse("asked", "it is asked from another network, where its address is another one's")
    scene.with_ttl(3)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    hosts = []
    for _ in range(2):
        network, link = await scene.network()
        flags = ("--address", address, *RECLAIMS)
        hosts.append(await scene.candidate(*flags, program=contained, etcd=link.address, network=network))
        await scene.ready(hosts[0])
    first, second = hosts
    token = first.token
    await scene.warm(second)
    await asyncio.sleep(scene.ttl)
    assert not pick(first.process.lines, "lost")
    crashed = await first.crash()
    _, won = await scene.next_primary(token, [second])
    assert won["t"] - crashed > (scene.ttl - 2) * 1e9, "nobody can see from there that it is dead"
    await second.crash()


async def test_an_instance_that_its_user_vouches_for_takes_over_from_another_container(
    scene: Scene, contained: Path
) -> None:
    scene.with_ttl(LONG)
    server = await scene.candidate(*RECLAIMS, "--set", "primacy.instance=pod-0", program=contained)
    await scene.ready(server)
    token = server.token
    scene.act("its container is killed, and another one of the same name started")
    await server.crash()
    await server.start()
    await scene.next_primary(token, [server], SOON)
    await server.crash()
