"""Several real load processes, one real server: one run. And instances that meet through a real Redis."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scalechat.load.results import BroadcastRow, Run, TimeseriesRow, read_run
from tests.bus.redis_server import HINT, RedisServer, redis_server
from tests.conftest import ServeProcess, ServerProcess, clean_environ, eventually

LOAD = [sys.executable, "-m", "scalechat", "load", "--clients", "12", "--msg-frequency", "100", "--warmup", "0.5"]
FINISHED_S = 60.0


@pytest.fixture(scope="module")
def server(shared_serve_process: ServeProcess) -> ServerProcess:
    return shared_serve_process()


@pytest.fixture
def redis(require_binary: Callable[[str, str], str]) -> Iterator[RedisServer]:
    with redis_server(require_binary("redis-server", HINT)) as running:
        yield running


def load(server: ServerProcess, out: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*LOAD, "--server-url", server.ws_url, "--out", str(out), *arguments],
        env=clean_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def the_run(out: Path) -> Run:
    (run_dir,) = out.iterdir()
    return read_run(run_dir)


def require_whole(run: Run, *, workers: set[str]) -> None:
    """One directory with the rows of all, and a ledger without a loss."""
    assert run.manifest is not None
    ledger = run.manifest.ledger
    assert (ledger.missing, ledger.duplicated, ledger.phantom, ledger.unacked) == (0, 0, 0, 0)
    assert ledger.expected == ledger.delivered == 12 * ledger.published > 0
    assert {worker.worker_id for worker in run.manifest.workers} == workers
    rows = list(run.rows(BroadcastRow))
    assert sum(row.delivered for row in rows) == ledger.delivered
    assert len(rows) == len(workers) * ledger.published
    assert {row.worker_id for row in run.rows(TimeseriesRow)} == workers
    assert not [path for path in run.path.iterdir() if path.is_dir()]


def test_three_processes_make_one_run(server: ServerProcess, tmp_path: Path) -> None:
    """Messages of each process reach the members in all of them, on one clock."""
    process = load(server, tmp_path, "--processes", "3", "--duration", "1")
    _, said = process.communicate(timeout=FINISHED_S)
    assert process.returncode in {0, 97}, said  # a busy machine may make the generator late
    require_whole(the_run(tmp_path), workers={"0", "1", "2"})


def test_a_killed_process_makes_the_run_invalid_and_keeps_the_rest(server: ServerProcess, tmp_path: Path) -> None:
    """Exit code 97; who was lost is said, and everybody else measures on to the end."""
    process = load(server, tmp_path, "--processes", "3", "--duration", "2")
    eventually(
        lambda: (
            len(
                {
                    row.worker_id
                    for path in tmp_path.glob("*/timeseries.csv")
                    for row in read_run(path.parent).rows(TimeseriesRow)
                }
            )
            == 3
        ),
        "rows of all three",
    )
    psutil.Process(process.pid).children()[1].kill()
    _, said = process.communicate(timeout=FINISHED_S)
    assert process.returncode == 97, said
    assert "worker 1 is lost" in said
    run = the_run(tmp_path)
    assert run.summary is not None
    assert any(reason.code == "worker_lost" for reason in run.summary.validity.reasons)
    assert run.manifest is not None
    assert {worker.worker_id for worker in run.manifest.workers} == {"0", "2"}
    assert run.manifest.ledger.delivered > 0


def test_two_instances_meet_through_redis(server: ServerProcess, redis: RedisServer, tmp_path: Path) -> None:
    """Disjoint identities without being told, one run directory on instance 0, and nothing left in Redis."""
    meeting = ["--rendezvous", redis.url, "--expected-instances", "2", "--duration", "1"]
    outs = [tmp_path / "a", tmp_path / "b"]
    instances = [load(server, out, *meeting) for out in outs]
    said = [instance.communicate(timeout=FINISHED_S)[1] for instance in instances]
    assert {instance.returncode for instance in instances} <= {0, 97}, said
    (first,) = [out for out, words in zip(outs, said, strict=True) if "instance 0 of 2: waiting" in words]
    require_whole(the_run(first), workers={"0", "1"})
    assert not [path for out in outs if out != first and out.exists() for path in out.iterdir()]
    assert redis.cli("dbsize") == "0"


QUIET_AT_LAST = """
[[phases]]
name = "talk"
duration_s = 0.5

