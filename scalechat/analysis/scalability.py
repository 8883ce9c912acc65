"""The Universal Scalability Law over the probes of a capacity search, and whether they determine it.

Gunther's law (*Guerrilla Capacity Planning*, 2007, chapter 4; *A General Theory of Computational Scalability Based on
Rational Functions*, arXiv:0808.1431) says what N-fold load yields:

    X(N) = λN / (1 + σ(N - 1) + κN(N - 1))

λ is the throughput without any waiting, σ the part that waits in line (contention), κ the part that grows with every
pair (coherency); where κ > 0, throughput is highest at N = √((1 - σ) / κ) and falls beyond. N counts multiples of the
lowest load that was tried, so that σ and κ are readable and X(1) ≈ λ.

An open loop offers what it likes: below saturation throughput *is* what was offered and says nothing of σ and κ. Only
the probes beyond the bend do. The interval therefore comes from drawing the loads again (case resampling, Efron and
Tibshirani 1993, chapter 9), and a coefficient whose interval touches zero is called undetermined.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import least_squares

__all__ = ["Coefficient", "Scalability", "fit", "throughput"]

Floats = npt.NDArray[np.float64]

_FEWEST_LOADS: Final = 4
"""Three coefficients go through three loads whatever those are."""
_RESAMPLES: Final = 200
"""The ends of a 95 % interval are then the fifth value from either side; all take about half a second."""
_SEED: Final = 20_260_101
_FLOOR: Final = 1e-6
"""Coefficients below are zero: over a thousandfold load they change throughput by less than a measurement can tell."""
_MISFIT: Final = 0.05
"""A median misfit above: the curve is another one than the law's."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A value and the 95 % interval of it."""

    value: float
    low: float
    high: float

    @property
    def determined(self) -> bool:
        """Whether the measurements tell it from zero."""
        return self.low > _FLOOR


@dataclass(frozen=True, slots=True)
class Scalability:
    """The law for one search.

    `unit` is the load that N counts, in the search's own unit; `per_unit` is λ in deliveries/s. `bands` has one row
    (λ, σ, κ) for each resample.
    """

    unit: float
    per_unit: float
    contention: Coefficient
    coherency: Coefficient
    misfit: float
    loads: int
    bands: Floats

    @property
    def describes(self) -> bool:
        """Whether the law goes through the measurements, within 5 % in the median."""
        return self.misfit <= _MISFIT

    @property
    def peak(self) -> float | None:
        """The load of the highest throughput; None where the measurements do not determine it."""
        if not self.coherency.determined or self.contention.value >= 1:
            return None
        return self.unit * math.sqrt((1 - self.contention.value) / self.coherency.value)

    def at(self, load: Floats) -> Floats:
        """Deliveries/s at these loads."""
        return throughput(load / self.unit, self.per_unit, self.contention.value, self.coherency.value)

    def band(self, load: Floats) -> tuple[Floats, Floats]:
        """The 95 % interval of that, pointwise."""
        rows = [throughput(load / self.unit, *row) for row in self.bands]
        low, high = np.quantile(rows, (0.025, 0.975), axis=0)
        return low, high


def throughput(times: Floats, per_unit: float, contention: float, coherency: float) -> Floats:
    """X(N) of the law; `times` is N."""
    found: Floats = per_unit * times / (1 + contention * (times - 1) + coherency * times * (times - 1))
    return found


def fit(load: pd.Series[float], delivered_per_s: pd.Series[float]) -> Scalability | None:
    """The law through the probes; None with fewer than four loads that delivered anything.

    Errors are relative (a probe at a tenth of the load counts as much), and one probe that went wrong does not bend
    the curve (soft-L1 loss).
    """
    known = pd.DataFrame({"load": load, "rate": delivered_per_s}).dropna()
    known = known[(known > 0).all(axis=1)]
    if known["load"].nunique() < _FEWEST_LOADS:
        return None
    unit = float(known["load"].min())
    times = known["load"].to_numpy(np.float64) / unit
    rates = known["rate"].to_numpy(np.float64)
    best = _solve(times, rates)
    misfit = float(np.median(np.abs(np.log(throughput(times, *best) / rates))))
    random = np.random.default_rng(_SEED)
    drawn: list[Floats] = []
    while len(drawn) < _RESAMPLES:
        chosen = random.integers(0, len(times), len(times))
        # As few loads as three would be met exactly, by coefficients that mean nothing.
        if len(np.unique(times[chosen])) >= min(_FEWEST_LOADS, len(np.unique(times)) - 1):
            drawn.append(_solve(times[chosen], rates[chosen]))
    bands = np.asarray(drawn)
    (sigma_low, kappa_low), (sigma_high, kappa_high) = np.quantile(bands[:, 1:], (0.025, 0.975), axis=0)
    return Scalability(
        unit=unit,
        per_unit=float(best[0]),
        contention=Coefficient(float(best[1]), float(sigma_low), float(sigma_high)),
        coherency=Coefficient(float(best[2]), float(kappa_low), float(kappa_high)),
        misfit=misfit,
        loads=int(known["load"].nunique()),
        bands=bands,
    )


def _solve(times: Floats, rates: Floats) -> Floats:
    """λ, σ and κ: N/X is linear in them but for its weights, which only the search for the least misfit gets right."""
    scale = float(np.median(rates / times))

    def misfit(guess: Floats) -> Floats:
        found: Floats = np.log(throughput(times, *(guess * (scale, 1, 1))) / rates)
        return found

    found = least_squares(
        misfit,
        np.array([1.0, 0.01, 1e-4]),
        bounds=([1e-3, 0.0, 0.0], [1e3, 1.0, 1.0]),
        x_scale=[1.0, 0.01, 1e-3],
        loss="soft_l1",
        f_scale=0.05,
    )
    solved: Floats = found.x * (scale, 1, 1)
    return solved
