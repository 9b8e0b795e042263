"""What the gate says: the results of checks, figures with their history, and the judgement of one file.

* FAIL: a rule is broken, and nobody may release the file. HOLD: a breaker tripped, and a person may. PASS: neither.
* A judgement belongs to the file's hash: other bytes under the same name have to be judged themselves.
* It is kept as JSON, whole, so that its report can be made again from the ledger alone.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import TypeAdapter

INSTANT = "s since 1970"  # unit of a figure that is a time


class Severity(StrEnum):
    """What a check that does not pass leads to."""

    FAIL = "FAIL"
    HOLD = "HOLD"


class Verdict(StrEnum):
    """What the gate says of a file."""

    PASS = "PASS"  # noqa: S105  # no password
    HOLD = "HOLD"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check came out."""

    id: str  # of the check, such as full.closure
    protects: str  # a sentence: what it guards against
    severity: Severity
    passed: bool
    expected: str  # in words
    observed: str  # in words
    details: tuple[str, ...] = ()  # what is concerned, by name; at most 100 on each side of a comparison
    figure: str | None = None  # name of the one that it bounds
    judged: bool = True  # False: parts of the file could not be read, so nobody can tell; it did not pass either


class Past(NamedTuple):
    """A figure of an earlier publication."""

    business_date: date
    value: int | float  # a CRL number is too large for a float


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the file beside those of the publications before it."""

    name: str  # such as records
    title: str  # such as Certificates
    unit: str  # such as bytes, or INSTANT; empty for a count
    value: int | float
    history: tuple[Past, ...] = ()  # oldest first
    low: float | None = None  # bounds of its breaker; None where it has none
    high: float | None = None
    basis: str = ""  # how the bounds came about, in words
    compared: bool = (
        True  # False: it is a difference from what was before, and there is nothing; the value says nothing
    )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says of one file, with all that it is based on."""

    obligation: str  # its name
    name: str  # of the file
    business_date: date
    bytes: int  # of the file
    sha256: str  # of the file, hex
    run: str  # who judged: an Airflow run or a command line
    judged_at: datetime  # UTC
    suite_version: str
    results: tuple[CheckResult, ...]
    figures: tuple[Figure, ...]
    seconds: float  # that judging took, without the reading of the file
    subject: str = ""  # whom the file is for; empty: all Parties
    remarks: tuple[str, ...] = ()  # what a reader has to know, whatever the verdict

    @property
    def verdict(self) -> Verdict:
        """FAIL if any rule is broken, else HOLD if any breaker tripped, else PASS."""
        severities = {result.severity for result in self.results if not result.passed}
        if Severity.FAIL in severities:
            return Verdict.FAIL
        return Verdict.HOLD if severities else Verdict.PASS

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """What did not pass, the gravest first."""
        failed = [result for result in self.results if result.judged and not result.passed]
        return tuple(sorted(failed, key=lambda result: result.severity is Severity.HOLD))

    @property
    def unjudged(self) -> tuple[CheckResult, ...]:
        """Of what nobody can tell, as parts of the file could not be read."""
        return tuple(result for result in self.results if not result.judged)

    def as_json(self) -> dict[str, Any]:
        """JSON types, as the ledger keeps them."""
        stated: dict[str, Any] = _JSON.dump_python(self, mode="json")
        return stated

    @classmethod
    def from_json(cls, stated: dict[str, Any]) -> "Judgement":
        """The judgement that `as_json` wrote."""
        return _JSON.validate_python(stated)


_JSON = TypeAdapter(Judgement)


def is_cleared(verdict: Verdict, released: bool | None) -> bool:
    """Whether a file may be published: it passed, or it was held and a person released it (None: nobody decided)."""
    return verdict is Verdict.PASS or (verdict is Verdict.HOLD and released is True)
