"""Which authorities there are, and what may be lodged under them.

* The operator states the trusted roots, by SHA-256 and class. An authority is lodged when it is one of them or is
  signed by a lodged authority; its class is that of the root that it chains to, whatever its name says.
* Every other certificate is lodged when its signature verifies under a lodged authority that has its issuer's Name
  (RFC 5280, 6.1.3). Several keys may sign under one Name: the key identifier says which, or else the signature does.
* An Organisation Certificate is signed by an authority of class OCA, a Device Certificate by one of class DCA.
* A signature stays true when its authority expires or is revoked, so the status of an authority is not asked.
* Where an issuer's certificate cannot be had, the operator states its Name, class and reason. What names it as issuer
  is then lodged unchecked, unless it names the key of a lodged authority; the gate's report says so for ever.
* A class that was stated wrongly is stated anew, as long as nothing has been lodged by it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from asn1crypto import x509
from sqlalchemy import Column, ColumnElement, Connection, Engine, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from smki.certificates.model import CertificateClass, CertificateFields
from smki.certificates.names import comparable_name, name_in_words
from smki.certificates.signatures import PublicKey, public_key, signature_verifies
from smki.errors import CertificateRefusedError, StatementRefusedError, UnknownIssuerError
from smki.repository.database import reading, writing
from smki.repository.tables import certificate, issuer, trusted_root, unchecked_issuer

AUTHORITY_CLASSES = (CertificateClass.OCA, CertificateClass.DCA)
_SIGNED_BY = {
    CertificateClass.ORGANISATION: CertificateClass.OCA,
    CertificateClass.DEVICE: CertificateClass.DCA,
}
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
    _issuers: dict[tuple[bytes, bytes | None, CertificateClass | None], "Issuer"] = field(default_factory=dict)

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
        key = fields.issuer, fields.issuer_key, fields.certificate_class
        if key not in self._issuers:
            if len(self._issuers) >= _MOST_REMEMBERED:
                self._issuers.clear()
            self._issuers[key] = self._find_issuer(*key)
        return self._issuers[key]

    def _find_issuer(self, name: bytes, issuer_key: bytes | None, of_class: CertificateClass | None) -> "Issuer":
        of_name = self.lodged.get(comparable_name(name), [])
        of_key = [one for one in of_name if issuer_key and one.key_identifier == issuer_key]
        unchecked = None if of_key else self.unchecked.get(comparable_name(name))
        has_key = bool(of_key) or issuer_key is None or all(one.key_identifier is None for one in of_name)
        if of_class is None:
            return Issuer(name, tuple(of_key or of_name), unchecked, has_key=has_key)
        signer = _SIGNED_BY[of_class]
        candidates = tuple(one for one in of_key or of_name if one.certificate_class is signer)
        is_other = bool(of_name or unchecked) and not candidates and unchecked is not signer
        is_unchecked = unchecked if unchecked is signer else None
        return Issuer(name, candidates, is_unchecked, of_class if is_other else None, has_key)

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
        raise UnknownIssuerError("certificate", "") if issuer.unchecked or not issuer.has_key else issuer.refusal()

    def refusal(self, der: bytes, fields: CertificateFields) -> CertificateRefusedError:
        """Why a certificate (DER) whose issuer is not known is refused."""
        if fields.certificate_class is None:
            try:
                self.class_of(der, fields, unchecked=True)
            except CertificateRefusedError as error:
                if error.rule:
                    return error
        return self.issuer_of(fields).refusal()


@dataclass(frozen=True, slots=True)
class Issuer:
    """What is known of the issuer of certificates."""

    name: bytes  # DER
    candidates: tuple[LodgedAuthority, ...]  # those whose key may have signed
    unchecked: CertificateClass | None  # where it was stated that its certificate cannot be had
    signs_no: CertificateClass | None = None  # where all that is known of it is of the other class: whom it cannot sign
    has_key: bool = True  # False: the certificates name a key that none of its Name has; it may still be offered

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
        if self.signs_no is not None:
            return CertificateRefusedError(
                "certificate",
                f"its class is {self.signs_no}, which an authority of class {_SIGNED_BY[self.signs_no]} signs, and its "
                f"issuer {name} is none.",
                next_step="see `smki authority list`: state a class anew that is wrong there, and lodge this again.",
            )
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
    """States trusted roots; returns how many were not stated so yet.

    Raises StatementRefusedError where one is lodged by another class, RepositoryUnavailableError.
    """
    columns = certificate.c
    lodged = exists().where(columns["class"].in_(AUTHORITY_CLASSES), func.sha256(columns.body) == trusted_root.c.sha256)
    rows = {root.sha256: {"sha256": root.sha256, "class": root.certificate_class} for root in roots}
    return _state(engine, trusted_root.c.sha256, rows, lodged)


def state_unchecked_issuers(engine: Engine, issuers: Sequence[UncheckedIssuer]) -> int:
    """States issuers that cannot be had; returns how many were not stated so yet.

    Raises StatementRefusedError where something is lodged under one by another class, RepositoryUnavailableError.
    """
    lodged = exists().where(
        issuer.c.comparable == unchecked_issuer.c.comparable, issuer.c.id == certificate.c.issuer_id
    )
    rows = {
        (comparable := comparable_name(one.name)): {
            "comparable": comparable,
            "name": one.name,
            "class": one.certificate_class,
            "reason": one.reason,
        }
        for one in issuers
    }
    return _state(engine, unchecked_issuer.c.comparable, rows, lodged)


def _state(
    engine: Engine, key: Column[bytes], rows: Mapping[bytes, Mapping[str, object]], lodged: ColumnElement[bool]
) -> int:
    """Puts statements, by their key, into its table; one of another class in the place of what is not used."""
    table = key.table
    offered = insert(table).values(list(rows.values()))
    replaced = offered.on_conflict_do_update(
        index_elements=[key],
        set_={column.name: offered.excluded[column.name] for column in table.c} | {"stated_at": func.clock_timestamp()},
        where=(table.c["class"] != offered.excluded["class"]) & ~lodged,
    )
    with writing(engine) as connection:
        stated = connection.execute(replaced.returning(key)).all()
        for row in connection.execute(select(table).where(key.in_(rows))).mappings():
            if row["class"] != rows[row[key.name]]["class"]:
                what = name_in_words(row["name"]) if "name" in row else f"SHA-256 {row['sha256'].hex()}"
                raise StatementRefusedError(what, f"certificates are lodged by it as one of class {row['class']}.")
    return len(stated)


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
