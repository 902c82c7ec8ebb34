"""What must hold between the figures of one run. One that does not is said, and makes the run fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from peers.cases import GUARDED, GUARDED_LARGE, HANDOVER, STOP
from peers.figures import Figure, Samples
from peers.kinds import CONCURRENCY, GO, OURS, C, Kind

TO_FLOOR = 1.5  # beside a put and its event
TO_CONCURRENCY = 0.4
TO_ONE = 1.3  # with many standbys beside one
GUARD_MEDIAN = 20.0  # ms
GUARD_P99 = 100.0  # ms


@dataclass(frozen=True)
class Bound:
    what: str
    unit: str
    value: float
    low: float
    high: float
    most: float

    @property
    def met(self) -> bool:
        return self.value <= self.most

    def __str__(self) -> str:
        ranged = f" ({self.low:.2f} to {self.high:.2f})" if self.low != self.high else ""
        said = "met" if self.met else "NOT MET"
        return f"{self.what}: {self.value:.2f} {self.unit}{ranged}, at most {self.most:g}: {said}"


def all_of(samples: Samples) -> list[Bound]:
    return [*_beside_others(samples), *_with_many(samples), *_guarded(samples)]


def _ratio(what: str, figure: Figure | None, most: float) -> Iterator[Bound]:
    if figure:
        yield Bound(what, "x", figure.median, figure.low, figure.high, most)


def _beside_others(samples: Samples) -> Iterator[Bound]:
    for case in (HANDOVER, STOP):
        for kind in OURS:
            ours = (case, kind.name, 1, "gap")
            floor, peer = ("floors", "put to event", 1, "whole"), (case, CONCURRENCY.name, 1, "gap")
            yield from _ratio(
                f"{case}, {kind.name}, beside a put and its event", samples.ratio(ours, floor), TO_FLOOR
            )
            yield from _ratio(
                f"{case}, {kind.name}, beside {CONCURRENCY.name}", samples.ratio(ours, peer), TO_CONCURRENCY
            )


def _with_many(samples: Samples) -> Iterator[Bound]:
    for case in (HANDOVER, STOP):
        for standbys in (50, 200):
            many, one = (case, C.name, standbys, "gap"), (case, C.name, 1, "gap")
            yield from _ratio(
                f"{case}, {C.name}, {standbys} standbys beside 1", samples.ratio(many, one), TO_ONE
            )


def _guarded(samples: Samples) -> Iterator[Bound]:
    cases: tuple[tuple[str, Kind, int], ...] = ((GUARDED, C, 1), (GUARDED, GO, 1), (GUARDED_LARGE, C, 1))
    for case, kind, standbys in cases:
        figure = samples.figure((case, kind.name, standbys, "whole"))
        if figure:
            what = f"{case}, {kind.name}"
            yield Bound(f"{what}, median", "ms", figure.median, figure.low, figure.high, GUARD_MEDIAN)
            yield Bound(f"{what}, p99 of {figure.n}", "ms", figure.p99, figure.p99, figure.p99, GUARD_P99)
