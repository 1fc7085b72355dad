"""How kernels are compiled, for row functions and for the loops over rows that call them, and where the results are kept.

Without Numba's runtime (`_nrt=False`) nothing can be allocated, and passing a NamedTuple of arrays from one
function to another costs no reference counting, which was nine tenths of the time of a step.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.misc.appdirs import AppDirs

_OPTIONS: dict[str, Any] = {"_nrt": False, "error_model": "numpy"}
_config: Any = numba.config


def _folder() -> str:
    """Where compiled code is kept: NUMBA_CACHE_DIR, else a folder of the user's, which outlives an installation.

    Numba compiles anew what has changed in a function's own file. It does not see a change in what all kernels have compiled
    into them, this file and noise.py; hence their digest in the path.
    """
    if _config.CACHE_DIR:
        return str(_config.CACHE_DIR)
    shared = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("compiled.py", "noise.py"))
    return str(Path(AppDirs("pointsman", appauthor=False).user_cache_dir) / hashlib.sha256(shared).hexdigest()[:12])


_FOLDER = _folder()


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compiled at the first call, and kept where that is possible."""

    def decorate(function: Callable[..., Any]) -> Any:
        given, _config.CACHE_DIR = _config.CACHE_DIR, _FOLDER  # which Numba reads here, and only here
        try:
            return njit(cache=True, **_OPTIONS, **options)(function)
        except RuntimeError:  # no folder can be written, neither this one nor those that Numba tries after it
            return njit(**_OPTIONS, **options)(function)
        finally:
            _config.CACHE_DIR = given

    return decorate


inlined = _compiled(forceinline=True)
batched = _compiled(nogil=True)


@inlined
def rests(out, i, autoreset):
    """Whether row i has ended before and waits for `reset`: nothing is booked there, no time passes, no buffer fills."""
    if autoreset or not (out.terminated[i] or out.truncated[i]):
        return False
    for column in range(out.ledger.shape[1]):
        out.ledger[i, column] = 0.0
    out.elapsed[i] = 0.0
    return True
