-- The pages (of {page} ids each) that change between two full extracts: those with a certificate of which an event
-- is in a window after {base} and up to {seq}. A status as of a window comes from the events up to it (full.sql), and
-- nothing else that is in a file ever changes; so every other page is what it was.
SELECT DISTINCT certificate_id / {page} FROM status_event WHERE window_seq > {base} AND window_seq <= {seq} ORDER BY 1
