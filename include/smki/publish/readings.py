"""What is known of the pages of published files: which of them nobody has read back, and which were wrong.

The publisher writes it when it publishes, the auditor as it reads. It holds as long as the file has the size and the
time that it had then: of a file that shows others, nothing is known.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, select
from sqlalchemy.dialects.postgresql import insert

from smki.repository.tables import page_reading, publication


@dataclass(frozen=True, slots=True, eq=False)
class PageReading:
    """Of one file on one site."""

    bytes: int
    modified_at: datetime  # UTC, as the server states it
    as_published: bool  # size and time are those that its publication left
    since: datetime  # UTC; when it was published, or seen to have changed
    unread: NDArray[np.intp]  # ascending places of pages that nobody has read since
    wrong: tuple[int, ...]  # ascending places of what was read and is wrong (`page_reading`)
    again: int  # place of the page that is read next, where none is unread
    read_at: datetime  # UTC; when pages were read last

    @property
    def is_whole(self) -> bool:
        """Whether all of it has been read and is right."""
        return not self.wrong and not len(self.unread)


def find_reading(connection: Connection, site: str, name: str) -> PageReading | None:
    """What is known of the pages of the file that is offered under this name."""
    row = connection.execute(_readings(site).where(publication.c.name == name)).mappings().one_or_none()
    return None if row is None else _reading(row)


def load_readings(connection: Connection, site: str) -> dict[str, PageReading]:
    """What is known of the files that are offered on the site, by name."""
    return {row["name"]: _reading(row) for row in connection.execute(_readings(site)).mappings()}


def record_reading(
    connection: Connection, site: str, name: str, reading: PageReading, known: PageReading | None = None
) -> None:
    """Records what is known of the file that is offered under this name.

    With `known`, what was known before: nothing is recorded if the file has been published again meanwhile.
    """
    columns = {field.name: getattr(reading, field.name) for field in fields(PageReading)}
    columns |= {"unread": _pack(reading.unread), "wrong": list(reading.wrong)}
    offered = select(publication.c.id).where(*_offered(site), publication.c.name == name)
    connection.execute(
        insert(page_reading)
        .values(publication_id=offered.scalar_subquery(), **columns)
        .on_conflict_do_update(
            index_elements=["publication_id"],
            set_=columns,
            where=None if known is None else page_reading.c.since == known.since,
        )
    )


def _readings(site: str) -> Select[tuple[object, ...]]:
    columns = [page_reading.c[field.name] for field in fields(PageReading)]
    return select(publication.c.name, *columns).join_from(page_reading, publication).where(*_offered(site))


def _offered(site: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return publication.c.site == site, publication.c.ended_at.is_(None)


def _reading(row: RowMapping) -> PageReading:
    values = {field.name: row[field.name] for field in fields(PageReading)}
    times = {name: values[name].astimezone(UTC) for name in ("modified_at", "since", "read_at")}
    return PageReading(**values | times | {"unread": _unpack(row["unread"]), "wrong": tuple(row["wrong"])})


def _pack(places: NDArray[np.intp]) -> bytes:
    """Ascending places: a bit for each page up to the last of them."""
    pages = np.zeros(int(places[-1]) + 1 if len(places) else 0, np.bool_)
    pages[places] = True
    return np.packbits(pages).tobytes()


def _unpack(packed: bytes) -> NDArray[np.intp]:
    return np.flatnonzero(np.unpackbits(np.frombuffer(packed, np.uint8)))
