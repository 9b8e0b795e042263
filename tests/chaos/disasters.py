"""What a runbook's section on disasters says, done on a stack: each returns what did not hold afterwards."""

import gzip
import shutil
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import create_engine, text

from builders import DAILY_DELTA, FULL_EXTRACT, REVOCATION_LISTS
from chaos.proxy import Fault
from chaos.rehearsal import DAY, DR, FAILED, PRIMARY, SITES, Rehearsal, lead_through, until
from chaos.runs import KINDS, begin_delta, wrong_delta
from smki.kinds.revocation.lodging import lodge_revocation_lists
from smki.repository.offers import RevocationListOffer
from smki_airflow.names import lane_pool
from smki_demo.stack import start_airflow, start_site


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
    _have_server_do(rehearsal, "DROP DATABASE airflow WITH (FORCE)", "CREATE DATABASE airflow")
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


def host_keys_new(rehearsal: Rehearsal) -> list[str]:
    """Every site has another host key: nothing is sent to it, until a person has pinned the new one."""
    stack = rehearsal.stack
    for site in SITES:
        stack.stop(stack.sites[site].process)
        stack.sites[site].known_hosts.with_name("host_key").unlink()
        start_site(stack, site, stack.sites[site].port)
        lead_through(rehearsal.doors[site], stack, site)
    before = {site: len(list(rehearsal.folder(site).iterdir())) for site in SITES}
    run = begin_delta(rehearsal)
    until(lambda: any(task["state"] in FAILED for task in run.tasks()), "the refusal")
    wrong = [f"{site} got a file" for site in SITES if len(list(rehearsal.folder(site).iterdir())) != before[site]]
    rehearsal.stop_airflow()
    start_airflow(stack)  # with the new keys in its connections
    state = run.finish()
    return wrong + ([f"the run ended as {state}"] if state != "success" else list(wrong_delta(rehearsal)))


def newest_list_unknown(rehearsal: Rehearsal) -> list[str]:
    """The database is that of before the newest lists: they are lodged from the server, and stay there as they are."""
    lists = KINDS["lists"]
    _restart_on(rehearsal, "CREATE DATABASE smki_before TEMPLATE smki")
    if (state := lists.begin(rehearsal).finish()) != "success":
        return [f"the run of the newest lists ended as {state}"]
    newest = {terms.file: (rehearsal.folder(PRIMARY) / terms.file).read_bytes() for terms, _ in rehearsal.guide.lists()}
    _restart_on(rehearsal, "DROP DATABASE smki WITH (FORCE)", "ALTER DATABASE smki_before RENAME TO smki")
    offers = [RevocationListOffer(gzip.decompress(body), name) for name, body in newest.items()]
    refused = lodge_revocation_lists(rehearsal.engine, offers, datetime.now(UTC)).refusals
    state = rehearsal.trigger(REVOCATION_LISTS).finish()
    wrong = [str(one.error) for one in refused] + ([f"the run ended as {state}"] if state != "success" else [])
    after = {name: (rehearsal.folder(PRIMARY) / name).read_bytes() for name in newest}
    wrong += [f"{name} was replaced" for name in newest if after[name] != newest[name]]
    return wrong + list(lists.wrong(rehearsal))


def _restart_on(rehearsal: Rehearsal, *statements: str) -> None:
    """Has PostgreSQL do what nobody may be connected for."""
    rehearsal.stop_airflow()
    _have_server_do(
        rehearsal, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'smki'", *statements
    )
    rehearsal.engine.dispose()
    start_airflow(rehearsal.stack)


def _have_server_do(rehearsal: Rehearsal, *statements: str) -> None:
    url = rehearsal.stack.repository_url.replace("/smki?", "/postgres?")
    server = create_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    server.dispose()


def _next_day(rehearsal: Rehearsal) -> list[str]:
    state = begin_delta(rehearsal).finish()
    return [f"the next day ended as {state}"] if state != "success" else list(wrong_delta(rehearsal))


DISASTERS: dict[str, Callable[[Rehearsal], list[str]]] = {
    "site down for days": site_down_for_days,
    "site lost whole": site_lost_whole,
    "store lost": store_lost,
    "metadata lost": metadata_lost,
    "host keys new": host_keys_new,
    "newest list unknown": newest_list_unknown,
}
