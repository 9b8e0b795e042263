"""How people say things, wherever they read them."""

from collections.abc import Sequence
from datetime import timedelta


def counted(number: int, noun: str) -> str:
    """A number of things, whose plural ends in s."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def first_few(items: Sequence[object], most: int = 7, separator: str = ", ") -> str:
    """The first `most` of them, and whether there are more."""
    return separator.join(map(str, items[:most])) + " …" * (len(items) > most)


def span(length: timedelta) -> str:
    """A length of time: the two largest units."""
    minutes = max(0, round(length.total_seconds() / 60))
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"
