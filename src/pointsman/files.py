"""Files that are whole or not there at all."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text so that whoever reads it, even after a crash, finds all of it or what was there before."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
