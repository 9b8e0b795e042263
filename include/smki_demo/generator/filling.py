"""Puts generated certificates into a repository: a signed PKI with its history, or look-alikes in volume."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.certificates.model import CertificateClass, Status
from smki.repository.authorities import UncheckedIssuer, state_unchecked_issuers, trust_roots
from smki.repository.lodging import LodgingReport, lodge
from smki.repository.offers import Lodgement
from smki.repository.status import CertificateReference, StatusChange, set_statuses
from smki_demo.generator.history import Lodged, StatusChanged, make_history
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import issue_lists
from smki_demo.generator.volume import ISSUER, volume_bodies

_PKI_VALID_FROM = datetime(2015, 1, 1, tzinfo=UTC)  # old enough for ten-year-old certificates that expire
Progress = Callable[[int], None]


def open_pki(folder: Path) -> Pki:
    """The PKI kept in `folder`; made there when there is none. Raises ConfigurationError when its parts do not fit."""
    if not folder.exists():
        pki = Pki.create(_PKI_VALID_FROM)
        pki.save(folder)
    return Pki.load(folder)


def fill_with_history(
    engine: Engine, pki: Pki, end: date, *, days: int, certificates: int, progress: Progress = lambda _done: None
) -> LodgingReport:
    """Lodges a history that ends at `end` 00:00 UTC, at its own times; `progress` hears how many are lodged so far."""
    total = LodgingReport()
    trust_roots(engine, pki.trusted_roots)
    for day in make_history(pki, end, days, certificates):
        offers = (
            Lodgement(event.body, "generated", event.status, recorded_at=event.at)
            for event in day.events
            if isinstance(event, Lodged)
        )
        report = lodge(engine, offers)
        total.lodged += report.lodged
        total.classes.update(report.classes)
        set_statuses(
            engine,
            [
                StatusChange(
                    CertificateReference(event.serial_number, event.issuer), event.status, event.reason, event.at
                )
                for event in day.events
                if isinstance(event, StatusChanged)
            ],
        )
        for issued in day.lists:
            issue_lists(engine, pki, issued.at, issued.revoked, recorded_at=issued.at)
        progress(total.lodged)
    return total


def state_look_alikes(engine: Engine) -> None:
    """States that the issuer of look-alikes cannot be had, without which they are refused."""
    reason = "look-alikes for measurements, which nobody signed"
    state_unchecked_issuers(engine, [UncheckedIssuer(ISSUER.public_bytes(), CertificateClass.DCA, reason)])


def fill_with_volume(
    engine: Engine, count: int, *, seed: int, recorded_at: datetime | None, progress: Progress = lambda _done: None
) -> LodgingReport:
    """Lodges `count` look-alikes, all in status I."""
    state_look_alikes(engine)

    def offers() -> Iterator[Lodgement]:
        for bodies in volume_bodies(count, seed=seed):
            for body in bodies.to_pylist():
                yield Lodgement(body, "generated volume", Status.IN_USE, recorded_at=recorded_at)

    return lodge(engine, offers(), progress=progress)
