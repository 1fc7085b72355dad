"""The one error that users meet: a line that names the key, value or path, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class PointsmanError(ValueError):
    """Bad input from the user; scripts print it as one line and exit with status 2."""


def unknown(what: str, name: str, known: Iterable[str]) -> PointsmanError:
    """Error for a name that is not among `known`, with the nearest ones as a hint."""
    known = list(known)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    return PointsmanError(f"unknown {what} '{name}'; {hint}")
