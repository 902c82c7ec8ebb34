"""Medians of samples, and how sure they are: 95 % ranges by bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RESAMPLED = 2000
Numbers = NDArray[np.float64]
Key = tuple[str, str, int, str]  # case, who, standbys, what: whole or gap


@dataclass(frozen=True)
class Figure:
    """Milliseconds, or a ratio of such."""

    n: int
    median: float
    low: float
    high: float
    p99: float = 0.0
    most: float = 0.0


@dataclass
class Samples:
    """Nanoseconds, by what was measured."""

    taken: dict[Key, list[int]] = field(default_factory=dict)

    def add(self, case: str, who: str, standbys: int, what: str, nanoseconds: int) -> None:
        self.taken.setdefault((case, who, standbys, what), []).append(nanoseconds)

    def ms(self, key: Key) -> Numbers:
        return np.array(self.taken.get(key, []), dtype=np.float64) / 1e6

    def figure(self, key: Key) -> Figure | None:
        taken = self.ms(key)
        if not len(taken):
            return None
        low, high = np.percentile(_medians(taken), (2.5, 97.5))
        p99 = np.percentile(taken, 99)
        return Figure(len(taken), *map(float, (np.median(taken), low, high, p99, taken.max())))

    def ratio(self, key: Key, to: Key) -> Figure | None:
        """Of the medians."""
        ours, theirs = self.ms(key), self.ms(to)
        if not len(ours) or not len(theirs):
            return None
        low, high = np.percentile(_medians(ours) / _medians(theirs), (2.5, 97.5))
        ratio = float(np.median(ours) / np.median(theirs))
        return Figure(min(len(ours), len(theirs)), ratio, float(low), float(high))


_random = np.random.default_rng(1)


def _medians(taken: Numbers) -> Numbers:
    drawn = _random.choice(taken, (RESAMPLED, len(taken)))
    medians: Numbers = np.median(drawn, axis=1)
    return medians


Look = Callable[[Samples], Figure | None]
