"""The command line: which value wins, what is refused and how that reads, what stays unsaid."""

import contextlib
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalechat import __version__
from scalechat.cli import BROKEN_PIPE, INTERRUPTED, ending_of, main
from scalechat.command_line import EXAMPLES
from scalechat.config import OperationalError, ScaleChatError, UsageError
from tests.conftest import ServeProcess, clean_environ

COMMANDS = ["serve", "chat", "load", "capacity", "report", "compare", "demo"]
ARGUMENTS = {"report": ["runs/x"], "compare": ["runs/x", "runs/y"]}
Capture = pytest.CaptureFixture[str]


def complaint(capsys: Capture, argv: Sequence[str], environ: dict[str, str] | None = None) -> str:
    """Run `argv`, which must be refused, and return the one line that says why."""
    assert main(argv, environ or {}) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("scalechat: error: ")
    assert err.count("\n") == 1, "one line"
    return err.removeprefix("scalechat: error: ").rstrip()


def printed(capsys: Capture, argv: Sequence[str], environ: dict[str, str] | None = None) -> dict[str, str]:
    """What ``--print-config`` says: key → "value # source", runs of spaces made one."""
    assert main([*argv, "--print-config"], environ or {}) == 0
    lines = capsys.readouterr().out.splitlines()
    return {key.lstrip("# "): " ".join(rest.split()) for key, _, rest in (line.partition(" = ") for line in lines)}


# ---- which value wins --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flag, variable, file, expected",
    [
        ("1", "2", "3", "1 # flag"),
        (None, "2", "3", "2 # environment"),
        (None, None, "3", "3 # file {file}"),
        ("1", None, "3", "1 # flag"),
        ("1", "2", None, "1 # flag"),
        (None, "2", None, "2 # environment"),
        (None, None, None, "8080 # default"),
    ],
)
def test_flag_beats_environment_beats_file_beats_default(
    capsys: Capture, tmp_path: Path, flag: str | None, variable: str | None, file: str | None, expected: str
) -> None:
    """Every combination of places that name a port gives the nearest one to the user's fingers."""
    toml = tmp_path / "serve.toml"
    toml.write_text(f"port = {file}\n" if file else "")
    argv = ["serve", "--config", str(toml), *(["--port", flag] if flag else [])]
    environ = {"SCALECHAT_PORT": variable} if variable else {}
    assert printed(capsys, argv, environ)["port"] == expected.format(file=toml)


def test_each_value_is_taken_from_its_own_place(capsys: Capture, tmp_path: Path) -> None:
    """Precedence is per value: a flag for one leaves the file's word for another."""
    toml = tmp_path / "s.toml"
    toml.write_text('clients = 7\nrooms = 2\nslo = ["missing == 0", "evicted == 0"]\nquiet = true\n')
    shown = printed(capsys, ["load", "--scenario", str(toml), "--clients", "9"], {"SCALECHAT_SEED": "5"})
    assert shown["clients"] == "9 # flag"
    assert shown["rooms"] == f"2 # file {toml}"
    assert shown["seed"] == "5 # environment"
    assert shown["quiet"] == f"true # file {toml}"
    assert shown["slo"] == f'["missing == 0", "evicted == 0"] # file {toml}'
    assert shown["duration"] == "30.0 # default"


def test_the_file_may_itself_be_named_by_a_variable(capsys: Capture, tmp_path: Path) -> None:
    """A container is configured without touching its command."""
    toml = tmp_path / "s.toml"
    toml.write_text("heartbeat = 3\n")
    assert printed(capsys, ["serve"], {"SCALECHAT_CONFIG": str(toml)})["heartbeat"] == f"3.0 # file {toml}"


def test_a_key_may_be_written_as_in_python_or_as_the_flag(capsys: Capture, tmp_path: Path) -> None:
    """``queue-age`` and ``queue_age`` are the same setting."""
    toml = tmp_path / "s.toml"
    toml.write_text("queue-age = 3\nqueue_bytes = 4096\n")
    shown = printed(capsys, ["serve", "--config", str(toml)])
    assert shown["queue_age"].startswith("3.0")
    assert shown["queue_bytes"].startswith("4096")


