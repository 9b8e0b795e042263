"""The figures of an artefact beside those published before it, and the bounds of the breakers among them."""

import statistics
from collections.abc import Sequence
from datetime import date, timedelta

from smki.certificates.model import Status
from smki.gate.bounds import Bounds, Quality, change_bounds
from smki.gate.ledger import PastPublication, past_values
from smki.gate.model import Figure
from smki.verify.verification import Verification

_WEEK = timedelta(days=7)
_SHARES = {f"share_{status}" for status in Status}


def full_figures(
    quality: Quality, business_date: date, verification: Verification, past: Sequence[PastPublication]
) -> tuple[Figure, ...]:
    """Of a full extract, beside those published before it (oldest first)."""
    weeks = (business_date - past[-1].business_date) / _WEEK if past else 1.0
    newest = past[-1].figures.get("records") if past else None
    return (
        figure(
            "records",
            "Certificates",
            "",
            verification.records,
            past,
            change_bounds(quality.full_shrink, quality.full_growth, newest, weeks),
        ),
        *_size_figures(quality, verification, past),
        silence(business_date, past, quality.full_silent),
    )


def delta_figures(
    quality: Quality, business_date: date, verification: Verification, past: Sequence[PastPublication]
) -> tuple[Figure, ...]:
    """Of a delta, beside those published before it (oldest first)."""
    records = [value.value for value in past_values(past, "records")]
    shares = {status: _share(verification, status) for status in Status}
    # A delta of no records has no mix.
    mixed = [one.figures for one in past if one.figures.get("records") and one.figures.keys() >= _SHARES]
    shift = Bounds(None, quality.delta_status_points, f"against the medians of {len(mixed)} deltas before")
    shifts = [0.0]
    if not mixed or verification.records < quality.delta_status_floor:
        shift = Bounds(basis=f"not judged: no history, or fewer than {quality.delta_status_floor:,} records")
    else:
        medians = {s: statistics.median(figures[f"share_{s}"] for figures in mixed) for s in Status}
        shifts = [abs(shares[status] - medians[status]) for status in Status]
    return (
        figure(
            "records",
            "Certificates",
            "",
            verification.records,
            past,
            quality.delta_bounds(records),
        ),
        figure("status_shift", "Largest shift of a status's share", "points", round(max(shifts), 2), past, shift),
        *(figure(f"share_{s}", f"Share of status {s}", "%", share, past) for s, share in shares.items()),
        *_size_figures(quality, verification, past),
        silence(business_date, past, quality.delta_silent),
    )


def _size_figures(quality: Quality, verification: Verification, past: Sequence[PastPublication]) -> tuple[Figure, ...]:
    each = verification.bytes / verification.records if verification.records else 0.0
    large = [one for one in past if one.figures.get("records", 0) >= quality.least_records]
    sizes = [value.value for value in past_values(large, "bytes_a_certificate")]
    bounds = quality.band(quality.bytes_a_certificate, sizes)
    if verification.records < quality.least_records:
        bounds = Bounds(basis=f"not judged: fewer than {quality.least_records:,} records")
    return (
        figure("bytes", "Size of the file", "octets", verification.bytes, past),
        figure("bytes_a_certificate", "Size a certificate", "octets", round(each, 2), past, bounds),
    )


def silence(business_date: date, past: Sequence[PastPublication], longest: timedelta) -> Figure:
    """How long nothing was published."""
    days = (business_date - past[-1].business_date).days if past else 0
    bounds = Bounds(None, longest.days, "quality.toml") if past else Bounds()
    return figure("days_since_previous", "Since the publication before", "days", days, past, bounds)


def figure(
    name: str, title: str, unit: str, value: float, past: Sequence[PastPublication], bounds: Bounds | None = None
) -> Figure:
    """A figure beside its history; without bounds it is for the reader only."""
    bounds = bounds or Bounds(basis="")
    return Figure(name, title, unit, value, past_values(past, name), bounds.low, bounds.high, bounds.basis)


def _share(verification: Verification, status: Status) -> float:
    """Per cent of the records that have this status."""
    return round(100 * verification.statuses.get(status, 0) / verification.records, 2) if verification.records else 0.0
