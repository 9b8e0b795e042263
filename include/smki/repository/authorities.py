"""Which authorities there are, and what may be lodged under them.

* The operator states the trusted roots, by SHA-256 and class. An authority is lodged when it is one of them or is
  signed by a lodged authority; its class is that of the root that it chains to, whatever its name says.
* Every other certificate is lodged when its signature verifies under a lodged authority that has its issuer's Name
  (RFC 5280, 6.1.3). Several keys may sign under one Name: the key identifier says which, or else the signature does.
* A signature stays true when its authority expires or is revoked, so the status of an authority is not asked.
* Where an issuer's certificate cannot be had, the operator states its Name, class and reason. What names it as issuer
  is then lodged unchecked, unless it names the key of a lodged authority; the gate's report says so for ever.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from asn1crypto import x509
from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects.postgresql import insert

from smki.certificates.model import CertificateClass, CertificateFields
from smki.certificates.names import comparable_name, name_in_words
from smki.certificates.signatures import PublicKey, public_key, signature_verifies
from smki.errors import CertificateRefusedError, UnknownIssuerError
from smki.repository.database import reading, writing
from smki.repository.tables import certificate, trusted_root, unchecked_issuer

AUTHORITY_CLASSES = (CertificateClass.OCA, CertificateClass.DCA)
_MOST_REMEMBERED = 10_000  # issuers; real repositories have a handful, hostile files as many as records


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """A CA certificate that the operator trusts."""

    sha256: bytes  # of its DER
    certificate_class: CertificateClass  # OCA or DCA
    stated_at: datetime | None = None  # UTC; None: not stated yet


@dataclass(frozen=True, slots=True)
class UncheckedIssuer:
    """An issuer whose certificate cannot be had."""

    name: bytes  # DER
    certificate_class: CertificateClass  # OCA or DCA
    reason: str
    stated_at: datetime | None = None  # UTC; None: not stated yet

    def __str__(self) -> str:
        return f"{name_in_words(self.name)} ({self.certificate_class}): {self.reason}"


@dataclass(frozen=True, slots=True)
class LodgedAuthority:
    """A CA certificate that others may be lodged under."""

    key: PublicKey | None  # None: it verifies nothing here
    key_identifier: bytes | None
    certificate_class: CertificateClass  # OCA or DCA


@dataclass(slots=True)
class Authorities:
    """What decides whether a certificate may be lodged; lodged authorities are added to it as they come."""

    trusted: dict[bytes, CertificateClass]  # by SHA-256
    unchecked: dict[bytes, CertificateClass]  # by comparable Name
    lodged: dict[bytes, list[LodgedAuthority]] = field(default_factory=lambda: defaultdict(list))  # by comparable Name
    _added: set[bytes] = field(default_factory=set)  # SHA-256 of what is lodged
    _issuers: dict[tuple[bytes, bytes | None], "Issuer"] = field(default_factory=dict)

    def add(self, der: bytes, certificate_class: CertificateClass) -> bool:
        """Takes a lodged CA certificate; whether it was not there yet."""
        if (fingerprint := sha256(der).digest()) in self._added:
            return False
        self._added.add(fingerprint)
        parsed = x509.Certificate.load(der)
        authority = LodgedAuthority(public_key(parsed), parsed.key_identifier, certificate_class)
        self.lodged[comparable_name(parsed.subject.dump())].append(authority)
        self._issuers.clear()
        return True

    def issuer_of(self, fields: CertificateFields) -> "Issuer":
        """What is known of a certificate's issuer."""
        key = fields.issuer, fields.issuer_key
        if key not in self._issuers:
            if len(self._issuers) >= _MOST_REMEMBERED:
                self._issuers.clear()
            name = comparable_name(fields.issuer)
            of_name = self.lodged.get(name, [])
            of_key = [one for one in of_name if fields.issuer_key and one.key_identifier == fields.issuer_key]
            unchecked = None if of_key else self.unchecked.get(name)
            self._issuers[key] = Issuer(fields.issuer, tuple(of_key or of_name), unchecked)
        return self._issuers[key]

    def class_of(self, der: bytes, fields: CertificateFields, *, unchecked: bool) -> CertificateClass:
        """The class of an authority (DER) that may be lodged; `unchecked`: also where its issuer cannot be had.

        Raises CertificateRefusedError, UnknownIssuerError.
        """
        fingerprint = sha256(der).digest()
        if (trusted := self.trusted.get(fingerprint)) is not None:
            return trusted
        issuer = self.issuer_of(fields)
        for authority in issuer.candidates:
            if signature_verifies(der, authority.key):
                return authority.certificate_class
        if issuer.unchecked is not None and unchecked:
            return issuer.unchecked
        if comparable_name(x509.Certificate.load(der).subject.dump()) == comparable_name(fields.issuer):
            raise UnknownIssuerError(
                "certificate",
                f"it is a CA certificate that signs itself, and its SHA-256 {fingerprint.hex()} is none of the trusted "
                "roots.",
                next_step="compare it with what its issuer publishes, then `smki authority trust` it with its class.",
            )
        raise UnknownIssuerError("certificate", "") if issuer.unchecked else issuer.refusal()

    def refusal(self, der: bytes, fields: CertificateFields) -> CertificateRefusedError:
        """Why a certificate (DER) whose issuer is not known is refused."""
        if fields.certificate_class is None:
            try:
                self.class_of(der, fields, unchecked=True)
            except CertificateRefusedError as error:
                return error
        return self.issuer_of(fields).refusal()


