"""Renders the board's pages: Jinja templates that escape all they are given; style and script are part of the page."""

import base64
import hashlib
import re
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from smki.watch.due_status import State
from smki.words import span
from smki_airflow.board.view import LOOK, duration, kinds, size
from smki_airflow.links import links_on_server

_TEMPLATES = Path(__file__).parent / "templates"


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, with the headers that keep it apart from other sites."""
    return HTMLResponse(
        _environment().get_template(template).render(links=links_on_server(), **values), status, _headers()
    )


@cache
def _headers() -> dict[str, str]:
    hashes = " ".join(f"'sha256-{_sha256(_text(name))}'" for name in ("theme.js", "board.js"))
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "private, no-store",
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "style": Markup(_text("board.css")),  # noqa: S704  # our own file
        "theme_script": Markup(_text("theme.js")),  # noqa: S704  # our own file
        "script": Markup(_text("board.js")),  # noqa: S704  # our own file
        "icons": Markup(_text("icons.svg")),  # noqa: S704  # our own file
        "State": State,
    }
    environment.filters |= {
        "look": LOOK.__getitem__,
        "size": size,
        "span": span,
        "duration": duration,
        "kinds": kinds,
        "count": lambda number: f"{number:,}",
        "breakable": _breakable,
        "when": _when,
        "long_date": _long_date,
    }
    return environment


def _when(at: datetime) -> Markup:
    """An instant, to the minute."""
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), f"{at:%Y-%m-%d %H:%M}")


def _breakable(name: str) -> Markup:
    """A file's name that a narrow column breaks after its underscores, and nowhere else: at no hyphen of a date."""
    return Markup("<wbr>").join(Markup("<span>{}</span>").format(part) for part in re.split("(?<=_)", name))


def _long_date(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B %Y}"


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
