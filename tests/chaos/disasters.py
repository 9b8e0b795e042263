"""What a runbook's section on disasters says, done on a stack: each returns what did not hold afterwards."""

import shutil
from collections.abc import Callable

from sqlalchemy import create_engine, text

from builders import DAILY_DELTA, FULL_EXTRACT
from chaos.proxy import Fault
from chaos.rehearsal import DAY, DR, FAILED, SITES, Rehearsal, until
from chaos.runs import begin_delta, wrong_delta
from smki_airflow.names import lane_pool
from smki_demo.stack import start_airflow


def site_down_for_days(rehearsal: Rehearsal) -> list[str]:
    """Three days on which one site takes nothing: the other has them in time, and it catches up with the same."""
    rehearsal.doors[DR].arm(Fault.REFUSE)
    runs = []
    for _ in range(3):
        runs.append((rehearsal.day + DAY, run := begin_delta(rehearsal)))
        until(lambda run=run: run.task_state("publish_dr") in FAILED, "the refusal")
        until(lambda run=run: run.task_state("publish_primary") == "success", "the other site")
    rehearsal.doors[DR].heal()
    states = {day: run.finish() for day, run in runs}
    wrong = [f"the run of {day} ended as {state}" for day, state in states.items() if state != "success"]
    return [*wrong, *(one for day, _ in runs for one in wrong_delta(rehearsal, day)), *wrong_delta(rehearsal)]


def site_lost_whole(rehearsal: Rehearsal) -> list[str]:
    """All files of a site are gone: runs that are cleared put the same content there, byte for byte."""
    folder = rehearsal.folder(DR)
    before = {path.name: path.read_bytes() for path in folder.glob("SMKIKR_*.xml.gz")}
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for dag_id in (FULL_EXTRACT, DAILY_DELTA):
        rehearsal.clear_all(dag_id)
    after = {path.name: path.read_bytes() for path in folder.glob("SMKIKR_*.xml.gz")}
    wrong = [name for name, content in before.items() if after.get(name) != content]
    return [f"{name} did not come back as it was" for name in wrong]


def store_lost(rehearsal: Rehearsal) -> list[str]:
    """The store is empty: the next day is published, and a lost file comes back with its content."""
    store = rehearsal.store()
    store.remove([one.key for one in store.list_objects("")])
    return _next_day(rehearsal)


def metadata_lost(rehearsal: Rehearsal) -> list[str]:
    """Airflow's database is lost and made anew: what is published stays as it is, whoever asks for it again."""
    stack = rehearsal.stack
    before = {path: path.stat().st_ino for site in SITES for path in rehearsal.folder(site).glob("SMKIKR_*.xml.gz")}
    rehearsal.stop_airflow()
    server = create_engine(stack.repository_url.replace("/smki?", "/postgres?")).execution_options(
        isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE airflow WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE airflow"))
    server.dispose()
    stack.airflow("db", "migrate")
    for site in SITES:
        for in_place in (False, True):
            stack.airflow("pools", "set", lane_pool(site, in_place=in_place), "1", "one publisher at a time")
    start_airflow(stack)
    rehearsal.unpause()
    cut_off = rehearsal.guide.delta.cut_off.at(rehearsal.day)
    again = rehearsal.trigger(DAILY_DELTA, cut_off).finish()
    wrong = [] if again == "success" else [f"the newest day, again, ended as {again}"]
    wrong += [f"{path.name} was replaced" for path, inode in before.items() if path.stat().st_ino != inode]
    return wrong + _next_day(rehearsal)


def _next_day(rehearsal: Rehearsal) -> list[str]:
    state = begin_delta(rehearsal).finish()
    return [f"the next day ended as {state}"] if state != "success" else list(wrong_delta(rehearsal))


DISASTERS: dict[str, Callable[[Rehearsal], list[str]]] = {
    "site down for days": site_down_for_days,
    "site lost whole": site_lost_whole,
    "store lost": store_lost,
    "metadata lost": metadata_lost,
}
