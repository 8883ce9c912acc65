"""Whether two sets of runs may be compared at all: the same machine, the same Python, the same load.

What differs in the server is no obstacle but the subject, and is told with the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scalechat.config import OperationalError
from scalechat.load.results import Manifest, Run

__all__ = ["Differences", "differences"]

_NO_MATTER: Final = frozenset(
    # Where the run goes to and how it is shown, how it finds its kin, by what it is judged, and whom it trusts.
    [
        *("out", "quiet", "json", "metrics_port", "scenario", "server_url", "token", "seed", "slo", "rendezvous"),
        *("instance", "ca_file", "insecure"),
    ]
)


@dataclass(frozen=True, slots=True)
class Differences:
    """What stands against comparing, and what else is not the same."""

    against: tuple[str, ...]
    besides: tuple[str, ...]


def differences(base: Sequence[Run], new: Sequence[Run]) -> Differences:
    """Raises OperationalError for a run that was not finished: nothing is known of its conditions."""
    for run in (*base, *new):
        if run.manifest is None:
            raise OperationalError(f"{run.path} cannot be compared: the run was not finished, it has no run.json")
    sides = [[run.manifest for run in side if run.manifest is not None] for side in (base, new)]
    against = [*_doubtful((*base, *new))]
    against += _differing(*([_machine(manifest) for manifest in side] for side in sides))
    against += _differing(*([_load(manifest) for manifest in side] for side in sides))
    besides = _differing(*([_subject(manifest) for manifest in side] for side in sides))
    return Differences(tuple(against), tuple(besides))


def _doubtful(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        if run.manifest is not None and run.manifest.interrupted:
            yield f"{run.path} was interrupted"
        elif run.manifest is not None and not run.manifest.validity.valid:
            reasons = "; ".join(reason.text for reason in run.manifest.validity.reasons)
            yield f"{run.path} is invalid: {reasons}"


def _machine(manifest: Manifest) -> dict[str, str]:
    """What the load processes ran on, each kind once."""
    found: dict[str, set[str]] = {}
    for worker in manifest.workers:
        for name in ("host", "cpu_model", "cpu_count", "cpu_quota_cores", "kernel", "python", "trio"):
            found.setdefault(name, set()).add(str(getattr(worker, name)))
    return {name: ", ".join(sorted(values)) for name, values in found.items()}


def _load(manifest: Manifest) -> dict[str, str]:
    found = {name: _told(str(item.value)) for name, item in manifest.config.items() if name not in _NO_MATTER}
    if manifest.loop == "open":  # it waits for no answers, and runs of older versions do not say so
        found.pop("answer_timeout_s", None)
    if found.get("shorten_to_s") == "None":  # nor do they say this
        del found["shorten_to_s"]
    return found | {"loop": manifest.loop}


def _told(value: str) -> str:
    """A scenario without a table has none of it."""
    return "none" if value in ("[]", "()") else value


def _subject(manifest: Manifest) -> dict[str, str]:
    commit = manifest.tool.git_commit
    found = {
        "target": manifest.target.url,
        "target's version": str(manifest.target.version),
        "load client": manifest.tool.version + (f" ({commit[:10]})" if commit else ""),
    }
    return found | {f"target's {name}": str(value) for name, value in manifest.target.config.items()}


def _differing(base: Sequence[Mapping[str, str]], new: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each name whose values are not all the same, within a side or between them."""
    names = dict.fromkeys(name for values in (*base, *new) for name in values)
    lines = []
    for name in names:
        old = sorted({values.get(name, "not known") for values in base})
        now = sorted({values.get(name, "not known") for values in new})
        if old != now or len(old) > 1:
            lines.append(f"{name}: {' or '.join(old)} → {' or '.join(now)}")
    return lines
