"""Who is measured: programs that take the flags of the sample coordinators and print their lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "target"
# The host does not outlive the run, should that be ended.
GUARD = (str(TARGET / "primacy"), "guard", "--", "setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True)
class Kind:
    """`slow`: it looks every now and then, and is not told; so it is measured less often."""

    name: str
    program: tuple[str, ...]
    ttl: int = 10
    ours: bool = False
    slow: bool = False
    flags: tuple[str, ...] = ()


def _ours(language: str) -> Kind:
    # Warm at once; and first in line, if there is a crowd.
    flags = ("--warm-after", "0", "--set", "primacy.priority=2")
    return Kind(
        f"primacy, {_LANGUAGES[language]}", (str(TARGET / "coordinators" / language),), 10, True, False, flags
    )


def _peer(name: str, recipe: str, ttl: int = 10, slow: bool = False) -> Kind:
    return Kind(name, (str(TARGET / "bench/others"), recipe), ttl, slow=slow)


_LANGUAGES = {"c": "C", "go": "Go", "py": "Python"}
C, GO, PYTHON = _ours("c"), _ours("go"), _ours("py")
OURS = (C, GO, PYTHON)
CONCURRENCY = _peer("clientv3/concurrency", "concurrency")
# With 15 s its times are its defaults, 15, 10 and 2 s; with 10 s they are 10, 6.7 and 1.3 s.
CLIENT_GO = _peer("client-go, 15/10/2 s", "client-go", 15, True)
CLIENT_GO_10 = _peer("client-go, 10 s", "client-go", 10, True)
# 30 s is what Milvus ships.
MILVUS_26 = _peer("Milvus 2.6, TTL 30 s", "milvus-2.6", 30)
MILVUS_30 = _peer("Milvus 3.0, TTL 30 s", "milvus-3.0", 30)
THEIRS = (CONCURRENCY, CLIENT_GO, CLIENT_GO_10, MILVUS_26, MILVUS_30)
ALL = OURS + THEIRS
CROWDED = (C, CONCURRENCY, CLIENT_GO, MILVUS_26, MILVUS_30)  # those measured with many standbys
