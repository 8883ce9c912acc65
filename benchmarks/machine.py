"""What a measurement ran on, so that it can be judged and repeated."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import msgspec

ROOT = Path(__file__).parent.parent


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    cpu: str
    cores: int
    memory_gb: float
    hypervisor: bool
    """A guest shares its machine with others, whose work it cannot see but in its own figures."""
    kernel: str
    system: str
    python: str
    compiler: str
    file_limit: int
    load_before: float
    """Processes that wanted a core, averaged over the minute before: above 0.5 somebody else was measured too."""


def look(file_limit: int) -> Machine:
    """This machine, now."""
    cpu = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("model name")), "?")
    family = {line.split(":")[0].strip(): line.partition(":")[2].strip() for line in cpu.splitlines()[:30]}
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    return Machine(
        cpu=f"{model} (family {family.get('cpu family')}, model {family.get('model')})",
        cores=os.cpu_count() or 1,
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        hypervisor=" hypervisor " in f"{cpu.replace(chr(10), ' ')} ",
        kernel=platform.release(),
        system=release.get("PRETTY_NAME", platform.system()),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        compiler=said_by("cc", "--version").splitlines()[0] if said_by("cc", "--version") else "?",
        file_limit=file_limit,
        load_before=os.getloadavg()[0],
    )


def said_by(*command: str) -> str:
    """What a command prints, stripped; empty when there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit() -> str:
    """The commit that was measured, with ``+changes`` when what the server consists of differs from it."""
    name = said_by("git", "rev-parse", "--short=12", "HEAD")
    if not name:
        return "unknown"
    changed = said_by("git", "status", "--porcelain", "--", "scalechat", "benchmarks", ":!benchmarks/results")
    return name + ("+changes" if changed else "")
