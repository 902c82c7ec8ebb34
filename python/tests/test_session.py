"""Sessions, transactions, observers, the log; and what is refused."""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import socket
import threading
import time

import primacy
import pytest
from conftest import SOON, Open, Told, candidate
from primacy import _primacy
from primacy._config import raw_config


def primary(session: primacy.Session, role: str = "r") -> tuple[primacy.Election, int, Told]:
    election = session.register(role, calls := Told())
    election.campaign()
    return election, calls.next(primacy.PrimaryCall).token, calls


def test_a_guarded_write_compares_writes_deletes_and_reads(open_session: Open) -> None:
    session = open_session()
    election, token, _ = primary(session)
    first = election.commit(
        token, primacy.Txn().compare_absent("d/a").put("d/a", "1").put(b"d/\xff", b"\x00").get_prefix("d/")
    )
    assert [kv.key for kv in first.reads[0]] == [b"d/a", b"d/\xff"]
    a = first.reads[0][0]
    assert a == primacy.KeyValue(b"d/a", b"1", first.revision, first.revision, 1, 0)
    changed = primacy.Txn().compare_value("d/a", "1").compare_version("d/a", 1)
    changed.compare_mod_revision("d/a", a.mod_revision).delete("d/\xff".encode("latin-1")).put("d/a", "2")
    second = election.commit(token, changed)
    assert second.revision > first.revision and second.reads == []  # records of the session's come between
    with pytest.raises(primacy.Conflict) as lost:
        election.commit(token, primacy.Txn().compare_absent("d/a").put("d/a", "3").get("d/a"))
    assert lost.value.result.reads[0][0].value == b"2"
    found = session.read(primacy.Txn().get("d/a").get("d/none").get_prefix("d"))
    assert [[kv.value for kv in kvs] for kvs in found.reads] == [[b"2"], [], [b"2"]]


def test_transactions_that_can_not_be_are_refused(open_session: Open) -> None:
    session = open_session()
    election, token, _ = primary(session)
    for bad in (primacy.Txn(), primacy.Txn().put("a", "b"), primacy.Txn().get("a").compare_absent("a")):
        with pytest.raises(ValueError, match="one or more gets"):
            session.read(bad)
    with pytest.raises(ValueError, match="key is empty"):
        primacy.Txn().get("")
    with pytest.raises(TypeError):
        primacy.Txn().put("a", 1)  # type: ignore[arg-type]
    with pytest.raises(primacy.Refused):
        election.commit(token, primacy.Txn().put("a", "1").put("a", "2"))
    with pytest.raises(primacy.NotPrimary):
        election.commit(token + 1, primacy.Txn().put("a", "1"))
    lock = f"by-dev/meta/session/{election.role}"
    for own in (primacy.Txn().put(lock, "x"), primacy.Txn().put("a", "1").delete(lock)):
        with pytest.raises(ValueError, match=f"{lock} is the election's own lock"):
            election.commit(token, own)
    with pytest.raises(ValueError, match="timeout"):
        election.commit(token, primacy.Txn().put("a", "1"), timeout=-1)


def test_settings_are_checked_when_they_are_set(config: primacy.Config) -> None:
    bad: list[tuple[str, primacy.Value, str]] = [
        ("etcd.endpoint", "a:1", "etcd.endpoints"),
        ("common.session.ttl", 0, "common.session.ttl"),
        ("primacy.allow_memory_store", "maybe", "true or false"),
    ]
    for name, value, text in bad:
        with pytest.raises(primacy.ConfigError, match=text) as refused:
            primacy.Config({name: value})
        assert isinstance(refused.value, ValueError) and not refused.value.may_pass
    with pytest.raises(primacy.ConfigError):
        primacy.Config({"common.session.ttl": 1, "primacy.margin_ms": 5000}).check()
    keywords = primacy.Config(etcd_endpoints=["a:1", "b:1"], primacy_margin_ms=500, etcd_ssl_enabled=False)
    named = {"etcd.endpoints": "a:1,b:1", "primacy.margin_ms": "500", "etcd.ssl.enabled": "false"}
    assert repr(keywords) == repr(primacy.Config(named))
    assert "s3cret" not in repr(primacy.Config(etcd_auth_password="s3cret"))
    keywords_are_unique = {name.name.replace(".", "_") for name in primacy.Config.names()}
    assert len(keywords_are_unique) == len(primacy.Config.names())


