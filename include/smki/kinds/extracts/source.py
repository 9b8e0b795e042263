"""Reads a segment's certificates from the repository as Arrow columns, as of a window, in lodging order.

full.sql and delta.sql say which certificates an extract holds; each is the whole statement.
"""

from collections.abc import Sequence
from importlib.resources import files

import adbc_driver_postgresql.dbapi
import numpy as np
import pyarrow as pa

from smki.certificates.model import Status
from smki.kinds.extracts.plan import ExtractPlan, IdRange

_FULL, _DELTA = (files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("full.sql", "delta.sql"))


def read_columns(
    connection: adbc_driver_postgresql.dbapi.Connection, plan: ExtractPlan, ids: Sequence[IdRange]
) -> pa.Table:
    """The certificates of some ranges: (n) rows of id, class, serial_number, eui64, common_name, role, usage,
    manufacturing, body, status; in id order.
    """
    with connection.cursor() as cursor:
        cursor.execute(statement_of(plan, ids))
        table: pa.Table = cursor.fetch_arrow_table()
    found = table["id"].to_numpy()
    return table if (found[1:] > found[:-1]).all() else table.take(pa.array(np.argsort(found)))


def statement_of(plan: ExtractPlan, ids: Sequence[IdRange]) -> str:
    """The SQL that reads the certificates of some ranges."""
    return (_DELTA if plan.statuses is None else _FULL).format(
        seq=plan.window_seq,
        firsts=",".join(str(one.first) for one in ids),
        lasts=",".join(str(one.last) for one in ids),
        statuses=", ".join(f"'{Status(letter)}'" for letter in plan.statuses or ""),
    )
