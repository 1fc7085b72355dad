"""What the pages say of files of the repository becomes a link into the reference, or else their path."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[([^\]]+)\]\(\.\./([\w/.-]+)\)")


def on_page_markdown(markdown: str, **rest: Any) -> str:
    """Pages are read as plain files, too: there `../envs/core.py` is a link, and here it leads out of the site."""
    return LINK.sub(_inside, markdown)


def _inside(found: re.Match[str]) -> str:
    label, path = found.groups()
    if not (ROOT / path).is_file():
        return found.group()  # of the site itself, or wrong, which mkdocs says
    module = f"pointsman.{path.removesuffix('.py').replace('/', '.')}"
    return f"[`{label}`][{module}]" if path.endswith(".py") and _documented(module) else f"`{label}`"


def _documented(module: str) -> bool:
    """Has the module a heading on a page of the reference, made from its docstring or by hand?"""
    pages = (file.read_text() for file in (ROOT / "docs" / "reference").glob("*.md"))
    return any(re.search(rf"^::: {re.escape(module)}$|#{re.escape(module)} }}$", page, re.M) for page in pages)
