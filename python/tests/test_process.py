"""How it lives and ends with its process: exits, signals, fork, spawn."""

from __future__ import annotations

import signal
import time

import primacy
import pytest
from conftest import Start, Told, candidate
from primacy.testing.etcd import Etcd

EXITS = {
    "a live primary": """
election = campaign(Quiet())
until(election.is_primary)
""",
    "a live primary, by sys.exit": """
election = campaign(Quiet())
until(election.is_primary)
sys.exit(0)
""",
    "a callback that is blocked": """
entered = threading.Event()
class Blocked(Quiet):
    def on_primary(self, election, call):
        entered.set()
        threading.Event().wait()
campaign(Blocked())
assert entered.wait(15)
""",
    "a callback that computes": """
class Busy(Quiet):
    def on_primary(self, election, call):
        while True:
            sum(range(1000))
election = campaign(Busy())
until(election.is_primary)
""",
    "waits that are pending": """
session = primacy.Session(CONFIG, WHO)
election = campaign(Quiet(), session)
observer = primacy.Observer(CONFIG, "nobody")
reader = session.register("s")
for wait in (session.join, election.join, observer.wait_for_primary, reader.next_event):
    threading.Thread(target=wait, daemon=True).start()
until(election.is_primary)
""",
    "a commit on its way": """
election = campaign(Quiet())
until(election.is_primary)
def write():
    while True:
        try:
            election.commit(election.token() or 1, primacy.Txn().put("a", "b"))
        except primacy.NotPrimary:
            pass
threading.Thread(target=write, daemon=True).start()
time.sleep(0.05)
""",
    "events that nobody takes": """
session = primacy.Session(CONFIG, WHO)
election = session.register("r")
election.campaign()
election.next_event()
until(election.is_primary)
""",
    "an asyncio loop that has ended": """
import asyncio
from primacy import aio
class Primary(aio.Callbacks):
    async def on_primary(self, election, call): await asyncio.sleep(3600)
    async def on_lost(self, election, call): await asyncio.sleep(0)
async def main():
    session = await aio.Session(CONFIG, WHO).open()
    elections = session.register("r", Primary()), session.register("s")
    for election in elections:
        election.campaign()
    await elections[1].next_event()
    while not all(election.is_primary() for election in elections):
        await asyncio.sleep(0.002)
asyncio.run(main())
""",
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("text", EXITS.values(), ids=EXITS.keys())
def test_the_interpreter_ends_well_with(text: str, program: Start, pytestconfig: pytest.Config) -> None:
    for _ in range(pytestconfig.getoption("exits")):
        start = time.monotonic()
        code, _, errors = program(text).end()
        assert (code, errors) == (0, "")
        assert time.monotonic() - start < 10


def test_a_primary_whose_script_is_over_leaves_the_lock_to_the_next_at_once(
    program: Start, etcd: Etcd
) -> None:
    config = primacy.Config(etcd_endpoints=etcd.endpoint, common_session_ttl=30)
    text = f"""
over = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: over.set())
session = primacy.Session({{"etcd.endpoints": {etcd.endpoint!r}, "common.session.ttl": 30}}, WHO)
election = campaign(Quiet(), session)
until(election.is_primary)
say("primary")
over.wait()
"""
    started = program(text)
    assert started.line() == "primary"
    with primacy.Session(config, candidate()) as session:
        session.register("r", calls := Told()).campaign()
        assert calls.next(primacy.StandbyCall).holder.address == "127.0.0.1:1000"
        started.process.send_signal(signal.SIGUSR1)
        assert started.end() == (0, "", "")
        calls.next(primacy.PrimaryCall, bound=3)


def test_a_primary_hears_of_its_end_when_the_interpreter_ends(program: Start) -> None:
    text = """
class Saying(Quiet):
    def on_lost(self, election, call):
        say(f"lost: {call.reason}")
    def on_stopped(self, election):
        say("stopped")
election = campaign(Saying())
until(election.is_primary)
say("end")
"""
    assert program(text).end() == (0, "end\nlost: stopped\nstopped", "")


WAITS = {
    "session.join": "session.join()",
    "session.close": """
class Hanging(Quiet):
    def on_lost(self, election, call): threading.Event().wait()
election = session.register("h", Hanging())
election.campaign()
until(election.is_primary)
waiting = lambda: session.close(60)
""",
    "election.join": "election.join()",
    "next_event": "session.register('s').next_event()",
    "wait_for_primary": "primacy.Observer(CONFIG, 'nobody').wait_for_primary()",
    "wait_for_change": "primacy.Observer(CONFIG, 'nobody').wait_for_change(None)",
    "open": "primacy.Session({'etcd.endpoints': '127.0.0.1:1', 'etcd.requestTimeout': 60000}, WHO)",
    "Observer": "primacy.Observer({'etcd.endpoints': SILENT, 'etcd.requestTimeout': 60000}, 'r')",
    "wait_cancelled": """
reader = session.register("s")
reader.campaign()
waiting = next(event for event in reader.events() if isinstance(event, primacy.Call)).wait_cancelled
""",
    "commit": """
election = campaign(Quiet(), primacy.Session({"etcd.endpoints": ETCD, "common.session.ttl": 60}, WHO))
until(election.is_primary)
token = election.token()
os.kill(ETCD_PROCESS, signal.SIGSTOP)
waiting = lambda: election.commit(token, primacy.Txn().put("a", "b"), 60)
""",
    "read": """
other = primacy.Session({"etcd.endpoints": ETCD, "common.session.ttl": 60}, WHO)
os.kill(ETCD_PROCESS, signal.SIGSTOP)
waiting = lambda: other.read(primacy.Txn().get("a"), 60)
""",
}


@pytest.fixture(params=list(WAITS.values()), ids=list(WAITS))
def wait(request: pytest.FixtureRequest) -> str:
    """The program up to a wait, which it names `waiting`."""
    text: str = request.param
    names = ""
    if "SILENT" in text:
        names += """
import socket
listening = socket.create_server(("127.0.0.1", 0))
SILENT = f"127.0.0.1:{listening.getsockname()[1]}"
"""
    if "ETCD" in text:
        etcd: Etcd = request.getfixturevalue("etcd")
        names += f"ETCD, ETCD_PROCESS = {etcd.endpoint!r}, {etcd.members[0].process.pid}"
    setting = text if "\n" in text else f"waiting = lambda: {text}"
    return f"""
{names}
session = primacy.Session(CONFIG, WHO)
election = campaign(Quiet(), session)
until(election.is_primary)
{setting}
"""


def test_ctrl_c_ends_a(wait: str, program: Start) -> None:
    text = f"""
{wait}
say("waiting")
try:
    waiting()
except KeyboardInterrupt:
    say("interrupted")
"""
    started = program(text)
    assert started.line() == "waiting"
    time.sleep(0.1)  # it may be on its way into the wait: then it is interrupted there, which is as good
    begin = time.monotonic()
    started.process.send_signal(signal.SIGINT)
    assert started.line() == "interrupted"
    assert time.monotonic() - begin < 2
    assert started.end() == (0, "", "")


def test_others_run_during_a(wait: str, program: Start) -> None:
    text = f"""
{wait}
def run():
    time.sleep(0.2)
    say("others run")
    os._exit(0)
threading.Thread(target=run).start()
waiting()
"""
    assert program(text).end() == (0, "others run", "")


def test_a_host_that_holds_the_gil_keeps_its_primacy(program: Start) -> None:
    text = """
import ctypes
CONFIG["common.session.ttl"] = 2
class Losing(Quiet):
    def on_lost(self, election, call): say(call.reason)
election = campaign(Losing())
until(election.is_primary)
token = election.token()
ctypes.PyDLL(None).usleep(5_000_000)  # a PyDLL keeps the GIL
say(election.token() == token)
os._exit(0)
"""
    assert program(text).end() == (0, "True", "")


def test_a_handler_of_the_hosts_runs_while_a_wait_goes_on(program: Start) -> None:
    text = """
signal.signal(signal.SIGUSR1, lambda *_: say("handled"))
observer = primacy.Observer(CONFIG, "nobody")
say("waiting")
try:
    observer.wait_for_primary(2)
except primacy.TimedOut:
    say("timed out")
"""
    started = program(text)
    assert started.line() == "waiting"
    started.process.send_signal(signal.SIGUSR1)
    assert [started.line(), started.line()] == ["handled", "timed out"]


def test_a_forked_child_is_no_primary_is_told_so_and_ends_well(program: Start) -> None:
    text = """
import asyncio
from primacy import aio
session = primacy.Session(CONFIG, WHO)
election = campaign(Quiet(), session)
reader = session.register("s")
observer = primacy.Observer(CONFIG, "r")
until(election.is_primary)
pid = os.fork()
if pid == 0:
    assert not election.is_primary() and election.token() is None and election.remaining() == 0
    assert election.role == "r"
    for call in (
        election.campaign, election.resign, election.stop, election.join, election.recording,
        lambda: election.commit(1, primacy.Txn().put("a", "b")),
        session.snapshot, session.stop, session.join, session.close, lambda: session.server_id,
        lambda: session.register("other"), lambda: session.register("another", Quiet()),
        lambda: session.read(primacy.Txn().get("a")),
        reader.next_event, observer.current, observer.wait_for_primary, observer.close,
        lambda: primacy.Session(CONFIG, WHO), lambda: primacy.Observer(CONFIG, "r"),
        lambda: asyncio.run(aio.Session(CONFIG, WHO).open()),
    ):
        try:
            call()
        except primacy.Forked:
            continue
        say(f"no error of {call}")
    del election, session, reader, observer
    sys.exit(0)
_, status = os.waitpid(pid, 0)
assert election.is_primary()
session.close()
say(f"child: {os.waitstatus_to_exitcode(status)}")
"""
    started = program(text)
    assert started.end() == (0, "child: 0", "")


def test_a_child_that_is_forked_while_another_thread_begins_does_not_hang(program: Start) -> None:
    text = """
from primacy import _dispatch
begun = threading.Event()
class Slow(_dispatch.Dispatcher):
    def __init__(self, *given):
        begun.set()
        threading.Event().wait()
_dispatch.Dispatcher = Slow
threading.Thread(target=_dispatch.dispatcher, daemon=True).start()
assert begun.wait(15)
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    try:
        primacy.Session(CONFIG, WHO)
    except primacy.Forked:
        os._exit(0)
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert program(text).end() == (0, "0", "")


def test_a_thread_that_no_signal_reaches_sleeps_through_its_wait(program: Start) -> None:
    text = """
session = primacy.Session(CONFIG, WHO)
waiting = threading.Thread(target=session.join, daemon=True)
waiting.start()
def wakings():
    with open(f"/proc/self/task/{waiting.native_id}/status") as status:
        (line,) = [line for line in status if line.startswith("voluntary_ctxt_switches")]
    return int(line.split()[1])
time.sleep(0.5)
before = wakings()
time.sleep(2)
say(wakings() - before < 10)
session.stop()
waiting.join(15)
say(waiting.is_alive())
"""
    assert program(text).end() == (0, "True\nFalse", "")


def test_who_forks_before_the_first_session_can_use_it_in_the_child(program: Start) -> None:
    text = """
primacy.Config({"common.session.ttl": 5}).check()
pid = os.fork()
election = campaign(Quiet())
until(election.is_primary)
if pid:
    say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert program(text).end() == (0, "0", "")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_that_are_spawned_start_anew(method: str, program: Start) -> None:
    text = f"""
import multiprocessing
def work():
    election = campaign(Quiet())
    until(election.is_primary)
    sys.exit(7)
if __name__ == "__main__":
    election = campaign(Quiet())
    until(election.is_primary)
    child = multiprocessing.get_context({method!r}).Process(target=work)
    child.start()
    child.join()
    say(child.exitcode)
"""
    assert program(text).end(60) == (0, "7", "")


def test_the_native_half_is_loaded_only_when_it_is_used(program: Start) -> None:
    text = """
say("primacy._primacy" in sys.modules)
import primacy.testing
say("primacy._primacy" in sys.modules)
"""
    prelude_free = f"import sys, primacy\ndef say(x): print(x)\n{text}"
    started = program(
        f"import subprocess\nsay(subprocess.check_output([sys.executable, '-c', {prelude_free!r}]))"
    )
    assert started.end() == (0, str(b"False\nFalse\n"), "")


def test_greenlets_in_place_of_threads_are_refused_in_words(program: Start) -> None:
    started = program("""
from gevent import monkey
monkey.patch_all()
for what in (lambda: primacy.Session(CONFIG, WHO), lambda: primacy.Observer(CONFIG, "r")):
    try:
        what()
    except primacy.Refused as refused:
        assert "patch_all(thread=False," in str(refused), refused
        say("refused")
""")
    code, said, errors = started.end()
    assert (code, said, errors) == (0, "refused\nrefused", "")


def test_beside_gevent_with_threads_of_the_system_callbacks_run_and_a_close_is_quick(program: Start) -> None:
    started = program("""
import gevent
from gevent import monkey
monkey.patch_all(thread=False, select=False, queue=False)
began = threading.Event()
class Blocks(Quiet):
    def on_primary(self, election, call):
        began.set()
        time.sleep(0.1)
with primacy.Session(CONFIG, WHO) as session:
    election = campaign(Blocks(), session)
    assert began.wait(15)
    gevent.sleep(0)
say("closed")
""")
    code, said, errors = started.end()
    assert (code, said, errors) == (0, "closed", "")


def test_no_thread_left_is_an_error_that_says_so_and_may_pass(program: Start) -> None:
    started = program("""
import _thread, primacy._dispatch
start, left = _thread.start_new_thread, 0
names = [name for name in ("_start_new_thread", "_start_joinable_thread") if hasattr(threading, name)]
real = {name: getattr(threading, name) for name in names}
def limited(real):
    def begin(*args, **kwargs):
        global left
        if left == 0:
            raise RuntimeError("can't start new thread")
        left -= 1
        return real(*args, **kwargs)
    return begin
for name in names:
    setattr(threading, name, limited(real[name]))
for left in range(4):
    wanted = left
    try:
        primacy.Session(CONFIG, WHO)
    except primacy.Exhausted as error:
        assert error.may_pass and "no thread left" in str(error), error
        say(f"exhausted with {wanted}")
        if wanted == 0:
            assert not [t for t in threading.enumerate() if t.name.startswith("primacy-")]
# None was left: an on_lost goes through beside a callback that blocks.
lost, blocked = threading.Event(), threading.Event()
class Blocks(Quiet):
    def on_primary(self, election, call):
        blocked.set()
        assert lost.wait(15)
    def on_lost(self, election, call):
        lost.set()
left = 0
with primacy.Session(CONFIG, WHO) as session:
    election = campaign(Blocks(), session)
    assert blocked.wait(15)
    election.resign()
    assert lost.wait(15)
say("lost")
""")
    code, said, errors = started.end()
    assert (code, errors) == (0, "")
    assert said.splitlines()[-1] == "lost" and "exhausted with 0" in said.splitlines()


def test_a_child_that_is_forked_after_all_was_closed_is_told_so(program: Start) -> None:
    started = program("""
with primacy.Session(CONFIG, WHO):
    pass
pid = os.fork()
if pid == 0:
    try:
        primacy.Session(CONFIG, WHO)
    except primacy.Forked:
        os._exit(7)
    os._exit(1)
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""")
    code, said, errors = started.end()
    assert (code, said, errors) == (0, "7", "")
