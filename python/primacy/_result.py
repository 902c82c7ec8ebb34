"""What a transaction answers, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from primacy import _primacy


class KeyValue(NamedTuple):
    """A key of etcd with what it knows of it. ``lease`` 0: on none."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Result(NamedTuple):
    """What a transaction answered."""

    revision: int
    """etcd's revision right after it; of one that wrote, that of its writes."""
    reads: list[list[KeyValue]]
    """For each get, in the order in which they were added, what it found."""

    @classmethod
    def _of(cls, found: _primacy._Found) -> Result:
        revision, reads = found
        return cls(revision, [[KeyValue(*kv) for kv in one] for one in reads])
