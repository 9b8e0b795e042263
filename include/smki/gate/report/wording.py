"""How the gate says things: in the report, on a terminal, in lines of a log, and in Markdown where people approve."""

from collections.abc import Sequence
from datetime import UTC, datetime

from smki.gate.ledger import Decision
from smki.gate.model import INSTANT, Figure, Judgement, Severity, Verdict

_LINES = 5  # failed checks that a summary spells out
_PAST = 8  # values of a history that the approval page shows
_SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_[]<>|#"})

NEXT_STEP = {
    Severity.FAIL: "Find out how the file came to be so, beginning with what is named here. Put that right, then have "
    "a new file made and judged.",
    Severity.HOLD: "Find out whether there is a reason, such as a mass installation or a migration. If there is one, "
    "release the file and state that reason. If not, reject it, put right what is behind it, and have a new file made.",
}


def quantity(value: float, unit: str) -> str:
    """A number with its unit, as people read it; a time as a time."""
    if unit == INSTANT:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M} UTC"
    number = f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:,.1f}"
    return f"{number} {unit.removesuffix('s') if value == 1 and unit != 's' else unit}".strip()


def reach(figure: Figure) -> str:
    """What the figure may be; empty where it has no bounds."""
    low, high = (None if bound is None else quantity(bound, figure.unit) for bound in (figure.low, figure.high))
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def sentence(judgement: Judgement, decision: Decision | None = None) -> str:
    """Whether the file may be published and why, for somebody who has never heard of the gate."""
    broken = sum(result.severity is Severity.FAIL for result in judgement.failed)
    unusual = len(judgement.failed) - broken
    breakers = _count(unusual, "figure is unusual", "figures are unusual")
    match judgement.verdict:
        case Verdict.PASS:
            return f"{judgement.name} may be published: all {len(judgement.results)} checks passed."
        case Verdict.FAIL:
            also = f" Besides, {breakers}." if unusual else ""
            if open_checks := len(judgement.unjudged):
                also += f" {_count(open_checks, 'check', 'checks')} of the whole file could not be made."
            rules = _count(broken, "rule is broken", "rules are broken")
            return f"{judgement.name} may not be published: {rules}, and nobody may release it.{also}"
    if decision is None:
        return f"{judgement.name} may be published only once a person has released it: {breakers}, no rule is broken."
    did, may = ("released", "may") if decision.released else ("rejected", "may not")
    return (
        f"{judgement.name} {may} be published: {breakers}, and {decision.decided_by} {did} it on "
        f"{decision.decided_at:%Y-%m-%d at %H:%M} UTC."
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def summarise(judgement: Judgement) -> str:
    """A few lines of plain text."""
    failed = judgement.failed
    lines = [f"{judgement.verdict}: {sentence(judgement)}"]
    for result in failed[:_LINES]:
        named = f" First of {len(result.details)}: {result.details[0]}" if result.details else ""
        lines.append(f"{result.severity} {result.id}: {result.observed}; expected: {result.expected}.{named}")
    if len(failed) > _LINES:
        lines.append(f"… and {len(failed) - _LINES} more.")
    return "\n".join(lines)


def hold_summary(judgement: Judgement) -> str:
    """Markdown for the person who releases or rejects a held file."""
    figures = {figure.name: figure for figure in judgement.figures}
    parts = [_markdown(sentence(judgement))]
    for result in judgement.failed:
        figure = figures.get(result.figure or "")
        parts.append(
            f"### {_markdown(figure.title if figure else result.id)}: {_markdown(result.observed)}\n\n"
            f"* Expected: {_markdown(result.expected)}\n* Why it matters: {_markdown(result.protects)}"
            + _named_in_markdown(result.details)
        )
        if figure and figure.history:
            parts.append(_history_in_markdown(figure, judgement))
    parts.append(
        f"**Approve** publishes this very file (SHA-256 `{judgement.sha256}`); **Reject** leaves on the server what is "
        "there. Either needs a reason, which the ledger keeps."
    )
    return "\n\n".join(parts) + "\n"


def _named_in_markdown(details: Sequence[str]) -> str:
    """What a result is about, such as serial numbers: the first few, the report has all."""
    if not details:
        return ""
    more = f", and {len(details) - _LINES} more in the report" if len(details) > _LINES else ""
    return f"\n* What it is about: {', '.join(map(_markdown, details[:_LINES]))}{more}"


def _history_in_markdown(figure: Figure, judgement: Judgement) -> str:
    """The newest values, this file's last."""
    rows = [
        *(f"| {past.business_date} | {quantity(past.value, figure.unit)} |" for past in figure.history[-_PAST:]),
        f"| **this file, {judgement.business_date}** | **{quantity(figure.value, figure.unit)}** |",
    ]
    return "\n".join([f"| business date | {_markdown(figure.title)} |", "|---|---:|", *rows])


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)