@dataclass(frozen=True, slots=True)
class Issuer:
    """What is known of the issuer of certificates."""

    name: bytes  # DER
    candidates: tuple[LodgedAuthority, ...]  # those whose key may have signed
    unchecked: CertificateClass | None  # where it was stated that its certificate cannot be had

    @property
    def is_known(self) -> bool:
        """Whether it can be said now what becomes of its certificates."""
        return bool(self.candidates) or self.unchecked is not None

    def admits(self, der: bytes) -> bool:
        """Whether a certificate that is no authority may be lodged under it."""
        return any(signature_verifies(der, one.key) for one in self.candidates) or self.unchecked is not None

    def refusal(self) -> CertificateRefusedError:
        """Why what it does not admit is refused."""
        name = name_in_words(self.name)
        if not self.candidates:
            return UnknownIssuerError(
                "certificate",
                f"its issuer {name} is not lodged, nor stated as one whose certificate cannot be had.",
            )
        return CertificateRefusedError(
            "certificate",
            f"its signature verifies under none of {len(self.candidates)} lodged certificates of its issuer {name}.",
            next_step="treat it as forged or damaged: get it again from its issuer.",
        )


def load_authorities(connection: Connection) -> Authorities:
    """All that the repository knows."""
    authorities = Authorities(
        {root.sha256: root.certificate_class for root in _trusted_roots(connection)},
        {comparable_name(one.name): one.certificate_class for one in _unchecked_issuers(connection)},
    )
    columns = certificate.c
    query = select(columns.body, columns["class"]).where(columns["class"].in_(AUTHORITY_CLASSES)).order_by(columns.id)
    for row in connection.execute(query):
        authorities.add(row[0], CertificateClass(row[1]))
    return authorities


def issuer_faults(engine: Engine, issuers: Mapping[bytes, int]) -> tuple[list[str], list[str]]:
    """What is to be said of issuers (Name, DER, with the number of certificates of each): which of them are not known
    here, and which were stated as ones whose certificates cannot be had. Spellings of one Name are one issuer.

    Raises RepositoryUnavailableError.
    """
    counts: Counter[bytes] = Counter()
    spelled: dict[bytes, bytes] = {}
    for name, count in issuers.items():
        counts[comparable := comparable_name(name)] += count
        spelled.setdefault(comparable, name)
    with reading(engine) as connection:
        lodged = load_authorities(connection).lodged
        unchecked = {comparable_name(one.name): one for one in _unchecked_issuers(connection)}
    unknown, remarks = [], []
    for name, count in counts.items():
        if stated := unchecked.get(name):
            remarks.append(f"{count:,} certificates name an issuer whose certificate cannot be had: {stated}")
        elif not lodged.get(name):
            unknown.append(f"{count:,} certificates of {name_in_words(spelled[name])}")
    return unknown, remarks


def trust_roots(engine: Engine, roots: Sequence[TrustedRoot]) -> int:
    """States trusted roots; returns how many were not yet. Raises RepositoryUnavailableError."""
    rows = [{"sha256": root.sha256, "class": root.certificate_class} for root in roots]
    with writing(engine) as connection:
        stated = insert(trusted_root).values(rows).on_conflict_do_nothing().returning(trusted_root.c.sha256)
        return len(connection.execute(stated).all())


def state_unchecked_issuers(engine: Engine, issuers: Sequence[UncheckedIssuer]) -> int:
    """States issuers that cannot be had; returns how many were not yet. Raises RepositoryUnavailableError."""
    rows = [
        {
            "comparable": comparable_name(one.name),
            "name": one.name,
            "class": one.certificate_class,
            "reason": one.reason,
        }
        for one in issuers
    ]
    with writing(engine) as connection:
        stated = insert(unchecked_issuer).values(rows).on_conflict_do_nothing().returning(unchecked_issuer.c.name)
        return len(connection.execute(stated).all())


def list_trusted_roots(engine: Engine) -> list[TrustedRoot]:
    """In the order in which they were stated. Raises RepositoryUnavailableError."""
    with reading(engine) as connection:
        return _trusted_roots(connection)


def list_unchecked_issuers(engine: Engine) -> list[UncheckedIssuer]:
    """In the order in which they were stated. Raises RepositoryUnavailableError."""
    with reading(engine) as connection:
        return _unchecked_issuers(connection)


def _trusted_roots(connection: Connection) -> list[TrustedRoot]:
    query = select(trusted_root).order_by(trusted_root.c.stated_at)
    return [TrustedRoot(row[0], CertificateClass(row[1]), row[2]) for row in connection.execute(query)]


def _unchecked_issuers(connection: Connection) -> list[UncheckedIssuer]:
    columns = unchecked_issuer.c
    query = select(columns.name, columns["class"], columns.reason, columns.stated_at).order_by(columns.stated_at)
    return [UncheckedIssuer(row[0], CertificateClass(row[1]), *row[2:]) for row in connection.execute(query)]
