"""The search that chose the settings of both sides of the race: 30 trials of Optuna's sampler each, in the same space.

A trial counts the processor time until the target on one seed; it is given up at one and a half times the best so far. The
three best run on two more seeds, and the best mean of all three is taken. Trials are appended to trials.csv, one line each.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import pointsman
from pointsman.scripts.bench import race

TRIALS = Path(__file__).with_name("trials.csv")
FIELDS = ("problem", "side", "trial", "seed", "seconds", "gap", "settings")

START: dict[str, dict[str, Any]] = {
    "pointsman": {
        "num_envs": 512, "rollout_steps": 16, "epochs": 2, "minibatch": 1024, "learning_rate": 2e-3, "gae_lambda": 0.9,
        "entropy": 0.0, "total_steps": 500_000, "quadratic": False, "lookahead": False,
    },
    "stable-baselines3": {
        "num_envs": 64, "rollout_steps": 128, "epochs": 4, "minibatch": 1024, "learning_rate": 5e-4, "gae_lambda": 0.9,
        "entropy": 0.0, "total_steps": 500_000, "gamma": 0.99, "normalise": False, "decay": False, "masks": False,
    },
}  # fmt: skip
"""The first trial of each side: near the shipped configuration."""


def propose(trial: Any, side: str, events: bool, masked: bool) -> dict[str, Any]:
    """Settings: those that both sides have, then each side's own switches."""
    common = {
        "num_envs": trial.suggest_categorical("num_envs", [16, 32, 64, 128, 256, 512, 1024]),
        "rollout_steps": trial.suggest_categorical("rollout_steps", [8, 16, 32, 64, 128]),
        "epochs": trial.suggest_int("epochs", 1, 8),
        "minibatch": trial.suggest_categorical("minibatch", [256, 512, 1024, 2048, 4096]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "gae_lambda": trial.suggest_categorical("gae_lambda", [0.6, 0.8, 0.9, 0.95, 0.98]),
        "entropy": trial.suggest_categorical("entropy", [0.0, 0.01, 0.03]),
        "total_steps": trial.suggest_int("total_steps", 50_000, 5_000_000, log=True),
    }
    if side == "pointsman":
        return common | {
            "quadratic": trial.suggest_categorical("quadratic", [False, True]),
            "lookahead": events and trial.suggest_categorical("lookahead", [False, True]),
        }
    return common | {
        "gamma": trial.suggest_categorical("gamma", [0.9, 0.95, 0.98, 0.99, 0.995, 0.999]),
        "normalise": trial.suggest_categorical("normalise", [False, True]),
        "decay": trial.suggest_categorical("decay", [False, True]),
        "masks": masked and trial.suggest_categorical("masks", [False, True]),
    }


def search(name: str, side: str, trials: int, cap: float) -> None:
    """Search, writing every trial as it ends."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optimum = pointsman.solve(name, **race.SETTINGS[name]).average_cost
    events = pointsman.envs.build(pointsman.envs.configure(name, **race.SETTINGS[name])).events is not None
    masked = name != "dispatch/mini"  # where nothing is forbidden
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=8))
    skipped = {"lookahead": not events, "masks": not masked}
    study.enqueue_trial({key: value for key, value in START[side].items() if not skipped.get(key)})
    kept: list[tuple[float, dict[str, Any]]] = []

    def attempt(trial: Any) -> float:
        settings = propose(trial, side, events, masked)
        best = min((seconds for seconds, _ in kept), default=cap)
        limit = min(cap, max(1.5 * best, best + 3.0))
        seconds = _run(name, side, trial.number, settings, 100, optimum, limit)
        if seconds <= limit:
            kept.append((seconds, settings))
        return seconds

    study.optimize(attempt, n_trials=trials)
    for seconds, settings in sorted(kept, key=lambda pair: pair[0])[:3]:
        for seed in (101, 102):
            _run(name, side, -1, settings, seed, optimum, min(cap, 4 * seconds))


def _run(name: str, side: str, trial: int, settings: dict[str, Any], seed: int, optimum: float, limit: float) -> float:
    """Seconds; of one that does not arrive, the limit, and more the farther off it ended."""
    end = race.run(side, name, settings, seed, optimum, limit)
    arrived = end.gap <= race.TARGET
    seconds = end.processor if arrived else limit * (1.0 + min(end.best, 10.0))
    new = not TRIALS.exists()
    with open(TRIALS, "a", newline="") as file:
        out = csv.writer(file)
        if new:
            out.writerow(FIELDS)
        out.writerow([name, side, trial, seed, f"{seconds:.2f}", f"{end.gap:.4f}", json.dumps(settings)])
    print(name, side, trial, f"{seconds:.2f}", f"{end.gap:.4f}", settings, flush=True)
    return seconds


def chosen(name: str, side: str) -> dict[str, Any]:
    """The settings whose mean over the three seeds is least."""
    seconds: dict[str, list[float]] = {}
    with open(TRIALS, newline="") as file:
        for row in csv.DictReader(file):
            if (row["problem"], row["side"]) == (name, side):
                seconds.setdefault(row["settings"], []).append(float(row["seconds"]))
    most = max(map(len, seconds.values()))
    best = min((sum(values), settings) for settings, values in seconds.items() if len(values) == most)
    found: dict[str, Any] = json.loads(best[1])
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", choices=list(race.SETTINGS))
    parser.add_argument("side", choices=race.SIDES)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--cap", type=float, default=race.CAP)
    options = parser.parse_args()
    search(options.problem, options.side, options.trials, options.cap)
