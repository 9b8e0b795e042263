-- What a full extract holds (Appendix O 2.3.3 (a)): of the certificates whose ids lie in some ranges,
-- those whose status as of window {seq} is one of {statuses}, each with that status.
--
-- Status as of window w: that of the certificate's last event with window_seq <= w. Most certificates have had no event
-- since, and for them that is the status that their row holds; only the others' history is looked up. One statement
-- reads both, so it sees one snapshot whatever is committed meanwhile.
--
-- In no order: who reads them sorts by id, and pages in a row come sorted.
--
-- Each range is read apart by the tables' keys, and what is later is looked up by a hash, whatever the planner believes:
-- it cannot know that ranges are short, and once read 17.6 million rows for each of 512. `OFFSET 0` is its fence.
--
-- Integers and quoted letters of our own are put into the statement: parameters would switch ADBC from COPY to single
-- rows.
WITH range(first, last) AS (
  SELECT * FROM unnest('{{{firsts}}}'::bigint[], '{{{lasts}}}'::bigint[])
), later AS MATERIALIZED (
  SELECT DISTINCT e.certificate_id
  FROM range CROSS JOIN LATERAL (
    SELECT certificate_id FROM status_event
    WHERE certificate_id BETWEEN range.first AND range.last AND (window_seq > {seq} OR window_seq IS NULL) OFFSET 0
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
  FROM range CROSS JOIN LATERAL (SELECT * FROM certificate WHERE id BETWEEN range.first AND range.last OFFSET 0) c
) c
WHERE c.as_of IN ({statuses})
