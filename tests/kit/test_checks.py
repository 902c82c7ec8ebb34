"""Each check finds what is wrong, and only that."""

from __future__ import annotations

from typing import Any

from primacy.testing.checks import (
    Acknowledged,
    Entry,
    Window,
    disordered,
    late_writes,
    missing,
    overlaps,
    unanswered,
    verdict,
    windows,
    wrongly_lost,
)
from primacy.testing.gateway import KeyEvent, KeyValue
from primacy.testing.history import Append, Fault, History, Said


def yes(t: int, id: int, token: int, received: int | None = None) -> Said:
    return Said(t, t + 1 if received is None else received, "rootcoord", id, token)


def no(t: int, id: int) -> Said:
    return Said(t, t + 1, "rootcoord", id, 0)


def win(t: int, id: int, token: int) -> dict[str, Any]:
    return {"t": t, "role": "rootcoord", "event": "primary", "id": id, "token": token}


def lost(token: int) -> dict[str, Any]:
    return {"event": "lost", "token": token}


def test_one_primary_after_the_other_is_no_overlap() -> None:
    found = windows([yes(11, 1, 5), yes(19, 1, 5), no(21, 1), yes(26, 2, 9)], [win(10, 1, 5), win(25, 2, 9)])
    assert found == [Window("rootcoord", 1, 5, 10, 19), Window("rootcoord", 2, 9, 25, 26)]
    assert overlaps(found) == []


def test_an_old_primary_that_says_yes_after_the_next_win_is_an_overlap() -> None:
    found = windows([yes(11, 1, 5), yes(27, 1, 5), yes(26, 2, 9)], [win(10, 1, 5), win(25, 2, 9)])
    assert [(one.id, other.id) for one, other in overlaps(found)] == [(1, 2)]


def test_two_primaries_of_two_roles_are_no_overlap() -> None:
    other = Window("datacoord", 2, 9, 5, 50)
    assert overlaps([Window("rootcoord", 1, 5, 0, 40), other]) == []


def test_an_answer_begun_before_a_pause_proves_nothing_about_its_end() -> None:
    # `t` was read at 19, the process was stopped, and the answer arrived at 99.
    found = windows(
        [yes(11, 1, 5), yes(19, 1, 5, received=99), yes(61, 2, 9)], [win(10, 1, 5), win(60, 2, 9)]
    )
    assert overlaps(found) == []


def test_a_win_whose_line_was_never_seen_counts_from_its_first_yes() -> None:
    assert windows([yes(11, 1, 5), yes(19, 1, 5)], []) == [Window("rootcoord", 1, 5, 12, 19)]


def test_a_win_that_never_said_yes_has_no_window() -> None:
    assert windows([no(20, 1)], [win(10, 1, 5)]) == []


def test_a_lower_token_after_a_higher_one_is_a_late_write() -> None:
    log = [Entry(1, 5, 1, "a", 0), Entry(2, 9, 2, "b", 0), Entry(3, 5, 1, "late", 0)]
    assert [entry.n for entry in late_writes(log, [5, 9])] == [3]


def test_a_write_after_the_next_win_is_late_even_before_its_first_write() -> None:
    log = [Entry(1, 5, 1, "a", 7), Entry(2, 5, 1, "late", 10), Entry(3, 9, 2, "b", 11)]
    assert [entry.n for entry in late_writes(log, [5, 9])] == [2]


def test_tokens_that_only_grow_are_no_late_writes() -> None:
    log = [Entry(1, 5, 1, "a", 7), Entry(2, 9, 2, "b", 11), Entry(3, 12, 1, "c", 13)]
    assert late_writes(log, [5, 9, 12]) == []


def test_an_acknowledged_append_must_be_in_the_log_under_its_token() -> None:
    log = [Entry(1, 5, 1, "a", 7), Entry(2, 9, 2, "b", 11)]
    lost_call, changed = Acknowledged(0, 3, 9, 2), Acknowledged(0, 2, 5, 1)
    assert missing([Acknowledged(0, 1, 5, 1), changed, lost_call], log) == [changed, lost_call]