@pytest.mark.parametrize(
    ("address", "version", "more"),
    [
        ("nowhere", "1.0.0", {}),
        ("a:1", "one", {}),
        ("a:1", "1.0.0", {"index_engine_version": "[]"}),
    ],
)
def test_a_candidate_is_checked(
    config: primacy.Config, address: str, version: str, more: dict[str, str]
) -> None:
    with pytest.raises(primacy.CandidateError):
        primacy.Session(config, primacy.Candidate(address, version, **more))  # type: ignore[arg-type]


def test_a_candidates_record_says_what_it_was_given(config: primacy.Config) -> None:
    who = primacy.Candidate("h:1", "3.0.0", host_name="n", server_labels={"z": "1"}, trigger_kill=False)
    with primacy.Session(config, who) as session:
        primary(session)
        ((record,),) = session.read(primacy.Txn().get("by-dev/meta/session/r")).reads
    assert b'"Address":"h:1"' in record.value and b'"ServerLabels":{"z":"1"}' in record.value
    assert b'"TriggerKill":false' in record.value and b'"HostName":"n"' in record.value


def test_roles_are_refused_by_name(open_session: Open) -> None:
    session = open_session()
    for bad in ("", "id", "version", "a/b", "rootcoord-2"):
        with pytest.raises(primacy.RoleError):
            session.register(bad)
    session.register("rootcoord")
    for taken in ("rootcoord", "mixcoord"):
        with pytest.raises(primacy.RoleTaken):
            session.register(taken, Told())
    session.stop()
    with pytest.raises(primacy.Stopped):
        for n in range(10_000):
            session.register(f"late{n}x")
            time.sleep(0.001)


def test_an_etcd_that_is_not_there_is_unavailable_and_one_may_try_again() -> None:
    nowhere: dict[str, primacy.Value] = {"etcd.endpoints": "127.0.0.1:1", "etcd.requestTimeout": 300}
    with pytest.raises(primacy.Unavailable) as refused:
        primacy.Session(nowhere, candidate())
    assert refused.value.may_pass
    with pytest.raises(primacy.Unavailable):
        primacy.Observer(nowhere, "r")


def test_every_error_is_one_of_primacy_and_survives_pickling() -> None:
    found = (7, [[(b"k", b"v", 1, 2, 3, 4)]])
    kinds = {name: getattr(primacy, name) for name in dir(primacy) if not name.startswith("_")}
    errors = {
        name: kind
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, BaseException)
    }
    assert len(errors) > 15 and all(issubclass(kind, primacy.Error) for kind in errors.values())
    for name, kind in errors.items():
        error = kind("text", found) if name == "Conflict" else kind("text")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and str(again) == "text" and again.args == ("text",)
    conflict = pickle.loads(pickle.dumps(primacy.Conflict("text", found)))
    assert conflict.result.reads == [[primacy.KeyValue(b"k", b"v", 1, 2, 3, 4)]]


def test_a_defect_is_an_error_of_primacys_too() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    config = primacy.Config(etcd_endpoints=f"127.0.0.1:{silent.getsockname()[1]}", etcd_requestTimeout=300)
    _, opening = _primacy.open_session(raw_config(config), candidate(), None)
    with pytest.raises(primacy.InternalError) as defect:
        opening.result()
    assert isinstance(defect.value, primacy.Error) and isinstance(defect.value, RuntimeError)
    with silent, pytest.raises(primacy.Unavailable):
        opening.wait()


def test_elections_that_two_threads_register_are_both_known(open_session: Open) -> None:
    session = open_session()
    beside = threading.Thread(target=session.register, args=("b",))

    class Other(primacy.Election):
        """One that is looked at while another thread registers its own."""

        @property
        def _ended(self) -> bool:
            if beside.ident is None:
                beside.start()
                beside.join(0.5)  # with the lock it goes on later
            return False

        @_ended.setter
        def _ended(self, ended: bool) -> None: ...

    session._elections = [Other(session, "a", None)]
    session.register("c")
    beside.join(SOON)
    assert {election.role for election in session._elections} == {"a", "b", "c"}


