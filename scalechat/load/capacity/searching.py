"""The loop of a search: ask the decision, carry out a run, let the server calm down, write down, ask again."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from scalechat.config import CapacityConfig, LoadConfig, OperationalError, ScaleChatError, UsageError
from scalechat.load.capacity.calm import Calm
from scalechat.load.capacity.decision import AGAINST, Observation, Probe, Search, Verdict
from scalechat.load.capacity.levels import Tried
from scalechat.load.capacity.observing import observe
from scalechat.load.capacity.quantity import Quantity
from scalechat.load.capacity.record import SearchRecord
from scalechat.load.capacity.telling import answer_text, number, saw, trying
from scalechat.load.capacity.yardstick import Machine
from scalechat.load.conclusion import RunOutcome
from scalechat.load.connector import NoTarget
from scalechat.load.ending import Interruption
from scalechat.load.live import Audience
from scalechat.load.results import RunWriter, SearchRow, Summary
from scalechat.load.slo import Slo, parse_slo
from scalechat.load.verdict import EXIT_INTERRUPTED

MOST_DISTURBED: Final = 8
"""Probes of one search that do not count because the machine was slow: a minute or two. From then on they count."""


class CarryOut(Protocol):
    """Carries out one ordinary run, as `run_load` does."""

    def __call__(
        self, config: LoadConfig, sources: Mapping[str, str], *, watcher: Audience, interruption: Interruption
    ) -> Awaitable[RunOutcome]: ...


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """A search that was written."""

    search_dir: Path
    exit_code: int
    text: str
    summary: Summary
    unit: str
    tried: Sequence[Tried]
    """Each probe, in their order."""
    caution: str | None
    """Why a later search may find something else."""


class Searching:
    """One search. Make it and call `carry_out`, once."""

    def __init__(
        self,
        config: CapacityConfig,
        sources: Mapping[str, str],
        *,
        carry_out: CarryOut,
        calm: Calm,
        machine: Machine,
        watcher: Audience,
        interruption: Interruption,
    ) -> None:
        self._config = config
        self._sources = sources
        self._carry_out = carry_out
        self._calm = calm
        self._machine = machine
        self._watcher = watcher
        self._interruption = interruption
        self._quantity = Quantity.of(config)
        self._search = Search(self._quantity.aim())
        self._slos: tuple[Slo, ...] = tuple(parse_slo(expression) for expression in config.slo)
        self._tried: list[Tried] = []
        self._disturbed = 0
        self._has_measured = False
        self._stopped: str | None = None
        """Why the search cannot go on, apart from an interruption."""
        self._cut_off: RunOutcome | None = None
        """The probe that was interrupted."""

    async def carry_out(self) -> SearchOutcome:
        """Do it; an interruption ends it early, with what is known.

        Raises:
            UsageError: it cannot be carried out so; nothing was written.
            OperationalError: there is no server (nothing was written), or the directory cannot be written.
        """
        await self._calm.learn()
        with RunWriter.create(self._config.out, only=[SearchRow]) as writer:
            record = SearchRecord(writer, self._config, self._quantity.unit)
            verdict = await self._probe_until_answered(record, writer.run_dir / "probes")
            if not record.has_run:
                raise OperationalError(self._nothing(), EXIT_INTERRUPTED if not self._stopped else 1)
            summary = record.concluded(verdict, self._sources, self._stopped)
        unit = self._quantity.unit
        text = answer_text(verdict, unit)
        return SearchOutcome(writer.run_dir, summary.exit_code, text, summary, unit, tuple(self._tried), record.caution)

    def _nothing(self) -> str:
        """Why there is no answer at all, not even an unfinished one."""
        if self._stopped is None and self._cut_off is not None:
            return f"interrupted in the first probe: there is no answer; what it measured is in {self._cut_off.run_dir}"
        return f"{self._stopped or 'interrupted before the first probe had begun'}: there is nothing to tell"

    async def _probe_until_answered(self, record: SearchRecord, probes: Path) -> Verdict:
        count = 0
        step = self._search.next_probe(None)
        while isinstance(step, Probe):
            if count and (self._stopped is not None or not await self._is_ready()):
                return self._search.unfinished()
            count += 1
            self._watcher.note(trying(count, step, self._quantity.unit))
            yardstick_ms = await self._machine.when_steady_ms(self._say)
            if self._interruption.asked.is_set():
                return self._search.unfinished()
            seen, outcome = await self._probe(step, probes)
            if seen is None:
                return self._search.unfinished()
            # Not before it is calm: a server that works on what a probe left takes half of a shared core.
            if seen.outcome in AGAINST and await self._is_ready():
                yardstick_ms = max(yardstick_ms, self._machine.look_ms())
                seen = self._undisturbed(seen, yardstick_ms)
            record.probed(step, seen, outcome, yardstick_ms)
            self._tried.append(Tried.of(seen, outcome))
            self._watcher.note(saw(seen, self._quantity.unit, "" if outcome is None else _figures(outcome)))
            step = self._search.next_probe(seen)
        return step

    async def _probe(self, probe: Probe, probes: Path) -> tuple[Observation | None, RunOutcome | None]:
        """What the probe shows; no observation when the search is to end."""
        config = self._quantity.at(probe.value, probes)
        try:
            outcome = await self._carry_out(
                config, self._sources, watcher=self._watcher, interruption=self._interruption
            )
        except ScaleChatError as error:
            if self._interruption.asked.is_set():
                return None, None
            if not self._has_measured:
                raise
            return self._unplayed(probe, error), None
        self._has_measured = True
        if self._interruption.asked.is_set():
            self._cut_off = outcome
            return None, outcome
        return observe(probe.value, outcome, self._slos), outcome

    def _undisturbed(self, seen: Observation, yardstick_ms: float) -> Observation:
        """What was seen, which did not hold; nothing, if the machine was slow before or after it."""
        if not self._machine.is_slow(yardstick_ms) or self._disturbed == MOST_DISTURBED:
            return seen
        self._disturbed += 1
        slow = f"the machine was slower than it can be ({yardstick_ms:.1f} to {self._machine.fastest_ms:.1f} ms)"
        return Observation(seen.value, "disturbed", f"{slow}; {seen.reason}" if seen.reason else slow)

    def _unplayed(self, probe: Probe, error: ScaleChatError) -> Observation | None:
        """There is no run of this probe, and there was one of less load before."""
        match error:
            case NoTarget():  # The server took that load and now does not even greet.
                return Observation(probe.value, "failed", str(error))
            case UsageError():  # Too many clients for this machine's open files, say.
                return Observation(probe.value, "generator", str(error))
        self._stopped = str(error)
        return None

    def _say(self, what: str) -> None:
        self._watcher.note(f"         {what}")

    async def _is_ready(self) -> bool:
        """Wait for the server; False when the search is to end here."""
        try:
            if not await self._calm.wait():
                self._say(f"not calm after {self._calm.timeout_s:g} s; the next probe begins all the same")
        except OperationalError as error:
            self._stopped = f"the server did not come back: {error}"
            self._say(self._stopped)
            return False
        return not self._interruption.asked.is_set()


def _figures(outcome: RunOutcome) -> str:
    figures = outcome.summary.figures
    parts = []
    p99, delivered, cpu = (figures[name].value for name in ("delivery_p99", "delivered_per_s", "server_cpu"))
    if p99 is not None:
        parts.append(f"p99 {number(p99)} ms")
    if delivered is not None:
        parts.append(f"{delivered:,.0f} deliveries/s")
    if cpu is not None:
        parts.append(f"server {cpu:.0%} of a core")
    return ", ".join(parts)