def test_tokens_must_grow_from_win_to_win() -> None:
    assert disordered([win(10, 1, 5), win(20, 2, 9)]) == []
    assert disordered([win(10, 1, 9), win(20, 2, 9)]) == ["token 9 came after 9"]


def test_each_win_is_lost_exactly_once() -> None:
    assert wrongly_lost([win(10, 1, 5), lost(5)]) == []
    assert wrongly_lost([win(10, 1, 5)]) == ["token 5 was won 1 times and lost 0 times"]
    assert wrongly_lost([win(10, 1, 5), lost(5), lost(5)]) == ["token 5 was won 1 times and lost 2 times"]


def test_an_entry_is_read_from_its_key_and_value() -> None:
    assert Entry.of("r/meta/sample/rootcoord/log/0000000012", "9 2 call 7", 31) == Entry(
        12, 9, 2, "call 7", 31
    )


# The checks on a whole history, each with one that breaks its rule


class Story:
    """A small history: one role, its lock, its log."""

    root = "r/meta"

    def __init__(self) -> None:
        self.history = History()
        self.revision = 0
        self.log: list[Entry] = []

    def line(self, t: int, event: str, process: int = 0, candidate: str = "one", **fields: Any) -> None:
        line = {"t": t, "event": event, "role": "rootcoord", "id": 1, **fields}
        self.history.told(candidate, process, line)

    def put(self, key: str, value: str = "", deleted: bool = False, version: int = 1) -> int:
        self.revision += 1
        kv = KeyValue(f"{self.root}/{key}", value, self.revision, 7, version)
        self.history.stored([KeyEvent(deleted, kv)])
        return self.revision

    def entry(self, n: int, token: int, text: str, acknowledged: bool = True, version: int = 1) -> None:
        at = self.put(f"sample/rootcoord/log/{n:010}", f"{token} 1 {text}", version=version)
        self.log.append(Entry(n, token, 1, text, at))
        if acknowledged:
            self.append(text, n, token)

    def append(self, text: str, n: int = 0, token: int = 0, why: str = "") -> None:
        self.history.add(Append(0, 1, "one", "rootcoord", text, n, token, why))

    def verdict(self) -> list[str]:
        return verdict(self.history, self.root, {"rootcoord": self.log})


def good() -> Story:
    """One is primary and writes, ends; two is primary and writes."""
    story = Story()
    first = story.put("session/rootcoord")
    story.line(10, "primary", token=first)
    story.history.add(yes(11, 1, first))
    story.entry(1, first, "a")
    story.line(12, "lost", token=first)
    story.line(13, "stopped", role="")
    story.put("session/rootcoord", deleted=True)
    second = story.put("session/rootcoord")
    story.line(20, "primary", candidate="two", token=second, id=2)
    story.history.add(yes(21, 2, second))
    story.entry(2, second, "b")
    return story


def test_a_good_history_has_nothing_wrong() -> None:
    assert good().verdict() == []


def test_a_yes_after_the_next_primary_is_found() -> None:
    story = good()
    story.history.add(yes(22, 1, 1))
    assert [text.split(":")[0] for text in story.verdict()] == ["overlap"]


def test_a_token_that_is_not_higher_is_found() -> None:
    story = good()
    story.line(30, "primary", candidate="three", token=2)
    assert story.verdict() == ["order: rootcoord: token 2 came after 4"]


def test_an_entry_under_a_token_that_was_not_the_locks_is_found() -> None:
    story = good()
    story.entry(3, 1, "late")
    assert story.verdict() == ["writes: rootcoord: entry 3 under token 1 while the lock's was 4"]


def test_an_entry_while_nobody_held_the_lock_is_found() -> None:
    story = good()
    story.put("session/rootcoord", deleted=True)
    story.entry(3, 4, "late")
    assert story.verdict() == ["writes: rootcoord: entry 3 under token 4 while the lock's was 0"]