def test_an_empty_variable_counts_as_not_set(capsys: Capture) -> None:
    """Compose files pass ``${TOKEN:-}`` whether somebody set it or not."""
    shown = printed(capsys, ["load"], {"SCALECHAT_TOKEN": "", "SCALECHAT_CLIENTS": ""})
    assert shown["token"] == "(not set) # default"
    assert shown["clients"] == "1 # default"


def test_a_variable_holds_several_values_with_commas_between(capsys: Capture) -> None:
    """An objective has spaces in it, so spaces cannot separate."""
    shown = printed(capsys, ["load"], {"SCALECHAT_SLO": "p99(delivery) < 200ms, missing == 0"})
    assert shown["slo"] == '["p99(delivery) < 200ms", "missing == 0"] # environment'


def test_rooms_have_policies_from_every_place(capsys: Capture, tmp_path: Path) -> None:
    """In order: the first that matches a room wins."""
    toml = tmp_path / "s.toml"
    toml.write_text('slow_consumer = "pause"\nroom_policy = ["tea=latest", "t*=drop_oldest"]\n')
    rules = '["tea=latest", "t*=drop_oldest"]'
    shown = printed(capsys, ["serve", "--config", str(toml)])
    assert (shown["slow_consumer"], shown["room_policy"]) == (f'"pause" # file {toml}', f"{rules} # file {toml}")
    shown = printed(capsys, ["serve"], {"SCALECHAT_ROOM_POLICY": "tea=latest,t*=drop_oldest"})
    assert shown["room_policy"] == f"{rules} # environment"
    shown = printed(capsys, ["serve", "--room-policy", "tea=latest", "--room-policy", "t*=drop_oldest"])
    assert shown["room_policy"] == f"{rules} # flag"


def test_a_variable_of_another_command_is_no_mistake(capsys: Capture) -> None:
    """One environment may serve the server and its load client."""
    assert printed(capsys, ["load"], {"SCALECHAT_PORT": "9000"})["clients"] == "1 # default"


TEMPLATE = """
target = "template"
[template]
publish = "PUB {room} {size}\\r\\n{message}\\r\\n"
delivery = {regex = "Uz.*"}
"""

# ---- what is shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv, environ, instance",
    [
        ([], {}, "2 # environment JOB_COMPLETION_INDEX"),
        (["--instance", "1"], {}, "1 # flag"),
        ([], {"SCALECHAT_INSTANCE": "0"}, "0 # environment"),
    ],
)
def test_a_pod_of_an_indexed_job_is_the_instance_of_its_index(
    capsys: Capture, argv: list[str], environ: dict[str, str], instance: str
) -> None:
    """Kubernetes numbers it; whoever says otherwise is obeyed, and where it came from is said."""
    meeting = ["load", "--clients", "3", "--rendezvous", "redis://r", "--expected-instances", "3"]
    assert printed(capsys, [*meeting, *argv], {"JOB_COMPLETION_INDEX": "2", **environ})["instance"] == instance


def test_the_index_of_a_job_means_nothing_to_a_run_that_is_alone(capsys: Capture) -> None:
    """Ten pods that each make a run of their own are no instances of one."""
    shown = printed(capsys, ["load"], {"JOB_COMPLETION_INDEX": "2"})
    assert shown["instance"] == "(not set) # default"


def test_an_index_that_is_no_number_is_one_line_that_names_the_variable(capsys: Capture) -> None:
    """Nobody gave the flag."""
    meeting = ["load", "--clients", "3", "--rendezvous", "redis://r", "--expected-instances", "3"]
    assert main(meeting, {"JOB_COMPLETION_INDEX": "two"}) == 2
    assert "JOB_COMPLETION_INDEX=two is not a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_print_config_is_toml_with_a_source_for_every_value(capsys: Capture, command: str) -> None:
    """What is printed can be kept as a file, and no value comes without its origin."""
    run = ARGUMENTS.get(command, [])
    assert main([command, *run, "--print-config"], {}) == 0
    text = capsys.readouterr().out
    tomllib.loads(text)
    assert all(line.endswith(("# default", "# flag")) for line in text.splitlines())


