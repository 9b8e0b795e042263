"""The gate's report on one file: an HTML page that needs nothing else (`report.html`).

What did not pass comes first; all that was checked is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from smki.gate.ledger import Decision
from smki.gate.model import Figure, Judgement, Severity, Verdict
from smki.gate.report.chart import figure_chart
from smki.gate.report.wording import NEXT_STEP, quantity, reach, sentence
from smki.html import render_page

_TEMPLATE = Path(__file__).with_name("report.html")
_NAMED = 20  # things concerned that are shown at once; the others unfold
_OUTCOME = {Severity.FAIL: "nobody may release it", Severity.HOLD: "a person may release it"}


@dataclass(frozen=True, slots=True)
class _ShownFigure:
    figure: Figure
    is_tripped: bool
    value: str  # in words
    basis: str  # what it may be and why, in words
    history: list[tuple[str, str]]  # day and value, newest first
    chart: Markup


def render_report(
    judgement: Judgement, decision: Decision | None = None, links: Mapping[str, str] | None = None
) -> str:
    """The HTML page; `links` lead from their texts to where more is to be seen."""
    verdict = str(judgement.verdict)
    if judgement.verdict is Verdict.HOLD and decision is not None:
        verdict += ", released" if decision.released else ", rejected"
    return render_page(
        _TEMPLATE,
        judgement=judgement,
        verdict=verdict,
        sentence=sentence(judgement, decision),
        decision=decision,
        links=links or {},
        outcomes=_OUTCOME,
        next_steps=NEXT_STEP,
        named=_NAMED,
        figures=_shown_figures(judgement),
        passed=[result for result in judgement.results if result.passed],
        size=quantity(judgement.bytes, "bytes"),
        seconds=quantity(judgement.seconds, "s"),
    )


def _shown_figures(judgement: Judgement) -> list[_ShownFigure]:
    """Those that tripped their breakers first, then the other breakers', then those that have none.

    A difference from what was before is none where nothing was.
    """
    tripped = {result.figure for result in judgement.failed}
    compared = [figure for figure in judgement.figures if figure.compared]
    figures = sorted(compared, key=lambda figure: (figure.name not in tripped, not reach(figure)))
    return [_shown_figure(figure, is_tripped=figure.name in tripped) for figure in figures]


def _shown_figure(figure: Figure, *, is_tripped: bool) -> _ShownFigure:
    allowed = reach(figure)
    bounds = f"{'outside' if is_tripped else 'within'} {allowed}" if allowed else ""
    return _ShownFigure(
        figure=figure,
        is_tripped=is_tripped,
        value=quantity(figure.value, figure.unit),
        basis=": ".join(filter(None, (bounds, figure.basis))),
        history=[(str(past.business_date), quantity(past.value, figure.unit)) for past in reversed(figure.history)],
        chart=figure_chart(figure, f"figure-{figure.name}") if figure.history else Markup(),
    )
