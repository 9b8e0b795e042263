"""What the repository says that a file has to hold, certificate by certificate: for the gate, which names differences.

These statements are not those that extracts are made from (`kinds.extracts`): an error there is not made here again.
Certificates are told apart by the SHA-256 of their DER.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, LargeBinary, any_, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger

from smki.certificates.model import CertificateClass, Status, eui64_text
from smki.certificates.names import comparable_name
from smki.certificates.set_digest import SetDigest
from smki.repository.database import arrow_connection, libpq_url, reading
from smki.repository.tables import NEVER_EXPIRES, certificate, issuer
from smki.repository.windows import MOVED

# Hashes are those that were taken when the certificates were lodged; what explains a difference (_LANES) reads what the
# repository has now. Only integers go into the statements: parameters would switch ADBC from COPY to single rows.
CHANGED = pa.schema({"id": pa.int64(), "sha256": pa.binary(), "before": pa.string(), "after": pa.string()})
_CHANGED = f"SELECT certificate_id AS id, sha256, before, after {MOVED}"
_AS_OF = """
FROM (
  SELECT DISTINCT ON (certificate_id) certificate_id, status FROM status_event
  WHERE window_seq <= {seq} ORDER BY certificate_id, id DESC
) state JOIN"""
_OF_STATUSES = "state.certificate_id WHERE state.status IN ({statuses})"
_LANES = f"SELECT c.id, substring(sha256(c.body) FOR 8) AS lane {_AS_OF} certificate c ON c.id = {_OF_STATUSES}"
_HASHES = f"SELECT state.status, h.sha256 {_AS_OF} body_hash h ON h.certificate_id = {_OF_STATUSES}"

# Judged by a certificate's last event as of the file: what was put right again since is right in it.
_AFTER_FINAL = text(
    """
    WITH back AS MATERIALIZED (
      SELECT later.id, later.certificate_id FROM status_event later
      WHERE later.window_seq BETWEEN :first AND :last AND EXISTS (
        SELECT FROM status_event final
        WHERE final.certificate_id = later.certificate_id AND final.id < later.id
          AND final.status IN ('E', 'R') AND final.status <> later.status
      )
    )
    SELECT certificate_id, count(*) OVER () AS total FROM back
    WHERE id = (
      SELECT max(id) FROM status_event WHERE certificate_id = back.certificate_id AND window_seq <= :last
    )
    ORDER BY certificate_id LIMIT :most
    """
)


_MANUFACTURING = text(
    """
    SELECT count(*) FROM certificate c
    WHERE c.manufacturing AND (
      SELECT status FROM status_event
      WHERE certificate_id = c.id AND window_seq <= :seq ORDER BY id DESC LIMIT 1
    ) = ANY(:statuses)
    """
)
_CHANGED_MANUFACTURING = text(
    """
    SELECT count(*) FROM certificate
    WHERE manufacturing AND id IN (SELECT certificate_id FROM status_event WHERE window_seq = :seq)
    """
)
_PAST_END = text(
    f"""
    SELECT c.id FROM certificate c
    WHERE c.not_after <= :cut_off AND c.not_after < {NEVER_EXPIRES} AND (
      SELECT status FROM status_event
      WHERE certificate_id = c.id AND window_seq <= :seq ORDER BY id DESC LIMIT 1
    ) = 'I'
    LIMIT :most
    """  # noqa: S608  # a constant of `tables`
)


def changed_by(engine: Engine, seq: int) -> Iterator[pa.RecordBatch]:
    """The certificates that a window changed, some at a time, as `CHANGED` says: status before (null: none) and after.

    Raises RepositoryUnavailableError.
    """
    with arrow_connection(libpq_url(engine)) as connection, connection.cursor() as cursor:
        cursor.execute(_CHANGED.format(seq=int(seq)))
        yield from cursor.fetch_record_batch()


def count_changed_manufacturing(engine: Engine, seq: int) -> int:
    """How many of the certificates that a window changed have the manufacturing flag.

    Raises RepositoryUnavailableError.
    """
    with reading(engine) as connection:
        return int(connection.execute(_CHANGED_MANUFACTURING, {"seq": seq}).scalar_one())


def count_manufacturing(engine: Engine, seq: int, statuses: Collection[Status]) -> int:
    """How many certificates with the manufacturing flag have one of some statuses as of a window.

    Raises RepositoryUnavailableError.
    """
    with reading(engine) as connection:
        values = {"seq": seq, "statuses": [str(status) for status in statuses]}
        return int(connection.execute(_MANUFACTURING, values).scalar_one())


def certificates_as_of(engine: Engine, seq: int, statuses: Collection[Status]) -> Iterator[pa.RecordBatch]:
    """The certificates with one of some statuses as of a window, some at a time: id, lane (SHA-256, first 8 bytes).

    Raises RepositoryUnavailableError.
    """
    with arrow_connection(libpq_url(engine)) as connection, connection.cursor() as cursor:
        cursor.execute(_LANES.format(seq=int(seq), statuses=_listed(statuses)))
        yield from cursor.fetch_record_batch()


def digests_of_statuses(engine: Engine, seq: int, statuses: Collection[Status]) -> dict[Status, SetDigest]:
    """Set digest of the certificates that have each of some statuses as of a window; reads the whole repository.

    Raises RepositoryUnavailableError.
    """
    digests = dict.fromkeys(sorted(statuses), SetDigest())
    with arrow_connection(libpq_url(engine)) as connection, connection.cursor() as cursor:
        cursor.execute(_HASHES.format(seq=int(seq), statuses=_listed(statuses)))
        for batch in cursor.fetch_record_batch():
            for status in digests:
                of_status = batch.filter(pc.equal(batch["status"], str(status)))
                digests[status] += SetDigest.of_hashes(of_status["sha256"].to_pylist())
    return digests


@dataclass(frozen=True, slots=True)
class Named:
    """Some certificates."""

    count: int
    named: Sequence[str]  # the first of them, in words


def changed_after_final(engine: Engine, first: int, last: int, most: int) -> Named:
    """The certificates that windows first … last changed though status E or R is final; at most so many are named.

    Raises RepositoryUnavailableError.
    """
    with reading(engine) as connection:
        found = connection.execute(_AFTER_FINAL, {"first": first, "last": last, "most": most}).all()
    return Named(found[0].total if found else 0, list(names_of(engine, [row.certificate_id for row in found]).values()))


def in_use_past_end(engine: Engine, seq: int, cut_off: datetime, most: int) -> Sequence[str]:
    """At most so many certificates, in words, that are in use as of a window though they ended by its cut-off (UTC).

    Raises RepositoryUnavailableError.
    """
    with reading(engine) as connection:
        values = {"seq": seq, "cut_off": cut_off, "most": most}
        ids = connection.execute(_PAST_END, values).scalars().all()
    return list(names_of(engine, ids).values())


def statuses_of(engine: Engine, issuer_name: bytes, serial_numbers: Iterable[bytes]) -> dict[bytes, Status]:
    """Status by serial number of those of an issuer's certificates that are lodged."""
    columns = certificate.c
    query = (
        select(columns.serial_number, columns.status)
        .join(issuer, issuer.c.id == columns.issuer_id)
        .where(
            issuer.c.comparable == comparable_name(issuer_name),
            columns.serial_number == any_(bindparam("serials", list(serial_numbers), ARRAY(LargeBinary))),
        )
    )
    with reading(engine) as connection:
        return {row.serial_number: Status(row.status) for row in connection.execute(query)}