def test_a_memory_store_must_be_allowed() -> None:
    with pytest.raises(primacy.ConfigError, match="allow_memory_store"):
        primacy.Session({"etcd.endpoints": "mem://x"}, candidate())


def test_a_join_of_what_was_not_stopped_times_out(open_session: Open) -> None:
    session = open_session()
    election, _, _ = primary(session)
    for wait in (session.join, election.join):
        with pytest.raises(primacy.TimedOut):
            wait(0.02)


def test_a_close_says_so_when_a_callback_hangs_and_releases_the_lock_all_the_same(
    config: primacy.Config,
) -> None:
    go_on = threading.Event()

    class Hanging(Told):
        def on_lost(self, election: primacy.Election, call: primacy.LostCall) -> None:
            super().on_lost(election, call)
            go_on.wait(SOON)

    session = primacy.Session(config, candidate())
    session.register("r", calls := Hanging()).campaign()
    calls.next(primacy.PrimaryCall)
    start = time.monotonic()
    with pytest.raises(primacy.TimedOut):
        session.close(0.5)
    assert time.monotonic() - start < 3
    with primacy.Observer(config, "r") as observer:
        assert observer.current() is None
    go_on.set()
    session.join(SOON)
    session.close()


def test_an_observer_follows_the_primary(open_session: Open, config: primacy.Config) -> None:
    changes: queue.Queue[primacy.Primary | None] = queue.Queue()
    with primacy.Observer(config, "r", changes.put) as observer:
        assert observer.current() is None and changes.get(timeout=SOON) is None
        with pytest.raises(primacy.TimedOut):
            observer.wait_for_primary(0.02)
        with pytest.raises(primacy.TimedOut):
            observer.wait_for_change(None, 0.02)
        session = open_session()
        election, token, _ = primary(session)
        assert observer.wait_for_primary(SOON).token == token
        found = observer.wait_until_ready(SOON)
        assert (found.server_id, found.token, found.ready) == (session.server_id, token, True)
        # That it is primary may be told by itself, or with that it is ready.
        while changes.get(timeout=SOON) != found:
            pass
        following = observer.changes()
        assert next(following) == found
        election.stop()
        assert next(following) is None
        assert changes.get(timeout=SOON) is None
    assert list(following) == []
    with pytest.raises(primacy.Stopped):
        observer.wait_for_primary(SOON)


def test_a_call_is_made_again_until_the_primary_answers(open_session: Open, config: primacy.Config) -> None:
    asked: list[primacy.Primary] = []

    def busy(primary: primacy.Primary) -> int:
        asked.append(primary)
        if len(asked) < 3:
            raise ConnectionRefusedError
        return primary.server_id

    def wrong(primary: primacy.Primary) -> None:
        raise ZeroDivisionError(primary.address)

    with primacy.Observer(config, "r") as observer:
        with pytest.raises(primacy.TimedOut, match="ready") as nobody:
            observer.call(busy, 0.02)
        assert nobody.value.__cause__ is None and not asked
        session = open_session()
        primary(session)
        assert observer.call(busy, SOON) == session.server_id and len(asked) == 3
        with pytest.raises(ZeroDivisionError):
            observer.call(wrong, SOON)
        with pytest.raises(primacy.TimedOut, match="answered") as none:
            observer.call(wrong, 0.02, ZeroDivisionError)
        assert isinstance(none.value.__cause__, ZeroDivisionError)
    with pytest.raises(primacy.Stopped):
        observer.call(busy)


