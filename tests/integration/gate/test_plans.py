"""No step of a day reads all certificates, or all that ever happened to them, one after the other."""

import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from builders import change, during, lodge_bodies, look_alikes
from smki.certificates.model import Status
from smki.gate.model import Verdict
from smki.kinds.extracts.plan import IdRange
from smki.kinds.extracts.source import statement_of
from smki.repository.status import expire

from .extract_files import plan_of
from .worlds import LISTS, NOW, Stage, World

TABLES = ["body_hash", "certificate", "status_event"]


@pytest.fixture
def large(own_world: Callable[..., World]) -> World:
    """A repository that PostgreSQL takes for one of twenty million certificates, the day's window still open.

    Of the planner's figures only the number of rows is raised. That leaves the tables few pages, so reading all of one
    seems cheaper than it would be.
    """
    world: World = own_world(Stage.OPEN)
    with world.engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
        connection.execute(text("ANALYZE"))
        connection.execute(
            text("UPDATE pg_class SET reltuples = reltuples * 100000 WHERE relname = ANY(:tables)"), {"tables": TABLES}
        )
    return world


def read_whole(world: World) -> dict[str, int]:
    """How often each table has been read from one end to the other so far, by PostgreSQL's own count."""
    world.engine.dispose()
    with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        others = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        while connection.execute(others).scalar_one() > 1:  # a session counts when it ends
            time.sleep(0.01)
        counts = text("SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY(:tables)")
        return {row.relname: row.seq_scan for row in connection.execute(counts, {"tables": TABLES})}


def judge_extract(obligation: str) -> Callable[[World], object]:
    def step(world: World) -> None:
        assert world.judged(world.produce(obligation)).verdict is Verdict.PASS

    return step


def test_no_step_of_a_day_reads_a_whole_table(large: World) -> None:
    steps: dict[str, Callable[[World], object]] = {
        "lodge": lambda world: lodge_bodies(world.engine, look_alikes(2, seed=7), during(70)),
        "change statuses": lambda world: change(world.engine, look_alikes(1, seed=7), Status.NOT_IN_USE, during(70)),
        "close": lambda world: world.close(70),
        "delta": judge_extract("delta"),
        "full extract": judge_extract("full"),
        **{name: lambda world, name=name: world.judged_list(name, world.list_file(name)) for name in LISTS},
        "anchor slots": lambda world: world.judged_anchor("anchor_north", world.anchors()),
        "expire": lambda world: expire(world.engine, NOW),
    }
    found = {}
    for name, step in steps.items():
        before = read_whole(large)
        step(large)
        after = read_whole(large)
        found[name] = [table for table in TABLES if after[table] > before[table]]
    assert {name: tables for name, tables in found.items() if tables} == {}


@pytest.mark.parametrize("obligation", ["full", "delta"])
def test_many_short_ranges_are_read_each_by_its_key(large: World, obligation: str) -> None:
    """The planner knows no range's length: joined as they stand, it read all certificates for each of 512 ranges."""
    large.close(70)
    ranges = [IdRange(first, first + 127) for first in range(0, 512 * 1024, 1024)]
    with large.engine.connect() as connection:
        lines = connection.exec_driver_sql(
            f"EXPLAIN VERBOSE {statement_of(plan_of(large, obligation), ranges)}"
        ).scalars()
        plan = "\n".join(lines)
    assert "Seq Scan" not in plan
    assert "Index Scan using certificate_pkey" in plan
    assert "hashed SubPlan" in plan
