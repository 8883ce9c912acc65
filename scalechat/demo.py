"""One command that shows the whole thing: a server in a child process, load on it, and the report of that run.

The child has a session of its own, so Ctrl-C reaches only us: the run is written while the server still lives, and then
the server is ended as an operator would end it. What stays behind is the run directory.
"""

import json
import os
import signal
import subprocess
import sys
import webbrowser
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields

import trio

from scalechat.analysis.report import require_extra, write_report
from scalechat.config import DemoConfig, LoadConfig, OperationalError
from scalechat.load.command import load_and_tell
from scalechat.load.runner import RunOutcome

START_S = 60.0  # a cold interpreter on a busy machine; ordinarily well under one second
DRAIN_S = 2.0  # the demo's clients leave by themselves, so only a browser can be left to tell
STOP_S = DRAIN_S + 5.0  # then the server has had its time, and is killed
KEPT_BYTES = 65_536  # of the log before the server listens: some hundred lines, it ordinarily writes two


def run_demo(config: DemoConfig) -> int:
    """Run the demonstration and return the exit code of its load run. Ctrl-C ends it at any point, cleanly.

    Raises OperationalError when the server does not start, or when the report needs packages that are not installed.
    """
    require_extra()
    outcome = trio.run(_serve_and_load, config)
    if outcome.summary.interrupted:
        print(f"no report of an interrupted demo; to have one: python -m scalechat report {outcome.run_dir}")
        return outcome.exit_code
    # Here and not under Trio: executing the notebook blocks, and by now there is nothing else to do.
    print("the server has ended; writing the report …", file=sys.stderr, flush=True)
    report = write_report(outcome.run_dir, None)
    print(f"report    {report}", flush=True)
    if config.open:
        webbrowser.open(report.resolve().as_uri())
    return outcome.exit_code


async def _serve_and_load(config: DemoConfig) -> RunOutcome:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_when_told)
        async with server_process() as url:
            outcome = await _load(config, url)
        nursery.cancel_scope.cancel()
    return outcome


async def _end_when_told() -> None:
    """A closed terminal or a SIGTERM must not orphan the server. (During the load, SIGTERM is the load client's.)"""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            raise OperationalError(f"the demo was ended by {signal.Signals(number).name}", 128 + number)


async def _load(config: DemoConfig, url: str) -> RunOutcome:
    print(f"page      {url} (a chat with live figures, while the load runs)", flush=True)
    load = LoadConfig(
        server_url=f"ws{url.removeprefix('http')}/ws",
        clients=config.clients,
        rooms=min(config.rooms, config.clients),
        duration_s=config.duration_s,
        msg_frequency_ms=config.msg_frequency_ms,
        out=config.out,
    )
    return await load_and_tell(load, _sources(load))


def _sources(config: LoadConfig) -> Mapping[str, str]:
    """Where the values of the demo's run come from: what differs from the defaults is the demo's doing."""
    usual = LoadConfig()
    return {
        f.name: "default" if getattr(config, f.name) == getattr(usual, f.name) else "demo" for f in fields(LoadConfig)
    }


@asynccontextmanager
async def server_process() -> AsyncIterator[str]:
    """A server of our own on a free port of loopback, for the body; the value is the URL of its page.

    It gets none of the caller's ``SCALECHAT_*`` settings. On the way out, also when cancelled, it has STOP_S seconds
    after SIGTERM. Raises OperationalError with its last words when it does not come up within START_S seconds.
    """
    command = [sys.executable, "-m", "scalechat", "serve", "--host", "127.0.0.1", "--port", "0"]
    # The demo's flags choose the load, so the server's guard against talkative clients stands aside.
    command += ["--message-rate", "0", "--drain", str(DRAIN_S), "--log-format", "json"]
    process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("SCALECHAT_")},
    )
    assert process.stderr is not None
    async with process.stderr, trio.open_nursery() as nursery:
        try:
            yield await _listening(nursery, process.stderr)
        finally:
            await _end(process)


async def _listening(nursery: trio.Nursery, log: trio.abc.ReceiveStream) -> str:
    try:
        with trio.fail_after(START_S):
            url: str = await nursery.start(follow_log, log)
            return url
    except trio.TooSlowError:
        raise OperationalError(f"the demo's server did not listen within {START_S:g} s") from None


async def follow_log(
    log: trio.abc.ReceiveStream, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Read the server's log to its end, so that the pipe never fills; started with the URL it listens on."""
    seen = b""
    async for chunk in log:
        seen = (seen + chunk)[-KEPT_BYTES:]
        if (url := _url_in(seen)) is not None:
            break
    else:
        last = seen.decode(errors="replace").strip().rpartition("\n")[2]
        raise OperationalError(f"the demo's server did not start: {last or 'it said nothing'}")
    task_status.started(url)
    with trio.CancelScope(shield=True):  # a draining server still logs; the process's end, bounded by _end, is ours
        async for _ in log:
            pass


def _url_in(log: bytes) -> str | None:
    """The URL in the "listening" event, once its line is complete."""
    for line in log.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "listening":
            return str(entry["url"])
    return None


async def _end(process: trio.Process) -> None:
    """SIGTERM, then SIGKILL after STOP_S seconds; returns when the process is gone, also when cancelled."""
    process.terminate()
    with trio.move_on_after(STOP_S, shield=True):
        await process.wait()
    if process.returncode is None:
        process.kill()
        with trio.move_on_after(STOP_S, shield=True):  # SIGKILL takes no time, but a shield ends
            await process.wait()
