"""What Cyclopts did not accept → one line that names the flag, variable or key, the value, and what would be right."""

import difflib
import shlex
from typing import Literal, get_args, get_origin

from cyclopts import (
    Argument,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Token,
    UnusedCliTokensError,
    ValidationError,
)

from scalechat.config import SECRETS
from scalechat.sources import ENVIRONMENT, is_from_flag
from scalechat.values import is_table, redact_url

_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def complaint(error: CycloptsError) -> str:
    """The line for `error`; a secret's value is not in it."""
    match error:
        case ValidationError(argument=Argument() as argument, exception_message=rule) if argument.tokens:
            return f"{_given(argument, argument.tokens[-1])} {rule}"
        case CoercionError(argument=Argument() as argument, token=Token() as token):
            return f"{_given(argument, token)} {_wrong_kind(error)}"
        case MissingArgumentError(argument=Argument() as argument):
            if argument.index is not None:
                return f"{argument.name.lstrip('-').upper()} is missing; {_see_help(error)}"
            return f"{error.keyword or argument.name} is missing its value; {_see_help(error)}"
        case UnusedCliTokensError(unused_tokens=[first, *_]):
            return f"nothing takes the argument {first!r}; {_see_help(error)}"
    text = str(error)
    return text[:1].lower() + text[1:].rstrip(".")


def _given(argument: Argument, token: Token) -> str:
    name = token.keyword or argument.name
    unshown = argument.field_info.name in SECRETS or is_table(argument.parameter)
    shown = "" if unshown else redact_url(token.value)
    if is_from_flag(token):
        return f"{name} {shlex.quote(shown)}" if shown else name
    if token.source.startswith(ENVIRONMENT):
        return f"{name}={shown}" if shown else name
    file = token.source.removeprefix("file ")
    return f"{name} = {shown} in {file}" if shown else f"{name} in {file}"


def _wrong_kind(error: CoercionError) -> str:
    if error.msg is not None:
        return str(error.msg)
    if get_origin(error.target_type) is Literal:
        choices = [str(choice) for choice in get_args(error.target_type)]
        near = difflib.get_close_matches(error.token.value if error.token else "", choices, n=1)
        return f"must be {' or '.join(choices)}" + (f"; did you mean {near[0]}?" if near else "")
    return f"is not {_KINDS.get(error.target_type, 'of the right kind') if error.target_type else 'of the right kind'}"


def _see_help(error: CycloptsError) -> str:
    return f"see {' '.join(('scalechat', *(error.command_chain or ())))} --help"
