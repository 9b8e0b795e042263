"""Reads user_guide.toml; what contradicts itself, or has a key that means nothing, is refused on load.

* A cut-off is daily (`M H * * *`) or weekly (`M H * * DAY`) in UTC.
* A file with {date} in its name is written once; one without is replaced in place by its successor.
* A delta's `keep_days` are at least the 7 of Appendix O 2.3.3 (b).
* Delta and full extract have the same time of day. One daily run makes sure of both revocation lists, which are .gz
  files; so does one of the four anchor files.
* A warning comes before publish-by and after the cut-off. Owner and contact are [operator]'s unless an obligation has
  its own.
* What is refused is named with line, obligation and key; so are two obligations with one file.
"""

import posixpath
import re
import tomllib
from datetime import time, timedelta
from pathlib import Path
from typing import Any

from smki.errors import ObligationError
from smki.obligations.catalogue import Obligation, Retention, Terms, UserGuide

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_CRON = re.compile(r"([0-9]{1,2}) ([0-9]{1,2}) \* \* (\*|[A-Z]{3})")
_PUBLISH_BY = re.compile(r"(?:\+([0-9]) )?([0-9]{2}):([0-9]{2})")
_LEAD = re.compile(r"([0-9]{2}):([0-9]{2})")
_FILE_NAME = "user_guide.toml"
_OPERATOR_KEYS = frozenset({"owner", "contact", "warning"})
_TERM_KEYS = _OPERATOR_KEYS | {
    "clause",
    "file",
    "cut_off",
    "publish_by",
    "folder",
    "keep",
    "keep_days",
    "hold_for_recovery",
    "next_update_warning_hours",
}
_FILE = re.compile(r"[A-Za-z0-9._-]+|[A-Za-z0-9._-]*\{date\}[A-Za-z0-9._-]*")


def load_user_guide(folder: Path) -> UserGuide:
    """The user guide of a configuration folder. Raises ObligationError."""
    path = folder / _FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
        stated = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise _refused("", f"it cannot be read ({error}).") from error
    try:
        return _user_guide(stated)
    except ObligationError as error:
        line = _line_of(text, error.item.removeprefix(_FILE_NAME).strip())
        item = error.item.replace(_FILE_NAME, f"{_FILE_NAME} line {line}", 1) if line else error.item
        raise ObligationError(item, error.rule, error.consequence, error.next_step) from None


def _user_guide(stated: dict[str, Any]) -> UserGuide:
    operator = stated.get("operator")
    if not isinstance(operator, dict):
        raise _refused("[operator]", "it is missing.")
    _refuse_unknown("operator", operator, _OPERATOR_KEYS)
    terms_of_all = tuple(_terms(obligation, stated.get(obligation), operator) for obligation in Obligation)
    if unknown := sorted(stated.keys() - {*Obligation, "operator", "retention", "auditor"}):
        raise _refused(f"[{unknown[0]}]", "it is no obligation, nor operator, retention or auditor.")
    guide = UserGuide(terms_of_all, _retention(stated), _audit_every(stated.get("auditor")))
    if guide.delta.weekday is not None:
        raise _refused("[delta] cut_off", "a delta is daily (Appendix O 2.3.3 (b)).")
    if guide.full.cut_off_time != guide.delta.cut_off_time:
        raise _refused(
            "[full] cut_off", "a full extract is the state at the end of a delta's window: same time of day."
        )
    if guide.terms(Obligation.ARL).cut_off_cron != guide.terms(Obligation.CRL).cut_off_cron:
        raise _refused("[arl] cut_off", "one daily run makes sure of both revocation lists: the same as [crl].")
    for obligation in (Obligation.ANCHOR_NORTH, Obligation.ANCHOR_CENTRAL_SOUTH, Obligation.ANCHOR_TABLE):
        if guide.terms(obligation).cut_off_cron != guide.terms(Obligation.ANCHOR_DOCUMENT).cut_off_cron:
            raise _refused(f"[{obligation}] cut_off", "one daily run makes sure of all four: as [anchor_document].")
    files = [posixpath.join(terms.folder, terms.file) for terms in guide.all]
    for terms, file in zip(guide.all, files, strict=True):
        if files.count(file) > 1:
            raise _refused(f"[{terms.obligation}] file", f"another obligation has {terms.file!r} in the same folder.")
    return guide


