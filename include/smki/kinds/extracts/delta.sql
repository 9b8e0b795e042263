-- What a delta holds (Appendix O 2.3.3 (b)): of the certificates whose ids lie in some ranges,
-- those that window {seq} changed, each once, with its status as of that window.
--
-- Status as of window w: as full.sql says.
--
-- In no order: who reads them sorts by id, and pages in a row come sorted.
--
-- Each certificate is looked up by its key, and what is later by a hash, whatever the planner believes (full.sql).
--
-- Integers of our own are put into the statement: parameters would switch ADBC from COPY to single rows.
WITH range(first, last) AS (
  SELECT * FROM unnest('{{{firsts}}}'::bigint[], '{{{lasts}}}'::bigint[])
), later AS MATERIALIZED (
  SELECT DISTINCT e.certificate_id
  FROM range CROSS JOIN LATERAL (
    SELECT certificate_id FROM status_event
    WHERE certificate_id BETWEEN range.first AND range.last AND (window_seq > {seq} OR window_seq IS NULL) OFFSET 0
  ) e
), changed AS MATERIALIZED (
  SELECT DISTINCT e.certificate_id
  FROM range CROSS JOIN LATERAL (
    SELECT certificate_id FROM status_event
    WHERE certificate_id BETWEEN range.first AND range.last AND window_seq = {seq} OFFSET 0
  ) e
)
SELECT c.id, c.class, c.serial_number, c.eui64, c.common_name, c.role, c.usage, c.manufacturing, c.body,
  c.as_of AS status
FROM (
  SELECT c.*,
    CASE WHEN c.id IN (SELECT certificate_id FROM later) THEN (
      SELECT status FROM status_event
      WHERE certificate_id = c.id AND window_seq <= {seq}
      ORDER BY id DESC LIMIT 1
    ) ELSE c.status END AS as_of
  FROM changed CROSS JOIN LATERAL (SELECT * FROM certificate WHERE id = changed.certificate_id OFFSET 0) c
) c
