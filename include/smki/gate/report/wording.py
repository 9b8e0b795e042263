"""How the gate says things: to people in the report and the terminal, in logs, and where they approve."""

from smki.gate.ledger import Decision
from smki.gate.model import Figure, Judgement, Severity, Verdict

NEXT_STEP = {
    Severity.FAIL: "Find out how the file came to be so: what is named here is where to begin. Put that right, then "
    "run the DAG again from its first task, so that a new file is made and judged.",
    Severity.HOLD: "Find out whether it has a reason, such as a mass installation or a migration. If it has, release "
    "the file and state that reason. If it has none, reject it, put right what is behind it, and run the DAG again.",
}


def quantity(value: float, unit: str) -> str:
    """A number with its unit, as people read it."""
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
