"""Endpoints that refuse, swallow all packets, or only learn: the good one among them is found and kept."""

from __future__ import annotations

import asyncio

import pytest
from primacy.testing.link import Swallow
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
