"""What a look at `is_primary` costs, and how that compares with a look at the clock."""

from __future__ import annotations

import time
import timeit

import primacy

LOOKS, ROUNDS = 10_000, 400
config = primacy.Config({"etcd.endpoints": "mem://bench", "primacy.allow_memory_store": True})
with primacy.Session(config, primacy.Candidate("127.0.0.1:1000", "1.0.0")) as session:
    election = session.register("r")
    election.campaign()
    for event in election.events():
        if isinstance(event, primacy.PrimaryCall):
            event.done()
            break
    # In turns, and the least of many short rounds: what else runs on the machine only adds.
    look, clock = timeit.Timer(election.is_primary), timeit.Timer(time.monotonic)
    rounds = [(look.timeit(LOOKS), clock.timeit(LOOKS)) for _ in range(ROUNDS)]
    look_ns, clock_ns = (min(times) / LOOKS * 1e9 for times in zip(*rounds))
    assert election.is_primary()
print(f"is_primary {look_ns:.0f} ns, time.monotonic {clock_ns:.0f} ns: {look_ns / clock_ns:.1f} times")
