"""The same for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import primacy
import pytest
from conftest import SOON, candidate
from primacy import Answer, aio


class Told(aio.Callbacks):
    """Callbacks that tell the test what they are called with."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[Any] = asyncio.Queue()
        self.stopped = asyncio.Event()

    async def next(self, kind: type[Any]) -> Any:
        while True:
            call = await asyncio.wait_for(self.seen.get(), SOON)
            if isinstance(call, kind):
                return call
            assert isinstance(call, primacy.WarmupCall), f"{kind.__name__} expected, not {call}"

    def on_standby(self, election: aio.Election, call: primacy.StandbyCall) -> aio.Answered:
        self.seen.put_nowait(call)
        return None

    async def on_primary(self, election: aio.Election, call: primacy.PrimaryCall) -> Answer | None:
        self.seen.put_nowait(call)
        return None

    async def on_lost(self, election: aio.Election, call: primacy.LostCall) -> Answer | None:
        self.seen.put_nowait(call)
        return None

    def on_stopped(self, election: aio.Election) -> None:
        self.stopped.set()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(SOON / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it does not come about")


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_a_standby_takes_over_and_both_write_under_their_tokens(config: primacy.Config) -> None:
    async def story() -> None:
        async with aio.Session(config, candidate()) as a, aio.Session(config, candidate()) as b:
            first, second = a.register("r", one := Told()), b.register("r", other := Told())
            first.campaign()
            won = await one.next(primacy.PrimaryCall)
            assert first.is_primary() and first.token() == won.token
            second.campaign()
            assert (await other.next(primacy.StandbyCall)).holder.token == won.token
            await first.commit(won.token, primacy.Txn().put("x", "1"))
            first.resign()
            assert (await one.next(primacy.LostCall)).reason is primacy.LostReason.RESIGNED
            next_win = await other.next(primacy.PrimaryCall)
            with pytest.raises(primacy.NotPrimary):
                await first.commit(won.token, primacy.Txn().put("x", "2"))
            with pytest.raises(primacy.Conflict) as lost:
                await second.commit(next_win.token, primacy.Txn().compare_absent("x").get("x"))
            assert lost.value.result.reads[0][0].value == b"1"
            ((kv,),) = (await b.read(primacy.Txn().get("x"))).reads
            assert kv.value == b"1"
        assert one.stopped.is_set() and other.stopped.is_set()

    run(story)


def test_a_coroutine_is_cancelled_when_its_call_is(config: primacy.Config) -> None:
    class Warming(Told):
        async def on_warmup(self, election: aio.Election, call: primacy.WarmupCall) -> Answer | None:
            self.seen.put_nowait("warming")
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.seen.put_nowait("cancelled")
                raise
            return None

    async def story() -> None:
        async with aio.Session(config, candidate()) as a, aio.Session(config, candidate()) as b:
            holder = a.register("r", one := Told())
            holder.campaign()
            await one.next(primacy.PrimaryCall)
            b.register("r", other := Warming()).campaign()
            await other.next(primacy.StandbyCall)
            assert await other.next(str) == "warming"
            holder.resign()
            assert await other.next(str) == "cancelled"
            await other.next(primacy.PrimaryCall)

    run(story)


def test_an_exception_gives_primacy_back(config: primacy.Config) -> None:
    class Failing(Told):
        async def on_primary(self, election: aio.Election, call: primacy.PrimaryCall) -> Answer | None:
            raise ValueError("no")

    async def story() -> None:
        async with aio.Session(config, candidate()) as session:
            session.register("r", calls := Failing()).campaign()
            assert (await calls.next(primacy.LostCall)).reason is primacy.LostReason.ACTIVATION_FAILED

    run(story)


class Waiting(Told):
    """Whose on_standby, should it have started, ends when it is cancelled."""

    async def on_standby(self, election: aio.Election, call: primacy.StandbyCall) -> Answer | None:
        await asyncio.get_running_loop().create_future()
        return None


def test_a_callback_that_is_cancelled_before_it_starts_is_over_all_the_same(config: primacy.Config) -> None:
    async def story() -> None:
        async with aio.Session(config, candidate()) as session:
            election = session.register("r", calls := Waiting())
            election.campaign()
            await calls.next(primacy.PrimaryCall)
            election.resign()
            await calls.next(primacy.LostCall)
            # The loop stands still: it will find that a call was taken, and its cancellation.
            while not any(isinstance(call, primacy.StandbyCall) for call in election._running().values()):
                session._waiting.take()
            session.stop()
            while not any(call._cancelled.is_set() for call in election._running().values()):
                session._waiting.take()
            await session.join(SOON)
            assert calls.stopped.is_set()

    run(story)


def test_events_are_iterated(config: primacy.Config) -> None:
    async def story() -> None:
        kinds = []
        async with aio.Session(config, candidate()) as session:
            election = session.register("r")
            election.campaign()
            async for event in election:
                if isinstance(event, primacy.Call):
                    event.done()
                if isinstance(event, primacy.Ready):
                    election.stop()
                if not isinstance(event, primacy.HolderChanged):
                    kinds.append(type(event))
        assert kinds == [primacy.PrimaryCall, primacy.Ready, primacy.LostCall]

    run(story)


def test_a_close_answers_what_nobody_takes_any_more(config: primacy.Config) -> None:
    async def story() -> None:
        async with aio.Session(config, candidate()) as session:
            election = session.register("r")
            election.campaign()
            async for event in election.events():
                if isinstance(event, primacy.PrimaryCall):
                    event.done()
                    break
            session.register("never-read").campaign()
        loop = asyncio.get_running_loop()
        with pytest.raises(primacy.Stopped):
            session.register("late")
        assert loop.is_running()

    run(story)


def test_a_wait_ends_with_its_task_and_blocks_nobody(config: primacy.Config) -> None:
    async def story() -> None:
        async with aio.Observer(config, "r") as observer:
            waiting = asyncio.create_task(observer.wait_for_primary())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(primacy.TimedOut):
                await observer.wait_for_primary(0.02)
            async with aio.Session(config, candidate()) as session:
                with pytest.raises(primacy.TimedOut):
                    await session.join(0.02)
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(session.join(), 0.02)

    run(story)


def test_an_opening_that_is_cancelled_ends() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    silent.settimeout(SOON)
    config = primacy.Config(etcd_endpoints=f"127.0.0.1:{silent.getsockname()[1]}")

    async def story() -> None:
        opening = asyncio.create_task(aio.Session(config, candidate()).open())
        await asyncio.sleep(0.1)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    run(story)
    began = time.monotonic()
    with silent, silent.accept()[0] as connection:
        connection.settimeout(SOON)
        while connection.recv(1 << 16):
            pass
    assert time.monotonic() - began < 5, "it went on for etcd.requestTimeout"


async def engine_waits_are(most: int) -> None:
    """At most so many threads of the engine's wait for a coroutine's sake, soon."""
    end = time.monotonic() + SOON
    while True:
        if (waits := engine_waits()) <= most:
            return
        assert time.monotonic() < end, waits
        await asyncio.sleep(0.01)


def engine_waits() -> int:
    names = [read_or_none(thread / "comm") for thread in Path("/proc/self/task").iterdir()]
    return names.count("primacy-wait\n")


def read_or_none(file: Path) -> str | None:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        return file.read_text()
    return None


def test_joins_that_are_given_up_leave_no_threads(config: primacy.Config) -> None:
    async def story() -> None:
        async with aio.Session(config, candidate()) as session:
            election = session.register("r", Told())
            for _ in range(100):
                for wait in (session.join, election.join):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(wait(), 0.001)
                    with pytest.raises(primacy.TimedOut):
                        await wait(0.001)
            await engine_waits_are(2)  # one for the session, one for the election
            with pytest.raises(ValueError, match="timeout of -1 s is refused"):
                await session.join(-1)
        await engine_waits_are(0)

    run(story)


def test_a_cancellation_is_not_swallowed_by_a_change_at_the_same_time(config: primacy.Config) -> None:
    async def story() -> None:
        for steps in range(10):
            observer = await aio.Observer(config, "r").open()
            waiting = asyncio.create_task(observer.wait_for_change(None, 60))
            await asyncio.sleep(0.01)
            observer.close()
            for _ in range(steps):
                await asyncio.sleep(0)
            if waiting.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            else:
                with pytest.raises(primacy.Stopped):
                    await waiting

    run(story)


def test_a_client_loses_no_term_of_a_primary_that_takes_two_seconds(config: primacy.Config) -> None:
    class Slow(Told):
        serving = 0

        async def on_primary(self, election: aio.Election, call: primacy.PrimaryCall) -> Answer | None:
            await asyncio.sleep(2)
            self.serving = call.token
            return None

    async def story() -> None:
        slow, fast = Slow(), Told()
        async with aio.Observer(config, "r") as observer, aio.Session(config, candidate()) as two:
            with pytest.raises(primacy.TimedOut):
                await observer.wait_until_ready(0.02)
            async with aio.Session(config, candidate()) as one:
                one.register("r", fast).campaign()
                token = (await fast.next(primacy.PrimaryCall)).token
                assert (await observer.wait_until_ready(SOON)).token == token
                two.register("r", slow).campaign()
                await slow.next(primacy.StandbyCall)
            found = await observer.wait_until_ready(SOON)
            assert found.token == slow.serving > token, "one that was not ready"
            with pytest.raises(primacy.TimedOut):
                await observer.wait_for_change(found, 0.02)
            assert await observer.wait_until_ready(SOON) == found, "the newest is asked again"

    run(story)


def test_a_call_is_made_again_until_the_primary_answers(config: primacy.Config) -> None:
    asked: list[primacy.Primary] = []

    async def busy(primary: primacy.Primary) -> int:
        asked.append(primary)
        if len(asked) < 3:
            raise ConnectionRefusedError
        return primary.token

    async def silent(primary: primacy.Primary) -> None:
        await asyncio.Event().wait()

    async def wrong(primary: primacy.Primary) -> None:
        raise ZeroDivisionError

    async def story() -> None:
        told = Told()
        async with aio.Observer(config, "r") as observer:
            with pytest.raises(primacy.TimedOut):
                await observer.call(busy, 0.02)
            async with aio.Session(config, candidate()) as session:
                session.register("r", told).campaign()
                token = (await told.next(primacy.PrimaryCall)).token
                assert await observer.call(busy, SOON) == token and len(asked) == 3
                with pytest.raises(primacy.TimedOut):
                    await observer.call(silent, 0.02)
                with pytest.raises(ZeroDivisionError):
                    await observer.call(wrong)
                with pytest.raises(primacy.TimedOut) as none:
                    await observer.call(wrong, 0.2, ZeroDivisionError)
                assert isinstance(none.value.__cause__, ZeroDivisionError)
        with pytest.raises(primacy.Stopped):
            await observer.call(busy)

    run(story)


def test_an_observer_is_iterated_and_ends_with_its_close(config: primacy.Config) -> None:
    async def story() -> None:
        seen: asyncio.Queue[primacy.Primary | None] = asyncio.Queue()
        observer = aio.Observer(config, "r")

        async def follow() -> None:
            async with observer:
                async for primary in observer:
                    seen.put_nowait(primary)

        following = asyncio.create_task(follow())
        assert await seen.get() is None
        async with aio.Session(config, candidate()) as session:
            session.register("r", calls := Told()).campaign()
            token = (await calls.next(primacy.PrimaryCall)).token
            assert (await observer.wait_for_primary(SOON)).token == token
            primary = await seen.get()
            assert primary and primary.token == token
            while not primary.ready:
                primary = await seen.get()
                assert primary and primary.token == token
        assert await seen.get() is None
        observer.close()
        await asyncio.wait_for(following, SOON)
        with pytest.raises(primacy.Stopped):
            await observer.wait_for_primary()

    run(story)


def test_a_join_inside_a_callback_is_refused_and_a_resign_takes_effect_after_it(
    config: primacy.Config,
) -> None:
    async def story() -> None:
        async with aio.Session(config, candidate()) as session:

            class Asking(Told):
                async def on_primary(
                    self, election: aio.Election, call: primacy.PrimaryCall
                ) -> Answer | None:
                    election.resign()
                    for wait in (session.join, election.join, session.close):
                        with pytest.raises(primacy.InCallback):
                            await wait(1)
                    await asyncio.sleep(0.05)
                    self.seen.put_nowait(election.is_primary())
                    return None

            session.register("r", calls := Asking()).campaign()
            assert await calls.next(bool) is True
            assert (await calls.next(primacy.LostCall)).reason is primacy.LostReason.RESIGNED

    run(story)


def test_a_call_is_completed_from_another_thread(config: primacy.Config) -> None:
    class Handing(Told):
        def on_primary(self, election: aio.Election, call: primacy.PrimaryCall) -> Any:
            threading.Thread(target=call.done).start()
            return Answer.PENDING

        def on_notice(self, election: aio.Election, notice: primacy.Notice) -> None:
            self.seen.put_nowait(notice)

    async def story() -> None:
        async with aio.Session(config, candidate()) as session:
            session.register("r", calls := Handing()).campaign()
            while not isinstance(await asyncio.wait_for(calls.seen.get(), SOON), primacy.Ready):
                pass

    run(story)


def test_an_etcd_that_is_not_there_is_unavailable() -> None:
    async def story() -> None:
        with pytest.raises(primacy.Unavailable):
            await aio.Session(
                {"etcd.endpoints": "127.0.0.1:1", "etcd.requestTimeout": 300}, candidate()
            ).open()

    run(story)


def test_two_tasks_do_not_take_the_events_of_one_election(config: primacy.Config) -> None:
    async def story() -> None:
        async with aio.Session(config, candidate()) as session:
            election = session.register("r")
            first = asyncio.create_task(election.next_event())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await election.next_event()
            first.cancel()

    run(story)


def test_an_opening_that_is_cancelled_leaves_nothing_open(config: primacy.Config) -> None:
    async def story() -> None:
        opening = asyncio.create_task(aio.Session(config, candidate()).open())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        # Its lease goes with it: the next one is alone.
        async with aio.Session(config, candidate()) as session:
            session.register("r", calls := Told()).campaign()
            await calls.next(primacy.PrimaryCall)

    run(story)


def test_what_is_over_answers_each_who_asks(config: primacy.Config) -> None:
    async def story() -> None:
        async with aio.Session(config, candidate()) as session:
            election = session.register("r", Told())
            session.stop()
            for _ in range(2):
                await session.join(SOON)
                await session.close()
                await election.join(SOON)
            with contextlib.suppress(primacy.Error):  # one or the other, but an answer
                await asyncio.wait_for(session.read(primacy.Txn().get("a")), SOON)
            with pytest.raises((primacy.NotPrimary, primacy.Stopped)):
                await asyncio.wait_for(election.commit(1, primacy.Txn().put("a", "b")), SOON)

    run(story)


def test_a_session_of_a_loop_that_has_ended_is_ended_too(
    config: primacy.Config, caplog: pytest.LogCaptureFixture
) -> None:
    config.set("common.session.ttl", 60)  # so that it is not the lease that ends it

    async def forgets() -> None:
        session = await aio.Session(config, candidate()).open()
        elections = session.register("r", calls := Told()), session.register("s")
        for election in elections:
            election.campaign()
        await calls.next(primacy.PrimaryCall)
        async for event in elections[1]:
            if isinstance(event, primacy.PrimaryCall):
                break

    async def wins() -> None:
        async with aio.Session(config, candidate()) as session:
            for role in ("r", "s"):
                session.register(role, calls := Told()).campaign()
                while not isinstance(await asyncio.wait_for(calls.seen.get(), SOON), primacy.PrimaryCall):
                    pass

    run(forgets)
    run(wins)
    said = [record.levelname for record in caplog.records if "is still open" in record.message]
    assert said == ["WARNING"]


def test_a_call_that_nobody_takes_goes_to_somebody_who_does(config: primacy.Config) -> None:
    config.set("primacy.activation_timeout_ms", 300)

    async def story() -> None:
        async with aio.Session(config, candidate()) as deaf, aio.Session(config, candidate()) as other:
            left = deaf.register("r")
            left.campaign()
            await until(lambda: any(e["token"] for e in deaf.snapshot()["elections"]))
            assert not left.is_primary()
            other.register("r", calls := Told()).campaign()
            await calls.next(primacy.StandbyCall)
            await calls.next(primacy.PrimaryCall)
            # It hears of a standby's part, and never heard of the win.
            event = await asyncio.wait_for(left.next_event(), SOON)
            assert isinstance(event, primacy.StandbyCall)
            event.done()

    run(story)


def test_a_primary_that_reads_nothing_more_is_lost(config: primacy.Config) -> None:
    config.set("primacy.activation_timeout_ms", 300)

    async def story() -> None:
        async with aio.Session(config, candidate()) as session:
            election = session.register("r")
            election.campaign()
            event = await asyncio.wait_for(election.next_event(), SOON)
            assert isinstance(event, primacy.PrimaryCall)
            event.done()
            await until(lambda: not election.is_primary())  # the notice that it is ready waits
            while not isinstance(event, primacy.LostCall):
                event = await asyncio.wait_for(election.next_event(), SOON)
            assert event.reason is primacy.LostReason.HOST_UNRESPONSIVE
            event.done()

    run(story)
