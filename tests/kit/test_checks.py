"""The demo's judge finds what is wrong, and only that."""

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
    windows,
    wrongly_lost,
)
from primacy.testing.history import Said


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
    assert wrongly_lost([win(10, 1, 5)]) == ["token 5 was lost 0 times"]
    assert wrongly_lost([win(10, 1, 5), lost(5), lost(5)]) == ["token 5 was lost 2 times"]


def test_an_entry_is_read_from_its_key_and_value() -> None:
    assert Entry.of("r/meta/sample/rootcoord/log/0000000012", "9 2 call 7", 31) == Entry(
        12, 9, 2, "call 7", 31
    )