def test_print_config_shows_no_secret(capsys: Capture) -> None:
    """A secret is ``***`` wherever it came from, and commented out so that nobody pastes three stars."""
    secret = "s3cret-" * 6
    assert main(["serve", "--print-config", "--api-key", secret], {"SCALECHAT_TOKEN_SECRET": secret}) == 0
    text = capsys.readouterr().out
    assert "s3cret" not in text
    assert '# api_key = "***"' in text
    assert tomllib.loads(text).keys().isdisjoint({"api_key", "token_secret"})


@settings(max_examples=30)  # each is two whole command lines, 30 ms apiece
@given(
    msg_size=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip),
    slo=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), max_size=3),
    clients=st.integers(1, 1_000_000),
    duration=st.floats(0.001, 604_800),
    quiet=st.booleans(),
)
def test_a_printed_config_read_back_is_the_same_config(
    tmp_path_factory: pytest.TempPathFactory,
    msg_size: str,
    slo: list[str],
    clients: int,
    duration: float,
    quiet: bool,
) -> None:
    """Printing and reading lose nothing, whatever the text."""
    argv = [f"--msg-size={msg_size}", f"--clients={clients}", f"--duration={duration!r}"]
    argv += [f"--slo={expression}" for expression in slo] + ["--quiet"] * quiet
    first = _stdout_of(["load", *argv, "--print-config"])
    file = tmp_path_factory.getbasetemp() / "printed.toml"
    file.write_text(first)
    second = _stdout_of(["load", "--scenario", str(file), "--print-config"])
    assert tomllib.loads(second) == tomllib.loads(first) | {"scenario": str(file)}
    assert tomllib.loads(first)["msg_size"] == msg_size


def test_a_table_printed_and_read_back_is_the_same_table(tmp_path: Path) -> None:
    """What was a table is then a line of JSON, which is read as well."""
    file, again = tmp_path / "first.toml", tmp_path / "second.toml"
    file.write_text(TEMPLATE)
    first = _stdout_of(["load", "--scenario", str(file), "--print-config"])
    again.write_text("\n".join(line for line in first.splitlines() if not line.startswith("scenario")))
    second = _stdout_of(["load", "--scenario", str(again), "--print-config"])
    assert tomllib.loads(second)["template"] == tomllib.loads(first)["template"]
    assert json.loads(tomllib.loads(first)["template"]) == tomllib.loads(TEMPLATE)["template"]


@pytest.mark.parametrize(
    "table, expected",
    [
        ("publish = 'x'", "publish needs {message} where the text of a message goes"),
        ("publish = '{mesage}{message}'", "{mesage} is no placeholder here: there are room, client_id"),
        ("publish = '{message}'\nconnect = ['{message}']", "{message} is no placeholder here: there are room,"),
        ("publish = '{message}'\nunit = '('", "'(' is no regular expression"),
        ("publish = '{message}'\nack = {}", "needs either json or regex - at `$.ack`"),
        ("publish = '{message}'\nack = {json = 'id'}", "json = 'id' is no JSON pointer: it begins with /"),
        ("publish = '{message}'\nak = {json = '/id'}", "object contains unknown field `ak`"),
        ("publish = 1", "expected `str`, got `int` - at `$.publish`"),
    ],
)
def test_a_template_that_cannot_be_followed_is_one_line(
    capsys: Capture, tmp_path: Path, table: str, expected: str
) -> None:
    """It names the key and what would be right."""
    file = tmp_path / "mine.toml"
    file.write_text(f"target = 'template'\n[template]\ndelivery = {{json = '/a'}}\n{table}\n")
    line = complaint(capsys, ["load", "--scenario", str(file)])
    assert line.startswith(f"template in {file} cannot be used: {expected}")


