"""Reads a segment's certificates from the repository as Arrow columns, as of a window, in lodging order.

State as of window w: a certificate's last event with window_seq ≤ w. Most certificates have had no event since, and for
them that is the `status` that their row holds; only the others' history is looked up. One statement reads both, so it
sees one snapshot whatever is committed meanwhile.
"""

import adbc_driver_postgresql.dbapi
import pyarrow as pa

from smki.kinds.extracts.plan import ExtractPlan, IdRange

# Only integers go into the statements, from plans that we made: parameters would switch ADBC from COPY to single rows.
_AS_OF = """
WITH later AS MATERIALIZED (
  SELECT DISTINCT certificate_id FROM status_event
  WHERE (window_seq > {seq} OR window_seq IS NULL) AND certificate_id BETWEEN {first} AND {last}
), state AS (
  SELECT later.certificate_id, e.status
  FROM later LEFT JOIN LATERAL (
    SELECT status FROM status_event
    WHERE certificate_id = later.certificate_id AND window_seq <= {seq}
    ORDER BY id DESC LIMIT 1
  ) e ON true
)
"""
_COLUMNS = """
SELECT c.class, c.serial_number, c.eui64, c.common_name, c.role, c.usage, c.manufacturing, c.body, {status} AS status
"""
_FULL = (
    _AS_OF
    + _COLUMNS.format(status="'I'")
    + """
FROM certificate c LEFT JOIN state ON state.certificate_id = c.id
WHERE c.id BETWEEN {first} AND {last}
  AND CASE WHEN state.certificate_id IS NULL THEN c.status = 'I' ELSE state.status = 'I' END
ORDER BY c.id
"""
)
_DELTA = (
    _AS_OF  # noqa: S608  # constants of this module, and integers of our own plans
    + _COLUMNS.format(status="CASE WHEN state.certificate_id IS NULL THEN c.status ELSE state.status END")
    + """
FROM (SELECT DISTINCT certificate_id FROM status_event
      WHERE window_seq = {seq} AND certificate_id BETWEEN {first} AND {last}) changed
JOIN certificate c ON c.id = changed.certificate_id
LEFT JOIN state ON state.certificate_id = c.id
ORDER BY c.id
"""
)


def read_columns(connection: adbc_driver_postgresql.dbapi.Connection, plan: ExtractPlan, ids: IdRange) -> pa.Table:
    """The certificates of one segment: (n) rows of class, serial_number, eui64, common_name, role, usage,
    manufacturing, body, status; in id order.
    """
    statement = _DELTA if plan.statuses is None else _FULL
    with connection.cursor() as cursor:
        cursor.execute(statement.format(seq=plan.window_seq, first=ids.first, last=ids.last))
        table: pa.Table = cursor.fetch_arrow_table()
    return table
