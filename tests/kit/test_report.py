"""The report shows what a history holds, and stays one page."""

from __future__ import annotations

import datetime
import json
from typing import Any

from primacy.testing.gateway import KeyEvent, KeyValue
from primacy.testing.history import Act, Append, History, Stored
from primacy.testing.report import Result, Scale, page, spread, table
from primacy.testing.timeline import Timeline, timeline

S = 10**9


def line(history: History, t: float, name: str, event: str, **fields: Any) -> None:
    role = {} if event == "listening" else {"role": "rootcoord"}
    history.told(name, 0, {"t": int(t * S), "event": event, "id": int(name[-1]), **role, **fields})


def lock(history: History, t: float, holder: int, key: str = "session/rootcoord") -> None:
    kv = KeyValue(f"r/meta/{key}", json.dumps({"ServerID": holder}), 5)
    history.add(Stored(int(t * S), 0, KeyEvent(not holder, kv)))


def killed() -> History:
    """One is primary, is killed at 3, and two is primary at 7.5."""
    history = History()
    line(history, 1, "root 1", "listening")
    line(history, 1, "root 2", "listening")
    line(history, 1.5, "root 1", "primary", token=5)
    lock(history, 1.5, 1)
    line(history, 2, "root 1", "ready", token=5)
    line(history, 2, "root 2", "standby")
    line(history, 2.5, "root 2", "warm")
    history.fault("killed", "root 1", t=3 * S)
    lock(history, 7.4, 0)
    lock(history, 7.4, 2)
    line(history, 7.5, "root 2", "primary", token=9)
    line(history, 8, "root 2", "ready", token=9)
    line(history, 11, "root 2", "warmup", role="another")
    return history


def drawn(history: History, ttl: int = 5) -> Timeline:
    found = timeline(history, ttl)
    assert found
    return found


def bars(found: Timeline, name: str) -> list[tuple[str, float, float]]:
    (lane,) = (lane for lane in found["lanes"] if lane["name"] == name)
    return [(bar["state"], bar["start"], bar["end"]) for bar in lane["bars"]]


def test_who_was_what_when() -> None:
    found = drawn(killed())
    assert found["seconds"] == 10
    assert bars(found, "root 1") == [
        ("starting", 0, 0.5),
        ("activating", 0.5, 1),
        ("primary", 1, 2),
        ("dead", 2, 10),
    ]
    assert bars(found, "lock of rootcoord") == [("held", 0.5, 6.4), ("held", 6.4, 10)]
    assert bars(found, "root 2: rootcoord")[-2:] == [("activating", 6.5, 7), ("primary", 7, 10)]


def test_a_takeover_counts_from_what_was_done_to_the_one_before() -> None:
    (takeover,) = drawn(killed())["takeovers"]
    assert takeover == {"fault": "killed", "role": "rootcoord", "by": "root 2", "ttl": 5, "ms": 4500.0}


def test_a_pause_that_was_over_long_ago_is_not_what_the_takeover_followed() -> None:
    history = killed()
    history.fault("paused", "root 1", t=int(2.1 * S))
    history.fault("paused", "root 1", over=True, t=int(2.2 * S))
    history.fault("etcd killed", "etcd m1", t=int(3.5 * S))
    assert [takeover["fault"] for takeover in drawn(history)["takeovers"]] == ["killed"]
    assert ("paused", 1.1, 1.2) in bars(drawn(history), "root 1")


def test_what_follows_the_end_of_the_test_is_no_takeover() -> None:
    history = killed()
    history.add(Act(int(3.5 * S), "the end: all are told to stop"))
    assert drawn(history)["takeovers"] == []


def test_what_was_done_is_said_in_the_tests_words_or_else_in_the_kits() -> None:
    history = killed()
    assert [mark["text"] for mark in drawn(history)["marks"]] == ["root 1: killed"]
    history.add(Act(3 * S - 1000, "the primary is killed"))
    assert [mark["text"] for mark in drawn(history)["marks"]] == ["the primary is killed"]


def test_writes_show_their_gap() -> None:
    history = killed()
    for t in (2.0, 2.4, 2.9, 7.9, 8.2):
        at = int(t * S)
        history.add(Append(at, at + 1000, "root 1", "rootcoord", "x", 1, 5))
    found = drawn(history)
    assert found["gap"] == 5.0
    assert [(start, end) for _, start, end in bars(found, "writes to rootcoord")] == [(1, 1.9), (6.9, 7.2)]


def test_the_lock_of_the_other_layout_is_another_key() -> None:
    history = killed()
    lock(history, 1.2, 1, "election/rootcoord")
    assert bars(drawn(history), "lock of rootcoord") == [("held", 0.2, 10)]


def test_takeovers_are_counted_by_fault_and_ttl() -> None:
    tests = [Result("a", timeline=drawn(killed())), Result("b", timeline=drawn(killed(), 2)), Result("c")]
    assert [(row.fault, row.ttl, row.times) for row in table(tests)] == [
        ("killed", 2, [4500.0]),
        ("killed", 5, [4500.0]),
    ]


def test_marks_that_are_close_go_into_rows_of_their_own() -> None:
    assert spread([0, 1, 10, 11, 12]) == [0, 1, 0, 1, 2]
    assert spread([5, 5, 5, 5, 5, 5]) == [0, 1, 2, 3, 0, 1]


def test_the_tables_axis_goes_from_a_power_of_ten_to_the_next() -> None:
    scale = Scale(table([Result("a", timeline=drawn(killed()))]))
    assert scale.ticks == [1000, 10000] and scale(1000) == 0 and scale(10000) == 100


def test_the_page_holds_all_that_it_needs_and_escapes_what_it_is_told() -> None:
    tests = [
        Result("f.py::test_b[<x>]", 9, why="a < b", outcome="failed", timeline=drawn(killed())),
        Result("f.py::test_a", 3, outcome="skipped", why="no Go", coordinators="go, py, c"),
    ]
    text = page(tests, datetime.datetime.now().astimezone(), "coordinators: <c>")
    assert text.index("no Go") < text.index("a &lt; b"), "in the order of their file"
    assert "coordinators: &lt;c&gt;" in text and "<x>" not in text
    assert "took turns to run go, py, c<" in text and text.count("took turns") == 1
    assert "1 failed" in text and "1 left out" in text and "4.50 s" in text
    for fetched in ("http:", "https:", "src=", "@import", "<script", "<link"):
        assert fetched not in text


def test_without_anything_there_is_nothing_to_draw() -> None:
    assert timeline(History(), 5) is None
    assert "Takeovers" not in page([Result("a")], datetime.datetime.now().astimezone(), "")
