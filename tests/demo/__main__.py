"""Options, the last line, the exit code."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from primacy.testing.changes import NotInTime

from demo.run import Demo
from demo.server import TARGET


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo", description="Kills, ends and pauses primaries on a real etcd."
    )
    parser.add_argument("--etcd", metavar="HOST:PORT", help="use this one; `embedded`: our dev server")
    parser.add_argument(
        "--coordinators",
        default="c",
        help="c, go, py or a path; several, with commas, take turns (default: c)",
    )
    parser.add_argument(
        "--client", type=Path, default=TARGET / "coordinators" / "client", help="the client's program"
    )
    return parser.parse_args()


def show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-15:]
        if tail:
            print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)
    print(f"demo: all logs and lines are kept in {folder}", file=sys.stderr)


async def main() -> int:
    # Ctrl-C cancels this task, so that everything below ends in order, on every version of Python.
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    folder = Path(tempfile.mkdtemp(prefix="primacy-demo-"))
    demo = Demo(parse(), folder)
    last = ""
    try:
        last = await demo.run()
    except asyncio.CancelledError:
        shutil.rmtree(folder, ignore_errors=True)
        print("demo: interrupted", file=sys.stderr)
        return 130
    except (NotInTime, OSError) as error:
        demo.failures.append(str(error))
    finally:
        await demo.close()
    if demo.failures:
        demo.record(folder / "history.jsonl")
        show_logs(folder)
        for failure in demo.failures:
            print(f"demo: FAILED: {failure}", file=sys.stderr, flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if last:
        print(last)
    return 1 if demo.failures else 0


sys.exit(asyncio.run(main()))
