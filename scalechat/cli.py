"""argv, environment and TOML → one config object → the part that does the work → an exit code.

The only reader of argv and environ. Parts are imported when their command runs, so ``--help`` is quick. What a user can
cause ends in one line on stderr; a traceback is always a bug of ours.
"""

import json
import os
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import CycloptsError, Parameter
from rich.console import Console

from scalechat.command_line import COMMANDS, make_app
from scalechat.complaints import complaint
from scalechat.config import (
    CapacityConfig,
    ChatConfig,
    CompareConfig,
    DemoConfig,
    ExperimentConfig,
    LoadConfig,
    ReportConfig,
    ScaleChatError,
    ServeConfig,
    UsageError,
    told_to_the_user,
)
from scalechat.sources import Environment, Provenance, describe
from scalechat.values import NO_TWIN, SWITCH, about, unset

# 128 + the signal that a shell would report
INTERRUPTED = 130
BROKEN_PIPE = 141

Config = (
    ServeConfig
    | LoadConfig
    | CapacityConfig
    | ChatConfig
    | ReportConfig
    | CompareConfig
    | DemoConfig
    | ExperimentConfig
)
PrintConfig = Annotated[bool, SWITCH, NO_TWIN, about("Print every value and where it came from, then stop.")]
ScenarioSchema = Annotated[
    bool, SWITCH, NO_TWIN, about("Print the JSON Schema of scenario files, for an editor, then stop.")
]
ConfigFile = Annotated[
    Path | None, Parameter(name="config"), unset("none"), about("TOML file with any of these settings.")
]


class Commands:
    """What can be run. Each method's signature is its command line, its docstring the help."""

    def __init__(self, provenance: Provenance) -> None:
        self._provenance = provenance

    def serve(
        self,
        config: Annotated[ServeConfig, Parameter(name="*")] = ServeConfig(),
        *,
        config_file: ConfigFile = None,  # noqa: ARG002  TomlFile has read it
        print_config: PrintConfig = False,
    ) -> int:
        """Run the chat server: web page, WebSocket, HTTP API and metrics on one port.

        SIGTERM or Ctrl-C tells the clients to reconnect elsewhere, waits for them to leave and ends with 0.
        """
        if print_config:
            return self._show(config)
        import trio

        if config.workers > 1:
            from scalechat.server.supervisor.command import supervise

            trio.run(partial(supervise, config, ends_process=True))
        else:
            from scalechat.server.app import serve

            trio.run(partial(serve, config, ends_process=True))
        return 0

    def chat(
        self, config: Annotated[ChatConfig, Parameter(name="*")] = ChatConfig(), *, print_config: PrintConfig = False
    ) -> int:
        """Chat in the terminal. With input from a pipe, send its lines and stop."""
        if print_config:
            return self._show(config)
        import trio

        from scalechat.client.terminal import run_chat

        return trio.run(run_chat, config)

    def load(
        self,
        config: Annotated[LoadConfig, Parameter(name="*")] = LoadConfig(),
        *,
        scenario_schema: ScenarioSchema = False,
        print_config: PrintConfig = False,
    ) -> int:
        """Put simulated clients on a server, account for every delivery and export a run directory.

        Ends with 0 pass, 2 bad usage, 97 generator overloaded, 98 clock or samples not good enough, 99 objective
        missed, 105 interrupted (the run is still written), 1 no server, no place to write, or our bug.
        """
        if scenario_schema:
            from scalechat.scenario_schema import scenario_schema_text

            print(scenario_schema_text(), end="")
            return 0
        if print_config:
            return self._show(config)
        from scalechat.load.command import load

        return load(config, self._provenance.sources())

    def capacity(
        self,
        config: Annotated[CapacityConfig, Parameter(name="*")] = CapacityConfig(),
        *,
        print_config: PrintConfig = False,
    ) -> int:
        """Search the highest load that still meets the objectives, by short load runs.

        Ends with 0 when it is found (or --max held), 97 when the load client was the limit and the answer is "at
        least", 98 when samples or clock do not suffice to say, 99 when not even the smallest load holds, 105 when
        interrupted (what was measured is written), 2 bad usage, 1 no server, or our bug.
        """
        if print_config:
            return self._show(config)
        from scalechat.load.capacity.command import capacity

        return capacity(config, self._provenance.sources())

    def report(self, config: Annotated[ReportConfig, Parameter(name="*")], *, print_config: PrintConfig = False) -> int:
        """Make one self-contained HTML file of a run, a capacity search, an experiment, or of two runs to compare.

        Given the address of a Prometheus server, of what it saw of the servers and load clients it watches.
        """
        if print_config:
            return self._show(config)
        if len(config.runs) > 2:
            raise UsageError("give one run, or two to compare; a directory of runs counts as one")
        from scalechat.analysis.report import write_comparison, write_prometheus, write_report

        first, *second = config.runs
        if first.startswith(("http://", "https://")) and not second:
            written = write_prometheus(first, config.minutes, config.until or "", config.out)
        elif second:
            written = write_comparison(Path(first), Path(second[0]), config.out)
        else:
            written = write_report(Path(first), config.out)
        print(written)
        if config.open:
            webbrowser.open(written.resolve().as_uri())
        return 0

    def experiment(
        self, config: Annotated[ExperimentConfig, Parameter(name="*")], *, print_config: PrintConfig = False
    ) -> int:
        """See a scaling problem happen and its cure work: `experiment list`, `experiment NAME`, `experiment all`.

        Ends with 0 when each symptom was seen and each cure worked, 99 when not, 1 when an experiment could not run,
        105 when interrupted. Each of several is played whatever became of the others.
        """
        if print_config:
            return self._show(config)
        from scalechat.experiment.command import experiment

        return experiment(config)

    def compare(
        self, config: Annotated[CompareConfig, Parameter(name="*")], *, print_config: PrintConfig = False
    ) -> int:
        """Compare two runs, or two sets of runs: better, worse, the same, or cannot tell.

        Several runs a side are worth much more than one. Ends with 0 when nothing is worse, 99 when something is, 2
        when the runs cannot be compared because machine, Python or load differ.
        """
        if print_config:
            return self._show(config)
        from scalechat.analysis.report import require_extra

        require_extra()
        from scalechat.analysis.comparing import compare_and_tell

        return compare_and_tell(config, Console())

    def demo(
        self, config: Annotated[DemoConfig, Parameter(name="*")] = DemoConfig(), *, print_config: PrintConfig = False
    ) -> int:
        """See it all at once: a server, a short load run against it, and the report."""
        if print_config:
            return self._show(config)
        from scalechat.demo import run_demo

        return run_demo(config)

    def _show(self, config: Config) -> int:
        for line in describe(config, self._provenance):
            print(line)
        return 0


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command line and return the exit code; the arguments default to the process's own."""
    argv = sys.argv[1:] if argv is None else argv
    environ = os.environ if environ is None else environ
    return ending_of(lambda: _run(argv, environ))