def _line_of(text: str, item: str) -> int | None:
    """The line on which `[section] key` stands, or that of the section where the key is missing."""
    wanted = re.fullmatch(r"\[(\w+)\](?: ([\w-]+))?", item)
    section, found = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[(\w+)\]", line):
            section = header[1]
        if wanted and section == wanted[1]:
            key = re.match(r"\s*([\w-]+)\s*=", line)
            if header or (key and key[1] == wanted[2]):
                found = number
    return found


def _terms(obligation: Obligation, stated: object, operator: dict[str, Any]) -> Terms:
    if not isinstance(stated, dict):
        raise _refused(f"[{obligation}]", "it is missing.")
    _refuse_unknown(obligation, stated, _TERM_KEYS)

    def text(key: str) -> str:
        value = stated.get(key, operator.get(key))
        if not isinstance(value, str) or not value:
            raise _refused(f"[{obligation}] {key}", "it is missing or no text.")
        return value

    cron, publish_by, file = text("cut_off"), text("publish_by"), text("file")
    if not (parts := _CRON.fullmatch(cron)) or not _is_time(parts):
        raise _refused(f"[{obligation}] cut_off", f"{cron!r} is neither `M H * * *` nor `M H * * DAY`.")
    if parts[3] != "*" and parts[3] not in _DAYS:
        raise _refused(f"[{obligation}] cut_off", f"{parts[3]!r} is none of {', '.join(_DAYS)}.")
    if not (due := _PUBLISH_BY.fullmatch(publish_by)) or not (int(due[2]) < 24 and int(due[3]) < 60):
        raise _refused(f"[{obligation}] publish_by", f"{publish_by!r} is neither `HH:MM` nor `+1 HH:MM`.")
    _check_file(obligation, file, text("clause"))
    cut_off_time = time(int(parts[2]), int(parts[1]))
    delay = timedelta(days=int(due[1] or 0), hours=int(due[2]), minutes=int(due[3])) - timedelta(
        hours=cut_off_time.hour, minutes=cut_off_time.minute
    )
    if delay <= timedelta():
        raise _refused(
            f"[{obligation}] publish_by", f"{publish_by} does not come after the cut-off {cut_off_time:%H:%M}."
        )
    lead = _warning_lead(obligation, text("warning"))
    if lead >= delay:
        raise _refused(
            f"[{obligation}] warning", f"{text('warning')} before publish-by {publish_by} is not after the cut-off."
        )
    return Terms(
        obligation=obligation,
        clause=text("clause"),
        file=file,
        cut_off_cron=cron,
        cut_off_time=cut_off_time,
        weekday=None if parts[3] == "*" else _DAYS.index(parts[3]),
        publish_by_delay=delay,
        warning_lead=lead,
        folder=text("folder"),
        owner=text("owner"),
        contact=text("contact"),
        next_update_warning=_next_update_warning(obligation, stated.get("next_update_warning_hours")),
    )


def _check_file(obligation: Obligation, file: str, clause: str) -> None:
    is_dated = obligation in (Obligation.FULL, Obligation.DELTA)
    if not _FILE.fullmatch(file) or ("{date}" in file) != is_dated or (is_dated and not file.endswith(".xml.gz")):
        wanted = "with {date} that ends in .xml.gz" if is_dated else "without {date}"
        raise _refused(f"[{obligation}] file", f"{file!r} is no ASCII file name {wanted}.")
    if obligation in _LISTS and not file.endswith(".gz"):
        raise _refused(f"[{obligation}] file", f"{file!r} does not end in .gz ({clause}).")