def test_target_and_table_come_together_and_from_a_file(capsys: Capture, tmp_path: Path) -> None:
    """One without the other is a mistake, and a table cannot be given on the command line."""
    file = tmp_path / "mine.toml"
    file.write_text(TEMPLATE)
    together = "--target template and the scenario's [template] table go together"
    assert complaint(capsys, ["load", "--target", "template"]).startswith(together)
    assert complaint(capsys, ["load", "--scenario", str(file), "--target", "plain"]).startswith(together)
    assert complaint(capsys, ["load", "--template", "{}"]) == "--template is a table of a file and has no flag"


def _stdout_of(argv: list[str]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(argv, {}) == 0
    return out.getvalue()


TABLES = {"template", "kinds", "events", "phases"}
"""Settings of scenario files alone."""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_setting_with_variable_and_default(capsys: Capture, command: str) -> None:
    """Whoever reads the help needs no other page to configure the command."""
    run = ARGUMENTS.get(command, [])
    keys = printed(capsys, [command, *run])
    assert main([command, "--help"], {"COLUMNS": "200"}) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for key in keys.keys() & TABLES:
        assert f"[{key}]" in text
    for key in keys.keys() - {"run", "base", "new"} - TABLES:
        assert f"--{key.replace('_', '-')}" in text
        if (command, key) != ("report", "out"):
            assert f"SCALECHAT_{key.upper()}" in text
    assert "--print-config" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns(capsys: Capture, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut short, and every setting stands at the same column."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"], {}) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 80 for line in text.splitlines())
    assert not re.search(r"--[a-z-]*…", text)
    assert "default 10.0" not in text


