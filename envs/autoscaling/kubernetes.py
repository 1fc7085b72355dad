"""The arithmetic of Kubernetes' horizontal pod autoscaler (autoscaling/v2), for many at once.

Kubernetes documentation, "Horizontal Pod Autoscaling: algorithm details, configurable scaling behavior"; where that leaves
a case open, replica_calculator.go of Kubernetes decides.
"""

from typing import Any

import numpy as np

from pointsman.envs.arrays import Floats

TOLERANCE = 0.1
"""A ratio this close to 1 changes nothing."""
WINDOW = 5.0
"""Minutes of the past whose highest recommendation holds back a scale-down (stabilizationWindowSeconds: 300)."""
PERIOD = 0.25
"""Minutes over which a scale-up is limited."""
PERCENT, PODS = 100.0, 4
"""... to the larger of this share of the replicas at the period's start, and of so many pods."""
ROUNDING = 1e-5
"""Numbers that are whole but for the rounding of float32 observations count as whole."""


def _up(x: Floats) -> Floats:
    found: Floats = np.ceil(x - ROUNDING)
    return found


def _close(ratio: Floats, tolerance: Any) -> Any:
    return np.abs(ratio - 1.0) <= tolerance + ROUNDING


def recommend(
    usage: Any, target: Any, measured: Any, unready: Any = 0.0, missing: Any = 0.0, tolerance: Any = TOLERANCE
) -> Floats:
    """Replicas desired from a resource metric, [N]; at least one pod must have been measured, else nothing changes.

    Args:
        usage: mean utilisation of the measured pods, as a share of what they request.
        target: what it should be.
        measured: pods that are ready and have a metric.
        unready: pods that are not ready, or so lately that their metric does not count.
        missing: pods that are ready and have no metric.
    """
    usage, target, measured, unready, missing = np.broadcast_arrays(
        *(np.asarray(x, float) for x in (usage, target, measured, unready, missing))
    )
    current = measured + unready + missing
    ratio = usage / target
    with_unready, with_missing = (unready > 0) & (ratio > 1), missing > 0
    plain = np.where(_close(ratio, tolerance), current, _up(ratio * measured))
    # Missing pods count in full against a scale-down and not at all towards a scale-up; unready ones are left out of the former.
    filled = np.where(ratio < 1, missing * np.maximum(1.0, target), 0.0)
    pods = measured + missing + np.where(with_unready, unready, 0.0)
    again = (usage * measured + filled) / target / np.maximum(pods, 1.0)
    wanted = _up(again * pods)
    turned = ((ratio < 1) & (again > 1)) | ((ratio > 1) & (again < 1))
    turned |= ((again < 1) & (wanted > current)) | ((again > 1) & (wanted < current))
    careful = np.where(_close(again, tolerance) | turned | (ratio == 1), current, wanted)
    found = np.where(with_unready | with_missing, careful, plain)
    return np.where(measured > 0, found, current)


def recommend_external(load: Any, target: Any, current: Any, tolerance: Any = TOLERANCE) -> Floats:
    """Replicas desired from a metric of the whole service, such as requests per minute, with a target per pod, [N]."""
    load, target, current = np.broadcast_arrays(*(np.asarray(x, float) for x in (load, target, current)))
    ratio = load / (target * np.maximum(current, 1.0))
    return np.where(_close(ratio, tolerance) & (current > 0), current, _up(load / target))


def behave(current: Any, recommendations: Any, least: Any, most: Any, added: Any = 0.0, removed: Any = 0.0) -> Floats:
    """Replicas after stabilisation, the limit on scale-ups, and the configured bounds, [N].

    Args:
        current: replicas now [N].
        recommendations: [N, W], the newest first, of the last `WINDOW` minutes.
        least, most: bounds.
        added, removed: replicas added and removed within the last `PERIOD`.
    """
    current = np.asarray(current, float)
    newest, highest = recommendations[:, 0], recommendations.max(1)
    wanted = np.where(newest < current, np.minimum(highest, current), newest)
    begin = current - added + removed
    limit = np.maximum(np.maximum(begin + PODS, _up(begin * (1.0 + PERCENT / 100.0))), current)
    found: Floats = np.clip(np.where(wanted > current, np.minimum(wanted, limit), wanted), least, most)
    return found
