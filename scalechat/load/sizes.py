"""How long messages are: a number, ``uniform:64-1024``, ``lognormal:5.5,0.8,16000`` or ``weighted:64=70,1024=30``.

Each distribution turns one uniform number into a size (the inverse of its cumulative distribution), so that a seeded
plan decides sizes as it decides times.
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from scalechat.config import UsageError

MAX_SIZE_BYTES = 16 * 1024 * 1024
"""No server of chat messages takes more; a typing error ends here and not in the memory limit."""
DEFAULT_LOGNORMAL_MAX_BYTES = 64_000
"""A log-normal tail has no end; this stays below the 65,536 bytes most servers allow for a frame."""

_SYNTAX = "a number, uniform:64-1024, lognormal:MU,SIGMA[,MAX] or weighted:64=70,1024=30"


class Sizes(Protocol):
    """A distribution of sizes in bytes."""

    def pick(self, uniform: float) -> int:
        """The size that belongs to `uniform`, which is in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class FixedSize:
    size_bytes: int

    def pick(self, uniform: float) -> int:  # noqa: ARG002 - every number gives the same size
        """`size_bytes`, always."""
        return self.size_bytes


@dataclass(frozen=True, slots=True)
class UniformSizes:
    low_bytes: int
    high_bytes: int

    def pick(self, uniform: float) -> int:
        """Each size from `low_bytes` to `high_bytes`, both included, alike."""
        return self.low_bytes + int(uniform * (self.high_bytes - self.low_bytes + 1))


@dataclass(frozen=True, slots=True)
class LognormalSizes:
    """exp(Normal(mu, sigma)): the median is exp(mu) bytes. Held between `low_bytes` and `high_bytes`."""

    mu: float
    sigma: float
    low_bytes: int
    high_bytes: int

    def pick(self, uniform: float) -> int:
        """Draws outside the bounds become the bound."""
        # Neither end of the open interval has a finite quantile.
        quantile = NormalDist(self.mu, self.sigma).inv_cdf(min(max(uniform, 1e-12), 1 - 1e-12))
        return round(math.exp(min(max(quantile, math.log(self.low_bytes)), math.log(self.high_bytes))))


@dataclass(frozen=True, slots=True)
class WeightedSizes:
    sizes_bytes: tuple[int, ...]
    cumulated: tuple[float, ...]
    """Running sums of the weights; the last one is their total."""

    def pick(self, uniform: float) -> int:
        """Each size as often as its weight says."""
        return self.sizes_bytes[bisect.bisect_right(self.cumulated, uniform * self.cumulated[-1])]


def parse_sizes(spec: str, *, minimum_bytes: int) -> Sizes:
    """Read a ``--msg-size``.

    Raises:
        UsageError: it cannot be understood, or asks for less than `minimum_bytes` or more than `MAX_SIZE_BYTES`.
    """
    kind, colon, arguments = spec.strip().partition(":")
    try:
        if not colon:
            return FixedSize(_size(kind, minimum_bytes))
        match kind:
            case "uniform":
                low, dash, high = arguments.partition("-")
                sizes = UniformSizes(_size(low, minimum_bytes), _size(high if dash else low, minimum_bytes))
                if sizes.low_bytes > sizes.high_bytes:
                    raise ValueError(f"{low} is more than {high}")
                return sizes
            case "lognormal":
                return _lognormal(arguments, minimum_bytes)
            case "weighted":
                return _weighted(arguments, minimum_bytes)
        raise ValueError(f"expected {_SYNTAX}")
    except ValueError as error:
        raise UsageError(f"--msg-size {spec!r}: {error}") from None


def _lognormal(arguments: str, minimum_bytes: int) -> LognormalSizes:
    mu, sigma, *rest = [float(part) for part in arguments.split(",")] if arguments.count(",") in (1, 2) else (0.0, -1.0)
    if not (math.isfinite(mu) and 0 <= sigma < math.inf):
        raise ValueError("expected lognormal:MU,SIGMA[,MAX], such as lognormal:5.5,0.8,16000")
    highest = _size(str(int(rest[0])), minimum_bytes) if rest else DEFAULT_LOGNORMAL_MAX_BYTES
    if sigma == 0:
        sigma = 1e-9  # NormalDist has no quantiles at 0; this is the same to a fraction of a byte.
    return LognormalSizes(mu, sigma, minimum_bytes, highest)


def _weighted(arguments: str, minimum_bytes: int) -> WeightedSizes:
    sizes: list[int] = []
    weights: list[float] = []
    for part in arguments.split(","):
        size, equals, weight = part.partition("=")
        if not equals:
            raise ValueError("expected SIZE=WEIGHT pairs, such as weighted:64=70,1024=30")
        sizes.append(_size(size, minimum_bytes))
        weights.append(float(weight))
        if not 0 < weights[-1] < math.inf:
            raise ValueError(f"the weight {weight} must be a number above 0")
    return WeightedSizes(tuple(sizes), tuple(itertools.accumulate(weights)))


def _size(text: str, minimum_bytes: int) -> int:
    try:
        size = int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number of bytes; expected {_SYNTAX}") from None
    if size < minimum_bytes:
        raise ValueError(f"{size} bytes are too few: the header that makes a delivery verifiable takes {minimum_bytes}")
    if size > MAX_SIZE_BYTES:
        raise ValueError(f"{size} bytes are more than {MAX_SIZE_BYTES}")
    return size
