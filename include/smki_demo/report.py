"""The demo's table: what a Party read, beside what the ledger says of it."""

from collections.abc import Mapping

from rich.table import Table
from sqlalchemy import Engine

from smki.errors import VerificationError
from smki.publish.ledger import list_publications
from smki_demo.publishing import SITE

_SHORT = 8  # letters of a SHA-256 that fit a terminal of 80 columns


def files_table(engine: Engine, received: Mapping[str, str], *, wide: bool) -> Table:
    """A row a file; `received` has the SHA-256 (hex) of each as the Party read it.

    Raises VerificationError where the ledger has another hash, or a file that the Party did not find.
    """
    table = Table(title="On the SFTP server, as a Party reads it", box=None, padding=(0, 1, 0, 0), title_justify="left")
    for column in ("file", "bytes", "records", "SHA-256", "published (UTC)"):
        table.add_column(column, justify="right" if column in ("bytes", "records") else "left", no_wrap=True)
    with engine.connect() as connection:
        offered = list_publications(connection, SITE)
    for publication in sorted(offered, key=lambda p: (p.artefact.version is not None, p.name)):
        sha256 = received.get(publication.name, "nothing")
        if sha256 != publication.artefact.sha256:
            raise VerificationError(
                publication.name,
                f"the server gives {sha256} and the ledger has {publication.artefact.sha256}.",
                "A Party reads another file than the one that was judged.",
                "find out who writes on the server.",
            )
        table.add_row(
            publication.name,
            f"{publication.artefact.bytes:,}",
            f"{publication.artefact.records:,}",
            sha256 if wide else sha256[:_SHORT],
            f"{publication.published_at:%m-%d %H:%M}",
        )
    return table
