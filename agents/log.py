"""What a learner reports to while it trains: silent, or to a progress bar and TensorBoard."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Log:
    """Receives the course of a training run; this one does nothing."""

    def update(self, steps: int, total: int, ledger: Any, elapsed: float, scalars: dict[str, float]) -> None:
        """Called after every batch: decisions so far and in all, ledger totals [C] and time of the batch, losses."""


def bar() -> Progress:
    """A progress bar on stderr, so that stdout holds results only."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        console=Console(stderr=True),
    )  # fmt: skip


class RunLog(Log):
    """Draws a progress bar and writes curves: reward rate, KPIs, and the learner's own scalars.

    Args:
        folder: TensorBoard's log directory of this run.
        env: gives names, prices and KPIs.
        name: shown at the bar.
    """

    def __init__(self, folder: Path, env: Any, name: str):
        self._folder, self._env = folder, env
        self._writer: Any = None
        self._bar = bar()
        self._task = self._bar.add_task(name, total=None, note="")
        self._begun: int | None = None

    def __enter__(self) -> "RunLog":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def update(self, steps: int, total: int, ledger: Any, elapsed: float, scalars: dict[str, float]) -> None:
        """Write one point of every curve."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # A resumed run writes some steps a second time: those of before are purged.
            self._writer = SummaryWriter(str(self._folder), purge_step=steps)
        values = curves(self._env, ledger, elapsed) | scalars
        for tag, value in values.items():
            if np.isfinite(value):
                self._writer.add_scalar(tag, value, steps)
        if self._begun is None:
            # Speed counts from the first report on: what comes before it is start-up, or an earlier session.
            self._begun = steps
        seconds = self._bar.tasks[0].elapsed or 1.0
        speed = (steps - self._begun) / seconds
        note = f"{speed / 1000:,.0f}k steps/s  reward rate {values['reward_rate']:.4g}"
        self._bar.update(self._task, total=total, completed=steps, note=note)


def write_report(folder: Path, pictures: Path, rules: list[str]) -> None:
    """The figures of an evaluation (every PNG of the folder `pictures`) and the distilled rules, as a run of their own."""
    from matplotlib.image import imread
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.*"):
        old.unlink()  # of an earlier evaluation
    with SummaryWriter(str(folder)) as writer:
        for file in sorted(pictures.glob("*.png")):
            writer.add_image(f"evaluation/{file.stem}", imread(file), dataformats="HWC")
        writer.add_text("evaluation/rules", "\n".join(f"1. {rule}" for rule in rules))


def curves(env: Any, ledger: Any, elapsed: float) -> dict[str, float]:
    """Reward rate and KPIs of ledger totals [C] over a time."""
    kpis = {f"kpi/{name}": float(kpi(env.ledger, ledger)) for name, kpi in env.problem.kpis.items()}
    return {"reward_rate": float(-(ledger @ env.prices) / elapsed)} | kpis


def write_level(folder: Path, env: Any, ledger: Any, elapsed: float, steps: int) -> None:
    """A baseline as a run of its own: level lines under the learner's tags, from step 0 to `steps`."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for tag, value in curves(env, ledger, elapsed).items():
            if np.isfinite(value):
                writer.add_scalar(tag, value, 0)
                writer.add_scalar(tag, value, steps)
