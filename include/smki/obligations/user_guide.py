"""Reads user_guide.toml into the catalogue; what contradicts itself, or has a key that means nothing, is refused.

* Each section but [operator], [retention], [auditor] and [index] is an obligation; its `kind` says which keys it has.
* A cut-off is daily (`M H * * *`), weekly (`M H * * DAY`) or monthly (`M H D * *`) in UTC.
* A full extract or delta has {date} in its name; the files of other kinds have not.
* There is one daily delta, one full extract of the certificates in use, an ARL, a CRL, and the four files of the anchor
  slots (Appendix O 2.3.3 (a) to (f)).
* A delta's `keep_days` are at least the 7 of Appendix O 2.3.3 (b).
* Extracts have the same time of day: a full extract is the state at the end of a delta's window.
* One daily run makes sure of all files that a DAG replaces in place, so these have one cut-off.
* Publish-by is a time of day in UTC or a named time zone. A warning comes before publish-by and after the cut-off, also
  when the clocks of that zone have been put forward. Owner and contact are [operator]'s unless an obligation has
  its own.
* Where several CAs issue a revocation list of a kind, each has a section, which states its issuer.
* What is refused is named with line, obligation and key; so are two obligations with one file.
"""

import posixpath
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from smki.certificates.model import ListKind, Status
from smki.errors import ObligationError
from smki.obligations.catalogue import (
    AnchorPart,
    AnchorSlots,
    CutOff,
    DeltaExtract,
    FullExtract,
    Index,
    KeepForDays,
    KeepNewest,
    Kind,
    Obligation,
    PublishTime,
    RevocationList,
    UserGuide,
    is_recovery_start,
)
from smki.toml_files import Section, rule_of, wrong

_FILE_NAME = "user_guide.toml"
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_CRON = re.compile(r"([0-9]{1,2}) ([0-9]{1,2}) (\*|[0-9]{1,2}) \* (\*|[A-Z]{3})")
_PUBLISH_BY = re.compile(r"(?:\+([0-9]) )?([0-9]{2}):([0-9]{2})(?: ([A-Za-z0-9_+/-]+))?")
_LEAD = re.compile(r"([0-9]{2}):([0-9]{2})")
_FILE = re.compile(r"[A-Za-z0-9._-]+|[A-Za-z0-9._-]*\{date\}[A-Za-z0-9._-]*")
_NO_OBLIGATIONS = ("operator", "retention", "auditor", "index")
_INHERITED = ("owner", "contact", "warning")  # of [operator], where an obligation has none of its own
_MOST_KEPT = 366
_A_YEAR = date(2026, 1, 1)  # the first day of any one
_NO_NAME = b"\x30\0"  # an empty Name, DER
_LONGEST_WARNING_HOURS = 366 * 24  # a list is issued at least yearly


def _text(stated: object) -> str:
    if not isinstance(stated, str):
        raise wrong(f"{stated!r} is no text.")
    return stated


def _read_cut_off(cron: object) -> CutOff:
    parts = _CRON.fullmatch(_text(cron))
    if not parts or int(parts[1]) > 59 or int(parts[2]) > 23 or (parts[3] != "*" and parts[4] != "*"):
        raise wrong(f"{cron!r} is none of `M H * * *`, `M H * * DAY` and `M H D * *`.")
    if parts[4] not in ("*", *_WEEKDAYS):
        raise wrong(f"{parts[4]!r} is none of {', '.join(_WEEKDAYS)}.")
    if parts[3] != "*" and not 1 <= int(parts[3]) <= 28:
        raise wrong(f"day {parts[3]} is not in every month: 1 to 28 are.")
    return CutOff(
        parts[0],
        time(int(parts[2]), int(parts[1])),
        None if parts[4] == "*" else _WEEKDAYS.index(parts[4]),
        None if parts[3] == "*" else int(parts[3]),
    )


def _read_lead(stated: object) -> timedelta:
    parts = _LEAD.fullmatch(_text(stated))
    lead = timedelta(hours=int(parts[1]), minutes=int(parts[2])) if parts and int(parts[2]) < 60 else timedelta()
    if lead <= timedelta():
        raise wrong(f"{stated!r} is no time before publish-by, `HH:MM`.")
    return lead


