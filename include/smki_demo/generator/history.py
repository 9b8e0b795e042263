"""The demo's history: what was lodged and what changed, window by window. Pure data; nothing is written anywhere.

* The first window takes the base set: CAs, Organisations, two Organisations on their way out, and 60 % of the Devices.
  The other Devices are lodged over the windows after it, several times as many in the busy one, none in the quiet one.
* Certificates are lodged between 20:00 and 08:00, when batches are (Appendix N). A Device's two certificates are lodged
  seconds apart, as P; 2 to 72 hours later its installation makes both I. Nine in ten Devices of the base set are
  installed already and lodged as I. One Device in fifty is removed some days later: N.
* A supplier that leaves the market has its certificates revoked: the CRL that lists them gives them R. A network
  operator that merged has ten-year-old certificates that expire (E). Both stand outside `pki.ORGANISATIONS`, so no
  anchor slot loses its certificate.
* Revocation lists are issued in the first hour, empty; within an hour of the revocation; and six hours before the end,
  so that the CRL is valid a day later.
* The quiet window has no event at all. One event falls exactly on a cut-off, and one a microsecond after it: the two
  certificates of one Device.
* Equal arguments give equal events, apart from the PKI's keys, serial numbers and signatures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
from cryptography import x509

from smki.certificates.model import Role, Status, Usage
from smki_demo.generator.pki import (
    ORGANISATION_VALIDITY,
    Organisation,
    Pki,
    organisation_certificates,
    organisations,
)
from smki_demo.generator.revocation import Revoked

MINIMUM_DAYS = 7
MINIMUM_CERTIFICATES_A_DAY = 20  # so that every window but the quiet one has a Device

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
_SEED = 147

# Windows counted from the last one, so that a Party that looks at the last seven deltas sees them all.
_QUIET = -4
_BUSY = -5
_CUT_OFF_EVENTS = -3  # ends with the event on the cut-off; the event after it is in the next window

_BASE_SHARE = 0.6
_BUSY_WEIGHT = 4.0  # against 0.5 to 1.5 of any other window
_INSTALLED_SHARE = 0.9  # of the base set's Devices
_REMOVED_SHARE = 0.02  # of all Devices

_LEAVING = Organisation(
    Role.SUPPLIER, b"\x02SMKI\x02\xff\x01", (Usage.DIGITAL_SIGNATURE, Usage.KEY_AGREEMENT), "SUPPLIER Z"
)
_MERGED = Organisation(
    Role.NETWORK_OPERATOR, b"\x02SMKI\x03\xff\x01", (Usage.DIGITAL_SIGNATURE, Usage.KEY_AGREEMENT), "NETWORK Z"
)


@dataclass(frozen=True, slots=True)
class Lodged:
    """A certificate enters the repository."""

    at: datetime  # UTC
    body: bytes  # DER
    status: Status  # P or I


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """A lodged certificate gets another status."""

    at: datetime  # UTC, later than all that happened to this certificate before
    issuer: bytes  # the issuer's Name, DER
    serial_number: bytes  # big-endian magnitude, 16 bytes
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class ListsIssued:
    """Both OCAs issue their revocation lists."""

    at: datetime  # UTC
    revoked: tuple[Revoked, ...] = ()  # what comes onto the CRL, beside what the one before it held


Event = Lodged | StatusChanged


@dataclass(frozen=True, slots=True)
class HistoryDay:
    """What happens in one delta window."""

    cutoff: datetime  # UTC; the window is the 24 hours before it, without their first instant and with their last
    events: tuple[Event, ...]  # in time order; may be empty
    lists: tuple[ListsIssued, ...] = ()  # in time order; what they revoke is revoked by them and no event


def make_history(pki: Pki, end: date, days: int = 15, certificates: int = 20_000) -> Iterator[HistoryDay]:
    """Yields `days` windows of 24 hours, oldest first. The last one ends at `end` 00:00 UTC; no event is later.

    `certificates` is how many are lodged in all, CAs and Organisations included (one less where a Device's pair does
    not fit). The first step raises ValueError for fewer than 7 days or 20 certificates a day, and where the Issuing OCA
    is younger than the ten-year-old certificates that expire: create the PKI eleven years before `end`.
    """
    if days < MINIMUM_DAYS or certificates < MINIMUM_CERTIFICATES_A_DAY * days:
        raise ValueError(
            f"a history has at least {MINIMUM_DAYS} days and {MINIMUM_CERTIFICATES_A_DAY} certificates a day, "
            f"not {days} days and {certificates} certificates"
        )
    story = _Story(pki, datetime.combine(end, time(), UTC) - days * _DAY, days)
    if pki.issuing_oca.certificate.not_valid_before_utc > story.start - ORGANISATION_VALIDITY:
        raise ValueError(
            f"the Issuing OCA is valid from {pki.issuing_oca.certificate.not_valid_before_utc:%Y-%m-%d}; "
            f"it has to be ten years older than the history's start, {story.start:%Y-%m-%d}"
        )
    story.lodge_authorities()
    devices = (certificates - story.lodged) // 2
    for window, count in enumerate(story.devices_by_window(devices)):
        story.lodge_devices(window, count)
        yield story.day(window)


class _Story:
    """Events by window. What follows from an event is booked with it, in its own or a later window."""

    def __init__(self, pki: Pki, start: datetime, days: int) -> None:
        self.start = start
        self.lodged = 0
        self._pki = pki
        self._windows: list[list[Event]] = [[] for _ in range(days)]
        self._lists: list[list[ListsIssued]] = [[] for _ in range(days)]
        self._random = np.random.default_rng(_SEED)
        self._device = 0

    def day(self, window: int) -> HistoryDay:
        """The window's events; call it once all that is lodged until then is booked."""
        events = sorted(self._windows[window], key=lambda event: event.at)
        return HistoryDay(self._cutoff(window), tuple(events), tuple(self._lists[window]))

    def lodge_authorities(self) -> None:
        """CAs and Organisations, a second apart, and the end of the two that go."""
        in_use = self._pki.ca_certificates()
        in_use += organisations(self._pki, self.start - 365 * _DAY)
        leaving = list(organisation_certificates(self._pki, _LEAVING, self.start - 900 * _DAY))
        expiry = self._cutoff(_BUSY) - 12 * _HOUR
        merged = list(organisation_certificates(self._pki, _MERGED, expiry - ORGANISATION_VALIDITY))
        for second, body in enumerate([*in_use, *leaving, *merged], 1):
            self._lodge(self.start + timedelta(seconds=second), body, Status.IN_USE)

        revocation = self._cutoff(_CUT_OFF_EVENTS) - 9 * _HOUR
        revoked = [
            Revoked(
                _serial_number(body), revocation + self._duration(0.1, 0.5), x509.ReasonFlags.cessation_of_operation
            )
            for body in leaving
        ]
        for issued in (
            ListsIssued(self.start + _HOUR),
            ListsIssued(revocation + _HOUR, tuple(revoked)),
            ListsIssued(self._cutoff(-1) - 6 * _HOUR),
        ):
            self._lists[(issued.at - self.start - _MICROSECOND) // _DAY].append(issued)
        for body in merged:
            self._change(expiry + self._duration(0.1, 0.5), body, Status.EXPIRED, "notAfter has passed")

    def devices_by_window(self, devices: int) -> list[int]:
        """How many of the Devices are lodged in each window."""
        weights = self._random.uniform(0.5, 1.5, len(self._windows))
        weights[_BUSY] = _BUSY_WEIGHT
        weights[_QUIET] = 0
        weights[0] = 0
        weights[0] = weights.sum() * _BASE_SHARE / (1 - _BASE_SHARE)
        until = np.rint(np.cumsum(weights) / weights.sum() * devices).astype(int)
        return [int(count) for count in np.diff(until, prepend=0)]

    def lodge_devices(self, window: int, count: int) -> None:
        """Devices with what becomes of them later."""
        for number in range(count):
            at = self._cutoff(window) - _DAY + self._night()
            gap = self._duration(0.0001, 0.01)
            if number == 0 and window == len(self._windows) + _CUT_OFF_EVENTS:
                at, gap = self._cutoff(window), _MICROSECOND
            self._lodge_device(at, gap, installed=window == 0 and self._random.random() < _INSTALLED_SHARE)

    def _lodge_device(self, at: datetime, gap: timedelta, *, installed: bool) -> None:
        self._device += 1
        eui64 = b"\x02DEV" + self._device.to_bytes(4)  # locally administered: no maker owns it
        pair = self._pki.device_certificates(eui64, at.replace(microsecond=0))
        for body, lodged_at in zip(pair, (at, at + gap), strict=True):
            self._lodge(lodged_at, body, Status.IN_USE if installed else Status.PENDING)
        in_use_at = at + gap
        if not installed:
            in_use_at = self._after_quiet(at + self._duration(2, 72))
            self._change_both(in_use_at, pair, Status.IN_USE, "installed and commissioned")
        if self._random.random() < _REMOVED_SHARE:
            removed_at = self._after_quiet(in_use_at + self._duration(24, 240))
            self._change_both(removed_at, pair, Status.NOT_IN_USE, "decommissioned")

    def _change_both(self, at: datetime, pair: tuple[bytes, bytes], status: Status, reason: str) -> None:
        for number, body in enumerate(pair):
            self._change(at + number * _MICROSECOND, body, status, reason)

    def _lodge(self, at: datetime, body: bytes, status: Status) -> None:
        self.lodged += 1
        self._book(Lodged(at, body, status))

    def _change(self, at: datetime, body: bytes, status: Status, reason: str) -> None:
        issuer = x509.load_der_x509_certificate(body).issuer.public_bytes()
        self._book(StatusChanged(at, issuer, _serial_number(body), status, reason))

    def _book(self, event: Event) -> None:
        """Puts an event into the window that claims it; what would happen after the end does not happen."""
        if event.at < self._cutoff(-1):
            self._windows[(event.at - self.start - _MICROSECOND) // _DAY].append(event)

    def _cutoff(self, window: int) -> datetime:
        """End of a window; negative numbers count from the last one."""
        return self.start + (window % len(self._windows) + 1) * _DAY

    def _after_quiet(self, at: datetime) -> datetime:
        """`at`; or a day and an hour later where it, or the microsecond after it, lies in the quiet window."""
        quiet_end = self._cutoff(_QUIET)
        return at + _DAY + _HOUR if quiet_end - _DAY - _MICROSECOND <= at <= quiet_end else at

    def _night(self) -> timedelta:
        """A time of day from 20:00 to 08:00, some minutes away from midnight: a Device's pair keeps to its window."""
        since_midnight = self._duration(0.05, 11.95)
        return since_midnight if since_midnight < 8 * _HOUR else since_midnight + 12 * _HOUR

    def _duration(self, low: float, high: float) -> timedelta:
        """A duration between two numbers of hours, to the microsecond."""
        return timedelta(microseconds=int(self._random.integers(int(low * 3.6e9), int(high * 3.6e9))))


def _serial_number(body: bytes) -> bytes:
    return x509.load_der_x509_certificate(body).serial_number.to_bytes(16)