def revoked_of(engine: Engine, issuer_name: bytes, valid_at: datetime) -> frozenset[bytes]:
    """Serial numbers of an issuer's certificates with status R whose notAfter has not passed at an instant (UTC).

    Only certificates that a revocation list can name are looked at: a Device Certificate is not revocable.
    """
    columns = certificate.c
    query = (
        select(columns.serial_number)
        .join(issuer, issuer.c.id == columns.issuer_id)
        .where(
            issuer.c.comparable == comparable_name(issuer_name),
            columns["class"] != CertificateClass.DEVICE,
            columns.status == Status.REVOKED,
            columns.not_after >= valid_at,
        )
    )
    with reading(engine) as connection:
        return frozenset(connection.execute(query).scalars())


def names_of(engine: Engine, ids: Iterable[int]) -> dict[int, str]:
    """Certificates in words, as reports name them, by id and in its order."""
    columns = certificate.c
    query = (
        select(columns.id, columns.serial_number, columns.eui64, columns.common_name)
        .where(columns.id == any_(bindparam("ids", list(ids), ARRAY(BigInteger))))
        .order_by(columns.id)
    )
    with reading(engine) as connection:
        return {
            row.id: certificate_in_words(
                row.serial_number.hex().upper(), eui64_text(row.eui64) if row.eui64 else row.common_name
            )
            for row in connection.execute(query)
        }


def certificate_in_words(serial: str, subject: str | None) -> str:
    """One certificate in words: its serial number (hex) and its subject as Annex B writes it."""
    return f"certificate {serial} of {subject}" if subject else f"certificate {serial}"


def _listed(statuses: Collection[Status]) -> str:
    return ", ".join(f"'{status}'" for status in sorted(statuses))