def _least_delay(publish_time: PublishTime, cut_off: CutOff) -> timedelta:
    """From a cut-off to publish-by, on the day of the year on which that is shortest."""
    days = [_A_YEAR + timedelta(days=number) for number in range(1 if publish_time.zone == "UTC" else 366)]
    return min(publish_time.at(day) - cut_off.at(day) for day in days)


def _absolute(folder: str) -> str:
    """`lists` is `/lists`: Parties read in the index what is where, and know no folder to begin at."""
    return posixpath.join("/", folder)


Text = Annotated[str, Field(min_length=1)]
Folder = Annotated[Text, AfterValidator(_absolute)]
Lead = Annotated[timedelta, BeforeValidator(_read_lead)]


class _Obligation(Section):
    """What every obligation states, in the order in which it is checked."""

    title: Text
    clause: Text
    dag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    file: Text
    folder: Folder
    owner: Text
    contact: Text
    cut_off: Annotated[CutOff, BeforeValidator(_read_cut_off)]
    publish_by: PublishTime
    warning: Lead

    @field_validator("publish_by", mode="before")
    @classmethod
    def _read_publish_by(cls, stated: object, info: ValidationInfo) -> PublishTime:
        due = _PUBLISH_BY.fullmatch(_text(stated))
        if not due or int(due[2]) > 23 or int(due[3]) > 59:
            raise wrong(f"{stated!r} is neither `HH:MM` nor `+1 HH:MM`, nor one of them with a time zone.")
        publish_time = PublishTime(time(int(due[2]), int(due[3])), int(due[1] or 0), due[4] or "UTC")
        try:
            ZoneInfo(publish_time.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # the name may be a folder's, or too long for a file's
            raise wrong(f"{publish_time.zone!r} is no time zone such as Europe/London.") from None
        if (cut_off := info.data.get("cut_off")) is not None and _least_delay(publish_time, cut_off) <= timedelta():
            raise wrong(f"{stated} does not come after the cut-off {cut_off.time:%H:%M}.")
        return publish_time

    @field_validator("warning")
    @classmethod
    def _check_warning(cls, lead: timedelta, info: ValidationInfo) -> timedelta:
        cut_off, publish_time = info.data.get("cut_off"), info.data.get("publish_by")
        if cut_off is not None and publish_time is not None and lead >= _least_delay(publish_time, cut_off):
            raise wrong(f"a warning {lead} before publish-by is not after the cut-off.")
        return lead


class _Extract(_Obligation):
    @field_validator("file")
    @classmethod
    def _check_file(cls, file: str) -> str:
        if not _FILE.fullmatch(file) or "{date}" not in file or not file.endswith(".xml.gz"):
            raise wrong(f"{file!r} is no ASCII file name with {{date}} that ends in .xml.gz.")
        return file


class _Full(_Extract):
    kind: Literal["full extract"]
    statuses: Annotated[str, Field(pattern="^[PINER]+$")]
    keep: Annotated[int, Field(ge=1, le=_MOST_KEPT)]

    def record_kind(self) -> Kind:
        return FullExtract(frozenset(map(Status, self.statuses)), KeepNewest(self.keep))


class _Delta(_Extract):
    kind: Literal["delta"]
    keep_days: int
    wait_for_recovery: bool

    @field_validator("keep_days")
    @classmethod
    def _check_days(cls, days: int) -> int:
        if not 7 <= days <= _MOST_KEPT:
            raise wrong(f"{days} is not from 7 to {_MOST_KEPT}; a delta is available for 7 days (2.3.3 (b)).")
        return days

    @field_validator("cut_off")
    @classmethod
    def _check_daily(cls, cut_off: CutOff) -> CutOff:
        if cut_off.weekday is not None or cut_off.month_day is not None:
            raise wrong("a delta is daily (Appendix O 2.3.3 (b)).")
        return cut_off

    def record_kind(self) -> Kind:
        return DeltaExtract(KeepForDays(timedelta(days=self.keep_days), self.wait_for_recovery))


class _InPlace(_Obligation):
    @field_validator("file")
    @classmethod
    def _check_file(cls, file: str) -> str:
        if not _FILE.fullmatch(file) or "{date}" in file:
            raise wrong(f"{file!r} is no ASCII file name without {{date}}.")
        return file


class _List(_InPlace):
    kind: Literal["revocation list"]
    list: Annotated[ListKind, Field(strict=False)]
    next_update_warning_hours: Annotated[int, Field(gt=0, lt=_LONGEST_WARNING_HOURS)]
    issuer: str = ""

    @field_validator("file")
    @classmethod
    def _check_gz(cls, file: str) -> str:
        if not file.endswith(".gz"):
            raise wrong(f"{file!r} does not end in .gz (Appendix O 2.3.3 (c), (d)).")
        return file

    def record_kind(self) -> Kind:
        return RevocationList(self.list, timedelta(hours=self.next_update_warning_hours), self.issuer)

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, issuer: str) -> str:
        if "=" not in issuer:
            return issuer
        from smki.certificates.names import is_named  # noqa: PLC0415  # whoever reads times alone loads no parser

        try:
            is_named(_NO_NAME, issuer)
        except ValueError:
            raise wrong(f"{issuer!r} is no name such as `CN=…,OU=…`, and no common name alone.") from None
        return issuer


