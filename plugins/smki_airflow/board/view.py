"""What the board shows, as values that its templates only have to lay out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from smki.obligations.catalogue import Obligation, UserGuide
from smki.watch.due import Due
from smki.watch.due_status import DueStatus, State, as_it_is_now, gate_runs_of, list_due_statuses
from smki.watch.facts import Facts, GateVerdict, Offered
from smki.watch.findings_ledger import Failure, KnownFinding
from smki.watch.status_report import Expected, StatusReport, unusable_files
from smki.words import span
from smki_airflow.board.runs import DayRun, Stage

WEEKS = 8
# What a state looks like: one of the icons of templates/icons.svg, and a class of board.css.
LOOK = {state: state.replace(" ", "-") for state in State} | {State.NOTHING: "nothing"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One due file in the calendar."""

    status: DueStatus
    findings: tuple[KnownFinding, ...]  # open ones about a file that was published: nothing else of the cell says them

    @property
    def words(self) -> str:
        """How it stands, in words."""
        return f"{self.status.words}; {kinds(self.findings)}" if self.findings else self.status.words


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """One obligation over the days of the calendar."""

    obligation: Obligation
    cells: tuple[Cell | None, ...]  # one a day; none where nothing is due


@dataclass(frozen=True, slots=True)
class Calendar:
    """The last eight weeks, whole ones, the current one last."""

    days: tuple[date, ...]
    rows: tuple[CalendarRow, ...]

    @property
    def weeks(self) -> tuple[date, ...]:
        """The first day of each."""
        return self.days[::7]


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage on the run's line of time."""

    stage: Stage
    left: float  # per cent of the run
    width: float  # per cent of the run


@dataclass(frozen=True, slots=True)
class DayItem:
    """One due file on the day that is looked at."""

    status: DueStatus
    sites: tuple[tuple[str, Offered | None], ...]  # what each offers, or offered
    judged: tuple[GateVerdict, ...]  # the gate's runs of that day, newest first
    runs: tuple[DayRun, ...]  # newest first
    bars: tuple[Bar, ...]  # of the newest run
    findings: tuple[KnownFinding, ...]
    failure: Failure | None  # the last error, where the file is not there

    @property
    def run(self) -> DayRun | None:
        """The newest one."""
        return self.runs[0] if self.runs else None


@dataclass(frozen=True, slots=True)
class Day:
    """A day, opened."""

    date: date
    items: tuple[DayItem, ...]
    chosen: str | None  # name of the obligation that was asked for


def first_day(now: datetime) -> date:
    """The Monday that the calendar begins with."""
    today = now.date()
    return today - timedelta(days=today.weekday(), weeks=WEEKS - 1)


def calendar(
    guide: UserGuide, facts: Facts, findings: Sequence[KnownFinding], now: datetime, expected: Expected
) -> Calendar:
    """How every file of the last eight weeks stands; days that are still to come are in it, empty."""
    first, unusable = first_day(now), unusable_files(findings, facts.sites)
    days = tuple(first + timedelta(days=number) for number in range(7 * WEEKS))
    found = {
        one.due.key: Cell(
            as_it_is_now(one, unusable),
            tuple(known for known in findings if one.published_at and _is_about(known, one.due)),
        )
        for one in list_due_statuses(guide, facts, first, now.date(), now, expected)
        if one.due.cut_off <= now
    }
    return Calendar(
        days,
        tuple(
            CalendarRow(obligation, tuple(found.get((*obligation.key, day)) for day in days))
            for obligation in guide.all
        ),
    )


def day_item(
    status: DueStatus,
    facts: Facts,
    runs: Sequence[DayRun],
    findings: Iterable[KnownFinding],
    failure: Failure | None,
) -> DayItem:
    """One due file with all that is known of it."""
    due = status.due
    offered = facts.offered(due.obligation, due.business_date)
    if due.obligation.replaced_in_place and status.judged is not None:
        offered = [one for one in offered if one.content_digest == status.judged.content_digest]
    by_site = {one.site: one for one in offered}
    judged = gate_runs_of(due, facts)
    about = tuple(known for known in findings if _is_about(known, due))
    sites = tuple((site, by_site.get(site)) for site in facts.sites)
    return DayItem(status, sites, tuple(reversed(judged)), tuple(runs), bars(runs[0]) if runs else (), about, failure)


def bars(run: DayRun) -> tuple[Bar, ...]:
    """The stages of a run that have begun, on a line of time from the first beginning to the last end."""
    begun = [stage for stage in run.stages if stage.begun_at is not None]
    if not begun:
        return tuple(Bar(stage, 0, 0) for stage in run.stages)
    start = min(stage.begun_at for stage in begun if stage.begun_at)
    end = max(stage.ended_at or stage.begun_at or start for stage in begun)
    length = max((end - start).total_seconds(), 1.0)

    def place(stage: Stage) -> Bar:
        if stage.begun_at is None:
            return Bar(stage, 0, 0)
        left = (stage.begun_at - start).total_seconds() / length * 100
        width = (stage.seconds or 0.0) / length * 100
        return Bar(stage, round(min(left, 99.0), 2), round(min(width, 100 - left), 2))

    return tuple(place(stage) for stage in run.stages)


def kinds(findings: Iterable[KnownFinding]) -> str:
    """What is open, in words."""
    open_kinds = sorted({known.finding.kind.value for known in findings})
    return f"open {'finding' if len(open_kinds) == 1 else 'findings'}: {', '.join(open_kinds)}"


def headline(report: StatusReport) -> str:
    """How things stand, in one sentence."""
    wrong = report.out_of_order
    if not wrong and not report.findings:
        risk = [one for one in report.standings if one.state is State.AT_RISK]
        if risk:
            return f"{_listed(one.obligation.title for one in risk)}: at risk."
        return (
            "Every obligation is met." if all(not one.unmet for one in report.standings) else "Nothing needs attention."
        )
    parts = []
    if wrong:
        count = "1 obligation needs" if len(wrong) == 1 else f"{len(wrong)} obligations need"
        parts.append(f"{count} attention: {_listed(one.obligation.title for one in wrong)}")
    if report.findings:
        number = len(report.findings)
        parts.append("1 finding is open" if number == 1 else f"{number} findings are open")
    return "; ".join(parts) + "."


def mood(report: StatusReport) -> State:
    """The state that the headline looks like."""
    states = {unmet.state for standing in report.standings for unmet in standing.unmet}
    if report.findings:
        states.add(State.LATE)
    return next(
        (one for one in (State.MISSED, State.UNUSABLE, State.LATE, State.HELD, State.AT_RISK) if one in states),
        State.MET,
    )


def duration(seconds: float | None) -> str:
    """A duration as people say it; finer than `span`, as stages take seconds."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else span(timedelta(seconds=seconds))


def size(count: int) -> str:
    """A number of bytes as people say it."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def _is_about(known: KnownFinding, due: Due) -> bool:
    """Whether a finding is about this file of this day."""
    finding = known.finding
    if not finding.is_of(due.obligation):
        return False
    if finding.business_date is not None:
        return finding.business_date == due.business_date
    return known.first_seen < due.next_cut_off and (known.closed_at is None or known.closed_at >= due.cut_off)


def _listed(names: Iterable[str]) -> str:
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
