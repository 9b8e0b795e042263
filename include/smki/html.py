"""Pages that need nothing else, such as the gate's report: no script, no font, no picture.

`base.html` has their frame and what their style sheets share: screen and narrow window, light and dark, print. Escaping
is Python's own (`html.escape`), as the bytes of what is published depend on it.
"""

import html
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render_page(template: Path, **values: object) -> str:
    """The page that a template makes of values, which are escaped."""
    return _environment(template.parent).get_template(template.name).render(values)


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["hex"] = _hex
    return environment


def _escaped(value: object) -> Markup:
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))  # noqa: S704  # it is escaped here


def _hex(digits: str) -> Markup:
    """Hex in groups of eight digits, between which a line may break."""
    groups = (digits[start : start + 8] for start in range(0, len(digits), 8))
    return Markup("<code>{}</code>").format(Markup("<wbr>").join(groups))
