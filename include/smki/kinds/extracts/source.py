"""Reads a segment's certificates from the repository as Arrow columns, as of a window, in lodging order.

full.sql and delta.sql say which certificates an extract holds; each is the whole statement.
"""

from importlib.resources import files

import adbc_driver_postgresql.dbapi
import pyarrow as pa

from smki.certificates.model import Status
from smki.kinds.extracts.plan import ExtractPlan, IdRange

_FULL, _DELTA = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("full.sql", "delta.sql"))


def read_columns(connection: adbc_driver_postgresql.dbapi.Connection, plan: ExtractPlan, ids: IdRange) -> pa.Table:
    """The certificates of one segment: (n) rows of class, serial_number, eui64, common_name, role, usage,
    manufacturing, body, status; in id order.
    """
    statement = _DELTA if plan.statuses is None else _FULL
    statuses = ", ".join(f"'{Status(letter)}'" for letter in plan.statuses or "")
    statement = statement.format(seq=plan.window_seq, first=ids.first, last=ids.last, statuses=statuses)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        table: pa.Table = cursor.fetch_arrow_table()
    return table
