"""Revocation lists of the generated PKI, with the extensions that RFC 5280, 5.2 wants."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Engine

from smki.certificates.model import ListKind
from smki.kinds.revocation.lodging import ListLodgingReport, latest_list, lodge_revocation_lists
from smki.kinds.revocation.reading import Entry, read_revocation_list
from smki.repository.database import reading
from smki.repository.offers import RevocationListOffer
from smki_demo.generator.pki import Authority, Pki

CRL_VALIDITY = timedelta(hours=48)
ARL_VALIDITY = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate on a list."""

    serial_number: bytes  # big-endian magnitude
    at: datetime  # UTC; whole seconds count
    reason: x509.ReasonFlags = x509.ReasonFlags.unspecified


def revocation_list(
    authority: Authority, number: int, this_update: datetime, next_update: datetime, revoked: Iterable[Revoked] = ()
) -> bytes:
    """A list (DER) that the authority signs; the times' whole seconds count."""
    builder = (
        x509.CertificateRevocationListBuilder(authority.name, this_update, next_update)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(authority.key_identifier, None, None), critical=False)
    )
    for entry in revoked:
        builder = builder.add_revoked_certificate(_list_entry(entry))
    return builder.sign(authority.key, SHA256()).public_bytes(Encoding.DER)


def issue_lists(
    engine: Engine,
    pki: Pki,
    at: datetime,
    revoked: Sequence[Revoked] = (),
    *,
    kinds: Collection[ListKind] = tuple(ListKind),
    recorded_at: datetime | None = None,
) -> ListLodgingReport:
    """Has the Root and the Issuing OCA issue the lists that follow the lodged ones, and lodges them.

    `revoked` comes onto the CRL, beside what the one before it held. `at` (UTC) is thisUpdate, unless the list
    before is younger; `kinds` are those that are issued; `recorded_at` is for histories. Raises
    RevocationListRefusedError for the repository of another PKI.
    """
    offers = []
    for kind, authority, validity, new in (
        (ListKind.ARL, pki.root_oca, ARL_VALIDITY, ()),
        (ListKind.CRL, pki.issuing_oca, CRL_VALIDITY, revoked),
    ):
        if kind not in kinds:
            continue
        with reading(engine) as connection:
            before = latest_list(connection, kind)
        entries = [_to_revoked(entry) for entry in read_revocation_list(before.body).entries] if before else []
        at = max(at, before.this_update) if before else at
        number = before.number + 1 if before else 1
        body = revocation_list(authority, number, at, at + validity, [*entries, *new])
        offers.append(RevocationListOffer(body, "generated"))
    report = lodge_revocation_lists(engine, offers, at, recorded_at)
    for refusal in report.refusals:
        raise refusal.error
    return report


def _to_revoked(entry: Entry) -> Revoked:
    return Revoked(entry.serial_number, entry.revoked_at, x509.ReasonFlags[entry.reason.replace(" ", "_")])


def _list_entry(entry: Revoked) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(int.from_bytes(entry.serial_number), entry.at.replace(microsecond=0))
    if entry.reason is not x509.ReasonFlags.unspecified:  # which is said by leaving the extension out (RFC 5280, 5.3.1)
        builder = builder.add_extension(x509.CRLReason(entry.reason), critical=False)
    return builder.build()
