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


def told_to_the_user(error: BaseException) -> ScaleChatError | KeyboardInterrupt | None:
    """The one error to tell of when all that happened is the user's or the surroundings' doing, else None.

    Trio hands on what tasks raised as (nested) groups, and this is the only place that looks into them.
    """
    if isinstance(error, BaseExceptionGroup):
        told = [told_to_the_user(inner) for inner in error.exceptions]
        return None if None in told else told[0]
    return error if isinstance(error, ScaleChatError | KeyboardInterrupt) else None
