"""From the simulator to a verdict, as a user goes: collect, validate, evaluate; exit statuses; the report."""

import pandas as pd

COLLECT = ["policy=threshold", "parameters={threshold: 0.5}", "env.horizon_minutes=60", "decisions=8000"]


def test_collect_evaluate_and_validate(tmp_path, start):
    """On dispatch/mini: a high threshold is worse, and a log without exploration is refused with what it still tells."""
    done = start(tmp_path, "collect", *COLLECT, "epsilon=0.3", "output=log.parquet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "log: log.parquet"
    asked = ["policy=threshold", "parameters={threshold: 0.8}", "objective=rate", "markov=true", "truth_episodes=60"]
    done = start(tmp_path, "evaluate_offline", "log=log.parquet", "output=out", *asked)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "verdict: worse" in done.stdout
    assert "truth: reward per minute" in done.stdout
    assert (tmp_path / "out" / "report.html").read_text().count("<svg") == 3
    done = start(tmp_path, "collect", *COLLECT, "epsilon=0", "output=sure.csv")
    assert done.returncode == 0, done.stderr
    done = start(tmp_path, "evaluate_offline", "log=sure.csv", "policy=all_people", "objective=decision", "output=sure")
    assert done.returncode == 3, done.stdout + done.stderr
    for part in (
        "verdict: refused",
        "agreement:",
        "one-step bounds:",
        "extrapolation",
        "replay: in the simulator",
        "logging plan",
    ):
        assert part in done.stdout, done.stdout
    table = pd.read_parquet(tmp_path / "log.parquet")
    table.loc[4, "action"] = 17
    table.to_parquet(tmp_path / "log.parquet")
    done = start(tmp_path, "log", "validate", "log.parquet")
    assert done.returncode == 1
    assert "row 5: action is neither" in done.stdout
    assert "file: is not the file whose hash" in done.stdout
