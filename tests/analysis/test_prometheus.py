"""Asking a Prometheus: each sample once and at its own moment, and one line for whatever goes wrong.

A real one is asked in `tests/e2e/test_stack.py`.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket

import pytest

from scalechat.analysis import prometheus_figures
from scalechat.analysis.prometheus import load_prometheus
from scalechat.analysis.prometheus_api import query_range
from scalechat.config import OperationalError
from tests.one_page import answering

Answer = Callable[[str], tuple[int, bytes]]
END_S = 1_700_000_000
UNTIL = "2023-11-14T22:13:20"
NO_SAMPLE = (
    "the Prometheus at URL has no sample of a Scale-Chat server between 2023-11-14 22:12:20 UTC and "
    "2023-11-14 22:13:20 UTC: does it scrape the server's /metrics, and were these the minutes?"
)


@contextmanager
def prometheus(answer: Answer) -> Iterator[str]:
    """A server that gives `answer(query)` to each question; its address."""
    with answering(lambda body: answer(urllib.parse.parse_qs(body.decode())["query"][0])) as address:
        yield f"http://{address}"


def matrix(*series: tuple[dict[str, str], list[tuple[float, str]]]) -> tuple[int, bytes]:
    found = [{"metric": labels, "values": values} for labels, values in series]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": found}}
    return 200, json.dumps(answer).encode()


def scraped_every_two_seconds(query: str) -> tuple[int, bytes]:
    """Asked once a second: each sample comes twice. The server began anew before the last."""
    if "load" in query:
        return matrix()
    node = {"job": "scalechat", "instance": "a:1"}
    asked = [END_S - 7 + second for second in range(8)]
    scrapes = [END_S - 7.5 + second - second % 2 for second in range(8)]
    if query.startswith("timestamp"):
        return matrix((node, [(at, str(moment)) for at, moment in zip(asked, scrapes, strict=True)]))
    deliveries = [100, 100, 300, 300, 700, 700, 40, 40]
    clients = {**node, "__name__": "scalechat_connections"}
    return matrix(
        (
            {**node, "__name__": "scalechat_deliveries_total"},
            [(at, str(count)) for at, count in zip(asked, deliveries, strict=True)],
        ),
        ({**clients, "dialect": "v1"}, [(at, "12") for at in asked]),
        ({**clients, "dialect": "http"}, [(at, "1") for at in asked]),
    )


def test_a_sample_is_taken_once_and_at_the_moment_of_its_scrape() -> None:
    """However often Prometheus repeats it: rates are those between scrapes, and a restart counts from zero."""
    with prometheus(scraped_every_two_seconds) as url:
        seen = load_prometheus(url, minutes=1, until=UNTIL)
    assert seen.server_series["t_s"].to_list() == [52.5, 54.5, 56.5, 58.5]
    assert seen.server_series["deliveries_per_s"].to_list()[1:] == [100, 200, 20]
    assert seen.server_series["phase"].unique() == ["shown"]
    assert seen.figure("clients") == 12


def test_a_part_without_samples_says_so() -> None:
    """No load client, no fan-out: a line or an empty panel, and the title without it."""
    with prometheus(scraped_every_two_seconds) as url:
        seen = load_prometheus(url, minutes=1, until=UNTIL)
    assert "No load client was scraped" in prometheus_figures.load_clients(seen).html
    picture = prometheus_figures.headline(seen).html
    assert "1 server with 12 clients" in picture
    assert "nothing was measured" in picture
    assert "a sample every 2 s" in prometheus_figures.about(seen).html


@pytest.mark.parametrize(
    "answer, complaint",
    [
        (
            (400, b'{"status":"error","error":"1:2: what?"}'),
            "the Prometheus at URL answered 400: 1:2: what?",
        ),
        ((502, b"<html>bad gateway"), "the Prometheus at URL answered 502: Bad Gateway"),
        ((200, b"<html>hello"), "what answers at URL is no Prometheus: JSON is malformed: invalid character (byte 0)"),
        ((200, b'{"status":"error","error":"too\\nmuch"}'), "the Prometheus at URL refused the question: too much"),
        (
            matrix(),
            NO_SAMPLE,
        ),
    ],
)
def test_an_answer_that_is_none_is_one_line(answer: tuple[int, bytes], complaint: str) -> None:
    with prometheus(lambda _: answer) as url, pytest.raises(OperationalError) as caught:
        load_prometheus(url, minutes=1, until=UNTIL)
    assert str(caught.value) == complaint.replace("URL", url)


def test_a_prometheus_that_is_not_there_is_one_line() -> None:
    """Nobody listens, no address, no moment."""
    with socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(OperationalError, match=rf"^cannot reach a Prometheus at {url}: Connection refused$"):
            query_range(url, "up", 0, 1, 1)
    with pytest.raises(OperationalError, match=r"^file:///etc is no address of a Prometheus: it looks like http://"):
        query_range("file:///etc", "up", 0, 1, 1)
    with pytest.raises(OperationalError, match=r"^yesterday is no moment: it looks like 2026-01-31T14:05$"):
        load_prometheus("http://127.0.0.1:9", until="yesterday")
