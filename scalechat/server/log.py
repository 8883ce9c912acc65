"""Structured logs on stderr: JSON lines, or colours for a person at a terminal.

What may be logged: events, counts, addresses, names of connections' endings. Never message bodies, never tokens;
request targets are not logged at all, because tokens travel in them.
"""

from __future__ import annotations

import logging
import sys

import structlog
from rich.console import Console

from scalechat.config import LogFormat, LogLevel


def configure_logging(log_format: LogFormat, level: LogLevel, *, worker: int | None = None) -> None:
    """Set up structlog for this process and silence the libraries' own loggers below warnings.

    `worker` is written into every line, when this process is one of several that share a port.
    """
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor
    if log_format == "json" or (log_format == "auto" and not terminal):
        renderer = structlog.processors.JSONRenderer()
    else:
        # rich knows what a terminal can do and what NO_COLOR asks for.
        renderer = structlog.dev.ConsoleRenderer(colors=Console(stderr=True).color_system is not None)

    def name_worker(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if worker is not None:
            event["worker"] = worker
        return event

    structlog.configure(
        processors=[
            name_worker,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("trio-websocket").setLevel(logging.ERROR)