@pytest.mark.parametrize("command", [*COMMANDS, "experiment"])
def test_help_has_examples_that_are_understood(
    capsys: Capture, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with what it is for; the settings in them are of today."""
    assert main([command, "--help"], {"COLUMNS": "80"}) == 0
    text = capsys.readouterr().out
    monkeypatch.chdir(Path(__file__).parents[1])
    for example, purpose in EXAMPLES[command]:
        assert f"  # {purpose}\n  python -m scalechat {example}\n" in text
        assert main([*shlex.split(example), "--print-config"], {}) == 0


@pytest.mark.parametrize(
    "argv, code, error",
    [
        (["load", "--json", "--cleints", "3"], 2, "unknown option: --cleints. Did you mean --clients?"),
        (["load", "--json", "--slo", "missing = 0"], 2, "--slo 'missing = 0' cannot be read: write it such as"),
        (["load", "--json", "--server-url", "ws://127.0.0.1:1/ws"], 1, "cannot connect to ws://127.0.0.1:1/ws"),
        (["capacity", "--json", "--server-url", "ws://127.0.0.1:1/ws"], 1, "cannot connect to ws://127.0.0.1:1/ws"),
        (["compare", "--json", "nowhere", "neither"], 2, "no run in nowhere"),
        (["experiment", "--json", "nothing"], 2, "no experiment is called 'nothing'"),
    ],
)
def test_who_asks_for_json_gets_one_document_of_a_failure_too(
    capsys: Capture, argv: list[str], code: int, error: str
) -> None:
    """The line for people stays on stderr."""
    assert main(argv, {}) == code
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document.keys() == {"error", "exit_code"}
    assert document["error"].startswith(error)
    assert document["exit_code"] == code
    assert err == f"scalechat: error: {document['error']}\n"


def test_json_is_asked_for_in_a_variable_too(capsys: Capture) -> None:
    assert main(["load", "--server-url", "ws://127.0.0.1:1/ws"], {"SCALECHAT_JSON": "true"}) == 1
    assert json.loads(capsys.readouterr().out)["exit_code"] == 1


def test_version_is_one_word(capsys: Capture) -> None:
    """Scripts compare it."""
    assert main(["--version"], {}) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_no_command_shows_what_there_is(capsys: Capture) -> None:
    """A stranger's first call is answered with the list of commands."""
    assert main([], {}) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv, expected",
    [
        # range
        (["serve", "--port", "70000"], "--port 70000 must be from 0 to 65535"),
        (["serve", "--port", "-1"], "--port -1 must be from 0 to 65535"),
        (["serve", "--drain", "inf"], "--drain inf must be from 0 to 3600 seconds"),
        (["serve", "--queue-age", "nan"], "--queue-age nan must be more than 0 and at most 86400 seconds"),
        (["serve", "--heartbeat", "0"], "--heartbeat 0 must be from 0.1 to 86400 seconds"),
        (["serve", "--max-message-size", "10"], "--max-message-size 10 must be from 256 to 16777216 bytes"),
        (["load", "--clients", "0"], "--clients 0 must be from 1 to 1000000"),
        (["load", "--duration=0"], "--duration 0 must be more than 0 and at most 604800 seconds"),
        # type
        (["serve", "--port", "http"], "--port http is not a whole number"),
        (["serve", "--port", "80.5"], "--port 80.5 is not a whole number"),
        (["serve", "--queue-age", "ten"], "--queue-age ten is not a number"),
        (["load", "--quiet=perhaps"], "--quiet perhaps is not true or false"),
        # choice
        (["serve", "--log-level", "loud"], "--log-level loud must be debug or info or warning or error"),
        (
            ["serve", "--fanout", "coalesce"],
            "--fanout coalesce must be coalesced or encode-once or per-client; did you mean coalesced?",
        ),
        # form
        (["serve", "--host", " "], "--host ' ' must not be empty"),
        (["serve", "--origins", "example.org"], "--origins example.org must each look like https://chat.example.org"),
        (["load", "--server-url", "localhost:8080"], "--server-url localhost:8080 must look like ws://host:port/ws"),
        (["load", "--server-url", "ws://"], "--server-url ws:// must look like ws://host:port/ws"),
        (["load", "--server-url", "ws://h:99999/ws"], "--server-url ws://h:99999/ws is not a URL: Port out of range"),
        (
            ["chat", "--server-url", "http://localhost:8080/"],
            "--server-url http://localhost:8080/ is a web address; the WebSocket address is probably ws://localhost:808",
        ),
        (
            ["serve", "--bus", "nats://localhost"],
            "--bus nats://localhost must be 'memory', redis[+cluster]://host:port",
        ),
        (["serve", "--bus", "redis:///0"], "--bus redis:///0 must be 'memory', redis[+cluster]://host:port"),
        (["serve", "--bus", "redis://host:port"], "--bus redis://host:port is not a URL"),
        (["serve", "--bus", "redis://host/tea"], "--bus redis://host/tea must have the number of a database"),
        # not in this release
        (["serve", "--workers", "65"], "--workers 65 must be from 1 to 64 processes"),
        (["serve", "--slow-consumer", "drop"], "--slow-consumer drop must be disconnect or drop_oldest or"),
        (
            ["serve", "--room-policy", "tea"],
            "--room-policy tea must each look like ROOM=POLICY or ROOM*=POLICY: 'tea' d",
        ),
        (["serve", "--room-policy", "=pause"], "--room-policy =pause must each look like ROOM=POLICY"),
        (["serve", "--room-policy", "a*b=pause"], "--room-policy 'a*b=pause' must each look like ROOM=POLICY"),
        (["serve", "--room-policy", "a b=pause"], "--room-policy 'a b=pause' must each look like ROOM=POLICY"),
        (
            ["serve", "--room-policy", "tea=drop-oldest", "--room-policy", "bar=pause"],
            "--room-policy bar=pause must each name disconnect or drop_oldest or drop_newest or latest or pause: 'tea=",
        ),
        (
            ["serve", "--room-policy", "tea=lastest"],
            "--room-policy tea=lastest must each name disconnect or drop_oldest or drop_newest or latest or pause",
        ),
        (["report", "a", "b", "c"], "give one run, or two to compare"),
        # combinations
        (["load", "--publishers", "3", "--clients", "2"], "3 publishers are more than 2 clients"),
        # shape
        (["serve", "--prot", "1"], "unknown option: --prot. Did you mean --port?"),
        (["serve", "--port"], "--port is missing its value; see scalechat serve --help"),
        (["serve", "--port", "1", "--port", "2"], "parameter --port specified multiple times"),
        (["serve", "8080"], "nothing takes the argument '8080'; see scalechat serve --help"),
        (["report"], "RUN is missing; see scalechat report --help"),
        (["sreve"], 'unknown command "sreve". Did you mean "serve"?'),
        (["serve", "--no-public-pages"], "unknown option: --no-public-pages"),
    ],
)
def test_a_bad_flag_is_one_line_that_says_what_would_be_right(capsys: Capture, argv: list[str], expected: str) -> None:
    """The line names the flag, repeats the value and tells the rule; the exit code is 2."""
    assert complaint(capsys, argv).startswith(expected)


