"""Reads a trace in the Standard Workload Format, version 2.2; every error names the file and the line.

The format: Feitelson's Parallel Workloads Archive, https://www.cs.huji.ac.il/labs/parallel/workload/swf.html. Header
lines begin with a semicolon; a job is a line of 18 numbers, of which -1 stands for "not known".
"""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointsman.errors import PointsmanError

FIELDS = (
    "job number", "submit time", "wait time", "run time", "allocated processors", "average CPU time", "used memory",
    "requested processors", "requested time", "requested memory", "status", "user", "group", "executable", "queue",
    "partition", "preceding job", "think time",
)  # fmt: skip
SUBMIT, WAIT, RUN, ALLOCATED, REQUESTED, TIME, USER = 1, 2, 3, 4, 7, 8, 11
"""Positions of the fields that a simulation needs."""
UNKNOWN = -1.0


class Trace(NamedTuple):
    """Jobs in order of submission, [T] each, times in seconds."""

    header: dict[str, str]
    processors: int  # of the machine, by the header; 0: it does not say
    submit: NDArray[np.float64]
    wait: NDArray[np.float64]  # in the log; NaN: not known
    run: NDArray[np.float64]
    estimate: NDArray[np.float64]  # of the user; never less than the run time, at which a scheduler would have stopped it
    size: NDArray[np.int64]  # processors: as requested, or else as allocated
    user: NDArray[np.int64]  # numbered from 0; all unknown ones are one
    left_out: int  # jobs whose run time or processors are not known


def read(path: Path, processors: int | None = None) -> Trace:
    """A trace; `processors` takes the place of what the header says of the machine."""
    header: dict[str, str] = {}
    rows: list[list[float]] = []
    lines: list[int] = []
    number = 0
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
            for number, line in enumerate(file, 1):
                if line.lstrip().startswith(";"):
                    key, _, value = line.strip("; \n").partition(":")
                    header.setdefault(key.strip(), value.strip())
                elif line.strip():
                    rows.append(_numbers(path, number, line))
                    lines.append(number)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad(path, number + 1, f"the compressed file breaks off or is damaged here ({error})") from None
    except UnicodeDecodeError:
        raise _bad(path, number + 1, "this is not text: is it a file in the Standard Workload Format?") from None
    except OSError as error:
        raise PointsmanError(f"trace: {path} cannot be read: {error.strerror or error}") from None
    if not rows:
        raise PointsmanError(f"trace {path}: it has no jobs, only {number} lines of header")
    machine = processors or _whole(header.get("MaxProcs", "")) or _whole(header.get("MaxNodes", ""))
    table = np.array(rows)
    size = np.where(table[:, REQUESTED] > 0, table[:, REQUESTED], table[:, ALLOCATED])
    _check(path, lines, table, size, machine)
    stated = _whole(header.get("MaxRecords", ""))
    if stated and stated != len(rows):
        said = f"the header promises {stated} jobs (MaxRecords), the file ends here with {len(rows)}"
        raise _bad(path, lines[-1], f"{said}: it is truncated, or its header should be corrected")
    known = (table[:, RUN] != UNKNOWN) & (size > 0)
    if not known.any():
        raise PointsmanError(f"trace {path}: none of its {len(rows)} jobs has a run time and processors")
    table, size = table[known], size[known]
    wait = np.where(table[:, WAIT] == UNKNOWN, math.nan, table[:, WAIT])
    user = np.unique(table[:, USER], return_inverse=True)[1]
    estimate = np.maximum(table[:, TIME], table[:, RUN])
    return Trace(
        header, machine, table[:, SUBMIT], wait, table[:, RUN], estimate, size.astype(np.int64), user.ravel(), int((~known).sum())
    )


def _numbers(path: Path, number: int, line: str) -> list[float]:
    """The fields of a job's line."""
    found = line.split()
    if len(found) != len(FIELDS):
        raise _bad(path, number, f"{len(found)} fields instead of {len(FIELDS)}: is the file truncated, or another format?")
    values = []
    for name, text in zip(FIELDS, found, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise _bad(path, number, f"{name} must be a number, got '{text}'")
        values.append(value)
    return values


def _check(path: Path, lines: list[int], table: NDArray[np.float64], size: NDArray[np.float64], machine: int) -> None:
    """An error at the first line with times or sizes that cannot be."""
    for k in (SUBMIT, WAIT, RUN, ALLOCATED, REQUESTED, TIME):
        known = table[:, k] != UNKNOWN if k != SUBMIT else np.ones(len(table), bool)
        bad = known & (table[:, k] < 0)
        value = table[bad.argmax(), k]
        _refuse(path, lines, bad, f"{FIELDS[k]} is negative: {value:g} (-1 alone means: not known)")
    unsorted, part = np.diff(table[:, SUBMIT], prepend=-math.inf) < 0, size != np.floor(size)
    row = int(unsorted.argmax())
    before = f"after line {lines[row - 1]} at {table[row - 1, SUBMIT]:g}"
    _refuse(path, lines, unsorted, f"not in order of time: submitted at {table[row, SUBMIT]:g}, {before}")
    said = f"processors must be a whole number, got {size[part.argmax()]:g} (requested, or else allocated)"
    _refuse(path, lines, part, said)
    large = size > (machine or math.inf)
    said = f"the job is larger than the cluster: {size[large.argmax()]:g} of {machine} processors"
    _refuse(path, lines, large, said)


def _refuse(path: Path, lines: list[int], bad: NDArray[np.bool_], why: str) -> None:
    """An error at the first bad row."""
    if bad.any():
        raise _bad(path, lines[int(bad.argmax())], why)


def _bad(path: Path, line: int, why: str) -> PointsmanError:
    return PointsmanError(f"trace {path}, line {line}: {why}")


def _whole(text: str) -> int:
    """The first whole number of a header entry; 0: none."""
    found = re.match(r"\d+", text)
    return int(found.group()) if found else 0
