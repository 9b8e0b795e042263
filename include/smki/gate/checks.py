"""What a check is: a rule about a field of the evidence, as data. `judging` has Great Expectations run it.

* Evidence comes in rows (`Row`): one of the file, and one a segment, record or whatever else a kind tells apart. A kind
  fills its own row types and states its checks beside them (kinds/*/checks.py), by the fields themselves:
  `FullRow.set_digest`. So mypy sees a field that does not exist, and the import fails.
* A field of faults has the text of what is wrong, or nothing; a check on it wants nothing.
* FAIL is for what is wrong. HOLD is for breakers: a measure of the file is outside the bounds that quality.toml and the
  files published before it give.
"""

from dataclasses import dataclass
from types import MemberDescriptorType
from typing import Any, ClassVar, TypeVar, dataclass_transform

from smki.gate.figures import Measure
from smki.gate.model import Severity

RowType = TypeVar("RowType")


@dataclass_transform(frozen_default=True)
def row(row_type: type[RowType]) -> type[RowType]:
    """A row type: a frozen dataclass with slots, so that `NameRow.name` is the field itself."""
    return dataclass(frozen=True, slots=True)(row_type)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of evidence; the fields of a subclass are the columns of its table."""

    TABLE: ClassVar[str]  # what the rows of the table are, in words


@row
class FileRow(Row):
    """A part of what is said of the file as a whole; all parts together are the one row of its table."""

    TABLE: ClassVar[str] = "file"


@row
class NameRow(FileRow):
    """The name of a file."""

    name: str
    expected_name: str


@row
class GzipRow(FileRow):
    """A file that is to be one gzip member."""

    name_fault: str  # of FNAME
    gzip_fault: str


@row
class KeyRow(FileRow):
    """A small file that is read as it is."""

    private_key_fault: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values."""

    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """The field has none of these values. What is wrong is said of each row, so a report does not repeat the value."""

    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class SameAs:
    """Two fields have the same value, where both have one."""

    other: Any  # a field of the same table


@dataclass(frozen=True, slots=True)
class Present:
    """The field has a value."""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The field has a value of at least so much."""

    least: float


@dataclass(frozen=True, slots=True)
class Bounded:
    """The measure lies within its bounds, which come with the file."""


Rule = OneOf | NoneOf | SameAs | Present | AtLeast | Bounded
NO_FAULT = OneOf(("",))


@dataclass(frozen=True, slots=True)
class Check:
    """One rule that a file has to keep."""

    id: str
    protects: str  # a sentence: what it guards against
    field: Any  # what it looks at: a field of a row type, such as `NameRow.name`, or a measure of the file
    rule: Rule
    expected: str = ""  # in words; empty: its bounds are
    severity: Severity = Severity.FAIL
    of_all: bool = False  # it says something of the whole file, so every part of it has to have been read

    def __post_init__(self) -> None:
        """Refuses what is no field: TypeError."""
        row_type_of(self.field)
        if isinstance(self.rule, SameAs):
            row_type_of(self.rule.other)

    @property
    def table(self) -> str:
        """The table that it looks at."""
        return row_type_of(self.field).TABLE

    @property
    def column(self) -> str:
        """The column that it looks at."""
        return column_of(self.field)

    @property
    def measure(self) -> Measure | None:
        """What it bounds, where it is a breaker."""
        return self.field if isinstance(self.field, Measure) else None


def row_type_of(field: object) -> type[Row]:
    """The row type that has this field; a measure is of the file. Raises TypeError for what is no field."""
    if isinstance(field, Measure):
        return FileRow
    if isinstance(field, MemberDescriptorType) and issubclass(field.__objclass__, Row):
        return field.__objclass__
    raise TypeError(f"{field!r} is no field of a row")


def column_of(field: Any) -> str:
    """The name of a field, or of a measure."""
    return field.name if isinstance(field, Measure) else str(field.__name__)


def breaker(check_id: str, protects: str, measure: Measure, *, of_all: bool = True) -> Check:
    """A check that holds a file whose measure is outside its bounds."""
    return Check(check_id, protects, measure, Bounded(), severity=Severity.HOLD, of_all=of_all)


NAME = Check(
    "all.name",
    "A Party finds a file by its name; a wrong day in it would be loaded in the wrong order.",
    NameRow.name,
    SameAs(NameRow.expected_name),
    "the name that the User Guide gives that day's file",
)
GZIP = (
    Check(
        "gzip.name",
        "Appendix O 2.3.3: the file inside has the same name without .gz.",
        GzipRow.name_fault,
        NO_FAULT,
        "FNAME is the file's name without .gz",
    ),
    Check(
        "gzip.member",
        "What some readers of .gz see and others do not would give Parties different files.",
        GzipRow.gzip_fault,
        NO_FAULT,
        "one intact gzip member, nothing after it",
    ),
)
NO_KEY = Check(
    "content.key-material",
    "A private key that leaves the repository has to be replaced everywhere.",
    KeyRow.private_key_fault,
    NO_FAULT,
    "no private key material",
)
