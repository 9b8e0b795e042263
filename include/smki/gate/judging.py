"""Has Great Expectations run the checks over the evidence on a file, and says in words what came out.

Great Expectations is loaded with this module (seconds, 270 MB). It runs on tables in memory, calls nobody, and keeps
nothing.
"""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from great_expectations.core import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from smki.certificates.set_digest import SetDigest
from smki.gate.bounds import Bounds
from smki.gate.checks import AtLeast, Bounded, Check, FileRow, NoneOf, OneOf, Present, SameAs, column_of
from smki.gate.evidence import Evidence
from smki.gate.model import CheckResult, Figure, Judgement, Severity
from smki.gate.report.wording import quantity, reach
from smki.words import first_few

_SHOWN = 5  # values that a sentence shows
_MOST_DETAILS = 220  # lines: 100 on each side of a comparison, with what they are held against
_SEVERITY = {Severity.FAIL: FailureSeverity.CRITICAL, Severity.HOLD: FailureSeverity.WARNING}
_ANY = Bounds(0, 1)  # for a version, which bounds are no part of
Figures = Mapping[str, Figure]  # by name
Tables = Mapping[str, pd.DataFrame]  # by name


def judge(evidence: Evidence, run: str, now: datetime) -> Judgement:
    """The judgement of a file at `now` (UTC); `run` is who judges."""
    begun = time.monotonic()
    figures = {figure.name: figure for figure in evidence.figures}
    judged = [check for check in evidence.checks if not (check.of_all and evidence.unread)]
    tables = {name: evidence.table(name) for name in dict.fromkeys(check.table for check in judged)}
    found = _validate(judged, tables, figures)
    return Judgement(
        obligation=evidence.obligation.name,
        subject=evidence.obligation.subject,
        name=evidence.name,
        business_date=evidence.business_date,
        bytes=evidence.bytes,
        sha256=evidence.sha256,
        run=run,
        judged_at=now,
        suite_version=suite_version(evidence.checks),
        results=tuple(
            _result(check, found[check.id], evidence, tables[check.table], figures)
            if check in judged
            else _unjudged(check, evidence)
            for check in evidence.checks
        ),
        figures=evidence.figures,
        seconds=round(time.monotonic() - begun, 3),
        remarks=evidence.remarks,
    )


def suite_version(checks: Sequence[Check]) -> str:
    """Says which checks judged: their digest, and the version of what ran them."""
    stated = "\n".join(
        f"{check.id} {check.severity} {check.table} {_expectation(check, _ANY).configuration.to_json_dict()}"
        for check in checks
    )
    return f"{hashlib.sha256(stated.encode()).hexdigest()[:8]} on Great Expectations {gx.__version__}"


def _expectation(check: Check, bounds: Bounds) -> Expectation:
    """The check as Great Expectations states it; a breaker has its bounds."""
    match check.rule:
        case OneOf(values):
            expectation: Expectation = gxe.ExpectColumnValuesToBeInSet(column=check.column, value_set=list(values))
        case NoneOf(values):
            expectation = gxe.ExpectColumnValuesToNotBeInSet(column=check.column, value_set=list(values))
        case SameAs(other):
            expectation = gxe.ExpectColumnPairValuesToBeEqual(
                column_A=check.column, column_B=column_of(other), ignore_row_if="either_value_is_missing"
            )
        case Present():
            expectation = gxe.ExpectColumnValuesToNotBeNull(column=check.column)
        case AtLeast(least):
            expectation = gxe.ExpectColumnValuesToBeBetween(column=check.column, min_value=least)
        case Bounded():
            expectation = gxe.ExpectColumnValuesToBeBetween(
                column=check.column,
                min_value=float("-inf") if bounds.low is None else bounds.low,
                max_value=float("inf") if bounds.high is None else bounds.high,
            )
        case never:
            assert_never(never)
    expectation.severity = _SEVERITY[check.severity]
    expectation.meta = {"id": check.id}
    expectation.description = check.protects
    return expectation


