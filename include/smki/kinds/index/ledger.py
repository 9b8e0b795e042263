"""By which certificate a site's index is signed, in the ledger, so that any auditor knows what a Party is to find."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects.postgresql import insert

from smki.repository.database import reading
from smki.repository.tables import index_signer


def record_signer(connection: Connection, site: str, certificate: x509.Certificate) -> None:
    """Records whose signature a site's index has from now on."""
    values = {"certificate": certificate.public_bytes(Encoding.DER), "stated_at": func.clock_timestamp()}
    offered = insert(index_signer).values(site=site, **values)
    connection.execute(offered.on_conflict_do_update(index_elements=["site"], set_=values))


def find_signer(engine: Engine, site: str) -> x509.Certificate | None:
    """The signer of a site's index; none where none was ever published. Raises RepositoryUnavailableError."""
    with reading(engine) as connection:
        der = connection.scalar(select(index_signer.c.certificate).where(index_signer.c.site == site))
    return None if der is None else x509.load_der_x509_certificate(der)
