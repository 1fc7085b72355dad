"""What a learner reports to while it trains: silent, or to a progress bar and TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Log:
    """Receives the course of a training run; this one does nothing."""

    def update(self, steps: int, total: int, ledger: Any, elapsed: float, scalars: dict[str, float]) -> None:
        """Called after every batch: decisions so far and in all, ledger totals [C] and time of the batch, losses."""

    def flush(self) -> None:
        """Called before a checkpoint: what was reported so far must outlive the process."""


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
        settings: what the run was made with, nested as the configuration is, for TensorBoard's table of hyperparameters.
    """

    def __init__(self, folder: Path, env: Any, name: str, settings: Mapping[str, Any] | None = None):
        self._folder, self._env, self._settings = folder, env, settings or {}
        self._writer: Any = None
        self._bar = bar()
        self._task = self._bar.add_task(name, total=None, note="")
        self._begun: int | None = None

    @property
    def prices(self) -> Any:
        """Of the ledger's columns [C]."""
        return self._env.prices

    def __enter__(self) -> "RunLog":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def flush(self) -> None:
        """Put the curves on the disk."""
        if self._writer is not None:
            self._writer.flush()

    def update(self, steps: int, total: int, ledger: Any, elapsed: float, scalars: dict[str, float]) -> None:
        """Write one point of every curve."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # A resumed run writes some steps a second time: those of before are purged.
            self._writer = SummaryWriter(str(self._folder), purge_step=steps)
            write_layout(self._writer, self._env, list(scalars))
            write_settings(self._writer, self._env, self._settings)
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


def write_layout(writer: Any, env: Any, learner: list[str]) -> None:
    """The tab of custom scalars: reward rate and every KPI, each with all runs in one chart, and what the learner reports."""
    kpis = {name.replace("_", " "): ["Multiline", [f"^kpi/{name}$"]] for name in env.problem.kpis}
    charts = {f"reward per {env.problem.time_unit}": ["Multiline", ["^reward_rate$"]]} | kpis
    own = {tag.removeprefix("learner/").replace("_", " "): ["Multiline", [f"^{tag}$"]] for tag in learner}
    writer.add_custom_scalars({env.problem.id: charts} | ({"learner": own} if own else {}))


def write_settings(writer: Any, env: Any, settings: Mapping[str, Any]) -> None:
    """Hyperparameters as the run's own, beside the curves that they led to (add_hparams would begin another run)."""
    from torch.utils.tensorboard.summary import hparams

    flat: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        else:
            flat[prefix] = node if isinstance(node, bool | int | float | str) else str(node)

    walk("", settings)
    metrics = {"reward_rate": 0.0} | {f"kpi/{name}": 0.0 for name in env.problem.kpis}
    for summary in hparams(flat, metrics):
        writer.file_writer.add_summary(summary)


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


def write_bands(folder: Path, bands: Any, levels: Any) -> None:
    """Learning curves over training seeds: mean, low and high of the cost by learner, and level lines, as custom scalars."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("**/events.out.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        tags = {name: [f"cost_{name}/{part}" for part in ("mean", "low", "high")] for name in bands}
        writer.add_custom_scalars({"cost over training": {name: ["Margin", each] for name, each in tags.items()}})
        for name, band in bands.items():
            for tag, values in zip(tags[name], (band.mean, band.low, band.high), strict=True):
                for step, value in zip(band.steps, values, strict=True):
                    if np.isfinite(value):
                        writer.add_scalar(tag, value, int(step))
    for name, value in levels.items():
        with SummaryWriter(str(folder / name)) as writer:
            for learner, band in bands.items():
                writer.add_scalar(f"cost_{learner}/mean", value, int(band.steps[0]))
                writer.add_scalar(f"cost_{learner}/mean", value, int(band.steps[-1]))


def curves(env: Any, ledger: Any, elapsed: float) -> dict[str, float]:
    """Reward rate (per episode, where that counts) and KPIs of ledger totals [C] over a time."""
    kpis = {f"kpi/{name}": float(kpi(env.ledger, ledger)) for name, kpi in env.problem.kpis.items()}
    under = float(env.ledger.total(ledger, env.problem.demand)) if env.problem.episodic else elapsed
    return {"reward_rate": float(-(ledger @ env.prices) / under) if under > 0 else float("nan")} | kpis


def write_level(folder: Path, env: Any, ledger: Any, elapsed: float, steps: int) -> None:
    """A baseline as a run of its own: level lines under the learner's tags, from step 0 to `steps`."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.*"):
        old.unlink()  # of a run that was interrupted at its baselines
    with SummaryWriter(str(folder)) as writer:
        for tag, value in curves(env, ledger, elapsed).items():
            if np.isfinite(value):
                writer.add_scalar(tag, value, 0)
                writer.add_scalar(tag, value, steps)