class _Anchors(_InPlace):
    kind: Literal["anchor slots"]
    part: Annotated[AnchorPart, Field(strict=False)]

    def record_kind(self) -> Kind:
        return AnchorSlots(self.part)


class _Operator(Section):
    owner: Text
    contact: Text
    warning: Lead


class _Retention(Section):
    cut_off: str

    @field_validator("cut_off")
    @classmethod
    def _check_daily(cls, cron: str) -> str:
        cut_off = _read_cut_off(cron)
        if cut_off.weekday is not None or cut_off.month_day is not None:
            raise wrong(f"{cron!r} is not `M H * * *`: a delta is due for removal every day.")
        return cron


class _Auditor(Section):
    every_minutes: int

    @field_validator("every_minutes")
    @classmethod
    def _check_minutes(cls, minutes: int) -> int:
        if not 1 <= minutes <= 60 or 60 % minutes:
            raise wrong(f"{minutes} is no number of minutes that divides an hour.")
        return minutes


class _Index(Section):
    publish: bool
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+\.json$")]
    folder: Folder


_OBLIGATION: TypeAdapter[_Full | _Delta | _List | _Anchors] = TypeAdapter(
    Annotated[_Full | _Delta | _List | _Anchors, Field(discriminator="kind")]
)


def load_user_guide(folder: Path) -> UserGuide:
    """The user guide of a configuration folder. Raises ObligationError."""
    path = folder / _FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
        stated = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ObligationError(_FILE_NAME, f"it cannot be read ({error}).", next_step=f"correct {path}.") from error
    try:
        return _read_guide(stated)
    except ObligationError as error:
        line = _line_of(text, error.item)
        where = f"{_FILE_NAME} line {line}" if line else _FILE_NAME
        raise ObligationError(f"{where} {error.item}".rstrip(), error.rule, next_step=f"correct {path}.") from None


def _read_guide(stated: dict[str, Any]) -> UserGuide:
    _validated("operator", stated, TypeAdapter(_Operator))
    sections = {name: section for name, section in stated.items() if name not in _NO_OBLIGATIONS}
    inherited = {key: stated["operator"][key] for key in _INHERITED}
    obligations = tuple(_read_obligation(name, section, inherited) for name, section in sections.items())
    retention = _validated("retention", stated, TypeAdapter(_Retention))
    auditor = _validated("auditor", stated, TypeAdapter(_Auditor))
    stated_index = _validated("index", stated, TypeAdapter(_Index)) if "index" in stated else None
    index = Index(stated_index.file, stated_index.folder) if stated_index and stated_index.publish else None
    _check_complete(obligations)
    guide = UserGuide(obligations, retention.cut_off, timedelta(minutes=auditor.every_minutes), index)
    _check_times(guide)
    _check_files(guide)
    return guide


def _read_obligation(name: str, section: object, inherited: dict[str, Any]) -> Obligation:
    if not isinstance(section, dict):
        raise ObligationError(f"[{name}]", "it is no section; an obligation is one.")
    read = _validated(name, {name: inherited | section}, _OBLIGATION)
    return Obligation(
        name=name,
        title=read.title,
        clause=read.clause,
        dag=read.dag,
        kind=read.record_kind(),
        file=read.file,
        cut_off=read.cut_off,
        publish_time=read.publish_by,
        warning_lead=read.warning,
        folder=read.folder,
        owner=read.owner,
        contact=read.contact,
    )


