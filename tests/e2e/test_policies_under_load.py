"""Slow readers against each of the server's policies: what the load client misses is what the server dropped."""

from __future__ import annotations

import re
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import trio

from scalechat.load.results import BroadcastRow, ConnectionRow, Ledger, read_run
from tests.conftest import ServeProcess, clean_environ

DROPPING = ("drop_oldest", "drop_newest", "latest")
KEEPING = ("pause", "disconnect")
SLOW, OTHERS = 2, 4
# A queue for half a second of what the room says: those who read may be kept from their core so long, and lose nothing.
ROOM_TO_WAIT = ("--queue-frames=100", "--send-buffer=8192", "--history=1000", "--message-rate=0")
SCENARIO = f"""
clients = {SLOW + OTHERS}
rooms = 1
publishers = {OTHERS}
msg_frequency = 20
msg_size = "1000"
warmup = 0.2
duration = 1
[[kinds]]
kind = "slow"
count = {SLOW}
read_bytes_per_s = 2000
receive_buffer_bytes = 4096
"""


@dataclass
class Seen:
    """One run, and what the server's metrics said after it."""

    ledger: Ledger
    missed: dict[str, int]
    """Kind of client → deliveries that its connections missed."""
    missing: int
    """By message."""
    evicted: int
    counters: dict[str, int]


async def run_against(policy: str, serve: ServeProcess, tmp: Path) -> Seen:
    """A server with this policy, a room that says more than its slow readers read, and the account of it."""
    server = await trio.to_thread.run_sync(lambda: serve(f"--slow-consumer={policy}", *ROOM_TO_WAIT))
    out = tmp / policy
    told = ("--quiet", "--scenario", str(tmp / "slow.toml"), "--server-url", server.ws_url, "--out", str(out))
    command = [sys.executable, "-m", "scalechat", "load", *told]
    done = await trio.run_process(command, env=clean_environ(), capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode in (0, 97), done.stderr  # 97: this machine was too busy to measure times
    page = await trio.to_thread.run_sync(urllib.request.urlopen, f"{server.url}/metrics")
    found = re.findall(r'^scalechat_(\w+)_total(?:\{\w+="(\w+)"\})? (\S+)$', page.read().decode(), re.MULTILINE)
    (run_dir,) = out.iterdir()
    run = read_run(run_dir)
    assert run.manifest is not None
    missed = dict.fromkeys(("slow", "normal"), 0)
    evicted = 0
    for row in run.rows(ConnectionRow):
        missed[row.kind] += row.missed or 0
        evicted += row.close_code == 4008
    missing = sum(row.expected - row.delivered for row in run.rows(BroadcastRow))
    counters = {f"{name}:{label}": int(float(value)) for name, label, value in found}
    return Seen(run.manifest.ledger, missed, missing, evicted, counters)


async def test_what_is_missing_is_what_the_server_dropped(serve_process: ServeProcess, tmp_path: Path) -> None:
    """To the message, where it drops; where it pauses or disconnects, the rest comes from the room's log."""
    (tmp_path / "slow.toml").write_text(SCENARIO)
    seen: dict[str, Seen] = {}

    async def look(policy: str) -> None:
        seen[policy] = await run_against(policy, serve_process, tmp_path)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for policy in (*DROPPING, *KEEPING):
                nursery.start_soon(look, policy)

    for policy, it in seen.items():
        ledger, counters = it.ledger, it.counters
        assert counters["publications:"] == ledger.published == ledger.acked, policy
        assert ledger.expected == (SLOW + OTHERS) * ledger.published, policy
        assert (ledger.duplicated, ledger.reordered, ledger.corrupted, ledger.phantom) == (0, 0, 0, 0), policy
        assert it.missed == {"slow": ledger.missing, "normal": 0}, policy
        assert it.missing == ledger.missing, policy
        assert it.evicted == counters["evictions:queue_full"] == (SLOW if policy == "disconnect" else 0), policy
    for policy in DROPPING:
        assert seen[policy].ledger.missing == seen[policy].counters[f"drops:{policy}"] > 0, policy
    for policy in KEEPING:
        assert seen[policy].ledger.missing == 0, policy