def test_an_entry_that_is_written_over_is_found() -> None:
    story = good()
    story.entry(2, 4, "over", acknowledged=False, version=2)
    assert "writes: rootcoord: entry 2 was written over" in story.verdict()


def test_in_the_other_layout_the_lock_counts_and_not_the_record() -> None:
    story = Story()
    token = story.put("election/rootcoord")
    story.put("session/rootcoord")
    story.entry(1, token, "a")
    assert story.verdict() == []
    story.put("election/rootcoord", deleted=True)
    story.entry(2, token, "late")
    assert len(story.verdict()) == 1


def test_an_acknowledged_append_that_is_not_in_the_store_is_found() -> None:
    story = good()
    story.append("gone", 3, 4)
    assert [text.split(":")[0] for text in story.verdict()] == ["kept"]


def test_a_refused_append_that_is_in_the_store_is_found() -> None:
    story = good()
    story.entry(3, 4, "c", acknowledged=False)
    story.append("c", why="not_primary")
    assert [text.split(":")[0] for text in story.verdict()] == ["writes"]
    unknown = good()
    unknown.entry(3, 4, "c", acknowledged=False)
    unknown.append("c", why="unknown")
    assert unknown.verdict() == []


def test_a_lost_that_comes_twice_or_for_nothing_is_found() -> None:
    story = good()
    story.line(31, "lost", candidate="two", token=4)
    assert story.verdict() == []
    story.line(32, "lost", candidate="two", token=4)
    assert story.verdict() == ["lost: two: rootcoord: token 4 was lost, but none was held"]


def test_a_win_before_the_one_before_was_lost_is_found() -> None:
    story = good()
    story.put("session/rootcoord", deleted=True)
    third = story.put("session/rootcoord")
    story.line(30, "primary", candidate="two", token=third)
    assert len(story.verdict()) == 1 and "was won before token 4 was lost" in story.verdict()[0]


def test_a_standby_period_within_a_win_is_found() -> None:
    story = good()
    story.line(30, "standby", candidate="two")
    assert story.verdict() == ["lost: two: rootcoord: standby while token 4 was held"]


def test_a_clean_stop_without_lost_is_found() -> None:
    story = good()
    story.line(40, "stopped", candidate="two", role="")
    assert story.verdict() == ["lost: two: rootcoord: token 4 was won 1 times and lost 0 times"]


# What was not asked has nothing wrong in it


S = 10**9
WIN = win(10 * S, 1, 5)
NEVER = ["it never said that it is primary of rootcoord under token 5, for 1 s"]


def test_a_win_that_could_have_said_yes_for_a_second_and_never_did_is_named() -> None:
    assert unanswered([WIN], [], [], 11 * S) == NEVER
    assert unanswered([WIN], [no(10 * S, 1), yes(10 * S, 1, 4)], [], 11 * S) == NEVER
    assert unanswered([WIN], [yes(10 * S, 1, 5)], [], 11 * S) == []


def test_a_win_that_was_over_within_a_second_need_not_have_said_yes() -> None:
    assert unanswered([WIN], [], [], 11 * S - 1) == []
    assert unanswered([WIN, {**lost(5), "role": "rootcoord", "t": 11 * S - 1}], [], [], 20 * S) == []
    assert unanswered([WIN, {**lost(5), "role": "rootcoord", "t": 11 * S}], [], [], 20 * S) == NEVER


def test_a_win_in_whose_first_second_something_was_done_to_it_need_not_have_said_yes() -> None:
    killed, before = Fault(11 * S - 1, "killed", "one"), Fault(9 * S, "told to stop", "one")
    paused, resumed = Fault(9 * S, "paused", "one"), Fault(20 * S, "paused", "one", over=True)
    assert unanswered([WIN], [], [killed], 20 * S) == []
    assert unanswered([WIN], [], [before], 20 * S) == NEVER
    assert unanswered([WIN], [], [paused, resumed], 30 * S) == []
    assert unanswered([WIN], [], [paused, Fault(9 * S, "paused", "one", over=True)], 30 * S) == NEVER
