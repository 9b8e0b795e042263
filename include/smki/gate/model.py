"""The words of the gate: checks, results, figures with their history, and the judgement of one artefact.

* FAIL: a rule is broken; nobody may release it. HOLD: a breaker tripped; a person may. PASS: neither.
* A judgement belongs to the artefact's hash: other octets under the same name have to be judged themselves.
* It is kept as JSON, whole, so that its report can be made again from the ledger alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """What a check that does not pass leads to."""

    FAIL = "FAIL"
    HOLD = "HOLD"


class Verdict(StrEnum):
    """What the gate says of an artefact."""

    PASS = "PASS"  # noqa: S105  # no password
    HOLD = "HOLD"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of a suite, and how it came out."""

    id: str  # of the check, such as full.closure
    protects: str  # a sentence: what it guards against
    severity: Severity
    passed: bool
    expected: str  # in words
    observed: str  # in words
    details: tuple[str, ...] = ()  # what is concerned, by name; at most 100 on each side of a comparison
    figure: str | None = None  # the figure that it bounds
    judged: bool = True  # False: parts of the file could not be read, so nobody can tell; it did not pass either


@dataclass(frozen=True, slots=True)
class Past:
    """A figure of an earlier publication."""

    business_date: date
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the artefact beside those of the publications before it."""

    name: str  # such as records
    title: str  # such as Certificates
    unit: str  # such as octets; empty for a count
    value: float
    history: tuple[Past, ...] = ()  # oldest first
    low: float | None = None  # bounds of its breaker; None where it has none
    high: float | None = None
    basis: str = ""  # how the bounds came about, in words


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says of one artefact, with all that it is based on."""

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

    @property
    def verdict(self) -> Verdict:
        """FAIL if any rule is broken, else HOLD if any breaker tripped, else PASS."""
        return verdict_of(self.results)

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
        """JSON types."""
        stated = asdict(self)
        stated["business_date"] = self.business_date.isoformat()
        stated["judged_at"] = self.judged_at.isoformat()
        for figure in stated["figures"]:
            figure["history"] = [[past["business_date"].isoformat(), past["value"]] for past in figure["history"]]
        return stated

    @classmethod
    def from_json(cls, stated: dict[str, Any]) -> "Judgement":
        """The judgement that `as_json` wrote."""
        return cls(
            **stated
            | {
                "business_date": date.fromisoformat(stated["business_date"]),
                "judged_at": datetime.fromisoformat(stated["judged_at"]),
                "results": tuple(_result(result) for result in stated["results"]),
                "figures": tuple(_figure(figure) for figure in stated["figures"]),
            }
        )


def verdict_of(results: Sequence[CheckResult]) -> Verdict:
    """FAIL if any rule is broken, else HOLD if any breaker tripped, else PASS."""
    severities = {result.severity for result in results if not result.passed}
    if Severity.FAIL in severities:
        return Verdict.FAIL
    return Verdict.HOLD if severities else Verdict.PASS


def _result(stated: dict[str, Any]) -> CheckResult:
    return CheckResult(**stated | {"severity": Severity(stated["severity"]), "details": tuple(stated["details"])})


def _figure(stated: dict[str, Any]) -> Figure:
    history = tuple(Past(date.fromisoformat(day), value) for day, value in stated["history"])
    return Figure(**stated | {"history": history})
