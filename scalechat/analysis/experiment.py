"""The report on an experiment: its pieces as HTML, and the page and the picture that lie beside the two runs."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scalechat.config import OperationalError
from scalechat.experiment.outcome import Outcome, read_outcome
from scalechat.experiment.spec import SIDES, Settings, SideName, flags
from scalechat.load.results import Manifest, read_run

from .experiment_figures import change, finding, label, value
from .experiment_picture import experiment_picture, experiment_svg
from .style import Html
from .tables import table

__all__ = ["PlayedExperiment", "load_experiment", "rows_of"]

PAGE: Final = "experiment.md"
PICTURE: Final = "picture.svg"
_BEGIN: Final = "<!-- experiment -->\n"
_END: Final = "<!-- /experiment -->\n"


@dataclass(frozen=True, slots=True)
class PlayedExperiment:
    """The directory of an experiment that was played."""

    directory: Path
    outcome: Outcome

    # ---- for notebooks and reports

    def headline(self) -> Html:
        """Title, hypothesis, and whether symptom and cure were seen."""
        one = self.outcome.experiment
        state, word = ("pass", "shown") if self.outcome.succeeded else ("fail", "not shown")
        text = "Symptom and cure appeared." if self.outcome.succeeded else "What was to be seen did not appear."
        listed = "".join(f"<li>{html.escape(str(result))}</li>" for result in self.outcome.checks)
        return Html(
            f'<p class="about">Problem {one.number} of the catalogue: {html.escape(one.title)}</p>'
            f"<p>{html.escape(one.hypothesis)}</p>"
            f'<div class="verdict {state}"><span class="badge">{word}</span>'
            f"<span>{text}</span><ul>{listed}</ul></div>"
        )

    def picture(self) -> Html:
        return experiment_picture(self.directory, self.outcome)

    def figures(self) -> Html:
        """Before and after."""
        return table(_head(self.outcome), rows_of(self.outcome), numeric={1, 2})

    def story(self) -> Html:
        """The paragraph."""
        words = html.escape(self.outcome.experiment.story.strip())
        marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", words)
        return Html(f'<div class="prose"><p>{marked}</p></div>')

    def environment(self) -> Html:
        """What was run on what, under which limits, and what makes a run doubtful."""
        one = self.outcome.experiment
        parts = ("server", "load client")
        rows = [("both", words) for words in _settings(one.server, one.load)]
        rows += [("both", f"in a network of their own: sysctl {name}={value}") for name, value in one.sysctls.items()]
        for side, given in one.sides:
            rows += [(side, words) for words in _settings(given.server, given.load)]
            rows += [
                (side, f"{what} under {limits}")
                for what, limits in zip(parts, one.limits(given), strict=True)
                if str(limits)
            ]
            rows += [(side, f"not to be trusted: {doubt}") for doubt in self._doubts(side)]
        rows += [("here", f"not held as meant: {words}") for words in self.outcome.unheld]
        rows += [("machine", self._machine()), ("with containers", one.compose)]
        return table(("", ""), rows, breakable=True)

    # ---- as files

    def write_beside(self) -> None:
        """Picture and page into the experiment's own directory. Raises `OperationalError` when that is not possible."""
        one = self.outcome.experiment
        text = f"# {one.title}\n\n{one.hypothesis}\n\n{self._shown(PICTURE)}\n{one.story.strip()}\n"
        _write(self.directory / PICTURE, experiment_svg(self.directory, self.outcome))
        _write(self.directory / PAGE, text)

    def write_into(self, docs: Path) -> Path:
        """Picture and table into the problem's page under `docs`, between its marks; returns the page.

        Raises:
            OperationalError: there is no such page, or it cannot be written.
        """
        page = docs / self.outcome.experiment.page
        image = f"images/{page.stem}.svg"
        try:
            (docs / "images").mkdir(exist_ok=True)
            text = page.read_text(encoding="utf-8")
        except OSError as error:
            raise OperationalError(f"cannot open {page}: {error.strerror}") from error
        _write(docs / image, experiment_svg(self.directory, self.outcome))
        before, _, rest = text.partition(_BEGIN)
        after = rest.partition(_END)[2]
        _write(page, f"{before.rstrip()}\n\n{_BEGIN}{self._shown(image)}{_END}{after}")
        return page

    def _shown(self, image: str) -> str:
        """What the runs showed, as Markdown."""
        rows = [_head(self.outcome), ("---", "---:", "---:", "---"), *rows_of(self.outcome)]
        lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
        checks = [f"- {result}" for result in self.outcome.checks]
        doubts = [
            f"- {side}: not to be trusted as a measurement: {one}" for side in SIDES for one in self._doubts(side)
        ]
        loose = [f"- {words}" for words in self.outcome.unheld]
        source = f"`python -m scalechat experiment {self.outcome.name}` on {self._machine()}."
        parts = [f"![{finding(self.outcome)}]({image})", *map("\n".join, (lines, [*checks, *doubts, *loose])), source]
        return "\n\n".join(parts) + "\n"

    # ---- facts

    def _machine(self) -> str:
        manifest = self._manifest("after")
        if manifest is None or not manifest.workers:
            return "a machine that is not known"
        worker = manifest.workers[0]
        cpus = f"{worker.cpu_count} cores, {worker.cpu_model or 'CPU not known'}"
        return f"{cpus}, {worker.kernel.partition('-')[0]}, Python {worker.python}, Scale-Chat {manifest.tool.version}"

    def _doubts(self, side: SideName) -> list[str]:
        manifest = self._manifest(side)
        return [] if manifest is None else [reason.text for reason in manifest.validity.reasons]

    def _manifest(self, side: SideName) -> Manifest | None:
        return read_run(self.directory / self.outcome.runs[side]).manifest


def load_experiment(directory: Path | str) -> PlayedExperiment:
    """Open one. Raises `OperationalError` where there is none."""
    return PlayedExperiment(Path(directory), read_outcome(Path(directory)))


def rows_of(outcome: Outcome) -> list[tuple[str, str, str, str]]:
    """The before/after table: figure, both values, the change."""
    found = []
    for name in outcome.experiment.figures_shown:
        before, after = (outcome.figure(side, name) for side in SIDES)
        if before is not None or after is not None:
            found.append((label(name), value(name, before), value(name, after), change(before, after)))
    return found


def _head(outcome: Outcome) -> tuple[str, str, str, str]:
    one = outcome.experiment
    return ("", f"before: {one.before.about}", f"after: {one.after.about}", "")


def _settings(server: Settings, load: Settings) -> Iterator[str]:
    for what, given in (("serve", server), ("load", load)):
        if given:
            yield f"{what} {' '.join(flags(given))}"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OperationalError(f"cannot write {path}: {error.strerror}") from error
