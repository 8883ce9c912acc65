"""What the comment above a fenced block says about it. Readers of the source see it too, so it is words.

<!-- run -->                                to its end, with exit code 0
<!-- run; with SCALECHAT_DURATION=2 -->     the same, shorter: a variable stands where no flag does
<!-- run; serves 8080 -->                   it goes on until the page ends; what follows waits until it listens
<!-- run; or exit code 97 -->               which is as good: on a busy machine the load client calls a run invalid
<!-- run; installed already -->             but for `python3 -m venv` and `pip install`: whoever runs this has done that
<!-- not run: it needs a Docker engine -->  and why
<!-- file: nats.conf -->                    what stands here is in that file for the blocks that follow
<!-- printed -->                            what the block above prints; numbers may be others, … stands for anything
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.docs.markdown import Block

SHELL = frozenset({"sh", "bash", "shell", "console"})


class BadMark(ValueError):
    """Nobody can tell what is to become of the block."""


@dataclass(frozen=True, slots=True)
class Run:
    """Run it."""

    variables: dict[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    """Where it listens, as the page says it; with any, the block is left running."""
    exit_codes: frozenset[int] = frozenset({0})
    installed: bool = False


@dataclass(frozen=True, slots=True)
class NotRun:
    reason: str


@dataclass(frozen=True, slots=True)
class File:
    name: str


@dataclass(frozen=True, slots=True)
class Printed:
    """It is the output of the block before."""


Mark = Run | NotRun | File | Printed


def mark_of(block: Block) -> Mark | None:
    """The block's mark; None for one that needs none. Raises `BadMark`."""
    marks = [mark for text in block.marks if (mark := _mark(text, block)) is not None]
    if len(marks) > 1:
        raise BadMark(f"{block} has {len(marks)} marks")
    if block.language in SHELL:
        if not marks:
            raise BadMark(f"{block} is neither run nor says why not: see tests/docs/marks.py")
        if not isinstance(marks[0], Run | NotRun):
            raise BadMark(f"{block} is for a shell: it is run or not run")
    elif marks and not isinstance(marks[0], File | Printed):
        raise BadMark(f"{block} is not for a shell and cannot be run")
    return marks[0] if marks else None


def _mark(text: str, block: Block) -> Mark | None:
    kind, _, rest = text.partition(":")
    if kind in ("not run", "file") and rest.strip():
        return NotRun(rest.strip()) if kind == "not run" else File(rest.strip())
    if text == "printed":
        return Printed()
    first, *clauses = (clause.strip() for clause in text.split(";"))
    if first != "run":
        return None  # some other comment
    variables: dict[str, str] = {}
    ports: tuple[int, ...] = ()
    exit_codes = {0}
    installed = False
    for clause in clauses:
        if clause == "installed already":
            installed = True
        elif found := re.fullmatch(r"with((?: [A-Z_]+=\S+)+)", clause):
            variables |= dict(pair.split("=", 1) for pair in found[1].split())
        elif found := re.fullmatch(r"serves((?: \d+)+)", clause):
            ports = tuple(int(port) for port in found[1].split())
        elif found := re.fullmatch(r"or exit code (\d+)", clause):
            exit_codes.add(int(found[1]))
        else:
            raise BadMark(f"{block}: {clause!r} is none of the things a mark can say")
    return Run(variables, ports, frozenset(exit_codes), installed)