@pytest.mark.parametrize(
    "environ, expected",
    [
        ({"SCALECHAT_PORT": "x"}, "SCALECHAT_PORT=x is not a whole number"),
        ({"SCALECHAT_PORT": "70000"}, "SCALECHAT_PORT=70000 must be from 0 to 65535"),
        ({"SCALECHAT_FANOUT": "all"}, "SCALECHAT_FANOUT=all must be coalesced or encode-once or per-client"),
        ({"SCALECHAT_PUBLIC_PAGES": "si"}, "SCALECHAT_PUBLIC_PAGES=si is not true or false"),
        ({"SCALECHAT_PROT": "1"}, "unknown variable SCALECHAT_PROT; did you mean SCALECHAT_PORT?"),
        ({"SCALECHAT_QUEUE_AGE_S": "1"}, "unknown variable SCALECHAT_QUEUE_AGE_S; did you mean SCALECHAT_QUEUE_AGE?"),
        ({"SCALECHAT_ZZZ": "1"}, "unknown variable SCALECHAT_ZZZ"),
        ({"SCALECHAT_PRINT_CONFIG": "1"}, "unknown variable SCALECHAT_PRINT_CONFIG; did you mean SCALECHAT_CONFIG?"),
        ({"SCALECHAT_CONFIG": "/no/such"}, "SCALECHAT_CONFIG /no/such cannot be read: No such file or directory"),
    ],
)
def test_a_bad_variable_is_one_line_that_names_it(capsys: Capture, environ: dict[str, str], expected: str) -> None:
    """Also the misspelt one, which would otherwise do nothing at all."""
    assert complaint(capsys, ["serve"], environ) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("prot = 1", "unknown key 'prot' in {file}; did you mean port?"),
        ("queue_age_s = 1", "unknown key 'queue_age_s' in {file}; did you mean queue_age?"),
        ("zzz = 1", "unknown key 'zzz' in {file}"),
        ("config = 'other.toml'", "unknown key 'config' in {file}"),
        ("port = 'x'", "port = x in {file} is not a whole number"),
        ("port = 8080.5", "port = 8080.5 in {file} is not a whole number"),
        ("port = [1, 2]", "'port' in {file} is a list: it takes one value"),
        ("port = 70000", "port = 70000 in {file} must be from 0 to 65535"),
        ("[serve]\nport = 1", "unknown key 'serve' in {file}"),
        ("[port]\nnumber = 1", "'port' in {file} is a table: settings stand at the top level of the file"),
        ("port = ", "--config {file} is not TOML: Invalid value"),
    ],
)
def test_a_bad_file_is_one_line_that_names_key_and_file(
    capsys: Capture, tmp_path: Path, text: str, expected: str
) -> None:
    """A file is read as strictly as the flags."""
    file = tmp_path / "serve.toml"
    file.write_text(text + "\n")
    assert complaint(capsys, ["serve", "--config", str(file)]).startswith(expected.format(file=file))


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe")])
def test_what_is_no_text_file_is_refused_by_name(
    capsys: Capture, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """A directory or a binary file is the user's mistake, not our traceback."""
    path = tmp_path / "serve.toml"
    make(path)
    assert complaint(capsys, ["serve", "--config", str(path)]).startswith(f"--config {path} ")


@pytest.mark.parametrize(
    "argv, environ",
    [
        (["serve", "--token-secret", "hunter2"], {}),
        (["serve"], {"SCALECHAT_TOKEN_SECRET": "hunter2"}),
        (["load", "--server-url", "http://h/?token=hunter2"], {}),
        (["load", "--server-url", "ws://u:hunter2@h:99999/"], {}),
    ],
)
def test_a_complaint_repeats_no_secret(capsys: Capture, argv: list[str], environ: dict[str, str]) -> None:
    """Error lines end up in logs and chats."""
    assert "hunter2" not in complaint(capsys, argv, environ)


@given(
    st.lists(st.text(max_size=12) | st.sampled_from(["serve", "load", "--port", "--slo", "--", "=", "-"]), max_size=5)
)
def test_no_argument_list_ends_in_a_traceback(argv: list[str]) -> None:
    """Whatever is typed, the answer is help, a value, or one line and exit 2: the parts are never reached by it."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        # A leading command that exists gets --print-config, so that nothing starts.
        assert main([*argv[:1], "--print-config", *argv[1:]], {}) in (0, 2)


# ---- how a command ends ------------------------------------------------------------------------


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    "error, code, line",
    [
        (OperationalError("port 8080 is taken: stop its owner or use --port"), 1, "port 8080 is taken: stop its owner"),
        (OperationalError("the run was interrupted", 105), 105, "the run was interrupted"),
        (UsageError("no such run"), 2, "no such run"),
        (ExceptionGroup("from a nursery", [ExceptionGroup("", [UsageError("no such run")])]), 2, "no such run"),
        (ScaleChatError("two\nlines"), 1, "two lines"),
    ],
)
def test_an_expected_failure_ends_in_its_line_and_its_code(
    capsys: Capture, error: Exception, code: int, line: str
) -> None:
    """Also when Trio wrapped it in groups on its way up."""
    assert ending_of(raising(error)) == code
    assert capsys.readouterr().err.startswith(f"scalechat: error: {line}")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt()])])
def test_ctrl_c_ends_without_a_word(capsys: Capture, error: BaseException) -> None:
    """The user knows what they did."""
    assert ending_of(raising(error)) == INTERRUPTED
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [RuntimeError("lost"), ExceptionGroup("", [UsageError("x"), RuntimeError("lost")])])
def test_a_bug_keeps_its_traceback(capsys: Capture, error: Exception) -> None:
    """What nobody foresaw is ours to mend, so nothing about it is hidden."""
    with pytest.raises(type(error)):
        ending_of(raising(error))
    assert capsys.readouterr().err.startswith(f"scalechat: bug: {type(error).__name__}")


# ---- as a process ------------------------------------------------------------------------------


def scalechat(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scalechat", *argv],
        env=clean_environ(environ),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_refused_process_ends_with_two_and_starts_nothing() -> None:
    """Argv and environment of the real process reach the same checks."""
    done = scalechat("serve", SCALECHAT_PORT="http")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "scalechat: error: SCALECHAT_PORT=http is not a whole number\n"


def test_a_port_that_is_taken_is_one_line() -> None:
    """What the surroundings refuse reads like what the command line refuses; the code tells them apart."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = scalechat("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert done.stderr.startswith("scalechat: error: ")
    assert "--port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_told_to_end_ends_with_zero(serve_process: ServeProcess) -> None:
    """The whole way: flags reach the server, its log is JSON, SIGTERM is a good ending."""
    server = serve_process("--history", "7", env={"SCALECHAT_LOG_LEVEL": "info"})
    assert server.stop() == 0
    events = [line.get("event") for line in server.log()]
    assert events[0] == "listening"
    assert None not in events, "nothing but JSON lines with an event"


def test_output_that_nobody_reads_is_no_failure() -> None:
    """``… --print-config | head -0`` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-u", "-m", "scalechat", "serve", "--print-config"],
            env=clean_environ(),
            stdout=nowhere,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")


def test_help_has_no_colour_in_a_pipe_or_under_no_color() -> None:
    """Escape sequences are for terminals that may show them."""
    assert "\x1b" not in scalechat("serve", "--help").stdout
    forced = scalechat("serve", "--help", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b[3" not in forced, "bold may stay, colour may not"