def _validated(section: str, stated: dict[str, Any], model: TypeAdapter[Any]) -> Any:
    """The section as the model reads it. Raises ObligationError for the first thing that is wrong."""
    if not isinstance(stated.get(section), dict):
        raise ObligationError(f"[{section}]", "it is missing.")
    try:
        return model.validate_python(stated[section])
    except ValidationError as error:
        first = error.errors()[0]
        key = next((str(part) for part in reversed(first["loc"]) if part in stated[section]), "")
        key = key or next((str(part) for part in reversed(first["loc"]) if isinstance(part, str)), "kind")
        raise ObligationError(f"[{section}] {key}", rule_of(first)) from None


def _check_complete(obligations: Sequence[Obligation]) -> None:
    """Raises ObligationError unless each of Appendix O 2.3.3 (a) to (f) is there once, a list once for each issuer."""
    wanted = [
        'kind "full extract" and statuses "I" (Appendix O 2.3.3 (a))',
        'kind "delta" (Appendix O 2.3.3 (b))',
        *(f'kind "revocation list" and list "{one}" (Appendix O 2.3.3 (c), (d))' for one in ListKind),
        *(f'kind "anchor slots" and part "{one}" (Appendix O 2.3.3 (e), (f))' for one in AnchorPart),
    ]
    found = [(_what(one.kind), one.name) for one in obligations]
    for what in wanted:
        names = [name for other, name in found if other and what.startswith(other)]
        if len(names) != 1 and not _have_issuers(what, names, obligations):
            having = f"{' and '.join(f'[{name}]' for name in names)} have" if names else "no section has"
            raise ObligationError(f"[{names[-1]}]" if names else "", f"one section has {what}, and {having} it.")


def _have_issuers(what: str, names: Collection[str], obligations: Iterable[Obligation]) -> bool:
    """Whether they are sections of a revocation list. Raises ObligationError unless each states another issuer."""
    issuers: set[str] = set()
    for one in obligations:
        if one.name in names and isinstance(one.kind, RevocationList):
            if not one.kind.issuer or one.kind.issuer.casefold() in issuers:
                rule = f"several sections have {what}, so each states another issuer."
                raise ObligationError(f"[{one.name}] issuer", rule)
            issuers.add(one.kind.issuer.casefold())
    return bool(issuers)


def _what(kind: Kind) -> str:
    """What makes a section one of those that Appendix O wants; empty where it is another."""
    match kind:
        case FullExtract():
            return 'kind "full extract" and statuses "I"' if is_recovery_start(kind) else ""
        case DeltaExtract():
            return 'kind "delta"'
        case RevocationList(list_kind):
            return f'kind "revocation list" and list "{list_kind}"'
        case AnchorSlots(part):
            return f'kind "anchor slots" and part "{part}"'
        case never:
            assert_never(never)


def _check_times(guide: UserGuide) -> None:
    if guide.full.cut_off.month_day is not None:
        raise ObligationError(f"[{guide.full.name}] cut_off", "a full extract is weekly (Appendix O 2.3.3 (a)).")
    first_of_dag: dict[str, Obligation] = {}
    for one in guide.all:
        if isinstance(one.kind, FullExtract) and one.cut_off.time != guide.delta.cut_off.time:
            raise ObligationError(
                f"[{one.name}] cut_off",
                "a full extract is the state at the end of a delta's window: same time of day.",
            )
        first = first_of_dag.setdefault(one.dag, one)
        if first.cut_off != one.cut_off or first.replaced_in_place != one.replaced_in_place:
            raise ObligationError(
                f"[{one.name}] cut_off",
                f"one run of {one.dag} makes sure of all its files: the same as [{first.name}].",
            )


def _check_files(guide: UserGuide) -> None:
    """In another folder, too: ledger, gate and index know a file by its name."""
    files = Counter(one.file for one in guide.all)
    of_index = guide.index.names(()) if guide.index else set()
    for one in guide.all:
        if files[one.file] > 1:
            raise ObligationError(f"[{one.name}] file", f"another obligation has {one.file!r}, in whichever folder.")
        if one.file in of_index:
            raise ObligationError("[index] file", f"the index or its page would take the place of [{one.name}] file.")


def _line_of(text: str, item: str) -> int | None:
    """The line on which `[section] key` stands, or that of the section where the key is missing."""
    wanted = re.fullmatch(r"\[([\w-]+)\](?: ([\w-]+))?", item)
    section, found = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[([\w-]+)\]", line):
            section = header[1]
        if wanted and section == wanted[1]:
            key = re.match(r"\s*([\w-]+)\s*=", line)
            if header or (key and key[1] == wanted[2]):
                found = number
    return found
