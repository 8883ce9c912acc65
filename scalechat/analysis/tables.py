"""The parts of the report that are read, not looked at: verdict, ledger, objectives, configuration."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import pandas as pd

from scalechat.load.results import CLOSED_LOOP, Ledger, Manifest, Objective, Scalar

from . import facts
from .frames import RunFrames
from .style import Html, note
from .units import MISSING, count_text, duration_text, percent_text, rate_text

__all__ = [
    "about",
    "configuration",
    "errors",
    "events",
    "ledger",
    "machines",
    "objectives",
    "verdict",
]

_VERDICTS = {
    "pass": ("pass", "Every objective was met and the measurement can be trusted."),
    "fail": ("fail", "An objective was missed."),
    "invalid": ("invalid", "The measurement cannot be trusted."),
    "interrupted": ("interrupted", "Somebody ended the run before its time; what it measured until then is shown."),
}
_LEDGER = {
    "published": "messages sent",
    "acked": "messages the server acknowledged",
    "rejected": "messages the server answered with an error",
    "unacked": "messages without an answer",
    "expected": "deliveries owed: each message, to each member of its room",
    "delivered": "deliveries that came",
    "missing": "deliveries that did not come by the end of the drain",
    "duplicated": "deliveries that came again",
    "reordered": "deliveries after a later message of the same publisher",
    "corrupted": "deliveries whose content is not as sent",
    "phantom": "deliveries of messages nobody sent",
    "refused_delivered": "deliveries of messages the server had refused, or refused later",
}
_FAULTS = {"rejected", "unacked", "missing", "duplicated", "reordered", "corrupted", "phantom", "refused_delivered"}


def about(frames: RunFrames) -> Html:
    """Which run this is, in one line."""
    manifest = frames.run.manifest
    parts = [frames.run.run_id]
    if manifest is not None:
        parts += [_moment(manifest), manifest.target.url]
    return Html(f'<p class="about">{html.escape(" · ".join(parts))}</p>')


def verdict(frames: RunFrames) -> Html:
    """The verdict with its reasons, and the figures asked for first."""
    manifest = frames.run.manifest
    if manifest is None:
        word, text = "unfinished", "The run was not written to its end; what it wrote until then is shown."
        reasons: list[str] = []
    else:
        word, text = _VERDICTS[manifest.verdict]
        if manifest.verdict == "pass" and not manifest.objectives:
            text = "No objective was set; the measurement can be trusted."
        reasons = [reason.text for reason in manifest.validity.reasons]
        if manifest.loop == "closed":
            reasons.insert(0, CLOSED_LOOP)
        reasons += _absent(frames)
        reasons += [_missed(objective) for objective in manifest.objectives if objective.ok is False]
    listed = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    return Html(
        f'<div class="verdict {word}"><span class="badge">{word}</span><span>{html.escape(text)}</span>'
        f"{f'<ul>{listed}</ul>' if listed else ''}</div>{_tiles(frames)}"
    )


def ledger(frames: RunFrames) -> Html:
    """Where every message of all phases went."""
    manifest = frames.run.manifest
    if manifest is None:
        return note("No ledger: it is made up at the end of a run, and this one has no end.")
    rows = []
    for key, meaning in _LEDGER.items():
        value = _of(manifest.ledger, key)
        state = "bad" if key in _FAULTS and value else "good" if key in _FAULTS and value == 0 else ""
        shown = "not known" if value is None else count_text(value)
        rows.append((key, shown, meaning, state))
    body = "".join(
        f'<tr class="{state}"><th>{key}</th><td class="number">{shown}</td><td>{meaning}</td></tr>'
        for key, shown, meaning, state in rows
    )
    return Html(f"<table><caption>All phases of the run, warm-up included</caption>{body}</table>")


def objectives(frames: RunFrames) -> Html:
    """Each objective with what was observed."""
    manifest = frames.run.manifest
    if manifest is None or not manifest.objectives:
        return note("No objective was set (--slo).")
    rows = [
        (
            objective.expression,
            _observed(objective),
            {True: "met", False: "missed", None: "cannot be judged"}[objective.ok],
            objective.reason or "",
        )
        for objective in manifest.objectives
    ]
    return table(("objective", "observed", "", ""), rows, numeric={1})


def events(frames: RunFrames) -> Html:
    """What happened once and explains the curves around it; phase changes left out."""
    rows = frames.events[frames.events["kind"] != "phase"]
    if rows.empty:
        return note("Nothing out of the ordinary happened.")
    return _top(rows, ("t_s", "kind", "detail"), ("at (s)", "event", ""))


def errors(frames: RunFrames) -> Html:
    """Kinds of errors with an example of each."""
    rows = frames.errors.sort_values("count", ascending=False)
    if rows.empty:
        return note("No error happened.")
    return _top(rows, ("count", "kind", "t_s", "last_s", "example"), ("times", "error", "first (s)", "last (s)", ""))


def configuration(frames: RunFrames) -> Html:
    """Every option with its value and where it came from; what was chosen comes first."""
    manifest = frames.run.manifest
    if manifest is None:
        return note("No configuration: it is in run.json, which an unfinished run does not have.")
    rows = sorted(
        ((name, _shown(item.value), item.source) for name, item in manifest.config.items()),
        key=lambda row: row[2] == "default",
    )
    classes = ["default" if source == "default" else "" for _, _, source in rows]
    return table(("option", "value", "from"), rows, classes=classes, breakable=True)


def machines(frames: RunFrames) -> Html:
    """What ran where: tool, target and load processes."""
    manifest = frames.run.manifest
    if manifest is None:
        return note("The machines are not known: an unfinished run has no run.json.")
    commit = f" ({manifest.tool.git_commit[:10]})" if manifest.tool.git_commit else ""
    rows = [
        ("run", manifest.run_id),
        ("started", _moment(manifest)),
        ("took", duration_text(manifest.ended_unix_ns - manifest.started_unix_ns)),
        ("tool", f"{manifest.tool.name} {manifest.tool.version}{commit}"),
        ("seed", str(manifest.seed)),
        ("target", f"{manifest.target.url}, dialect {manifest.target.dialect}"),
        ("target's version", manifest.target.version or "not known"),
    ]
    for worker in manifest.workers:
        quota = "" if worker.cpu_quota_cores is None else f", quota {worker.cpu_quota_cores:g} cores"
        cpus = f"{worker.cpu_count} x {worker.cpu_model or 'CPU not known'}{quota}"
        software = f"{worker.kernel}, Python {worker.python}, Trio {worker.trio}"
        rows.append((f"worker {worker.worker_id}", f"{worker.host}, {cpus}, {software}"))
    return table(("", ""), rows, breakable=True)


# ---- parts ----------------------------------------------------------------------------------


def _tiles(frames: RunFrames) -> str:
    manifest = frames.run.manifest
    missing = float("nan") if manifest is None else float(manifest.ledger.missing)
    server, load = facts.server_cpu(frames), facts.generator_cpu(frames)
    tiles = [
        ("clients", count_text(facts.clients(frames))),
        ("deliveries", rate_text(facts.rate(frames, "delivered_total", "delivered_per_s"))),
        ("median delivery", duration_text(facts.delivery_quantile(frames, 0.5))),
        ("p99 delivery", duration_text(facts.delivery_quantile(frames, 0.99))),
        ("slowest delivery", duration_text(facts.delivery_quantile(frames, 1.0))),
        ("missing", count_text(missing)),
        ("server's core", percent_text(server) if not math.isnan(server) else MISSING),
        ("generator's core", percent_text(load) if not math.isnan(load) else MISSING),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles)
    return f'<dl class="tiles">{cells}</dl>'


def _absent(frames: RunFrames) -> list[str]:
    """Who dialed and was never there, if anybody."""
    rows = frames.connections
    came = rows.loc[rows["opened_s"].notna(), "client_id"]
    # Without a reason a dial did not fail: the run ended before it was over.
    absent = rows.loc[rows["close_reason"].notna() & ~rows["client_id"].isin(came)]
    if absent.empty:
        return []
    why = absent["close_reason"].mode().iloc[0]
    absentees, everybody = (count_text(some["client_id"].nunique()) for some in (absent, rows))
    return [f"{absentees} of {everybody} clients never connected: {why}"]


def _observed(objective: Objective) -> str:
    if objective.observed is None:
        return MISSING
    if not re.search("[<>=]", objective.expression):
        return ""  # A plain statement, true or not: there is no figure to show.
    unit = "" if objective.unit == "ratio" else objective.unit
    return f"{objective.observed:,.4g} {unit}".rstrip()


def _missed(objective: Objective) -> str:
    seen = _observed(objective)
    return f"objective missed: {objective.expression}" + (f" (it was {seen})" if seen else "")


def _of(book: Ledger, key: str) -> int | None:
    value: int | None = getattr(book, key)
    return value


def _moment(manifest: Manifest) -> str:
    return f"{datetime.fromtimestamp(manifest.started_unix_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _shown(value: Scalar | list[str]) -> str:
    if value is None:
        return MISSING
    if isinstance(value, list):
        return ", ".join(value) or MISSING
    return f"{value:g}" if isinstance(value, float) else str(value)


def _top(rows: pd.DataFrame, columns: tuple[str, ...], names: tuple[str, ...], most: int = 20) -> Html:
    """The first rows of a frame, and how many more there are."""
    shown = [
        tuple(_cell(cell) for cell in row) for row in rows[list(columns)].head(most).itertuples(index=False, name=None)
    ]
    numeric = {index for index, column in enumerate(columns) if column in {"t_s", "last_s", "count"}}
    shortened = table(names, shown, numeric=numeric)
    more = f'<p class="note">and {count_text(len(rows) - most)} more</p>' if len(rows) > most else ""
    return Html(shortened.html + more)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.1f}"
    return str(value)


def table(
    head: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    *,
    numeric: Iterable[int] = (),
    classes: Iterable[str] | None = None,
    breakable: bool = False,
) -> Html:
    """A table of texts; `numeric` columns stand to the right, `breakable` ones break anywhere."""
    right = set(numeric)

    def cells(row: tuple[str, ...], tag: str) -> str:
        marks = (' class="number"' if index in right else "" for index in range(len(row)))
        return "".join(f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for mark, cell in zip(marks, row, strict=True))

    listed = list(rows)
    kinds = list(classes) if classes is not None else [""] * len(listed)
    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>" if any(head) else ""
    body = "".join(f'<tr class="{kind}">{cells(row, "td")}</tr>' for kind, row in zip(kinds, listed, strict=True))
    kind = ' class="breakable"' if breakable else ""  # long paths and addresses break anywhere
    return Html(f"<table{kind}>{top}<tbody>{body}</tbody></table>")
