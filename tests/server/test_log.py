"""What the log looks like, in a process of its own: configuring is for the whole process."""

import json
import subprocess
import sys

import pytest

from ..conftest import clean_environ

SAY = """
import logging, structlog
from scalechat.server.log import configure_logging
configure_logging({log_format!r}, {level!r})
log = structlog.get_logger("scalechat.server")
log.debug("quiet")
log.info("listening", url="http://127.0.0.1:1", odd="line\\nbreak \\x1b[31m\\ud800")
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("bug", exc_info=error)
logging.getLogger("trio-websocket").warning("a library's opinion")
"""


def logged(log_format: str, level: str = "info", *, utf8: bool = True, **environ: str) -> list[str]:
    """The lines on stderr; stdout has to stay empty, it belongs to whoever pipes us."""
    ran = subprocess.run(
        [sys.executable, "-c", SAY.format(log_format=log_format, level=level)],
        env=clean_environ({"PYTHONIOENCODING": "utf-8" if utf8 else "ascii", **environ}),
        capture_output=True,
        check=True,
    )
    assert ran.stdout == b""
    return ran.stderr.decode().splitlines()


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_without_a_terminal_every_event_is_one_json_object_on_one_line(log_format: str) -> None:
    """Also with line breaks, escapes and tracebacks in it; with a level and a UTC time; and no library speaks."""
    lines = [json.loads(line) for line in logged(log_format)]
    assert [(line["event"], line["level"]) for line in lines] == [("listening", "info"), ("bug", "error")]
    assert lines[0]["url"] == "http://127.0.0.1:1"
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "ZeroDivisionError" in lines[1]["exception"]


def test_an_odd_character_never_costs_a_line() -> None:
    """A terminal or a pipe that cannot show everything still gets every event."""
    assert [json.loads(line)["event"] for line in logged("json", utf8=False)] == ["listening", "bug"]


def test_a_person_gets_lines_without_colours_where_there_is_no_terminal() -> None:
    """`console` in a pipe: readable, and no escape codes of ours."""
    text = "\n".join(logged("console", NO_COLOR="1"))
    assert "listening" in text
    assert "http://127.0.0.1:1" in text
    assert "\x1b[0m" not in text


@pytest.mark.parametrize("level, events", [("debug", 3), ("info", 2), ("warning", 1), ("error", 1)])
def test_the_level_is_the_least_that_is_logged(level: str, events: int) -> None:
    """Below it nothing."""
    assert len(logged("json", level)) == events
