"""Learning curves from TensorBoard events, and bands over seeds by hand."""

import numpy as np
import pytest
from scipy import stats
from torch.utils.tensorboard import SummaryWriter

from pointsman.evaluation.curves import POINTS, band, run_curves, scalars
from pointsman.evaluation.runfolder import RunFolder


def write(folder, values, tag="reward_rate"):
    with SummaryWriter(str(folder)) as writer:
        for step, value in enumerate(values):
            writer.add_scalar(tag, value, 100 * step)


def test_bands_and_levels_are_read_from_run_folders(tmp_path):
    """Two runs, of cost 3 and 5 throughout: mean 4, and t with one degree of freedom times the standard error of 1."""
    for name, cost in (("one", 3.0), ("two", 5.0)):
        write(tmp_path / name / "tensorboard" / "ppo", [-cost] * 50)
    write(tmp_path / "one" / "tensorboard" / "rule", [-2.5, -2.5])
    bands, levels = run_curves({"ppo": [RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")]}, ["ppo", "rule", "absent"])
    assert levels == {"rule": 2.5}
    assert bands["ppo"].steps[[0, -1]].tolist() == [0, 4900]
    assert bands["ppo"].mean == pytest.approx(np.full(POINTS, 4.0))
    assert bands["ppo"].high - 4.0 == pytest.approx(np.full(POINTS, stats.t.ppf(0.975, 1)))


def test_bands_cover_the_steps_that_all_seeds_have():
    one, two = (np.array([0.0, 100.0]), np.array([1.0, 2.0])), (np.array([50.0, 300.0]), np.array([1.5, 4.0]))
    found = band([one, two])
    assert found.steps[[0, -1]].tolist() == [50, 100]
    alone = band([one])
    assert np.isnan(alone.low).all()
    assert alone.mean[-1] == 2.0
    assert band([]) is None
    assert band([one, (np.array([200.0, 300.0]), np.ones(2))]) is None


def test_what_was_never_written_is_empty(tmp_path):
    write(tmp_path / "there", [1.0])
    assert len(scalars(tmp_path / "there", "other")[0]) == len(scalars(tmp_path / "nowhere", "x")[0]) == 0
