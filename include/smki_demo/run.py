"""`smki-demo run`: a stranger's first look. Fills a repository, lets Airflow publish, and reads it all back as a Party.

Everything is below `var/`. A second start finds what the first one published and changes none of it.
`DEMO_EXIT=1` ends the demo when its checks are done. Exit status 0 only when all of them held.
"""

import os
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Engine, func, select, update

from smki.errors import SmkiError, VerificationError
from smki.kinds.revocation.file import lists_without_successor
from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.publish.ledger import list_publications
from smki.publish.site import Site
from smki.repository.database import open_engine
from smki.repository.tables import certificate, revocation_list
from smki.settings import Settings
from smki.words import counted
from smki_airflow.names import BOARD_VIEW
from smki_demo import publishing
from smki_demo.generator.anchor_slots import write_anchor_slots
from smki_demo.generator.filling import fill_with_history, open_pki
from smki_demo.generator.revocation import issue_lists
from smki_demo.party import follow, sync_command
from smki_demo.reading_back import OfferedFile, check_against_repository, fetch_current_files, fetch_extracts
from smki_demo.sftp_server import HOST, PARTY
from smki_demo.stack import PRIMARY, Stack, running_stack, start_airflow, write_terminal

CERTIFICATES = 20_000
_SITES = (PRIMARY, "dr")
_SHORT = 8  # letters of a SHA-256 that fit a terminal of 80 columns
console = Console()


def run_demo() -> None:
    """Everything for real on this machine: lodge, publish by Airflow, read back as a Party.

    It writes below `var/` only. DEMO_PORT and DEMO_SFTP_PORT choose the ports; DEMO_SITES=2 has a second site, which is
    down for a while; DEMO_EXIT=1 ends it after its checks.
    """
    raise typer.Exit(_exit_status())


