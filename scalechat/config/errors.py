"""What goes wrong for a user: one line that tells what happened and what to do, and an exit code."""


class ScaleChatError(Exception):
    """A failure that is no bug: its one line tells the user what happened and what to do."""

    exit_code: int = 1


class UsageError(ScaleChatError):
    """The request cannot be carried out as it was made: bad flag, variable, file or combination."""

    exit_code = 2


class OperationalError(ScaleChatError):
    """The request was fine and the surroundings were not: port taken, server away, disk full."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
