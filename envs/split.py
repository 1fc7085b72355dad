"""Rows of a batch shared out over threads: compiled kernels hold no lock, and no row knows of another."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from pointsman.errors import PointsmanError

ROWS = 2048
"""Rows that a thread must have for it to pay: handing work over takes 40 us, the cheapest kernels 30 ns a row."""


class Split:
    """Calls a function on all of `rows` rows at once, or on as many equal parts as there are threads worth their while."""

    def __init__(self, rows: int, threads: int):
        if not isinstance(threads, int) or threads < 1:
            raise PointsmanError(f"threads must be a positive integer, got {threads!r}")
        parts = max(1, min(threads, rows // ROWS))
        edges = [rows * k // parts for k in range(parts + 1)]
        self.parts = list(pairwise(edges))
        self._pool = ThreadPoolExecutor(parts - 1) if parts > 1 else None  # it starts no thread before the first call

    def __call__(self, part: Callable[[int, int], tuple[int, int]]) -> tuple[int, int]:
        """part(first, last) -> (row, what) of the first row in trouble or (-1, 0); the same of all rows."""
        if self._pool is None:
            return part(*self.parts[0])
        others = [self._pool.submit(part, first, last) for first, last in self.parts[1:]]
        found = [part(*self.parts[0]), *(other.result() for other in others)]
        return next((trouble for trouble in found if trouble[0] >= 0), (-1, 0))