def ending_of(work: Callable[[], int]) -> int:
    """The exit code of `work`, with the line on stderr that a failure deserves; a bug of ours is raised again."""
    try:
        return work()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`… | head`). Python must not try to flush it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (Exception, BaseExceptionGroup) as error:
        told = told_to_the_user(error)
        if told is None:
            print(f"scalechat: bug: {type(error).__name__}; please report it with this traceback", file=sys.stderr)
            raise
        if isinstance(told, KeyboardInterrupt):
            return INTERRUPTED
        print(f"scalechat: error: {_one_line(told)}", file=sys.stderr)
        return told.exit_code


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    provenance = Provenance()
    environment = Environment(environ)
    app = make_app(Commands(provenance), environment, provenance, colour=not environ.get("NO_COLOR"))
    with _failure_in_json(wanted="--json" in argv):
        try:
            command, bound, _ = app.parse_args(argv, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            raise UsageError(complaint(error)) from None
        if isinstance(getattr(command, "__self__", None), Commands):
            environment.refuse_unknown(a for c in COMMANDS for a in app[c].assemble_argument_collection())
    with _failure_in_json(wanted=getattr(bound.arguments.get("config"), "json", False)):
        result = command(*bound.args, **bound.kwargs)
    return result if isinstance(result, int) else 0


@contextmanager
def _failure_in_json(*, wanted: bool) -> Iterator[None]:
    """Whoever asked for one JSON document on stdout gets one also of a failure that is not a bug."""
    try:
        yield
    except (Exception, BaseExceptionGroup) as error:
        if wanted and isinstance(told := told_to_the_user(error), ScaleChatError):
            print(json.dumps({"error": _one_line(told), "exit_code": told.exit_code}, indent=2))
        raise


def _one_line(error: ScaleChatError) -> str:
    return " ".join(str(error).split())
