"""The benchmark's plain-Python twin against the kernel, and every part of the benchmark at a size of no meaning."""

import gymnasium
import numpy as np
import pytest

import pointsman
from pointsman.scripts.bench.measure import Row
from pointsman.scripts.bench.report import markdown
from pointsman.scripts.bench.twin import Desk, Request
from pointsman.scripts.benchmark import PARTS, main


def record(env):
    """The request that the kernel has just taken."""
    one = env.record.request
    return Request(env.record.gap[0], one.score[0], bool(one.easy[0]), one.handling[0], one.patience[0])


@pytest.mark.parametrize(("seed", "share"), [(0, 0.5), (1, 0.9), (2, 0.1)])
def test_twin_and_kernel_agree_on_the_same_records(seed, share):
    env, generator = pointsman.make("dispatch/mini", 1, autoreset=False), np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    records, actions, seen, rewards = [record(env)], [], [observation[0]], []
    truncated = [False]
    while not truncated[0]:
        actions.append(int(generator.random() < share))
        observation, reward, _, truncated, _ = env.step(np.array(actions[-1:]))
        records.append(record(env))
        seen.append(observation[0])
        rewards.append(reward[0])
    twin = Desk(iter(records))
    found = [twin.reset()[0]]
    for action, reward in zip(actions, rewards, strict=True):
        one, gain, _, over, _ = twin.step(action)
        found.append(one)
        assert gain == pytest.approx(reward)
    assert over
    np.testing.assert_array_equal(found, seen)
    if share == 0.9:
        assert max(row[2] for row in seen) > 5  # a queue from which some have abandoned
        assert min(rewards) < -15


def test_twin_draws_what_the_kernel_draws():
    """Mean cost of all to the people, whose spread over 40 episodes the tolerance reflects."""
    twins = gymnasium.vector.SyncVectorEnv([Desk] * 20)
    env = pointsman.make("dispatch/mini", 400)
    twins.reset(seed=0), env.reset(seed=0)
    costs = [[], []]
    for _ in range(600):
        costs[0].append(twins.step(np.zeros(20, int))[1].mean())
        costs[1].append(env.step(np.zeros(400, int))[1].mean())
    assert np.mean(costs[0]) == pytest.approx(np.mean(costs[1]), rel=0.05)


@pytest.mark.parametrize("part", [part for part in PARTS if part != "race"])  # test_race.py has that one
def test_every_part_runs(part, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmark", "--parts", part, "--repeats=2", "--share=0.01", f"--output={tmp_path}"])
    main()
    printed, (table, *pictures) = capsys.readouterr().out, sorted(tmp_path.iterdir())
    assert printed.startswith(table.read_text())
    assert f"| {part} | median |" in printed
    assert [picture.name for picture in pictures] == (["scaling.png"] if part == "scaling" else [])


def test_rows_are_shown_with_median_and_range():
    rows = [Row("steps", "one", [1.0, 5.0, 2.0], "steps/s"), Row("training", "two", [2e6], "steps/s", "fast")]
    text = markdown(rows)
    assert "| one | 2 steps/s | [1, 5] | 3 |  |" in text
    assert "| two | 2,000,000 steps/s | [2,000,000, 2,000,000] | 1 | fast |" in text
