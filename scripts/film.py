"""python -m pointsman.scripts.film <problem> <rule or run folder> <file.gif>: a policy at work, decision by decision."""

import sys
from pathlib import Path
from typing import Any

from pointsman.errors import PointsmanError, unknown

FRAMES, SKIP, MILLISECONDS = 60, 150, 350
"""Decisions shown, decisions before the first, and how long each stays."""


def film(name: str, policy: Any, path: Path, seed: int = 0) -> None:
    """Write the GIF; over each picture stands what the policy does next."""
    from PIL import Image, ImageDraw

    from pointsman import envs

    env = envs.make(name, 1, render_mode="rgb_array")
    observation, _ = env.reset(seed=seed)
    frames = []
    for k in range(SKIP + FRAMES):
        action = policy.act(observation, env.action_masks(), env.action_uniforms())
        if k >= SKIP:
            (drawn,) = env.render() or ()
            picture = Image.fromarray(drawn)
            does = env.problem.named(action[0]).replace("_", " ")
            ImageDraw.Draw(picture).text((175, 18), f"> {does}", fill="#3f9142", font_size=20)
            frames.append(picture.quantize(32))
        observation, *_ = env.step(action)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, optimize=True)


def main() -> None:
    """Entry point; bad input ends in one line."""
    import pointsman
    from pointsman import envs

    try:
        if len(sys.argv) != 4:
            raise PointsmanError(f"three arguments are needed: {str(__doc__).split(': ')[0]}")
        name, who, path = sys.argv[1:]
        problem = envs.build(envs.configure(name))
        rules = envs.rules(problem)
        if who not in rules and not Path(who).is_dir():
            raise unknown("rule or run folder", who, rules)
        policy = rules[who](problem) if who in rules else pointsman.load(who)
        film(name, policy, Path(path))
    except (PointsmanError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
