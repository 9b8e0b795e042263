"""The gate's report on one file: a page for people, lines for logs and errors, Markdown for Airflow's approval page.

The page needs nothing else: no script, no font, no picture. It reads on a screen and in a narrow window, light and
dark, and prints. What did not pass comes first; all that was checked is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from smki.gate.ledger import Decision
from smki.gate.model import CheckResult, Figure, Judgement, Severity, Verdict
from smki.gate.report.chart import figure_chart
from smki.gate.report.style import STYLE
from smki.gate.report.wording import NEXT_STEP, quantity, reach, sentence

_NAMED = 20  # things concerned that are shown at once; the others unfold
_LINES = 5  # failed checks that a summary spells out
_PAST = 8  # values of a history that the approval page shows
_OUTCOME = {Severity.FAIL: "nobody may release it", Severity.HOLD: "a person may release it"}


def render_report(
    judgement: Judgement, decision: Decision | None = None, links: Mapping[str, str] | None = None
) -> str:
    """The HTML page; `links` lead from their texts to where more is to be seen."""
    passed = [result for result in judgement.results if result.passed]
    sections = [
        _opening(judgement, decision, links or {}),
        _section("failed", "What did not pass", [_failed(result) for result in judgement.failed]),
        _section("unjudged", "What could not be judged", [_table(judgement.unjudged)] if judgement.unjudged else []),
        _section("figures", "Figures", _figures(judgement)),
        _section("passed", f"Checks that passed ({len(passed)})", [_table(passed)] if passed else []),
        _section("facts", "The file and this judgement", [_facts(judgement)]),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{judgement.verdict} – {escape(judgement.name)}</title>\n<style>\n{STYLE}</style>\n</head>\n"
        f'<body class="{judgement.verdict.lower()}">\n<main>\n{_lines(sections)}</main>\n</body>\n</html>\n'
    )


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


def _opening(judgement: Judgement, decision: Decision | None, links: Mapping[str, str]) -> str:
    unjudged = {"Not judged": "#unjudged"} if judgement.unjudged else {}
    ways = unjudged | {"Figures": "#figures", "Passed": "#passed", "File": "#facts"} | dict(links)
    listed = " ".join(f'<a href="{escape(target)}">{escape(text)}</a>' for text, target in ways.items())
    return (
        f'<header>\n<p class="kicker">SMKI Repository · gate · {escape(judgement.obligation.replace("_", " "))} of '
        f'{judgement.business_date}</p>\n<h1><span class="verdict">{_verdict(judgement, decision)}</span> '
        f"{escape(sentence(judgement, decision))}</h1>\n{_reason(decision)}"
        f'<nav aria-label="Contents">{listed}</nav>\n</header>'
    )


def _verdict(judgement: Judgement, decision: Decision | None) -> str:
    if judgement.verdict is not Verdict.HOLD or decision is None:
        return judgement.verdict
    return f"{judgement.verdict}, {'released' if decision.released else 'rejected'}"


def _reason(decision: Decision | None) -> str:
    if decision is None:
        return ""
    return (
        f"<blockquote><p>{escape(decision.reason)}</p><footer>{escape(decision.decided_by)}, "
        f"{decision.decided_at:%Y-%m-%d %H:%M} UTC</footer></blockquote>\n"
    )


def _section(key: str, title: str, content: Sequence[str]) -> str:
    if not content:
        return ""
    return f'<section id="{key}">\n<h2>{escape(title)}</h2>\n{_lines(content)}</section>'


def _failed(result: CheckResult) -> str:
    figure = f' · <a href="#figure-{escape(result.figure)}">its history</a>' if result.figure else ""
    facts = {
        "Found": f"<strong>{escape(result.observed)}</strong>{figure}",
        "Expected": escape(result.expected),
        "Why it matters": escape(result.protects),
        "Concerned": _named(result.details),
        "What to do": escape(NEXT_STEP[result.severity]),
    }
    return (
        f'<article class="card {result.severity.lower()}">\n<h3><code>{escape(result.id)}</code> '
        f'<span class="tag">{result.severity}: {_OUTCOME[result.severity]}</span></h3>\n'
        f"{_facts_list(facts)}\n</article>"
    )


def _named(details: Sequence[str]) -> str:
    """What is concerned; the first ones at once."""
    items = [f"<li>{escape(detail)}</li>" for detail in details]
    rest = _lines(items[_NAMED:])
    folded = f"<details><summary>{len(items) - _NAMED} more</summary><ul>\n{rest}</ul></details>" if rest else ""
    return f"<ul>\n{_lines(items[:_NAMED])}</ul>{folded}" if items else ""


def _figures(judgement: Judgement) -> list[str]:
    """Those that tripped their breakers first, then the other breakers', then those that have none."""
    tripped = {result.figure for result in judgement.failed}
    figures = sorted(judgement.figures, key=lambda figure: (figure.name not in tripped, not reach(figure)))
    cards = [_figure(figure, is_tripped=figure.name in tripped) for figure in figures]
    return [f'<div class="figures">\n{_lines(cards)}</div>'] if cards else []


