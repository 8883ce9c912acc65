"""Limits stand in front of a command and hold for it; where one cannot be held, that is said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scalechat.config import OperationalError
from scalechat.experiment.limits import Limits, held
from scalechat.experiment.workers import settle


def said(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


def test_nothing_stands_in_front_of_a_command_without_limits() -> None:
    with held(Limits(), "test") as here:
        assert here.enter == []
        assert here.unheld == []


def test_open_files_and_cores_hold_for_the_command() -> None:
    core = min(os.sched_getaffinity(0))
    with held(Limits(cores=[0], open_files=200, open_files_hard=300), "test") as here:
        assert said([*here.enter, "sh", "-c", "ulimit -Sn; ulimit -Hn"]).split() == ["200", "300"]
        assert said([*here.enter, "taskset", "-pc", str(os.getpid())])
        assert said([*here.enter, "nproc"]) == "1"
        assert f"{core}" in here.enter


def test_a_core_that_is_not_there_is_said() -> None:
    with held(Limits(cores=[100_000]), "test") as here:
        assert here.enter == []
        assert "not pinned" in here.unheld[0]


@pytest.mark.parametrize("second", [True, False], ids=["v2", "v1"])
def test_a_group_is_entered_by_the_command_and_removed(second: bool, tmp_path: Path) -> None:
    """Either version's files say the limits; the process limit then stays away."""
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
    if second:
        (tmp_path / "cgroup.controllers").touch()
    with held(Limits(cpu=0.5, memory_mib=64), "test", root=tmp_path) as here:
        files = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
        assert said([*here.enter, "sh", "-c", "echo $$"]) in {
            path.read_text().strip() for path in tmp_path.rglob("cgroup.procs")
        }
    wanted = (
        {"cpu.max": "5000 10000", "cpu.weight": "10000", "memory.max": "67108864"}
        if second
        else {
            "cpu.cfs_quota_us": "5000",
            "cpu.cfs_period_us": "10000",
            "cpu.shares": "262144",
            "memory.limit_in_bytes": "67108864",
        }
    )
    assert wanted.items() <= files.items()
    assert "prlimit" not in here.enter


def test_workers_have_groups_of_their_own_and_who_watches_them_is_not_held_back(tmp_path: Path) -> None:
    """The part of a core is for each that serves: what starts them needs none of it."""
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
    with held(Limits(cpu=0.25, cpu_period_ms=100, memory_mib=64), "test", workers=2, root=tmp_path) as here:
        quotas = [(group / "cpu.cfs_quota_us").read_text() for groups in here.apart for group in groups[1:]]
        said([*here.enter, "true"])
        (entered,) = {path.parent for path in (tmp_path / "cpu").rglob("cgroup.procs")}
        assert (entered / "cpu.cfs_quota_us").read_text() == "100000"
    assert quotas == ["25000", "25000"]


def process(proc: Path, pid: int, *command: str, children: str = "") -> None:
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (task / "children").write_text(children)
    (proc / str(pid) / "cmdline").write_bytes(b"\0".join(word.encode() for word in (*command, "")))


def test_workers_move_into_their_groups_and_their_redis_stays(tmp_path: Path) -> None:
    """A child that serves is known by its command."""
    proc, groups = tmp_path / "proc", [tmp_path / "one", tmp_path / "two"]
    process(proc, 7, "python", "-m", "scalechat", "serve", children="8 9 10 ")
    process(proc, 8, "redis-server")
    for pid in (9, 10):
        process(proc, pid, "python", "-m", "scalechat.server.supervisor.worker")
    for group in groups:
        group.mkdir()
    settle(7, [[group] for group in groups], proc)
    assert [(group / "cgroup.procs").read_text() for group in groups] == ["9", "10"]
    with pytest.raises(OperationalError, match="2 workers, not 1"):
        settle(7, [[groups[0]]], proc)


def test_without_cgroups_memory_is_the_process_limit_and_that_is_said(tmp_path: Path) -> None:
    with held(Limits(cpu=0.5, memory_mib=512), "test", root=tmp_path / "none") as here:
        assert here.enter == ["prlimit", f"--data={512 * 2**20}", "--"]
        assert "RLIMIT_DATA; the CPU limit does not hold" in here.unheld[0]


def test_without_cgroups_only_what_was_wanted_is_said_not_to_hold(tmp_path: Path) -> None:
    with held(Limits(cpu=0.5), "test", root=tmp_path / "none") as here:
        assert here.unheld[0].endswith("): the CPU limit does not hold")


def test_a_side_has_the_experiments_limits_where_it_has_none() -> None:
    assert Limits(memory_mib=64).over(Limits(cores=[0], memory_mib=512)) == Limits(cores=[0], memory_mib=64)
    assert str(Limits(cores=[0], cpu=0.7, open_files=400)) == "core 0, CPU 70 % of a core, open files 400:400"
    assert str(Limits(cpu=0.2, cpu_period_ms=100)) == "CPU 20 % of a core in periods of 100 ms"
