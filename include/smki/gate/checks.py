"""The forms that the gate's checks take, each one of Great Expectations' own expectations.

They look at small tables (`evidence`) whose figures come from the bytes that will be published. A column of faults
holds the text of what is wrong, or nothing; a check on it wants nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from smki.gate.bounds import Bounds
from smki.gate.evidence import FAULT_TEXT, Table
from smki.gate.model import Severity
from smki.verify.faults import Fault

_GX_SEVERITY = {Severity.FAIL: FailureSeverity.CRITICAL, Severity.HOLD: FailureSeverity.WARNING}

Expect = Callable[[Bounds], Expectation]


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of a suite."""

    id: str
    protects: str
    severity: Severity
    table: Table
    column: str  # whose values are shown where it does not pass
    expected: str  # in words; empty: its bounds are
    expect: Expect
    figure: str | None = None  # that it bounds
    whole: bool = False  # it says something of the whole file, so every part has to have been read

    def expectation(self, bounds: Bounds) -> Expectation:
        """For Great Expectations, with its bounds where it is a breaker."""
        expectation = self.expect(bounds)
        expectation.severity = _GX_SEVERITY[self.severity]
        expectation.meta = {"id": self.id}
        expectation.description = self.protects
        return expectation


def clean(check_id: str, protects: str, table: Table, column: str, expected: str) -> Check:
    """A column of faults holds none."""
    return in_set(check_id, protects, table, column, [""], expected)


def without(fault: Fault, check_id: str, protects: str, expected: str) -> Check:
    """No segment has this fault."""
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        Table.SEGMENTS,
        FAULT_TEXT,
        expected,
        lambda _: gxe.ExpectColumnValuesToNotBeInSet(column="fault", value_set=[str(fault)]),
    )


def equal(check_id: str, protects: str, table: Table, columns: tuple[str, str], expected: str) -> Check:
    """Two columns hold the same, where both hold something."""
    first, second = columns
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        table,
        first,
        expected,
        lambda _: gxe.ExpectColumnPairValuesToBeEqual(
            column_A=first, column_B=second, ignore_row_if="either_value_is_missing"
        ),
    )


def in_set(check_id: str, protects: str, table: Table, column: str, values: Iterable[str], expected: str) -> Check:
    """A column holds only these values."""
    listed = list(values)
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        table,
        column,
        expected,
        lambda _: gxe.ExpectColumnValuesToBeInSet(column=column, value_set=listed),
    )


def present(check_id: str, protects: str, table: Table, column: str, expected: str) -> Check:
    """A column holds a value in every row."""
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        table,
        column,
        expected,
        lambda _: gxe.ExpectColumnValuesToNotBeNull(column=column),
    )


def breaker(check_id: str, protects: str, figure: str) -> Check:
    """A figure of the file lies within its bounds."""
    return Check(
        check_id,
        protects,
        Severity.HOLD,
        Table.FILE,
        figure,
        "",
        lambda bounds: gxe.ExpectColumnValuesToBeBetween(
            column=figure,
            min_value=float("-inf") if bounds.low is None else bounds.low,
            max_value=float("inf") if bounds.high is None else bounds.high,
        ),
        figure,
    )


def whole(*checks: Check) -> tuple[Check, ...]:
    """The same, of which nobody can tell while a part of the file cannot be read."""
    return tuple(replace(check, whole=True) for check in checks)
