"""Numbers for people: three significant digits, a thin unit, no false precision."""

from __future__ import annotations

import math

__all__ = [
    "MISSING",
    "bytes_text",
    "count_text",
    "counted",
    "duration_text",
    "percent_text",
    "rate_text",
    "significant",
]

MISSING = "\N{EN DASH}"
_NBSP = "\N{NO-BREAK SPACE}"
_DURATIONS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_RATES = ((1e6, "M"), (1e3, "k"), (1.0, ""))
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))


def significant(value: float) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 123, 1,230."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return MISSING
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    # Rounding may have carried into the next power of ten: 9.996 is 10.0, not 10.00.
    digits = 2 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(digits, 0)}f}"


def duration_text(ns: float) -> str:
    """Nanoseconds as `812 µs`, `4.21 ms`, `1.20 s`; a dash where there is no value."""
    return _scaled(ns, _DURATIONS)


def rate_text(per_s: float, noun: str = "") -> str:
    """A rate as `200 messages/s`, `10.0 k deliveries/s`, `1.54 M/s`."""
    if math.isnan(per_s):
        return MISSING
    text = _scaled(per_s, _RATES)
    return f"{text}{_NBSP}{noun}/s" if noun else f"{text}/s"


def bytes_text(size: float) -> str:
    """A size as `512 bytes`, `1.05 MB` (powers of ten, as disks and networks count)."""
    return _scaled(size, _SIZES)


def count_text(count: float) -> str:
    """A whole number with thousands separators; a dash where there is no value."""
    return MISSING if math.isnan(count) else f"{count:,.0f}"


def counted(count: float, noun: str) -> str:
    """A count with its noun: `1 client`, `2,000 clients`."""
    return f"{count_text(count)} {noun}{'' if count == 1 else 's'}"


def percent_text(ratio: float) -> str:
    """A ratio as a percentage, whole from 10 % on; less than all is never rounded up to `100 %`."""
    percent = 100 * ratio
    if 99 < percent < 100:
        return f"{math.floor(percent * 100) / 100:.2f}{_NBSP}%"
    return f"{percent:,.0f}{_NBSP}%" if percent >= 10 else f"{significant(percent)}{_NBSP}%"


def _scaled(value: float, scale: tuple[tuple[float, str], ...]) -> str:
    if math.isnan(value):
        return MISSING
    for factor, unit in scale:
        if abs(float(f"{value:.3g}")) >= factor:
            return f"{significant(value / factor)}{_NBSP}{unit}".rstrip(_NBSP)
    return f"{significant(value / scale[-1][0])}{_NBSP}{scale[-1][1]}".rstrip(_NBSP)
