"""Ledgers as years of publishing leave them, made by SQL: the board's tests look at them."""

from datetime import date, datetime, timedelta

from sqlalchemy import Engine, text

_PARAMETERS = text(
    """
    CREATE TEMP TABLE days ON COMMIT DROP AS
    SELECT number, CAST(:today AS date) - :days + 1 + number AS day,
           (CAST(:today AS date) - :days + 1 + number) AT TIME ZONE 'UTC' AS cut_off
    FROM generate_series(0, :days - 1) AS number
    """
)
_WINDOWS = text(
    """
    INSERT INTO delta_window (seq, business_date, cutoff, closed_at, events, changed, entered, departed)
    SELECT number + 1, day, cut_off, cut_off + interval '1 minute', 1500 + number % 40, 'd', 'd', 'd' FROM days
    """
)
# Each file grows a little and breathes with the week; the last upload ends 40 to 100 minutes after the cut-off.
_EXTRACTS = text(
    """
    INSERT INTO artefact (obligation, name, business_date, window_seq, bytes, sha256, content_digest, xml_bytes,
                          records, set_digest, run, verified_at)
    SELECT kind, 'SMKIKR_' || upper(left(kind, 4)) || '_' || day || '.xml.gz', day, number + 1, records * 232,
           encode(sha256(convert_to(kind || day, 'UTF8')), 'hex'), 'c', records * 927, records, 'd',
           CASE kind WHEN 'full' THEN 'smki_full_extract' ELSE 'smki_daily_delta' END || '/scheduled__' || day,
           cut_off + interval '20 minutes'
    FROM (SELECT 'delta' AS kind, *, CAST(6000 AS bigint) + number * 2 + 900 * (number % 7) AS records FROM days
          UNION ALL
          SELECT 'full', *, CAST(17000000 AS bigint) + number * 3000 FROM days WHERE extract(isodow FROM day) = 7
    ) AS files
    """
)
_EXTRACT_PUBLICATIONS = text(
    """
    INSERT INTO publication (site, name, artefact_id, path, run, first_published_at, published_at, ended_at, ended_by,
                             end_reason)
    SELECT 'primary', name, id, '/' || name, run, at, at,
           CASE WHEN gone < CAST(:now AS timestamptz) THEN gone END,
           CASE WHEN gone < CAST(:now AS timestamptz) THEN 'smki_retention' END,
           CASE WHEN gone < CAST(:now AS timestamptz) THEN 'past its days' END
    FROM (SELECT *, verified_at + interval '20 minutes' + (id * 37 % 60) * interval '1 minute' AS at,
                 business_date + CASE obligation WHEN 'full' THEN interval '14 days' ELSE interval '8 days' END AS gone
          FROM artefact WHERE obligation IN ('full', 'delta')) AS files
    """
)
# Four files that are replaced in place, judged six times a day; a new one every day.
_IN_PLACE = text(
    """
    INSERT INTO artefact (obligation, name, business_date, bytes, sha256, content_digest, xml_bytes, records,
                          set_digest, version, run, verified_at)
    SELECT obligation, name, day, 40000 + number, encode(sha256(convert_to(name || day, 'UTF8')), 'hex'), name || day,
           90000, 40 + number % 9, 'd', number + 1, dag || '/scheduled__' || day, cut_off + begins
    FROM days, (VALUES ('arl', 'SMKIKR_ORGANISATION_ARL.crl.gz', 'smki_revocation_lists', interval '65 minutes'),
                       ('crl', 'SMKIKR_ORGANISATION_CRL.crl.gz', 'smki_revocation_lists', interval '65 minutes'),
                       ('anchor_north', 'SMKIKR_ANCHOR_NORTH.xml.gz', 'smki_anchor_slots', interval '125 minutes'),
                       ('anchor_central_south', 'SMKIKR_ANCHOR_CENTRAL_SOUTH.xml.gz', 'smki_anchor_slots',
                        interval '125 minutes'),
                       ('anchor_document', 'SMKIKR_ANCHOR_SLOTS.html', 'smki_anchor_slots', interval '125 minutes'),
                       ('anchor_table', 'SMKIKR_ANCHOR_SLOTS.csv', 'smki_anchor_slots', interval '125 minutes')
         ) AS files (obligation, name, dag, begins)
    WHERE cut_off + begins < CAST(:now AS timestamptz)
    """
)
_IN_PLACE_PUBLICATIONS = text(
    """
    INSERT INTO publication (site, name, artefact_id, path, run, first_published_at, published_at, ended_at, ended_by,
                             end_reason)
    SELECT 'primary', name, id, '/' || name, run, at, at, next, next_run, CASE WHEN next IS NOT NULL THEN 'replaced' END
    FROM (SELECT *, verified_at + interval '4 minutes' AS at,
                 lead(verified_at + interval '4 minutes') OVER of_name AS next, lead(run) OVER of_name AS next_run
          FROM artefact WHERE version IS NOT NULL WINDOW of_name AS (PARTITION BY name ORDER BY version)) AS files
    """
)
_GATE_RUNS = text(
    """
    INSERT INTO gate_run (obligation, name, sha256, business_date, verdict, suite_version, run, judged_at, judgement)
    SELECT obligation, name, sha256, business_date, 'PASS', '1', run, verified_at + again * interval '3 hours',
           jsonb_build_object('obligation', obligation, 'name', name, 'figures', (
               SELECT jsonb_agg(jsonb_build_object('name', sha256(convert_to(name || of, 'UTF8')), 'value', of))
               FROM generate_series(1, 40) AS of))
    FROM artefact, generate_series(0, CASE WHEN version IS NULL THEN 0 ELSE 5 END) AS again
    WHERE verified_at + again * interval '3 hours' < CAST(:now AS timestamptz)
    ORDER BY verified_at, again
    """
)


def fill_ledger(engine: Engine, now: datetime, days: int) -> None:
    """So many days of publishing up to `now`, each file in time on the site `primary`."""
    parameters = {"today": now.date(), "now": now, "days": days}
    with engine.begin() as connection:
        for statement in (
            _PARAMETERS,
            _WINDOWS,
            _EXTRACTS,
            _EXTRACT_PUBLICATIONS,
            _IN_PLACE,
            _IN_PLACE_PUBLICATIONS,
            _GATE_RUNS,
        ):
            connection.execute(statement, parameters)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def publish_late(engine: Engine, name: str, late: timedelta) -> None:
    """Moves a file's publication back by so much."""
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE publication SET first_published_at = first_published_at + :late WHERE name = :name"),
            {"late": late, "name": name},
        )


def lose(engine: Engine, name: str) -> None:
    """Takes a file's publications out of the ledger, as if its day had failed."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM publication WHERE name = :name"), {"name": name})


def hold(engine: Engine, name: str, decision: tuple[str, str] | None = None) -> None:
    """Makes the gate's verdict over a file HOLD; `decision` is who released it and why."""
    with engine.begin() as connection:
        number = connection.execute(
            text("UPDATE gate_run SET verdict = 'HOLD' WHERE name = :name RETURNING id"), {"name": name}
        ).scalar_one()
        if decision is not None:
            connection.execute(
                text(
                    "INSERT INTO gate_decision (gate_run_id, released, reason, decided_by, decided_at) "
                    "SELECT id, true, :reason, :who, judged_at + interval '10 minutes' FROM gate_run WHERE id = :id"
                ),
                {"id": number, "who": decision[0], "reason": decision[1]},
            )


def delta(day: date) -> str:
    return f"SMKIKR_DELT_{day}.xml.gz"
