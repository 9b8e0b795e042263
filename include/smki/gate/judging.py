"""Runs an obligation's suite over an artefact's evidence, and says in words what came out.

Great Expectations is loaded with this module (seconds, 270 MB). It runs on the tables in memory, calls nobody, and
keeps nothing.
"""

import logging
import time
from datetime import datetime
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.core import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig

from smki.certificates.set_digest import SetDigest
from smki.gate.bounds import Bounds
from smki.gate.checks import Check
from smki.gate.evidence import FAULT_TEXT, Evidence, Table
from smki.gate.expectations import suite_of, suite_version
from smki.gate.model import CheckResult, Figure, Judgement
from smki.gate.report.wording import quantity, reach

_SHOWN = 5  # values that a sentence shows
_MOST_DETAILS = 220  # lines: 100 on each side of a comparison, with what they are held against


def judge(evidence: Evidence, run: str, now: datetime) -> Judgement:
    """The judgement of an artefact at `now` (UTC); `run` is who judges."""
    begun = time.monotonic()
    checks = suite_of(evidence.obligation.kind)
    figures = {figure.name: figure for figure in evidence.figures}
    results = _validate(checks, evidence, figures)
    return Judgement(
        obligation=evidence.obligation.name,
        subject=evidence.obligation.subject,
        name=evidence.name,
        business_date=evidence.business_date,
        bytes=evidence.bytes,
        sha256=evidence.sha256,
        run=run,
        judged_at=now,
        suite_version=suite_version(checks),
        results=tuple(_result(check, results[check.id], evidence, figures) for check in checks),
        figures=evidence.figures,
        seconds=round(time.monotonic() - begun, 3),
    )


def _validate(
    checks: tuple[Check, ...], evidence: Evidence, figures: dict[str, Figure]
) -> dict[str, ExpectationValidationResult]:
    """What Great Expectations says, by check."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("artefact")
    found: dict[str, ExpectationValidationResult] = {}
    for table in {check.table for check in checks}:
        batch = (
            source.add_dataframe_asset(str(table))
            .add_batch_definition_whole_dataframe("all")
            .get_batch({"dataframe": evidence.tables[table]})
        )
        suite = gx.ExpectationSuite(
            name=str(table),
            expectations=[check.expectation(_bounds(check, figures)) for check in checks if check.table is table],
        )
        for result in batch.validate(suite, result_format="SUMMARY").results:
            configuration = result.expectation_config
            if configuration is not None and configuration.meta:
                found[configuration.meta["id"]] = result
    return found


def _result(
    check: Check, result: ExpectationValidationResult, evidence: Evidence, figures: dict[str, Figure]
) -> CheckResult:
    if check.whole and evidence.unread:
        expected, said = check.expected or "within the bounds of quality.toml", f"not judged: {evidence.unread}"
        return CheckResult(check.id, check.protects, check.severity, False, expected, said, judged=False)
    table = evidence.tables[check.table]
    figure = figures.get(check.figure or "")
    passed = bool(result.success)
    details = [] if passed else [*evidence.named.get(check.id, ()), *_concerned(check, result, table)]
    return CheckResult(
        id=check.id,
        protects=check.protects,
        severity=check.severity,
        passed=passed,
        expected=check.expected if figure is None else _between(figure),
        observed=_observed(check, result, evidence, table, figure),
        details=tuple(dict.fromkeys(details))[:_MOST_DETAILS],
        figure=check.figure,
    )


def _observed(
    check: Check, result: ExpectationValidationResult, evidence: Evidence, table: pd.DataFrame, figure: Figure | None
) -> str:
    if result.exception_info.get("raised_exception", not result.result and not result.success):
        return "the check itself could not be run: " + _exception(result.exception_info)
    if figure is not None:
        return quantity(figure.value, figure.unit)
    wrong = int(result.result.get("unexpected_count", 0))
    if check.table is Table.FILE:
        shown = result.result.get("partial_unexpected_list") or [table[check.column].iloc[0]]
        return "as it should be" if result.success and shown == [""] else _words(shown[0])
    if not wrong:
        return f"all {len(table):,} {check.table}" + (f", but {evidence.unread}" if evidence.unread else "")
    if check.column == FAULT_TEXT:  # the details say it
        return f"{wrong:,} of {len(table):,} {check.table}"
    shown = list(dict.fromkeys(_words(value) for value in result.result.get("partial_unexpected_list", ())))
    return (
        f"{wrong:,} of {len(table):,} {check.table}: {'; '.join(shown[:_SHOWN])}{' …' if len(shown) > _SHOWN else ''}"
    )


def _concerned(check: Check, result: ExpectationValidationResult, table: pd.DataFrame) -> list[str]:
    """The rows that do not pass, by the text that names them."""
    if check.table is Table.FILE:
        return []
    column = FAULT_TEXT if check.table is Table.SEGMENTS else "item"
    rows = table.loc[list(result.result.get("partial_unexpected_index_list") or ())]
    return [text for text in rows[column] if text]


def _bounds(check: Check, figures: dict[str, Figure]) -> Bounds:
    figure = figures.get(check.figure or "")
    return Bounds() if figure is None else Bounds(figure.low, figure.high, figure.basis)


def _between(figure: Figure) -> str:
    allowed = reach(figure)
    return f"{allowed} ({figure.basis})" if allowed else figure.basis


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return ", not ".join(map(_words, value)) + _by_how_many(*value)
    text = "nothing" if pd.isna(value) or value == "" else str(value)
    try:
        digest = SetDigest.parse(text)
    except ValueError:
        return text
    return f"{digest.count:,} certificates with digest {digest.lanes[0]:016x}…"


def _by_how_many(found: Any, expected: Any) -> str:
    """Of two counts."""
    if not all(isinstance(value, int | np.integer) for value in (found, expected)):
        return ""
    return f": {abs(found - expected):,} too {'many' if found > expected else 'few'}"


def _exception(information: dict[str, Any]) -> str:
    """The last line of what Great Expectations says it stumbled over."""
    nested = information if "exception_message" in information else next(iter(information.values()), {})
    return str(nested.get("exception_message") or "no reason given").strip().splitlines()[-1]