def _warning_lead(obligation: Obligation, stated: str) -> timedelta:
    parts = _LEAD.fullmatch(stated)
    if not parts or int(parts[2]) > 59 or timedelta(hours=int(parts[1]), minutes=int(parts[2])) <= timedelta():
        raise _refused(f"[{obligation}] warning", f"{stated!r} is no time before publish-by, `HH:MM`.")
    return timedelta(hours=int(parts[1]), minutes=int(parts[2]))


def _audit_every(stated: object) -> timedelta:
    minutes = stated.get("every_minutes") if isinstance(stated, dict) else None
    if type(minutes) is not int or not 1 <= minutes <= 60 or 60 % minutes:
        raise _refused("[auditor] every_minutes", f"{minutes!r} is no number of minutes that divides an hour.")
    return timedelta(minutes=minutes)


def _refuse_unknown(section: str, stated: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(stated.keys() - known):
        raise _refused(f"[{section}] {unknown[0]}", f"it is none of {', '.join(sorted(known))}.")


_LISTS = (Obligation.ARL, Obligation.CRL)
_LONGEST_WARNING_HOURS = 366 * 24  # a list is issued at least yearly


def _next_update_warning(obligation: Obligation, hours: object) -> timedelta | None:
    key = f"[{obligation}] next_update_warning_hours"
    if obligation not in _LISTS:
        if hours is not None:
            raise _refused(key, "only a revocation list has a nextUpdate.")
        return None
    if type(hours) is not int or not 0 < hours < _LONGEST_WARNING_HOURS:
        raise _refused(key, f"{hours!r} is no whole number of hours from 1 to {_LONGEST_WARNING_HOURS - 1}.")
    return timedelta(hours=hours)


_RETENTION_KEYS = {"keep": Obligation.FULL, "keep_days": Obligation.DELTA, "hold_for_recovery": Obligation.DELTA}
_MOST_KEPT = 366


def _retention(stated: dict[str, Any]) -> Retention:
    for key, owner in _RETENTION_KEYS.items():
        for obligation in Obligation:
            if obligation is not owner and key in stated[obligation]:
                raise _refused(f"[{obligation}] {key}", f"it belongs to [{owner}].")
    hold = stated[Obligation.DELTA].get("hold_for_recovery")
    if not isinstance(hold, bool):
        raise _refused("[delta] hold_for_recovery", f"{hold!r} is neither true nor false.")
    section = stated.get("retention")
    cron = section.get("cut_off") if isinstance(section, dict) else None
    if not isinstance(cron, str) or not (parts := _CRON.fullmatch(cron)) or parts[3] != "*" or not _is_time(parts):
        raise _refused("[retention] cut_off", f"{cron!r} is not `M H * * *`: a delta is due for removal every day.")
    days = _kept(stated, "keep_days", 7, "a delta is available for 7 days (Appendix O 2.3.3 (b))")
    fulls = _kept(stated, "keep", 1, "Parties start and recover with a full extract (Appendix O 2.3.3 (a))")
    return Retention(cron, timedelta(days=days), fulls, hold)


def _kept(stated: dict[str, Any], key: str, least: int, reason: str) -> int:
    obligation = _RETENTION_KEYS[key]
    value = stated[obligation].get(key)
    if type(value) is not int or not least <= value <= _MOST_KEPT:
        raise _refused(f"[{obligation}] {key}", f"{value!r} is no whole number from {least} to {_MOST_KEPT}; {reason}.")
    return value


def _is_time(parts: re.Match[str]) -> bool:
    return int(parts[1]) < 60 and int(parts[2]) < 24


def _refused(item: str, rule: str) -> ObligationError:
    return ObligationError(
        f"{_FILE_NAME} {item}".strip(),
        rule,
        "No DAG can be scheduled by it.",
        "correct include/config/user_guide.toml.",
    )
