"""Settings by Milvus's names, and what identifies a candidate."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Union

from primacy import _primacy
from primacy._errors import ConfigError

Value = Union[str, int, bool, Iterable[str]]
"""What a setting takes: text, a number, True or False, or several texts (endpoints)."""


class Name(NamedTuple):
    """A name that can be set."""

    name: str
    default: str
    takes: str
    about: str


class Config:
    """Settings by name. What is not set has its default.

    >>> Config({"etcd.endpoints": ["a:2379", "b:2379"], "common.session.ttl": 10})
    >>> Config(etcd_endpoints="localhost:2379", primacy_margin_ms=500)

    As a keyword a name has ``_`` in place of each dot. ``Config.names()`` lists them all.

    :raises ConfigError: no setting has this name, or it does not take this value.
    """

    def __init__(self, settings: Mapping[str, Value] | None = None, /, **keywords: Value) -> None:
        self._raw = _primacy.Config()
        for name, value in _items(settings):
            self.set(name, value)
        spelled = {name.name.replace(".", "_"): name.name for name in self.names()} if keywords else {}
        for keyword, value in keywords.items():
            self.set(spelled.get(keyword, keyword), value)

    def set(self, name: str, value: Value) -> None:
        """Sets one value, in place of the one before.

        :raises ConfigError: no setting has this name, or it does not take this value.
        """
        self._raw.set(name, _text(name, value))

    def check(self) -> None:
        """Checks that the values go together, as opening a session does.

        :raises ConfigError: they do not.
        """
        self._raw.check()

    @staticmethod
    def names() -> list[Name]:
        """Every name that can be set."""
        return [Name(*name) for name in _primacy.Config.names()]

    def __repr__(self) -> str:
        return f"Config({self._raw!r})"


def _items(settings: Mapping[str, Value] | None) -> Iterable[tuple[str, Value]]:
    if settings is None:
        return ()
    if not isinstance(settings, Mapping):
        raise TypeError(f"config: give a primacy.Config or a mapping of settings, not {settings!r}")
    return settings.items()


def _text(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    texts = list(value) if isinstance(value, Iterable) and not isinstance(value, bytes) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"{name} takes a text, a whole number, True, False or several texts, not {value!r}")
    return ",".join(map(str, texts))


def check_candidate(candidate: object) -> None:
    """Refuses what is none."""
    if not isinstance(candidate, Candidate):
        raise TypeError(f"candidate: give a primacy.Candidate, not {candidate!r}")


def raw_config(config: Config | Mapping[str, Value]) -> _primacy.Config:
    """The settings of whatever was given as such."""
    if config is None:
        raise TypeError("config: give a primacy.Config or a mapping of settings, not None")
    return (config if isinstance(config, Config) else Config(config))._raw


@dataclass(frozen=True)
class Candidate:
    """What the records of a candidate in etcd say of it."""

    address: str
    """``host:port`` where clients reach it."""
    version: str
    """As semantic versioning has it, such as "3.0.0"."""
    host_name: str = field(default_factory=socket.gethostname)
    server_labels: dict[str, str] = field(default_factory=dict)
    """What clients choose servers by."""
    index_engine_version: str = ""
    """A JSON object of integers, passed on to Milvus's readers as it is."""
    scalar_index_engine_version: str = ""
    """As ``index_engine_version``."""
    index_non_encoding: bool = False
    """Passed on to Milvus's readers."""
    exclusive: bool = True
    """At most one of the role at a time."""
    trigger_kill: bool | None = None
    """``TriggerKill``, which Milvus 2.x writes and 3.0 leaves out."""

    def __post_init__(self) -> None:
        for name in ("address", "version", "host_name"):
            if not isinstance(value := getattr(self, name), str):
                raise TypeError(f"Candidate.{name} takes a str, not {value!r}")