[[phases]]
name = "silence"
duration_s = 300
rate = 0
"""


@pytest.mark.parametrize("together", ["processes", "rendezvous"])
def test_one_scrape_has_the_sum_of_all(
    together: str, server: ServerProcess, redis: RedisServer, tmp_path: Path
) -> None:
    """One port, whoever is told of it, and what Prometheus reads there is what the run then says."""
    scenario = tmp_path / "quiet.toml"
    scenario.write_text(QUIET_AT_LAST)
    port, out = unused_port(), tmp_path / "runs"
    told = ["--scenario", str(scenario), "--metrics-port", str(port), "--arrivals", "fixed"]
    if together == "processes":
        fleet = [load(server, out, *told, "--processes", "2")]
    else:
        told += ["--rendezvous", redis.url, "--expected-instances", "2"]
        fleet = [load(server, out, *told, "--instance", index) for index in ("0", "1")]
    page = f"http://127.0.0.1:{port}/metrics"
    figures: dict[str, float] = {}

    def is_all() -> bool:
        figures.update(scraped(page))
        return figures.get("delivery_count") == 12 * 120  # ten messages of each in a second, for all

    try:
        eventually(is_all, "every delivery at one port")
    finally:
        for one in fleet:
            one.send_signal(signal.SIGINT)
        said = [one.communicate(timeout=FINISHED_S)[1] for one in fleet]
    if together == "rendezvous":
        assert "nothing listens to --metrics-port here" in said[1]
    (path,) = out.glob("*/run.json")
    ledger = read_run(path).manifest.ledger  # type: ignore[union-attr]
    assert figures == {
        "scalechat_load_connections": 12,
        "scalechat_load_published_total": ledger.published,
        "scalechat_load_deliveries_total": ledger.delivered,
        "delivery_count": ledger.expected,
        'scalechat_load_worker_up{worker="0"}': 1,
        'scalechat_load_worker_up{worker="1"}': 1,
    }


def scraped(page: str) -> dict[str, float]:
    """The figures that must add up; none while nobody listens."""
    try:
        with urllib.request.urlopen(page, timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found = dict(
        re.findall(
            r"^(scalechat_load_(?:connections|published\S*|deliveries\S*|worker_up\S+)) (\S+)$", text, re.MULTILINE
        )
    )
    count = re.search(r"^scalechat_load_delivery_latency_seconds_count (\S+)$", text, re.MULTILINE)
    assert count is not None
    return {name: float(value) for name, value in {**found, "delivery_count": count[1]}.items()}


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_who_did_not_come_is_named(server: ServerProcess, redis: RedisServer, tmp_path: Path) -> None:
    """One line, also for who did come; nothing written."""
    meeting = ["--rendezvous", redis.url, "--expected-instances", "3"]
    came = load(server, tmp_path, *meeting, "--instance", "1")
    eventually(lambda: redis.cli("exists", "scalechat:load:load:place:1") == "1", "instance 1")
    first = load(server, tmp_path, *meeting, "--instance", "0", "--rendezvous-timeout", "0.3")
    said = [process.communicate(timeout=FINISHED_S)[1] for process in (first, came)]
    assert (first.returncode, came.returncode) == (1, 1)
    assert "error: instance 2 of 3 did not come within 0.3 s" in said[0]
    assert "error: instance 0 ended the run: instance 2 of 3 did not come within 0.3 s" in said[1]
    assert not list(tmp_path.iterdir())


def test_an_instance_that_cannot_begin_tells_the_others(
    server: ServerProcess, redis: RedisServer, tmp_path: Path
) -> None:
    """All end with its reason, and not because somebody was silent."""
    (tmp_path / "a file").write_text("")
    meeting = ["--rendezvous", redis.url, "--expected-instances", "2", "--duration", "60"]
    fleet = [load(server, tmp_path / out, *meeting, "--instance", i) for out, i in (("runs", "0"), ("a file", "1"))]
    said = [process.communicate(timeout=FINISHED_S)[1] for process in fleet]
    assert [process.returncode for process in fleet] == [1, 1]
    assert all("error: cannot write the run to" in words for words in said), said


def test_unlike_settings_are_told_to_whoever_has_them(
    server: ServerProcess, redis: RedisServer, tmp_path: Path
) -> None:
    """It would wait for its orders until it thinks that nobody came."""
    meeting = ["--rendezvous", redis.url, "--expected-instances", "2", "--duration", "1"]
    fleet = [
        load(server, tmp_path, *meeting, "--instance", i, "--msg-size", size)
        for i, size in (("0", "300"), ("1", "256"))
    ]
    said = [process.communicate(timeout=FINISHED_S)[1] for process in fleet]
    assert [process.returncode for process in fleet] == [2, 2]
    assert all("instance 1 was started with msg_size 256 and this one with 300" in words for words in said), said


def test_a_place_that_is_taken_and_a_redis_that_is_not_there_are_one_line(
    server: ServerProcess, redis: RedisServer, tmp_path: Path
) -> None:
    """What to do stands in it."""
    redis.cli("set", "scalechat:load:load:place:1", "somebody", "ex", "600")
    meeting = ["--expected-instances", "2", "--instance", "1"]
    taken = load(server, tmp_path, "--rendezvous", redis.url, *meeting)
    away = load(server, tmp_path, "--rendezvous", f"unix://{tmp_path}/none.sock", *meeting)
    assert "there is an instance 1 of the run 'load' already" in taken.communicate(timeout=FINISHED_S)[1]
    assert f"no Redis at unix://{tmp_path}/none.sock" in away.communicate(timeout=FINISHED_S)[1]
    assert (taken.returncode, away.returncode) == (2, 1)
    redis.cli("del", "scalechat:load:load:place:1")
