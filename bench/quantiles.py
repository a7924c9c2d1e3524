"""Quantiles of what was timed here; the generator has its own."""

from __future__ import annotations

import math
from collections.abc import Sequence


def quantiles_us(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, 90th and 99th percentile and maximum in microseconds, under the generator's names."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    parts = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "max_us": 1.0}
    return {name: ordered[math.ceil(part * len(ordered)) - 1] * 1e6 for name, part in parts.items()}
