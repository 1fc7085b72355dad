"""Long-run averages from simulations that start empty: how much to delete, honest intervals, and whether there is one at all."""

import numpy as np
from numpy.typing import NDArray

from pointsman.evaluation.statistics import Floats, Interval, rate


def mser(series: Floats, batch: int = 5) -> int:
    """Entries of a series [T] to delete as warm-up: the cut with the least standard error of the mean of what remains.

    MSER-5 (White, Cobb and Spratt 2000) on means over `batch` entries. The cut is sought in the first half only; one in
    the very middle says that the series is too short to tell.
    """
    means = series[: len(series) // batch * batch].reshape(-1, batch).mean(1)
    n = len(means)
    if n < 2:
        return 0
    # Sums from the end, so that every cut's variance comes from two running totals.
    left = np.arange(n, 0, -1)
    centred = means - means.mean()
    total, squares = centred[::-1].cumsum()[::-1], (centred**2)[::-1].cumsum()[::-1]
    error = (squares - total**2 / left) / left**2
    return int(error[: n // 2 + 1].argmin()) * batch


def batch_means(cost: Floats, elapsed: Floats, batches: int = 20, level: float = 0.95) -> Interval:
    """Long-run cost rate of one run's decisions [T], warm-up deleted; batches as long as this are nearly independent."""
    begins = np.linspace(0, len(cost), batches, endpoint=False).astype(int)
    return rate(np.add.reduceat(cost, begins), np.add.reduceat(elapsed, begins), level)


def regenerative(cost: Floats, elapsed: Floats, renewal: NDArray[np.bool_], level: float = 0.95) -> Interval:
    """Long-run cost rate of one run's decisions [T] by its cycles, which begin where `renewal`; no warm-up need be deleted.

    Cycles are independent where the future depends on nothing else than being there, such as an empty system with
    Poisson arrivals (Crane and Iglehart 1975). The parts before the first renewal and after the last are left out.
    """
    begins = np.flatnonzero(renewal)
    if len(begins) < 3:
        return Interval(np.nan, -np.inf, np.inf)
    last = begins[-1]
    return rate(np.add.reduceat(cost[:last], begins[:-1]), np.add.reduceat(elapsed[:last], begins[:-1]), level)


def growth(windows: Floats, level: float = 0.95) -> Interval:
    """How much the straight line through windows [E, W] grows from first to last, as a share of their mean."""
    length = windows.shape[1]
    centred = np.arange(length) - (length - 1) / 2
    slope = windows @ centred / (centred**2).sum()
    return rate(slope * (length - 1), windows.mean(1), level)


def diverges(windows: Floats, usual: float = 0.0) -> bool:
    """Do costs per window [E, W] grow as those of a queue that nothing holds back: surely, and by more than half their mean?

    That much beyond the growth that is `usual` in the same world, whose demand may rise. A stable queue that is slow to settle
    levels off: its second half must then grow by less than its first.
    """
    half = windows.shape[1] // 2
    late = growth(windows[:, half:])
    return growth(windows).low > 0.5 + usual and late.low > 0
