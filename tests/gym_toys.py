"""Two environments of a few lines, registered with gymnasium: a walk that ends by itself or not, and pushes of two numbers."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Walk(gymnasium.Env):
    """Left or right from 0; +1 ends it by itself with reward 5, and a picture of bytes or the place is seen."""

    action_space = spaces.Discrete(2, start=3)

    def __init__(self, image=False, forgetful=False, words=False):
        self.image, self.forgetful = image, forgetful
        place = spaces.Box(-100.0, 100.0, (1,), np.float32)
        self.observation_space = (
            spaces.Box(0, 255, (36, 36, 1), np.uint8) if image else spaces.Sequence(spaces.Discrete(2)) if words else place
        )

    def seen(self):
        return np.full((36, 36, 1), self.place + 100, np.uint8) if self.image else np.array([self.place], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = -int(self.np_random.integers(1, 4))
        if self.forgetful:
            self.place -= int(np.random.default_rng().integers(1, 1 << 20)) / (1 << 20)  # differs whatever the seed
        return self.seen(), {}

    def step(self, action):
        assert action in (3, 4)
        self.place += 1 if action == 4 else -1
        return self.seen(), 5.0 if self.place >= 1 else -1.0, self.place >= 1, False, {}


class Push(gymnasium.Env):
    """Reward for a push of two numbers near what is seen; one step."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(np.array([-2.0, -1.0], np.float32), np.array([2.0, 1.0], np.float32))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.wish = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.wish, {}

    def step(self, action):
        assert self.action_space.contains(action)
        return self.wish, -float(np.square(action - self.wish).sum()), True, False, {}


gymnasium.register("PointsmanWalk-v0", Walk)
gymnasium.register("PointsmanPush-v0", Push, max_episode_steps=5)