def _figure(figure: Figure, *, is_tripped: bool) -> str:
    key = escape(f"figure-{figure.name}")
    allowed = reach(figure)
    bounds = f"{'outside' if is_tripped else 'within'} {allowed}" if allowed else ""
    said = ": ".join(filter(None, (bounds, figure.basis)))
    if not figure.history:
        drawn = '<p class="none">no earlier publication has this figure</p>'
    else:
        rows = _lines(
            f'<tr><th scope="row">{past.business_date}</th><td>{escape(quantity(past.value, figure.unit))}</td></tr>'
            for past in reversed(figure.history)
        )
        drawn = (
            f"{figure_chart(figure, key)}\n<details><summary>{len(figure.history)} earlier</summary>"
            f"<table><tbody>\n{rows}</tbody></table></details>"
        )
    return (
        f'<article class="card figure{" hold" if is_tripped else ""}" id="{key}">\n<h3>{escape(figure.title)} '
        f"<b>{escape(quantity(figure.value, figure.unit))}</b></h3>\n<p>{escape(said)}</p>\n{drawn}\n</article>"
    )


def _table(results: Iterable[CheckResult]) -> str:
    rows = _lines(
        f'<tr><th scope="row"><code>{escape(result.id)}</code></th><td data-label="Expected">{escape(result.expected)}'
        f'</td><td data-label="Found">{escape(result.observed)}</td></tr>'
        for result in results
    )
    heads = "".join(f'<th scope="col">{title}</th>' for title in ("Check", "Expected", "Found"))
    return f'<table class="checks">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>'


def _facts(judgement: Judgement) -> str:
    return _facts_list(
        {
            "File": f"<code>{escape(judgement.name)}</code>",
            "Obligation": escape(judgement.obligation),
            "Business date": str(judgement.business_date),
            "Size": quantity(judgement.bytes, "octets"),
            "SHA-256": _hex(judgement.sha256),
            "Judged by": escape(judgement.run),
            "Judged at": f"{judgement.judged_at:%Y-%m-%d %H:%M:%S} UTC",
            "Judging took": quantity(judgement.seconds, "s"),
            "Suite": escape(judgement.suite_version),
        }
    )


def _facts_list(facts: Mapping[str, str]) -> str:
    """Names and values (HTML), without those that are empty."""
    rows = _lines(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items() if value)
    return f"<dl>\n{rows}</dl>"


def _hex(digits: str) -> str:
    """Hex in groups of eight digits, between which a line may break."""
    return f"<code>{'<wbr>'.join(digits[start : start + 8] for start in range(0, len(digits), 8))}</code>"


def _lines(parts: Iterable[str]) -> str:
    return "".join(f"{part}\n" for part in parts if part)


def _history_in_markdown(figure: Figure, judgement: Judgement) -> str:
    """The newest values, this file's last."""
    rows = [
        *(f"| {past.business_date} | {quantity(past.value, figure.unit)} |" for past in figure.history[-_PAST:]),
        f"| **this file, {judgement.business_date}** | **{quantity(figure.value, figure.unit)}** |",
    ]
    return "\n".join([f"| business date | {_markdown(figure.title)} |", "|---|---:|", *rows])


_SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_[]<>|#"})


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)
