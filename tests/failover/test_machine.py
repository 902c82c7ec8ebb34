"""The machine itself: its network loses packets, its clock runs at another rate."""

from __future__ import annotations

import pytest
from primacy.testing.changes import now
from primacy.testing.checks import overlaps_in
from primacy.testing.machine import needs_faketime, needs_network
from primacy.testing.scene import Scene


async def test_a_primary_whose_packets_are_lost_says_no_before_another_is_primary(scene: Scene) -> None:
    needs_network()
    network, link = await scene.network()
    primary = await scene.candidate(etcd=link.address, network=network)
    await scene.ready(primary)
    standby = await scene.candidate()
    await scene.warm(standby)
    token = primary.token
    scene.act("all packets between the primary and etcd are lost")
    await network.lose_packets()
    lost = await scene.lost(primary, token)
    _, won = await scene.next_primary(token, [standby])
    assert lost["reason"] == "lease_expired" and lost["t"] < won["t"]
    await scene.ready(standby)
    scene.act("they arrive again")
    await network.heal()
    await scene.warm(primary)
    await scene.stays(standby, won["token"])


@pytest.mark.parametrize("rate", [0.95, 1.05], ids=["slow", "fast"])
async def test_a_clock_that_is_wrong_by_less_than_the_margin_makes_no_second_primary(
    scene: Scene, rate: float
) -> None:
    """The margin is a tenth of the TTL; the clock is wrong by half of that."""
    await cut_off_at(scene, rate)


async def test_a_clock_that_is_wrong_by_far_more_than_the_margin_is_found_out(scene: Scene) -> None:
    """Nobody promises anything then: this shows that the other rate is one, and that the verdict sees it."""
    scene.excuse("overlap", "the clock is wrong by more than the margin")
    await cut_off_at(scene, 0.6)
    assert overlaps_in(scene.history)


async def cut_off_at(scene: Scene, rate: float) -> None:
    """The primary's clock runs at that rate, and its link falls silent until another one is primary.

    In C: Python's own waits do not end under libfaketime.
    """
    needs_faketime()
    link = await scene.link()
    primary = await scene.candidate(etcd=link.address, clock=rate, program="c")
    await scene.ready(primary)
    standby = await scene.candidate()
    await scene.warm(standby)
    token = primary.token
    begun = now()
    scene.act("the primary's link falls silent")
    link.silence()
    _, won = await scene.next_primary(token, [standby])
    assert won["t"] - begun < (scene.ttl + 2) * 1e9
    await scene.lost(primary, token)
    scene.act("the link is healed")
    link.heal()
    await scene.stays(standby, won["token"])