def test_a_client_loses_no_term_of_a_primary_that_takes_two_seconds(
    open_session: Open, config: primacy.Config
) -> None:
    class Slow(Told):
        serving = 0

        def on_primary(self, election: primacy.Election, call: primacy.PrimaryCall) -> None:
            time.sleep(2)
            self.serving = call.token

    def call(busy: int) -> tuple[int, int]:
        """The token of who served a client, and how often it was refused before."""
        refused = 0
        while True:
            found = observer.wait_until_ready(SOON)
            if found.token in (token, slow.serving) and refused == busy:
                return found.token, refused
            refused += 1
            with contextlib.suppress(primacy.TimedOut):
                observer.wait_for_change(found, 0.1)

    slow = Slow()
    one, two = open_session(), open_session()
    _, token, _ = primary(one)
    with primacy.Observer(config, "r") as observer:
        assert call(0) == (token, 0)
        two.register("r", slow).campaign()
        slow.next(primacy.StandbyCall)
        one.close()
        served, _ = call(0)
        assert served == slow.serving > token, "by one that was not ready"
        assert call(2) == (served, 2), "the newest is asked again"


def test_an_observer_that_is_closed_wakes_who_waits(config: primacy.Config) -> None:
    observer = primacy.Observer(config, "r")
    ended: queue.Queue[BaseException] = queue.Queue()

    def wait() -> None:
        try:
            observer.wait_for_primary()
        except primacy.Error as error:
            ended.put(error)

    thread = threading.Thread(target=wait)
    thread.start()
    observer.close()
    assert isinstance(ended.get(timeout=SOON), primacy.Stopped)
    thread.join()


def test_a_slow_on_change_hears_of_the_latest(open_session: Open, config: primacy.Config) -> None:
    told: queue.Queue[primacy.Primary | None] = queue.Queue()
    go_on = threading.Event()

    def slow(primary: primacy.Primary | None) -> None:
        told.put(primary)
        go_on.wait(SOON)

    with primacy.Observer(config, "r", slow) as observer:
        assert told.get(timeout=SOON) is None
        session = open_session()
        election, first, _ = primary(session)
        election.stop()
        election.join(SOON)
        _, second, _ = primary(session)
        seen = observer.wait_for_primary(SOON)
        while seen.token != second:
            seen = observer.wait_for_change(seen, SOON) or seen
        go_on.set()
        while (latest := told.get(timeout=SOON)) is None or latest.token != second:
            assert latest is None or latest.token == first


def test_lines_go_to_logging(open_session: Open, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "primacy"):
        _, token, _ = primary(open_session(), "logged")
        end = time.monotonic() + SOON
        while not any(f"logged: won, token {token}" in record.getMessage() for record in caplog.records):
            assert time.monotonic() < end, caplog.records
            time.sleep(0.01)
    assert {record.name for record in caplog.records} == {"primacy"}


def test_all_public_names_are_there() -> None:
    for name in dir(primacy):
        assert getattr(primacy, name) is not None
    with pytest.raises(AttributeError):
        _ = primacy.Sesion
    assert primacy.__version__.count(".") == 2


def test_other_threads_run_while_one_waits(config: primacy.Config) -> None:
    with primacy.Observer(config, "r") as observer:

        def wait() -> None:
            with pytest.raises(primacy.TimedOut):
                observer.wait_for_primary(1)

        waiting = threading.Thread(target=wait)
        waiting.start()
        count, end = 0, time.monotonic() + 0.5
        while time.monotonic() < end:
            count += 1
        assert waiting.is_alive() and count > 10_000, "the interpreter's lock was held"
        waiting.join(SOON)


def test_a_session_may_be_closed_again(open_session: Open, config: primacy.Config) -> None:
    session, observer = open_session(), primacy.Observer(config, "r")
    election = session.register("r")
    for _ in range(2):
        session.close()
        session.stop()
        session.join(SOON)
        election.stop()
        election.join(SOON)
        observer.close()
    assert not election.is_primary() and election.next_event() is None


def test_every_name_of_the_library_is_known_here_by_its_number() -> None:
    for kind, names in _primacy.names():
        known = [member for member in getattr(primacy, kind) if member != primacy.Obstacle.NONE]
        if kind == "Obstacle":
            assert {o.value: o.name.lower() for o in known} == dict(enumerate(names, 1))
        else:
            assert [member.value for member in known] == names
            assert [str(member) for member in known] == names