def _validate(checks: Sequence[Check], tables: Tables, figures: Figures) -> dict[str, ExpectationValidationResult]:
    """What Great Expectations says, by check."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("file")
    found: dict[str, ExpectationValidationResult] = {}
    for name, table in tables.items():
        batch = (
            source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
        )
        suite = gx.ExpectationSuite(
            name=name,
            expectations=[_expectation(check, _bounds(check, figures)) for check in checks if check.table == name],
        )
        for result in batch.validate(suite, result_format="COMPLETE").results:
            configuration = result.expectation_config
            if configuration is not None and configuration.meta:
                found[configuration.meta["id"]] = result
    return found


def _bounds(check: Check, figures: Figures) -> Bounds:
    figure = figures.get(check.measure.name) if check.measure else None
    return Bounds() if figure is None else Bounds(figure.low, figure.high, figure.basis)


def _unjudged(check: Check, evidence: Evidence) -> CheckResult:
    """Of what nobody can tell while a part of the file cannot be read."""
    expected, observed = check.expected or "within the bounds of quality.toml", f"not judged: {evidence.unread}"
    return CheckResult(check.id, check.protects, check.severity, False, expected, observed, judged=False)


def _result(
    check: Check, result: ExpectationValidationResult, evidence: Evidence, table: pd.DataFrame, figures: Figures
) -> CheckResult:
    figure = figures.get(check.measure.name) if check.measure else None
    passed = bool(result.success)
    details = [] if passed else [*evidence.concerned.get(check.id, ()), *_failed_rows(check, result, table)]
    return CheckResult(
        id=check.id,
        protects=check.protects,
        severity=check.severity,
        passed=passed,
        expected=check.expected if figure is None else _allowed(figure),
        observed=_observed(check, result, table, figure, evidence.unread),
        details=tuple(dict.fromkeys(details))[:_MOST_DETAILS],
        figure=check.measure.name if check.measure else None,
    )


def _failed_rows(check: Check, result: ExpectationValidationResult, table: pd.DataFrame) -> list[str]:
    """The rows that do not pass, by the text that names them."""
    if check.table == FileRow.TABLE:
        return []
    rows = table.loc[list(result.result.get("partial_unexpected_index_list") or ())]
    return [text for text in rows["item"] if text]


def _observed(
    check: Check, result: ExpectationValidationResult, table: pd.DataFrame, figure: Figure | None, unread: str
) -> str:
    if crash := _crash(result):
        return f"the check itself could not be run: {crash}"
    if figure is not None:
        return quantity(figure.value, figure.unit) if figure.compared else "nothing was before it"
    if check.table == FileRow.TABLE:
        return _observed_of_file(check, result, table)
    return _observed_of_rows(check, result, table, unread)


def _crash(result: ExpectationValidationResult) -> str:
    """The last line of what Great Expectations stumbled over; empty where the check ran.

    It states one exception of the check, raised or not, or one by each metric that could not be computed.
    """
    stated = result.exception_info
    if "raised_exception" not in stated:
        stated = next(iter(stated.values()))
    if not stated["raised_exception"]:
        return ""
    return str(stated["exception_message"] or "no reason given").strip().splitlines()[-1]


def _observed_of_file(check: Check, result: ExpectationValidationResult, table: pd.DataFrame) -> str:
    value = (result.result.get("partial_unexpected_list") or [table[check.column].iloc[0]])[0]
    return "as it should be" if result.success and value == "" else _words(value)


def _observed_of_rows(check: Check, result: ExpectationValidationResult, table: pd.DataFrame, unread: str) -> str:
    alike = table.get("alike", pd.Series(1, table.index))
    wrong = int(alike[list(result.result.get("unexpected_index_list") or ())].sum())
    if not wrong:
        return f"all {alike.sum():,} {check.table}" + (f", but {unread}" if unread else "")
    found = f"{wrong:,} of {alike.sum():,} {check.table}"
    if isinstance(check.rule, NoneOf):
        return found
    values = list(dict.fromkeys(_words(value) for value in result.result.get("partial_unexpected_list", ())))
    return f"{found}: {first_few(values, _SHOWN, '; ')}"


def _allowed(figure: Figure) -> str:
    allowed = reach(figure)
    return f"{allowed} ({figure.basis})" if allowed else figure.basis


def _words(value: Any) -> str:
    """A value as people read it; of two that should be the same, both."""
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
