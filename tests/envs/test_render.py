"""The picture of the desk: what is drawn changes with what happens, and is offered the way gymnasium asks for it."""

import gymnasium
import numpy as np
import pytest

import pointsman
from pointsman.errors import PointsmanError
from pointsman.scripts import film

BUSY, OUT = (0x2A, 0x78, 0xB5), (0xC0, 0x39, 0x2B)


def pixels(picture, colour):
    """How many pixels have just that colour."""
    return int((picture == np.array(colour, np.uint8)).all(2).sum())


def test_gymnasium_gets_frames():
    env = gymnasium.make("pointsman:pointsman/Dispatch-v0", preset="service_desk", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[2] == 3
    assert "rgb_array" in env.metadata["render_modes"]
    with pytest.raises(PointsmanError, match="render_mode must be one of"):
        gymnasium.make("pointsman:pointsman/Dispatch-v0", render_mode="human", disable_env_checker=True)


def test_the_picture_shows_who_is_busy_and_that_automation_is_out():
    env = pointsman.make("dispatch/service_desk", 2, render_mode="rgb_array")
    with pytest.raises(PointsmanError, match="call reset"):
        env.render()[0]
    env.reset(seed=0)
    idle, again = env.render()
    assert pixels(idle, OUT) == 0
    assert idle.shape == again.shape
    env.state.busy[0, 0] = 4
    one = pixels(env.render()[0], BUSY)
    env.state.busy[0, 0] = 5
    assert pixels(env.render()[0], BUSY) > one > pixels(idle, BUSY)
    env.state.outages[0] = 1
    assert pixels(env.render()[0], OUT) > 0
    env.state.queue[0, 0, :3, 0] = env.state.clock[0] - np.array([30.0, 5.0, 1.0])
    before = env.render()[0]
    env.state.waiting[0, 0] = 3
    assert pixels(env.render()[0], (171, 9, 30)) > pixels(before, (171, 9, 30))


@pytest.mark.parametrize(("problem", "rule"), [("dispatch/mini", "index"), ("inventory/dual_sourcing", "dual_index")])
def test_film_writes_a_gif_and_ends_bad_input_in_one_line(tmp_path, monkeypatch, capsys, problem, rule):
    monkeypatch.setattr(film, "FRAMES", 3)
    monkeypatch.setattr(film, "SKIP", 1)
    monkeypatch.setattr("sys.argv", ["film", problem, rule, str(tmp_path / "a.gif")])
    film.main()
    assert (tmp_path / "a.gif").read_bytes()[:6] == b"GIF89a"
    for arguments, message in ((["x"], "three arguments"), (["dispatch/mini", "indx", "a.gif"], "did you mean index")):
        monkeypatch.setattr("sys.argv", ["film", *arguments])
        with pytest.raises(SystemExit, match=message) as caught:
            film.main()
        assert "\n" not in str(caught.value)
