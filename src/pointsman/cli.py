"""What the console scripts share: Hydra's composition, and errors as one line."""

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from pointsman.errors import PointsmanError


def launch(task: Callable[[Any], None], config: str, bad: int = 2) -> None:
    """Compose conf/<config>.yaml with the command line and run `task` on it.

    Bad input ends with one line on stderr and status `bad`, an interrupt with status 130.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    import pointsman.conf  # registers the schemas
    from pointsman.envs.plugins import plug

    bad_input = (PointsmanError, HydraException, OmegaConfBaseException, OSError)

    begun = False

    def guarded(composed: Any) -> None:
        nonlocal begun
        begun = True
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return task(composed)  # of a sweep with Hydra's own launcher: its errors are the launcher's
        # Leaving by SystemExit keeps Hydra from adding lines of its own.
        try:
            task(composed)
        except bad_input as error:
            sys.exit(_complain(_reason(error), bad))

    # Hydra then hands errors of composition on instead of printing them over several lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        for name in _plugins(sys.argv[1:]):
            plug(name)
        pointsman.conf.store_plugins()
        hydra.main(version_base="1.3", config_path="pkg://pointsman.conf", config_name=config)(guarded)()
    except bad_input as error:
        sys.exit(_complain(_reason(error), bad))
    except ValueError as error:
        if begun:
            raise
        sys.exit(_complain(_reason(error), bad))  # Hydra's own, of overrides such as stress=true
    except KeyboardInterrupt:
        sys.exit(_complain("interrupted", status=130))


def _plugins(arguments: list[str]) -> list[str]:
    """What plugins=[...] on the command line names: it must be imported before Hydra composes problems of its own."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = [argument for argument in arguments if argument.startswith("plugins=")]
    found = OverridesParser.create().parse_override(given[-1]).value() if given else []
    return [str(name) for name in (found if isinstance(found, list) else [found])]


def single_threaded() -> None:
    """Networks on one thread: batches of some hundred rows gain nothing from more, and on a busy machine lose tenfold."""
    import torch

    torch.set_num_threads(1)


def plain(config: Any) -> dict[str, Any]:
    """A part of the composed configuration as a plain dict."""
    from omegaconf import OmegaConf

    found: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return dict(found)


def _complain(reason: str, status: int = 2) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return status


def _reason(error: BaseException) -> str:
    """The telling line of an error, with the key if there is one."""
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    text = re.split(r"\s*(?:full_key:|object_type=|reference_type=|To append to your|Config search path)", text)[0]
    cause = error.__cause__
    if cause is not None and not isinstance(error, PointsmanError):
        key = getattr(cause, "full_key", None)
        first = str(cause).splitlines()[0] if str(cause) else ""
        text = f"{text} ({first})" if first and first not in text else text
        text = f"{key}: {text}" if key and str(key) not in text else text
    return text
