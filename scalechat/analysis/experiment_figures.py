"""An experiment's figures for people: what a name means, a value with its unit, the change from before to after."""

from __future__ import annotations

import re
from typing import Final

from scalechat.experiment.outcome import Outcome
from scalechat.load.results import FIGURES

from .units import MISSING, bytes_text, count_text, duration_text, percent_text, rate_text, significant

__all__ = ["change", "finding", "label", "value"]

_LATENCY: Final = re.compile(r"_(p[0-9]+(_[0-9]+)?|max)$")
_TAKEN: Final = {".max": "most", ".growth": "growth"}
_UNITS: Final = ("_bytes_total", "_bytes", "_seconds_total", "_seconds_sum", "_seconds", "_total", "_ns", "_ms", "_s")
_NAMES: Final = {
    "process_cpu_seconds_total": "CPU time",
    "process_resident_memory_bytes": "resident memory",
    "rx_bytes_total": "bytes received",
    "process_open_fds": "open files",
    "process_max_fds": "open files allowed",
    "server_cpu": "server's CPU",
    "server_rss": "server's resident memory",
    "generator_cpu": "load client's CPU",
    "delivered_per_s": "deliveries",
    "published_per_s": "messages",
    "offered_per_s": "messages on offer",
}


def label(name: str) -> str:
    """``server.queue_bytes.max`` is the ``server's queue, most``."""
    whose, dot, rest = name.partition(".")
    if not dot or whose not in ("server", "generator", "kernel"):
        whose, rest = "", name
    taken = next((suffix for suffix in _TAKEN if rest.endswith(suffix)), "")
    rest = rest.removesuffix(taken)
    told = _NAMES.get(rest)
    if told is None:
        unit = next((unit for unit in _UNITS if rest.endswith(unit)), "")
        told = rest.removesuffix(unit).replace("99_9", "99.9").replace("_", " ")
    owner = {"server": "server's ", "generator": "load client's ", "kernel": "kernel's ", "": ""}[whose]
    return f"{owner}{told}{f', {_TAKEN[taken]}' if taken else ''}"


def value(name: str, number: float | None) -> str:
    """A figure with its unit; a dash where it was not measured."""
    if number is None:
        return MISSING
    if number == 0:
        return "0"
    unit = FIGURES.get(name) or _unit(name)
    match unit:
        case "ms":
            return duration_text(1e6 * number)
        case "s":
            return duration_text(1e9 * number)
        case "ns":
            return duration_text(number)
        case "bytes":
            return bytes_text(number)
        case "cores":
            return f"{percent_text(number)} of a core"
        case "clients" | "rooms" | "":
            return count_text(number) if number == round(number) else significant(number)
    return rate_text(number, unit.removesuffix("/s"))


def change(before: float | None, after: float | None) -> str:
    """``12 times less``; nothing where no factor says it."""
    if before is None or after is None or before <= 0 or after <= 0:
        return ""
    factor = max(before / after, after / before)
    if factor < 1.05:
        return "the same"
    return f"{significant(factor) if factor < 100 else f'{factor:,.0f}'} times {'less' if after < before else 'more'}"


def finding(outcome: Outcome) -> str:
    """The experiment's sentence with the figures in it, or what could not be shown."""
    for kind, words in (("symptom", "The symptom did not appear here"), ("cure", "The cure did not work here")):
        failed = [result for result in outcome.checks if result.check.kind == kind and not result.holds]
        if failed:
            return f"{words}: {failed[0].check.that} does not hold"

    def told(found: re.Match[str]) -> str:
        return value(found[2], outcome.figures[found[1]].get(found[2]))

    return re.sub(r"\{(before|after)\.([a-z0-9_.]+)\}", told, outcome.experiment.finding)


def _unit(name: str) -> str:
    plain = name.removesuffix(".max").removesuffix(".growth")
    if "bytes" in re.split(r"[._]", plain):
        return "bytes"
    for suffix in _UNITS:
        if plain.endswith(suffix):
            return suffix.split("_")[1].replace("seconds", "s").replace("total", "")
    return "ms" if "." not in name and _LATENCY.search(name) else ""
