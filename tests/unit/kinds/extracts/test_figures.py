"""The figures of an extract beside their history."""

from datetime import date, time, timedelta

from builders import day
from smki.gate.bounds import load_quality
from smki.gate.ledger import PastPublication
from smki.gate.model import Figure
from smki.kinds.extracts.figures import delta_figures, full_figures
from smki.obligations.catalogue import CutOff
from smki.settings import INCLUDE
from smki.verify.figures import SegmentFigures
from smki.verify.verification import Verification

SHIPPED = load_quality(INCLUDE / "config")
QUALITY = SHIPPED.model_copy(
    update={
        "delta": SHIPPED.delta.model_copy(update={"status_floor": 100}),
        "extract": SHIPPED.extract.model_copy(update={"least_records": 100}),
    }
)
WEEKLY = CutOff("0 0 * * SUN", time(), weekday=6)
MONTHLY = CutOff("0 0 1 * *", time(), month_day=1)


def extract(size: int = 50_000, **statuses: int) -> Verification:
    segment = SegmentFigures(0, records=sum(statuses.values()), statuses=statuses)
    return Verification("name", size, "0" * 64, (segment,))


def published(window: int, verification: Verification) -> PastPublication:
    """A delta as the ledger has it."""
    figures = delta_figures(QUALITY, day(window), verification, [])
    return PastPublication(day(window), {figure.name: figure.value for figure in figures})


def of_delta(name: str, verification: Verification, past: list[PastPublication]) -> Figure:
    return next(one for one in delta_figures(QUALITY, day(60), verification, past) if one.name == name)


def trips(figure: Figure) -> bool:
    low = figure.low is not None and figure.value < figure.low
    return low or (figure.high is not None and figure.value > figure.high)


USUAL = [published(window, extract(I=900, N=100)) for window in range(50, 60)]


def test_shift_is_the_largest_of_any_status() -> None:
    shift = of_delta("status_shift", extract(I=450, N=100, E=450), USUAL)
    assert (shift.value, trips(shift)) == (45.0, True)
    assert not trips(of_delta("status_shift", extract(I=550, N=450), USUAL))


def test_mix_of_a_small_delta_is_not_judged() -> None:
    assert not trips(of_delta("status_shift", extract(N=99), USUAL))
    assert trips(of_delta("status_shift", extract(N=100), USUAL))


def test_deltas_of_no_records_are_no_measure_of_the_mix() -> None:
    quiet = [published(window, extract()) for window in range(40, 60)]
    assert not trips(of_delta("status_shift", extract(I=900, N=100), [*quiet, *USUAL[:1]]))
    assert trips(of_delta("status_shift", extract(N=1000), [*quiet, *USUAL[:1]]))
    assert not trips(of_delta("status_shift", extract(I=900, N=100), quiet)), "there is no mix to be held against"


def test_figures_that_an_older_ledger_lacks_are_not_judged() -> None:
    past = [PastPublication(day(59), {"records": 1000.0})]
    for name in ("status_shift", "bytes_a_certificate"):
        assert of_delta(name, extract(N=1000), past).high is None


def test_size_of_few_certificates_is_not_judged() -> None:
    assert not trips(of_delta("bytes_a_certificate", extract(size=10**6, I=99), USUAL))
    assert trips(of_delta("bytes_a_certificate", extract(size=10**6, I=100), USUAL))


def test_extract_of_no_records_has_no_size_a_certificate() -> None:
    assert of_delta("bytes_a_certificate", extract(), USUAL).value == 0.0


def test_growth_of_weeks_is_allowed_after_weeks_of_silence() -> None:
    past = [PastPublication(day(46), {"records": 10_000_000.0})]
    grown = extract(I=11_000_000)

    def change(window: int) -> Figure:
        return next(one for one in full_figures(QUALITY, WEEKLY, day(window), grown, past) if one.name == "records")

    assert trips(change(53))
    assert not trips(change(60))


def test_silence_counts_from_the_newest_publication() -> None:
    silence = of_delta("days_since_previous", extract(I=1), USUAL[:-8])
    assert (silence.value, silence.high, trips(silence)) == (9, 8, True)
    assert of_delta("days_since_previous", extract(I=1), []).high is None


def test_full_extract_that_is_due_less_often_may_be_silent_for_longer() -> None:
    def longest(cut_off: CutOff, business_date: date) -> float | None:
        past = [PastPublication(business_date - timedelta(days=28), {"records": 10.0})]
        figures = full_figures(QUALITY, cut_off, business_date, extract(I=10), past)
        return next(one for one in figures if one.name == "days_since_previous").high

    assert longest(WEEKLY, date(2025, 8, 10)) == QUALITY.full.silent_days
    assert longest(MONTHLY, date(2025, 8, 1)) == 2 * 31 + 1
