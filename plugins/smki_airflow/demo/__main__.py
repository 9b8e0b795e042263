"""`make demo`: a stranger's first look. Fills a repository, lets Airflow publish, and reads it all back as a Party.

Everything is below `var/`. A second start finds what the first one published and changes none of it.
`DEMO_EXIT=1` ends the demo when its checks are done. Exit status 0 only when all of them held.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, func, select

from smki.consumer.party import OfferedFile, check_against_repository, fetch_extracts
from smki.errors import SmkiError, TransportError, VerificationError
from smki.generator.anchor_slots import write_anchor_slots
from smki.generator.filling import fill_with_history, open_pki
from smki.generator.revocation import issue_lists
from smki.obligations.user_guide import UserGuide, load_user_guide
from smki.publish.ledger import list_publications
from smki.publish.revocation import lists_without_successor
from smki.publish.site import Site
from smki.repository.database import open_engine
from smki.repository.tables import certificate
from smki.settings import Settings
from smki_airflow.demo.sftp_server import HOST, PARTY
from smki_airflow.demo.stack import Stack, running_stack, start_airflow
from smki_airflow.names import DAILY_DELTA, FULL_EXTRACT

CERTIFICATES, DAYS, DELTAS = 20_000, 15, 8
_RUNS_S = 600  # for all runs to end
console = Console()


def main() -> int:
    """Runs the demo; the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell starts background jobs with it ignored
        signal.signal(number, signal.default_int_handler)
    settings = Settings.from_environment()
    ports = {
        "port": int(os.environ.get("DEMO_PORT", "8080")),
        "sftp_port": int(os.environ.get("DEMO_SFTP_PORT", "2222")),
    }
    try:
        with ExitStack() as resources:
            with step("starting PostgreSQL and the SFTP server, migrating both databases"):
                stack = resources.enter_context(running_stack(settings.var, **ports))
            engine = open_engine(stack.repository_url)
            _fill(engine, settings, datetime.now(UTC).date())  # before a DAG can look at an empty repository
            if not (anchor_slots := settings.var / "anchor_slots.toml").exists():
                write_anchor_slots(engine, anchor_slots)
            with step("starting Airflow"):
                start_airflow(stack)
            _show(stack, engine, settings)
            if not os.environ.get("DEMO_EXIT"):
                _wait_for_interrupt()
            with step("ending every process"):
                resources.close()
    except SmkiError as error:
        console.print(f"[bold red]{type(error).__name__}[/] {error.item}\n  {error.rule}\n  {error.consequence}")
        console.print(f"  [bold]Next:[/] {error.next_step}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _show(stack: Stack, engine: Engine, settings: Settings) -> None:
    guide = load_user_guide(settings.config)
    _publish(stack, guide, datetime.now(UTC).date())
    with step("reading every file back as a Party"):
        shutil.rmtree(settings.var / "party", ignore_errors=True)
        offered = fetch_extracts(_party(stack), guide, settings.annex_b_xsd, settings.var / "party")
    with step("checking FULL + following deltas against the repository"):
        chains = check_against_repository(engine, offered)
    console.print(_table(engine, offered))
    for chain in chains:
        console.print(
            f"[green]✓[/] {chain[0].name} and {len(chain) - 1} deltas after it are the repository of "
            f"{chain[-1].business_date}: {chain[-1].in_use:,} in use",
            soft_wrap=True,
        )
    api, sftp = stack.api, stack.sftp
    console.print(
        f"\nAirflow UI   [bold]{api.base_url}[/]   log in as [bold]{api.user}[/] with [bold]{api.password}[/]"
    )
    console.print(f"SFTP         sftp -P {sftp['port']} -i {sftp['keys'][PARTY]} {PARTY}@{HOST}", soft_wrap=True)


def _fill(engine: Engine, settings: Settings, today: date) -> None:
    with engine.connect() as connection:
        lodged = connection.execute(select(func.count()).select_from(certificate)).scalar_one()
    if lodged:
        console.print(f"[green]✓[/] repository: {lodged:,} certificates, from an earlier start")
        now = datetime.now(UTC)
        if lists_without_successor(engine, load_user_guide(settings.config), now):
            with step("having the CAs issue their next revocation lists"):
                issue_lists(engine, open_pki(settings.var / "pki"), now)
        return
    with step(f"lodging {CERTIFICATES:,} signed certificates over {DAYS} days") as say:
        pki = open_pki(settings.var / "pki")
        fill_with_history(
            engine, pki, today, days=DAYS, certificates=CERTIFICATES, progress=lambda done: say(f"{done:,} lodged")
        )


def _publish(stack: Stack, guide: UserGuide, today: date) -> None:
    """Has Airflow backfill what the ledger lacks, and waits for the runs."""
    # The last full that deltas follow: on the day of a full itself, the one before.
    full_day = max(day for day in (today - timedelta(days=back) for back in range(1, 8)) if guide.full.falls_on(day))
    wanted = {
        DAILY_DELTA: [today - timedelta(days=back) for back in reversed(range(DELTAS))],
        FULL_EXTRACT: [full_day],
    }
    interval = {DAILY_DELTA: timedelta(days=1), FULL_EXTRACT: timedelta(days=7)}
    with step("waiting for Airflow to read the DAGs"):
        _until(
            lambda: {dag["dag_id"] for dag in stack.api.get("dags")["dags"]} >= set(wanted), "the DAGs are not loaded"
        )
    with step("backfilling the last eight deltas and the last full extract") as say:
        starts = {
            dag_id: [guide.delta.cut_off(day) - interval[dag_id] for day in days] for dag_id, days in wanted.items()
        }
        for dag_id, instants in starts.items():
            known = {_instant(run["logical_date"]) for run in stack.api.runs(dag_id)}
            if set(instants) - known:
                stack.api.backfill(dag_id, min(instants), max(instants))
        expected = {(dag_id, start) for dag_id, instants in starts.items() for start in instants}

        def done() -> bool:
            states = {
                (dag_id, _instant(run["logical_date"])): run["state"]
                for dag_id in wanted
                for run in stack.api.runs(dag_id)
            }
            states = {key: state for key, state in states.items() if key in expected}
            say(f"{sum(state == 'success' for state in states.values())} of {len(expected)} runs done")
            failed = [f"{dag_id} {start}" for (dag_id, start), state in states.items() if state == "failed"]
            if failed:
                raise TransportError(
                    failed[0],
                    "its run failed.",
                    "The demo's files are not complete.",
                    "open its log in the Airflow UI.",
                )
            return len(states) == len(expected) and set(states.values()) == {"success"}

        _until(done, "the runs did not end")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _until(condition: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + _RUNS_S
    while not condition():
        if time.monotonic() > deadline:
            raise TransportError("Airflow", f"{problem} within {_RUNS_S} s.", "The demo stops.", "read var/log.")
        time.sleep(0.5)


def _party(stack: Stack) -> Site:
    return Site(
        name="primary",
        host=HOST,
        port=stack.sftp["port"],
        username=PARTY,
        key_file=Path(stack.sftp["keys"][PARTY]),
        host_key=stack.sftp["host_key"],
        folder="/",
    )


def _table(engine: Engine, offered: list[OfferedFile]) -> Table:
    with engine.connect() as connection:
        published = {publication.name: publication for publication in list_publications(connection, "primary")}
    table = Table(title="On the SFTP server, as a Party reads it", box=None, padding=(0, 1, 0, 0), title_justify="left")
    for column in ("file", "bytes", "records", "SHA-256", "published (UTC)"):
        table.add_column(column, justify="right" if column in ("bytes", "records") else "left", no_wrap=True)
    digits = 64 if console.width >= 140 else 12
    for file in offered:
        publication = published[file.local.name]
        if publication.artefact.sha256 != file.verification.sha256:
            raise VerificationError(
                file.local.name,
                f"the server gives {file.verification.sha256} and the ledger has {publication.artefact.sha256}.",
                "A Party reads another file than the one that was judged.",
                "find out who writes on the server.",
            )
        table.add_row(
            file.local.name,
            f"{file.verification.bytes:,}",
            f"{file.verification.records:,}",
            file.verification.sha256[:digits],
            f"{publication.published_at:%Y-%m-%d %H:%M}",
        )
    return table


def _wait_for_interrupt() -> None:
    console.print("\nRunning until Ctrl-C.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print()


@contextmanager
def step(what: str) -> Iterator[Callable[[str], None]]:
    """Shows that something is under way, how far it is, and how long it took."""
    begun = time.monotonic()
    with console.status(what) as status:
        yield lambda detail: status.update(f"{what} — {detail}")
    console.print(f"[green]✓[/] {what} [dim]{time.monotonic() - begun:.1f} s[/]")


if __name__ == "__main__":
    sys.exit(main())
