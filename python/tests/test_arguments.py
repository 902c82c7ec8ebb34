"""What is given in the wrong place: the error names the argument, and what would do."""

from __future__ import annotations

from typing import Any

import primacy
import pytest
from conftest import Open, Told, candidate
from primacy import aio


class Half:
    """Some of the callbacks."""

    def on_primary(self, election: object, call: object) -> None:
        """Nothing."""


WRONG: dict[str, tuple[Any, str]] = {
    "no config": (
        lambda: primacy.Session(None, candidate()),  # type: ignore[arg-type]
        "^config: .*mapping of settings, not None",
    ),
    "a text for the config": (lambda: primacy.Session("mem://x", candidate()), "^config: .*'mem://x'"),  # type: ignore[arg-type]
    "a dict for a candidate": (
        lambda: primacy.Session({}, {"address": "a:1", "version": "1.0.0"}),  # type: ignore[arg-type]
        r"^candidate: give a primacy.Candidate, not \{",
    ),
    "a class for a candidate": (
        lambda: primacy.Session({}, primacy.Candidate),  # type: ignore[arg-type]
        "^candidate: give a primacy.Candidate, not <class",
    ),
    "the same for asyncio": (lambda: aio.Session({}, None), "^candidate: .* not None"),  # type: ignore[arg-type]
    "no config for asyncio": (lambda: aio.Session(None, candidate()), "^config: .* not None"),  # type: ignore[arg-type]
    "no address": (lambda: primacy.Candidate(None, "1.0.0"), "^Candidate.address takes a str, not None"),  # type: ignore[arg-type]
    "a number for a version": (lambda: primacy.Candidate("a:1", 1.0), "^Candidate.version .* not 1.0"),  # type: ignore[arg-type]
    "a float for a setting": (
        lambda: primacy.Config({"common.session.ttl": 10.5}),  # type: ignore[dict-item]
        "^common.session.ttl takes a text, a whole number, .* not 10.5",
    ),
    "nothing for a setting": (
        lambda: primacy.Config(etcd_rootPath=None),  # type: ignore[arg-type]
        "^etcd.rootPath takes .* not None",
    ),
    "numbers for endpoints": (
        lambda: primacy.Config({"etcd.endpoints": [2379]}),  # type: ignore[list-item]
        r"^etcd.endpoints takes .* not \[2379\]",
    ),
    "an observer of nothing": (lambda: primacy.Observer(None, "r"), "^config: .* not None"),  # type: ignore[arg-type]
    "an observer without a role": (
        lambda: primacy.Observer({"etcd.endpoints": "mem://x", "primacy.allow_memory_store": True}, None),  # type: ignore[arg-type]
        "role",
    ),
    "no key": (lambda: primacy.Txn().put(None, "v"), "key"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("call", "says"), WRONG.values(), ids=WRONG.keys())
def test_the_error_names_the_argument(call: Any, says: str) -> None:
    with pytest.raises((TypeError, primacy.ConfigError), match=says):
        call()


def test_an_election_refuses_what_can_not_be_called_back(open_session: Open) -> None:
    session = open_session()
    with pytest.raises(TypeError, match=r"^callbacks: give an instance, Told\(\), not the class"):
        session.register("r", Told)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^callbacks: Half has no on_standby, on_warmup, on_lost"):
        session.register("r", Half())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="role"):
        session.register(None, Told())  # type: ignore[arg-type]
    election = session.register("r", Told())
    with pytest.raises(TypeError, match="token"):
        election.commit(None, primacy.Txn().put("a", "b"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="txn"):
        election.commit(1, {"a": "b"})  # type: ignore[arg-type]
    for never in (float("nan"), -1.0):
        with pytest.raises(ValueError, match=r"a timeout of .* is refused"):
            election.join(never)
    with pytest.raises(TypeError, match="timeout"):
        election.stop("soon")  # type: ignore[arg-type]
