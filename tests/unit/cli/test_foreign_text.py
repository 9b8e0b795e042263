"""What files and people say is shown as it stands: none of it is taken for a console's mark-up."""

from datetime import UTC, date, datetime

from smki.cli import gate, terminal
from smki.gate.model import CheckResult, Judgement, Severity


def test_reason_why_a_check_was_not_judged_is_shown_whole() -> None:
    observed = "not judged: a record has status '[/b]', another [red]"
    unjudged = CheckResult("full.count", "Half.", Severity.FAIL, False, "as many", observed, judged=False)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    judgement = Judgement("full", "F.xml.gz", date(2026, 3, 1), 1, "00", "a run", at, "1", (unjudged,), (), 0.1)
    with terminal.out.capture() as captured:
        gate._report(judgement, None, None, as_json=False)
    assert observed in captured.get()
