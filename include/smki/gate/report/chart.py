"""Draws one figure against its history: a band for the bounds, a dot a publication, a diamond for this file."""

from html import escape

from markupsafe import Markup

from smki.gate.model import Figure
from smki.gate.report.wording import quantity, reach

_WIDTH, _HEIGHT = 320, 124  # the page scales them
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 308, 18, 90  # of what is plotted
_MARGIN = 0.08  # of what the values span, above and below them
_DOT, _DIAMOND = 2, 5


def figure_chart(figure: Figure, key: str) -> Markup:
    """An inline SVG of a figure that has a history; `key` is unique on the page."""
    values = [*(past.value for past in figure.history), figure.value]
    step = (_RIGHT - _LEFT) / len(figure.history)
    scale = _Scale([*values, *(bound for bound in (figure.low, figure.high) if bound is not None)])
    points = [(round(_LEFT + step * place, 1), scale.y(value)) for place, value in enumerate(values)]
    *before, (x, y) = points
    dots = "".join(
        f'<circle class="dot" cx="{at_x}" cy="{at_y}" r="{_DOT}"><title>{past.business_date}: '
        f"{escape(quantity(past.value, figure.unit))}</title></circle>"
        for past, (at_x, at_y) in zip(figure.history, before, strict=True)
    )
    return Markup(  # noqa: S704  # what is not ours is escaped
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(figure.title)} against its history</title>'
        f'<desc id="{key}-desc">{escape(_in_words(figure))}</desc>'
        f"{_band(figure, scale)}"
        f'<polyline class="line" points="{_places(before)}"/>'
        f'<polyline class="line newest" points="{_places(points[-2:])}"/>{dots}'
        f'<path class="this" d="M{x} {y - _DIAMOND} l{_DIAMOND} {_DIAMOND} l-{_DIAMOND} {_DIAMOND} '
        f'l-{_DIAMOND} -{_DIAMOND} Z"/>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 4}">{figure.history[0].business_date}</text>'
        f'<text x="{_RIGHT + _DIAMOND}" y="{_HEIGHT - 4}" text-anchor="end">this file</text></svg>'
    )


class _Scale:
    """Where a value stands between the lowest and the highest of those that are shown."""

    def __init__(self, shown: list[float]) -> None:
        margin = (max(shown) - min(shown)) * _MARGIN or abs(shown[0]) * _MARGIN or 1.0
        self._low, self._high = min(shown) - margin, max(shown) + margin

    def y(self, value: float) -> float:
        return round(_BOTTOM - (value - self._low) / (self._high - self._low) * (_BOTTOM - _TOP), 1)


def _band(figure: Figure, scale: _Scale) -> str:
    """What the figure may be, its limits labelled outside, where no dot of a usual history is; open without a limit."""
    if figure.low is None and figure.high is None:
        return ""
    top = _TOP if figure.high is None else scale.y(figure.high)
    bottom = _BOTTOM if figure.low is None else scale.y(figure.low)
    limits = [(figure.high, top, top - 4), (figure.low, bottom, bottom + 11)]
    drawn = "".join(
        f'<line class="limit" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>'
        f'<text class="limit" x="{_LEFT}" y="{label_y:.1f}">{escape(quantity(limit, figure.unit))}</text>'
        for limit, y, label_y in limits
        if limit is not None
    )
    return f'<rect class="band" x="0" width="{_WIDTH}" y="{top}" height="{bottom - top:.1f}"/>{drawn}'


def _in_words(figure: Figure) -> str:
    """For those who do not see the drawing."""
    values = [past.value for past in figure.history]
    lowest, highest, this = (quantity(value, figure.unit) for value in (min(values), max(values), figure.value))
    allowed = reach(figure) or "anything"
    return (
        f"{len(values)} before, from {figure.history[0].business_date} to {figure.history[-1].business_date}: "
        f"{lowest} to {highest}. It may be {allowed}. This file: {this}."
    )


def _places(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
