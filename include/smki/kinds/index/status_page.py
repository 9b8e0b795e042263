"""The index as a page for people, published beside it: one HTML file that needs nothing else. Pure.

It says what the index says, and is not signed: so it says, too, that the index is what counts.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from smki.html import render_page
from smki.obligations.catalogue import Index

_TEMPLATE = Path(__file__).with_name("status_page.html")


def render_status_page(index: Mapping[str, Any], terms: Index) -> bytes:
    """The page of an index, as `index_of` makes it; `terms` has the names of its files."""
    newest_first = sorted(index["files"], key=lambda one: (one["business_date"], one["name"]), reverse=True)
    chain = index["chain"]
    way = [chain["full"], *chain["deltas"]] if chain else []
    page = render_page(
        _TEMPLATE,
        index=index,
        terms=terms,
        way=[one for name in way for one in index["files"] if one["name"] == name],
        extracts=[one for one in newest_first if "window" in one],
        lists=[one for one in index["files"] if "number" in one],
        others=[one for one in newest_first if "window" not in one and "number" not in one],
        next=sorted(index["next"], key=lambda one: (one["publish_by"], one["file"])),
        instant=_instant,
        number=_number,
    )
    return page.encode()


def _instant(stated: str) -> Markup:
    """An instant of the index, in UTC to the minute."""
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M}</time>').format(stated, datetime.fromisoformat(stated))


def _number(stated: int) -> Markup:
    return Markup('<data value="{}">{:,}</data>').format(stated, stated)
