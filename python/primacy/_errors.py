"""What can go wrong, one class for each kind. All are ``primacy.Error``."""

from __future__ import annotations

from typing import Any, ClassVar

from primacy._result import Result


class Error(Exception):
    """Something that primacy could not do."""

    may_pass: ClassVar[bool] = False
    """Whether the same call may succeed later without anybody changing anything."""


class ConfigError(Error, ValueError):
    """A setting is unknown, out of range, or does not go with another one; the text says what would do."""


class CandidateError(Error, ValueError):
    """What identifies the candidate is malformed; the text says what would do."""


class RoleError(Error, ValueError):
    """This name can not be a role; the text says why."""


class RoleTaken(RoleError):
    """This session runs the role already, or one that excludes it."""


class Unavailable(Error):
    """etcd can not be reached, or can not serve now: no leader, no space. Nothing happened."""

    may_pass = True


class Unknown(Error):
    """No answer from etcd: it may have happened, or may happen a little later. Read before you decide: to do
    it again is no way to find out."""


class Denied(Error):
    """Wrong password, certificate or permission. Nothing happened, and it stays so until somebody changes
    it."""


class Refused(Error):
    """etcd refused the request as such, such as one too large: the text says which. Nothing happened."""


class Exhausted(Error):
    """No thread, descriptor or memory left."""

    may_pass = True


class NotPrimary(Error):
    """Not the primary of this token (any more). Nothing was written."""


class Conflict(Error):
    """Still the primary, but a comparison of the transaction's own did not hold. Nothing was written."""

    def __init__(self, text: str, found: Any) -> None:
        super().__init__(text)
        self._found = found

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is, an exception is made again from `args` alone, which are the text.
        return type(self), (*self.args, self._found), self.__dict__

    @property
    def result(self) -> Result:
        """What the transaction read."""
        return Result._of(self._found)


class CallOver(Error):
    """No such call is running: it was completed before."""


class TimedOut(Error, TimeoutError):
    """Not over within the time given."""

    may_pass = True


class InCallback(Error, RuntimeError):
    """It would wait inside a callback for that callback's own end."""


class Stopped(Error):
    """The session, election or observer was stopped."""


class Forked(Error, RuntimeError):
    """Called in a process that was forked while primacy was in use: it has none of its threads."""


class InternalError(Error, RuntimeError):
    """A defect of primacy's; what is known of it is in the text and the log."""
