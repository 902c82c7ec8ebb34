"""Elections without callbacks: their events are taken."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import primacy
import pytest
from conftest import SOON, Open, Told, candidate
from primacy import _primacy


def test_events_tell_the_whole_story(open_session: Open) -> None:
    election = open_session().register("r")
    election.campaign()
    story: list[str] = []
    for event in election.events():
        if isinstance(event, primacy.PrimaryCall):
            assert election.is_primary() and election.token() == event.token
        if isinstance(event, primacy.Ready):
            election.stop()
        if not isinstance(event, primacy.HolderChanged):
            story.append(type(event).__name__)
        if isinstance(event, primacy.Call):
            event.done()
    assert story == ["PrimaryCall", "Ready", "LostCall"]
    assert election.next_event() is None


def test_a_with_block_completes_the_call_as_it_ends(open_session: Open) -> None:
    election = open_session().register("r")
    election.campaign()
    call = election.next_event(SOON)
    assert isinstance(call, primacy.PrimaryCall)
    with pytest.raises(ZeroDivisionError), call:
        _ = 1 / 0
    lost = next(event for event in election.events() if isinstance(event, primacy.LostCall))
    assert lost.reason is primacy.LostReason.ACTIVATION_FAILED
    with lost:
        pass
    with pytest.raises(primacy.CallOver):
        lost.done()


def test_a_standby_warms_up_and_is_told_when_that_is_cancelled(open_session: Open) -> None:
    a, b = open_session(), open_session()
    holder = a.register("r", holder_calls := Told())
    holder.campaign()
    holder_calls.next(primacy.PrimaryCall)
    standby = b.register("r")
    standby.campaign()
    warmups: list[primacy.WarmupCall] = []
    for event in standby.events():
        if isinstance(event, primacy.StandbyCall):
            event.done()
        elif isinstance(event, primacy.WarmupCall):
            warmups.append(event)
            if len(warmups) == 1:
                event.fail("not now")
            else:
                holder.resign()
        elif isinstance(event, primacy.Cancelled):
            assert event.call is warmups[-1] and event.call.cancelled
            event.call.done()
        elif isinstance(event, primacy.PrimaryCall):
            event.done()
            break
    assert len(warmups) == 2


def test_a_call_says_that_it_is_cancelled_though_nobody_takes_events(open_session: Open) -> None:
    election = open_session().register("r")
    election.campaign()
    won = election.next_event(SOON)
    assert isinstance(won, primacy.PrimaryCall) and not won.cancelled
    election.resign()
    end = time.monotonic() + SOON
    while not won.cancelled:
        assert time.monotonic() < end, "it was resigned"
        time.sleep(0.01)
    won.done()
    election.stop()
    for event in election.events():
        if isinstance(event, primacy.Call):
            event.done()


def test_warm_is_told_to_others(open_session: Open) -> None:
    a, b = open_session(), open_session()
    a.register("r", calls := Told()).campaign()
    calls.next(primacy.PrimaryCall)
    standby = b.register("r")
    standby.campaign()
    for event in standby.events():
        if isinstance(event, primacy.WarmupCall):
            event.warm()
            break
        if isinstance(event, primacy.Call):
            event.done()
    (election,) = b.snapshot()["elections"]
    for _ in range(100):
        (election,) = b.snapshot()["elections"]
        if election["warm"]:
            break
        threading.Event().wait(0.02)
    assert election["warm"] and election["state"] is primacy.ElectionState.STANDBY


def test_no_event_in_time_is_a_timeout(open_session: Open) -> None:
    election = open_session().register("r")
    with pytest.raises(primacy.TimedOut):
        election.next_event(timeout=0.05)
    with pytest.raises(TimeoutError):
        election.next_event(timeout=0)


def test_a_close_answers_what_its_own_thread_would_have_taken(config: primacy.Config) -> None:
    with primacy.Session(config, candidate()) as session:
        session.register("r").campaign()
        observer = primacy.Observer(config, "r")
        observer.wait_for_primary(SOON)
        observer.close()
        election = session.register("s")
        election.campaign()
        for event in election.events():
            if isinstance(event, primacy.PrimaryCall):
                event.done()
                break


def test_a_close_leaves_to_another_thread_what_that_one_takes(config: primacy.Config) -> None:
    session = primacy.Session(config, candidate())
    election = session.register("r")
    ready = threading.Event()
    kinds: list[type[primacy.Event]] = []

    def follow() -> None:
        for event in election.events():
            kinds.append(type(event))
            if isinstance(event, primacy.Call):
                event.done()
            if isinstance(event, primacy.Ready):
                ready.set()

    thread = threading.Thread(target=follow)
    thread.start()
    election.campaign()
    assert ready.wait(SOON)
    session.close()
    thread.join(SOON)
    assert not thread.is_alive() and kinds[-1] is primacy.LostCall


def test_calls_that_two_threads_take_are_both_known(open_session: Open) -> None:
    def warmup(call: int) -> Any:
        return SimpleNamespace(kind=_primacy.Kind.Warmup, call=call)

    class Election(primacy.Election):
        def _running(self) -> dict[int, primacy.Call]:
            running = super()._running()
            if beside.ident is None:
                beside.start()
                beside.join(0.5)  # with the lock it goes on later
            return running

    election = Election(open_session(), "r", None)
    beside = threading.Thread(target=election._take, args=(warmup(2),))
    election._take(warmup(1))
    beside.join(SOON)
    assert set(election._calls) == {1, 2}


def test_events_of_an_election_with_callbacks_are_refused(open_session: Open) -> None:
    election = open_session().register("r", Told())
    with pytest.raises(TypeError, match="has callbacks"):
        election.next_event()
