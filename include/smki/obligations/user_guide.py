"""Reads user_guide.toml: every obligation with its clause, file, cut-off, publish-by and folder.

* A business date is the day of a cut-off. Its delta holds the window that ends there, its full extract the state right
  after it, so both need the same time of day.
* A cut-off is daily (`M H * * *`) or weekly (`M H * * DAY`) in UTC.
* What contradicts itself is refused on load, with the obligation and the key.
"""

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path

from smki.errors import ObligationError

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_CRON = re.compile(r"([0-9]{1,2}) ([0-9]{1,2}) \* \* (\*|[A-Z]{3})")
_PUBLISH_BY = re.compile(r"(?:\+([0-9]) )?([0-9]{2}):([0-9]{2})")
_FILE = re.compile(r"[A-Za-z0-9._-]*\{date\}[A-Za-z0-9._-]*\.xml\.gz")


class Obligation(StrEnum):
    """What Appendix O 2.3.3 wants on the server."""

    FULL = "full"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Terms:
    """One obligation's terms."""

    obligation: Obligation
    clause: str
    file: str  # pattern with {date}
    cut_off_cron: str  # UTC
    cut_off_time: time  # UTC
    weekday: int | None  # 0 is Monday; None: every day
    publish_by_delay: timedelta  # from cut-off to publish-by
    folder: str  # on the server

    def file_name(self, day: date) -> str:
        """The name of that day's file."""
        return self.file.format(date=day.isoformat())

    def cut_off(self, day: date) -> datetime:
        """That day's cut-off (UTC)."""
        return datetime.combine(day, self.cut_off_time, UTC)

    def publish_by(self, day: date) -> datetime:
        """When that day's file has to be on the server (UTC)."""
        return self.cut_off(day) + self.publish_by_delay

    def falls_on(self, day: date) -> bool:
        """Whether a file is due for that day."""
        return self.weekday is None or day.weekday() == self.weekday


@dataclass(frozen=True, slots=True)
class UserGuide:
    """All obligations."""

    full: Terms
    delta: Terms

    def terms(self, obligation: Obligation) -> Terms:
        """The terms of one obligation."""
        return {Obligation.FULL: self.full, Obligation.DELTA: self.delta}[obligation]


def load_user_guide(folder: Path) -> UserGuide:
    """The user guide of a configuration folder. Raises ObligationError."""
    path = folder / "user_guide.toml"
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path.name, f"it cannot be read ({error}).") from error
    guide = UserGuide(*(_terms(obligation, stated.get(obligation)) for obligation in Obligation))
    if guide.delta.weekday is not None:
        raise _refused("[delta] cut_off", "a delta is daily (Appendix O 2.3.3 (b)).")
    if guide.full.cut_off_time != guide.delta.cut_off_time:
        raise _refused(
            "[full] cut_off", "a full extract is the state at the end of a delta's window: same time of day."
        )
    if guide.full.file == guide.delta.file:
        raise _refused("[delta] file", "a full extract has the same name, and one would take the other's place.")
    return guide


def _terms(obligation: Obligation, stated: object) -> Terms:
    if not isinstance(stated, dict):
        raise _refused(f"[{obligation}]", "it is missing.")

    def text(key: str) -> str:
        value = stated.get(key)
        if not isinstance(value, str) or not value:
            raise _refused(f"[{obligation}] {key}", "it is missing or no text.")
        return value

    cron, publish_by, file = text("cut_off"), text("publish_by"), text("file")
    if not (parts := _CRON.fullmatch(cron)) or not (int(parts[1]) < 60 and int(parts[2]) < 24):
        raise _refused(f"[{obligation}] cut_off", f"{cron!r} is neither `M H * * *` nor `M H * * DAY`.")
    if parts[3] != "*" and parts[3] not in _DAYS:
        raise _refused(f"[{obligation}] cut_off", f"{parts[3]!r} is none of {', '.join(_DAYS)}.")
    if not (due := _PUBLISH_BY.fullmatch(publish_by)) or not (int(due[2]) < 24 and int(due[3]) < 60):
        raise _refused(f"[{obligation}] publish_by", f"{publish_by!r} is neither `HH:MM` nor `+1 HH:MM`.")
    if not _FILE.fullmatch(file):
        raise _refused(f"[{obligation}] file", f"{file!r} is no ASCII file name with {{date}} that ends in .xml.gz.")
    cut_off_time = time(int(parts[2]), int(parts[1]))
    delay = timedelta(days=int(due[1] or 0), hours=int(due[2]), minutes=int(due[3])) - timedelta(
        hours=cut_off_time.hour, minutes=cut_off_time.minute
    )
    if delay <= timedelta():
        raise _refused(
            f"[{obligation}] publish_by", f"{publish_by} does not come after the cut-off {cut_off_time:%H:%M}."
        )
    return Terms(
        obligation=obligation,
        clause=text("clause"),
        file=file,
        cut_off_cron=cron,
        cut_off_time=cut_off_time,
        weekday=None if parts[3] == "*" else _DAYS.index(parts[3]),
        publish_by_delay=delay,
        folder=text("folder"),
    )


def _refused(item: str, rule: str) -> ObligationError:
    return ObligationError(
        f"user_guide.toml {item}", rule, "No DAG can be scheduled by it.", "correct include/config/user_guide.toml."
    )
