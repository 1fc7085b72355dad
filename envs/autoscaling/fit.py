"""Synthetic demand fitted to a recording: rates by the hour, and the noise around them, to train on more than was recorded."""

import math
from typing import Any

import numpy as np

from pointsman.envs.autoscaling.trace import DAY, read


def fit(trace: dict[str, Any], part: tuple[int, int], weekly: bool = False, tick: float = 0.25) -> dict[str, Any]:
    """Keys of a configuration from a part of a recording: hourly_rates, or arrival_rate and service_cv; and noise.

    `part` is its first and last day, or, of a file of single requests, its first and last minute.

    The logarithm of the ratio of rate and profile is taken for an autoregressive process of first order. Its variance is
    that of the ratio less what Poisson counts add; its time constant is from the covariance of neighbours, to which they
    add nothing.
    """
    recording = read(trace, tick)
    if recording.exact:
        slot, counts = tick, recording.counts[round(part[0] / tick) : round((part[1] + 1) / tick)]
        found: dict[str, Any] = {"arrival_rate": _short(counts.mean() / slot)}
        ratio, poisson = counts / counts.mean(), 1.0 / counts.mean()
        found["service_cv"] = _short(recording.size_cv)
    else:
        slot = float(trace["slot_minutes"])
        per_day = int(DAY / slot)
        counts = recording.counts[part[0] * per_day : (part[1] + 1) * per_day]
        hour = (np.arange(len(counts)) * slot // 60).astype(int) % (168 if weekly else 24)
        mean = np.bincount(hour, counts) / np.bincount(hour)
        found = {"hourly_rates": [_short(rate / slot) for rate in mean]}
        ratio, poisson = counts / mean[hour], float((1.0 / mean[hour]).mean())
    variance = max(float(ratio.var()) - poisson, 0.0)
    apart = ratio - ratio.mean()
    keep = float((apart[1:] * apart[:-1]).mean()) / max(variance, 1e-12)
    minutes = -slot / math.log(min(max(keep, 0.01), 0.999))
    return found | {"noise": {"cv": _short(math.sqrt(variance)), "minutes": _short(minutes)}}


def _short(value: float) -> float:
    return float(f"{value:.4g}")
