"""A client of one role: a process that follows the primary and keeps calling it.

    target/coordinators/client --etcd EP[,EP] --root PATH --role ROLE [--interval-ms 20]

It opens the library's observer for the role, connects to the primary that this tells, once it is ready, and
sends it `append ROLE TEXT` every interval, one at a time. A call without an answer within a second, or a
newer primary told by the observer, ends the connection; the next call goes to whoever is primary then, also
if that is the same. SIGTERM ends it, with exit code 0. Each line on stdout is one JSON object, flushed at
once, with `t` (CLOCK_BOOTTIME, nanoseconds), `role` and `event`:

    primary   the observer tells a primary: `id` (server id), `token`, `address`
    none      it tells that there is none
    ok        an append was acknowledged: `n` and `token` as answered, `id` of the primary that was called
    refused   an append was answered by "not ok": `why`
    error     the call failed: `why`
"""

from __future__ import annotations

from pathlib import Path

from primacy.testing.changes import Changes
from primacy.testing.checks import Acknowledged
from primacy.testing.process import Line, Process


class Client(Process):
    """One running client."""

    def __init__(self, *args: object) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.following = 0  # the token of the primary that the observer told last; 0: none
        super().__init__(*args)  # type: ignore[arg-type]

    @classmethod
    async def launch(
        cls, program: Path, etcd: str, root: str, role: str, log: Path, changes: Changes
    ) -> Client:
        process = await cls.start([program, "--etcd", etcd, "--root", root, "--role", role], log, changes)
        assert isinstance(process, Client)
        return process

    def heard(self, line: Line) -> None:
        event = line.get("event")
        if event == "ok":
            # Hundreds a second: whoever waits is woken by the first of a token only.
            token = int(line["token"])
            first = not self.acknowledged or self.acknowledged[-1].token != token
            self.acknowledged.append(Acknowledged(line["t"], int(line["n"]), token, int(line["id"])))
            if first:
                self._changes.tell()
            return
        if event == "primary":
            self.following = int(line["token"])
        elif event == "none":
            self.following = 0
        super().heard(line)

    def served_by(self, token: int) -> bool:
        return bool(self.acknowledged) and self.acknowledged[-1].token == token

    def gap(self, token: int) -> int | None:
        """Nanoseconds without an acknowledged call before the first one under `token`."""
        before = [call.t for call in self.acknowledged if call.token < token]
        after = [call.t for call in self.acknowledged if call.token == token]
        return after[0] - before[-1] if before and after else None
