"""The verdict on one role."""

from __future__ import annotations

from dataclasses import dataclass

from primacy.testing.checks import Acknowledged, Window


@dataclass(frozen=True)
class Findings:
    """What is wrong with one role's history: each list is empty, or the demo has failed."""

    overlaps: list[tuple[Window, Window]]
    late: list[int]  # places in the log
    missing: list[Acknowledged]
    other: list[str]

    def wrong(self) -> list[str]:
        return [
            *(f"two primaries at once: {one}, {other}" for one, other in self.overlaps),
            *([f"late writes were accepted, as entries {self.late} of the log"] if self.late else []),
            *(f"acknowledged, but not so in the log: {call}" for call in self.missing),
            *self.other,
        ]
