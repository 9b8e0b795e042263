"""docs/runbook.md as a page, so that the board's links lead somewhere on every installation."""

import re
from itertools import pairwise

from markdown_it import MarkdownIt
from markupsafe import Markup

from smki.errors import ConfigurationError
from smki.settings import PROJECT

_RUNBOOK = PROJECT / "docs" / "runbook.md"


def rendered_runbook() -> Markup:
    """Its HTML, each heading with the anchor that links to it have. Raises ConfigurationError where it is missing."""
    try:
        text = _RUNBOOK.read_text(encoding="utf-8")
    except OSError:
        raise ConfigurationError(
            "docs/runbook.md",
            "it is not beside this installation.",
            "Links to it lead nowhere.",
            "read it in the project, or set SMKI_RUNBOOK_URL to where people find it.",
        ) from None
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for opening, heading in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", _anchor(heading.content))
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704  # ours, raw HTML escaped


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
