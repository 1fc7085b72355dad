"""How kernels are compiled: for row functions, and for the loops over rows that call them.

Without Numba's runtime (`_nrt=False`) nothing can be allocated, and passing a NamedTuple of arrays from one
function to another costs no reference counting, which was nine tenths of the time of a step.
"""

from typing import Any

from numba import njit

_OPTIONS: dict[str, Any] = {"cache": True, "_nrt": False, "error_model": "numpy"}
inlined = njit(forceinline=True, **_OPTIONS)
batched = njit(nogil=True, **_OPTIONS)