def _exit_status() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell starts background jobs with it ignored
        signal.signal(number, signal.default_int_handler)
    settings = Settings.from_environment()
    port, sftp_port, sites = (
        int(os.environ.get(name, default))
        for name, default in (("DEMO_PORT", "8080"), ("DEMO_SFTP_PORT", "2222"), ("DEMO_SITES", "1"))
    )
    try:
        with ExitStack() as resources:
            with step("starting PostgreSQL and the SFTP server, migrating both databases"):
                stack = resources.enter_context(
                    running_stack(settings.var, port=port, sftp_port=sftp_port, sites=_SITES[:sites])
                )
            engine = open_engine(stack.repository_url)
            _fill(engine, settings, datetime.now(UTC).date())  # before a DAG can look at an empty repository
            stack.environment["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] = "True"  # `_publish` says what begins when
            with step("starting Airflow"):
                start_airflow(stack)
            _publish(stack, engine, settings)
            _read_back(stack, engine, settings)
            if not os.environ.get("DEMO_EXIT"):
                _wait_for_interrupt()
            with step("ending every process"):
                resources.close()
    except SmkiError as error:
        item, rule, consequence, next_step = map(escape, error.args)
        console.print(f"[bold red]{type(error).__name__}[/] {item}\n  {rule}\n  {consequence}")
        console.print(f"  [bold]Next:[/] {next_step}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _fill(engine: Engine, settings: Settings, today: date) -> None:
    """A repository with certificates, fresh revocation lists and anchor slots."""
    with engine.connect() as connection:
        lodged = connection.execute(select(func.count()).select_from(certificate)).scalar_one()
    if lodged:
        console.print(f"[green]✓[/] repository: {lodged:,} certificates, from an earlier start")
        _issue_next_lists(engine, settings)
        return
    with step(f"lodging {CERTIFICATES:,} signed certificates over {publishing.DELTAS} days") as say:
        pki = open_pki(settings.var / "pki")
        fill_with_history(
            engine,
            pki,
            today,
            days=publishing.DELTAS,
            certificates=CERTIFICATES,
            progress=lambda done: say(f"{done:,} lodged"),
        )
    _issue_next_lists(engine, settings)  # the history's end with the day
    with engine.begin() as connection:  # the history's own would have been missed every day until now
        connection.execute(update(revocation_list).values(lodged_at=datetime.now(UTC)))
    write_anchor_slots(engine, settings.var / "anchor_slots.toml")


def _issue_next_lists(engine: Engine, settings: Settings) -> None:
    """Where the newest lists come near their nextUpdate, which the auditor would find."""
    now = datetime.now(UTC)
    if lists_without_successor(engine, load_user_guide(settings.config), now):
        with step("having the CAs issue their next revocation lists"):
            issue_lists(engine, open_pki(settings.var / "pki"), now)


def _publish(stack: Stack, engine: Engine, settings: Settings) -> None:
    guide = load_user_guide(settings.config)
    with step("waiting for Airflow to read the DAGs"):
        publishing.start_publishing(stack, guide)
    with step("backfilling eight deltas and the full extracts among them") as say:
        publishing.backfill_extracts(stack, guide, datetime.now(UTC).date(), say, _tell)
    with step("waiting for revocation lists and anchor files, which publish themselves") as say:
        publishing.wait_for_current_files(stack, engine, guide, say, _tell)
    with step("publishing the full extracts of yesterday and today, the second by renewal"):
        made = publishing.renew_full(stack, engine, guide, datetime.now(UTC).date(), _tell)
    taken_over = f"{made.taken_over:,} of its {len(made.pages):,} pages are those of {made.predecessor}"
    console.print(f"[green]✓[/] {made.name}: {taken_over}", soft_wrap=True)
    with step("removing what is over: a full extract, and a delta (its publication is set back eight days)"):
        publishing.remove_expired_delta(stack, engine, guide)
    with step("having the auditor look at the server as a Party, until nothing is wrong") as say:
        publishing.wait_for_auditor(stack, engine, say)


def _read_back(stack: Stack, engine: Engine, settings: Settings) -> None:
    guide, folder = load_user_guide(settings.config), settings.var / "party"
    shutil.rmtree(folder, ignore_errors=True)
    with step("reading every file back as a Party"):
        extracts, received = _read_site(stack.site(PRIMARY), guide, settings, folder / PRIMARY)
    for name in set(stack.sites) - {PRIMARY}:
        with step(f"reading {name} back as a Party: the same files, with the same bytes"):
            _, there = _read_site(stack.site(name), guide, settings, folder / name)
            _refuse_difference(name, there, received)
    with step("checking FULL + following deltas against the repository"):
        chains = check_against_repository(engine, guide, extracts)
    with step("keeping a Party's copy by the signed index: `smki sync` to yesterday's state, then to today's"):
        copies = follow(stack, engine, guide, folder / "copy.sqlite", datetime.now(UTC).date())
    console.print(_files_table(engine, received, wide=console.width >= 140))
    for chain in chains:
        console.print(
            f"[green]✓[/] {chain[0].name} and {counted(len(chain) - 1, 'delta')} after it are the repository of "
            f"{chain[-1].business_date}: {chain[-1].in_use:,} in use",
            soft_wrap=True,
        )
    for copy in copies:
        console.print(
            f"[green]✓[/] smki sync: {copy['plan']}: {copy['in_use']:,} in use, as in the repository", soft_wrap=True
        )
    for name, reason in publishing.list_removed_deltas(engine, guide):
        console.print(f"[green]✓[/] {name} was removed: {reason}", soft_wrap=True)
    api = stack.api
    console.print(
        f"\nAirflow UI   [bold]{api.base_url}[/]   log in as [bold]{api.user}[/] with [bold]{api.password}[/]"
    )
    console.print(f"Board        {api.base_url}/plugin/{BOARD_VIEW['url_route']}", soft_wrap=True)
    # Quoted, as OpenSSH takes a path with a space for two files.
    for site in stack.sites.values():
        hosts = f'UserKnownHostsFile="{site.known_hosts}"'
        command = ["sftp", "-P", str(site.port), "-i", str(site.key_files[PARTY]), "-o", hosts, f"{PARTY}@{HOST}"]
        console.print(f"SFTP         {shlex.join(command)}", soft_wrap=True)
    console.print(
        f"Terminal     . {shlex.quote(str(write_terminal(stack)))}   "
        "then `smki` and `airflow` work there as in docs/runbook.md",
        soft_wrap=True,
    )
    sync = sync_command(stack, guide, folder / "copy.sqlite")
    console.print(f"Party's copy {shlex.join(sync)}", soft_wrap=True)
    console.print(f"Mail         what people are told of findings: {stack.mail}", soft_wrap=True)


def _read_site(
    site: Site, guide: UserGuide, settings: Settings, folder: Path
) -> tuple[list[OfferedFile], dict[str, str]]:
    """The extracts that a site offers, and the SHA-256 (hex) of every file by its name; downloaded and verified."""
    extracts = fetch_extracts(site, guide, settings.annex_b_xsd, folder)
    current = fetch_current_files(site, guide, settings.annex_b_xsd, folder)
    received = {file.local.name: file.verification.sha256 for file in extracts}
    return extracts, received | {file.local.name: file.sha256 for file in current}


def _refuse_difference(site: str, there: Mapping[str, str], received: Mapping[str, str]) -> None:
    """Raises VerificationError where a site offers other files than the first one."""
    if different := sorted(name for name in {*there, *received} if there.get(name) != received.get(name)):
        raise VerificationError(
            different[0],
            f"{site} offers other bytes than {PRIMARY}.",
            "Parties of the two sites read different files.",
            "see `smki status` and `smki audit`.",
        )


def _files_table(engine: Engine, received: Mapping[str, str], *, wide: bool) -> Table:
    """A row a file; `received` has the SHA-256 (hex) of each as the Party read it.

    Raises VerificationError where the ledger has another hash, or a file that the Party did not find.
    """
    table = Table(title="On the SFTP server, as a Party reads it", box=None, padding=(0, 1, 0, 0), title_justify="left")
    for column in ("file", "bytes", "records", "SHA-256", "published (UTC)"):
        table.add_column(column, justify="right" if column in ("bytes", "records") else "left", no_wrap=True)
    with engine.connect() as connection:
        offered = list_publications(connection, PRIMARY)
    for publication in sorted(offered, key=lambda p: (p.artefact.version is not None, p.name)):
        sha256 = received.get(publication.name, "nothing")
        if sha256 != publication.artefact.sha256:
            raise VerificationError(
                publication.name,
                f"the server gives {sha256} and the ledger has {publication.artefact.sha256}.",
                "A Party reads another file than the one that was judged.",
                "find out who writes on the server.",
            )
        table.add_row(
            publication.name,
            f"{publication.artefact.bytes:,}",
            f"{publication.artefact.records:,}",
            sha256 if wide else sha256[:_SHORT],
            f"{publication.published_at:%m-%d %H:%M}",
        )
    return table


def _tell(line: str) -> None:
    console.print(f"[bold yellow]![/] {escape(line)}", soft_wrap=True)


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
