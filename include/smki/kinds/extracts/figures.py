"""The figures of an extract beside those published before it, with the bounds of the breakers among them.

* FULL: certificates by per cent since the one before, growth for each week between the two.
* DELT: certificates in a band around the median, and at least a share of a mature history's median, as the band alone
  reaches down to nothing; the mix of statuses against the medians of their shares.
* Both: the size of a certificate, in a band. The silence before: a full extract that is due less often than weekly may
  take two intervals and a day.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from smki.certificates.model import Status
from smki.gate.bounds import Bounds, Quality, change_bounds
from smki.gate.figures import BYTES, RECORDS, SILENCE, Measure, silence
from smki.gate.ledger import PastPublication, past_values
from smki.gate.model import Figure
from smki.obligations.catalogue import CutOff
from smki.verify.verification import Verification

BYTES_A_CERTIFICATE = Measure("bytes_a_certificate", "Size a certificate", "bytes")
STATUS_SHIFT = Measure("status_shift", "Largest shift of a status's share", "points")
SHARES = {status: Measure(f"share_{status}", f"Share of status {status}", "%") for status in Status}
OF_THE_FILE = frozenset({BYTES.name, SILENCE.name})  # that need no record to have been read
_WEEK = timedelta(days=7)


def full_figures(
    quality: Quality, cut_off: CutOff, business_date: date, verification: Verification, past: Sequence[PastPublication]
) -> tuple[Figure, ...]:
    """Of a full extract, beside those published before it (oldest first)."""
    weeks = (business_date - past[-1].business_date) / _WEEK if past else 1.0
    newest = past[-1].figures.get(RECORDS.name) if past else None
    change = change_bounds(quality.full.shrink, quality.full.growth, newest, weeks)
    interval = business_date - cut_off.previous_day(business_date)
    longest = max(timedelta(days=quality.full.silent_days), 2 * interval + timedelta(days=1))
    return (
        RECORDS.figure(verification.records, past, change),
        *_size_figures(quality, verification, past),
        silence(business_date, past, longest),
    )


def delta_figures(
    quality: Quality, business_date: date, verification: Verification, past: Sequence[PastPublication]
) -> tuple[Figure, ...]:
    """Of a delta, beside those published before it (oldest first)."""
    records = [value.value for value in past_values(past, RECORDS.name)]
    shares = {status: _share(verification, status) for status in Status}
    # A delta of no records has no mix.
    names = {share.name for share in SHARES.values()}
    mixed = [one.figures for one in past if one.figures.get(RECORDS.name) and one.figures.keys() >= names]
    shift = Bounds(None, quality.delta.status_points, f"against the medians of {len(mixed)} deltas before")
    shifts = [0.0]
    if not mixed or verification.records < quality.delta.status_floor:
        shift = Bounds(basis=f"not judged: no history, or fewer than {quality.delta.status_floor:,} records")
    else:
        medians = {s: statistics.median(figures[SHARES[s].name] for figures in mixed) for s in Status}
        shifts = [abs(shares[status] - medians[status]) for status in Status]
    return (
        RECORDS.figure(verification.records, past, volume_bounds(quality, records)),
        STATUS_SHIFT.figure(round(max(shifts), 2), past, shift, compared=shift.high is not None),
        *(SHARES[status].figure(share, past) for status, share in shares.items()),
        *_size_figures(quality, verification, past),
        silence(business_date, past, timedelta(days=quality.delta.silent_days)),
    )


def volume_bounds(quality: Quality, history: Sequence[float]) -> Bounds:
    """The bounds of a delta's certificates."""
    rules, bounds = quality.delta, quality.band(quality.delta.volume, history)
    median = statistics.median(history) if len(history) >= quality.history.mature_at else 0
    few = median * rules.few_percent / 100
    if bounds.low is None or median < rules.few_floor or few <= bounds.low:
        return bounds
    return replace(bounds, low=few, basis=f"{bounds.basis}, at least {rules.few_percent:g} % of it")


def _size_figures(quality: Quality, verification: Verification, past: Sequence[PastPublication]) -> tuple[Figure, ...]:
    each = verification.bytes / verification.records if verification.records else 0.0
    least = quality.extract.least_records
    large = [one for one in past if one.figures.get(RECORDS.name, 0) >= least]
    sizes = [value.value for value in past_values(large, BYTES_A_CERTIFICATE.name)]
    bounds = quality.band(quality.extract.bytes_a_certificate, sizes)
    if verification.records < least:
        bounds = Bounds(basis=f"not judged: fewer than {least:,} records")
    return BYTES.figure(verification.bytes, past), BYTES_A_CERTIFICATE.figure(round(each, 2), past, bounds)


def _share(verification: Verification, status: Status) -> float:
    """Per cent of the records that have this status."""
    return round(100 * verification.statuses.get(status, 0) / verification.records, 2) if verification.records else 0.0
