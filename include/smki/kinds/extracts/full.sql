-- What a full extract holds (Appendix O 2.3.3 (a)): of the certificates whose ids lie in some ranges,
-- those whose status as of window {seq} is one of {statuses}, each with that status.
--
-- Status as of window w: that of the certificate's last event with window_seq <= w. Most certificates have had no event
-- since, and for them that is the status that their row holds; only the others' history is looked up. One statement
-- reads both, so it sees one snapshot whatever is committed meanwhile.
--
-- In no order: who reads them sorts by id, and pages in a row come sorted.
--
-- Integers and quoted letters of our own are put into the statement: parameters would switch ADBC from COPY to single
-- rows.
WITH range(first, last) AS (
  SELECT * FROM unnest('{{{firsts}}}'::bigint[], '{{{lasts}}}'::bigint[])
), later AS MATERIALIZED (
  SELECT DISTINCT e.certificate_id
  FROM range JOIN status_event e ON e.certificate_id BETWEEN range.first AND range.last
  WHERE e.window_seq > {seq} OR e.window_seq IS NULL
), state AS (
  SELECT later.certificate_id, e.status
  FROM later LEFT JOIN LATERAL (
    SELECT status FROM status_event
    WHERE certificate_id = later.certificate_id AND window_seq <= {seq}
    ORDER BY id DESC LIMIT 1
  ) e ON true
)
SELECT c.id, c.class, c.serial_number, c.eui64, c.common_name, c.role, c.usage, c.manufacturing, c.body,
  CASE WHEN state.certificate_id IS NULL THEN c.status ELSE state.status END AS status
FROM range JOIN certificate c ON c.id BETWEEN range.first AND range.last
LEFT JOIN state ON state.certificate_id = c.id
WHERE CASE WHEN state.certificate_id IS NULL THEN c.status IN ({statuses}) ELSE state.status IN ({statuses}) END
