"""The server's own ``/metrics``, fetched once a second beside the load: the rows of ``server.csv``.

A target without such a page is fine: the first answer decides whether there is anything to scrape.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import h11
import trio
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

TIMEOUT_S: Final = 5.0
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""A page of ours has 40 kB. What is larger is no metrics page, or one that would cost more to read than the load."""
_RECEIVE_BYTES: Final = 64 * 1024
_SAMPLES_PER_TURN: Final = 25
"""Parsing takes 20 µs a sample; everybody else gets a turn each half ms."""


class NoMetrics(Exception):
    """The target has no metrics page; the text says what it has."""


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """Where the metrics of a WebSocket server are: the same host and port, ``/metrics``."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, server_url: str, tls: ssl.SSLContext | None = None) -> MetricsPage:
        """The page beside a ``ws://`` or ``wss://`` URL; `tls` says whom to trust with the latter."""
        parts = urlsplit(server_url)
        return cls(parts.hostname or "", parts.port or (80 if tls is None else 443), tls)

    @property
    def node(self) -> str:
        """host:port, as in ``server.csv``."""
        return f"{self.host}:{self.port}"

    async def scrape(self) -> list[Sample]:
        """Every sample of the page, now.

        Raises:
            NoMetrics: there is an answer, but it is not a page of metrics.
            OSError, trio.TooSlowError, trio.BrokenResourceError: there is no answer.
        """
        with trio.fail_after(TIMEOUT_S):
            status, body = await self._get("/metrics")
        if status != 200:
            raise NoMetrics(f"HTTP {status}")
        samples: list[Sample] = []
        try:
            for sample in _samples(body.decode()):
                samples.append(sample)
                if len(samples) % _SAMPLES_PER_TURN == 0:
                    await trio.lowlevel.checkpoint()
        except ValueError as error:  # UnicodeDecodeError as well.
            raise NoMetrics(f"not a page of metrics: {error}") from error
        return samples

    async def _get(self, path: str) -> tuple[int, bytes]:
        stream: trio.abc.Stream
        if self.tls is not None:
            stream = await trio.open_ssl_over_tcp_stream(
                self.host, self.port, ssl_context=self.tls, https_compatible=True
            )
        else:
            stream = await trio.open_tcp_stream(self.host, self.port)
        try:
            return await _exchange(stream, path, self.node)
        except h11.RemoteProtocolError as error:
            raise NoMetrics(str(error)) from error
        finally:
            await trio.aclose_forcefully(stream)


async def _exchange(stream: trio.abc.Stream, path: str, host: str) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target=path, headers=[("Host", host), ("Connection", "close")])
    await stream.send_all((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    status = 0
    body = bytearray()
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(_RECEIVE_BYTES)))
            case h11.Response():
                status = event.status_code
            case h11.Data():
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    raise NoMetrics(f"more than {MAX_BODY_BYTES:,} bytes")
            case h11.EndOfMessage() | h11.ConnectionClosed():
                return status, bytes(body)


def _samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def labels_text(sample: Sample) -> str | None:
    """The labels as they stood on the page: ``le="0.01",node="a"``; None without any."""
    pairs = (f'{name}="{value}"' for name, value in sample.labels.items())
    return ",".join(pairs) or None
