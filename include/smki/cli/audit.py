"""`smki audit`: look at the sites as a Party does. Works from cron, anywhere, with Airflow down."""

import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from smki.cli.exit_codes import error_facts, exit_code, print_error
from smki.cli.terminal import AsJson, err, out, print_json, print_lines
from smki.errors import SmkiError
from smki.publish.login import audited_site_from_environment
from smki.repository.project import open_project
from smki.watch.auditor import Audit, audit_site
from smki.watch.findings import Finding
from smki.watch.findings_ledger import KnownFinding
from smki.watch.links import Links
from smki.watch.mail import Mailer
from smki.watch.telling import tell
from smki.words import counted


def audit(
    site: Annotated[
        list[str] | None, typer.Option("--site", help="One site only, may be repeated; all of SMKI_SITES if not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look and say; record nothing, tell nobody.")] = False,
    as_json: AsJson = False,
) -> None:
    """Log in with a Party's account (SMKI_AUDIT_NAME), compare with obligations and ledger, and say what is wrong.

    Findings open and close in the ledger; where SMKI_SMTP_URL is set, people are told of each opening and closing once.
    Exit code 1 while findings are open on the sites. A site at which another look is at work is left alone.
    """
    now = datetime.now(UTC)
    audits: list[Audit] = []
    failures: dict[str, SmkiError] = {}
    project = open_project()
    for name in site or project.settings.sites:
        try:
            login = audited_site_from_environment(name)
            audits.append(
                audit_site(
                    project.engine,
                    project.store,
                    login,
                    project.guide,
                    now,
                    bytes_a_day=project.settings.audit_bytes_a_day,
                    record=not dry_run,
                    sites=project.settings.sites,
                )
            )
        except SmkiError as error:  # the other sites are looked at all the same
            failures[name] = error
    mailer = Mailer.from_environment(os.environ)
    if mailer and not dry_run:
        links = Links(os.environ.get("SMKI_AIRFLOW_URL") or None, project.settings.runbook)
        tell(project.engine, project.guide, mailer.send, now, links)
    if as_json:
        failed = [{"site": name} | error_facts(failure) for name, failure in failures.items()]
        print_json([*map(_audit_facts, audits), *failed])
    else:
        for one in audits:
            _print(one)
        if not (mailer or dry_run) and any(one.reconciled and one.reconciled.opened for one in audits):
            err.print("Nobody is told by this command, as SMKI_SMTP_URL is not set; the auditor in Airflow will.")
        for failure in failures.values():
            print_error(failure)
    if failures:
        raise typer.Exit(exit_code(next(iter(failures.values()))))
    if any(_open_findings(one) for one in audits):
        raise typer.Exit(1)


def _open_findings(audit: Audit) -> list[tuple[Finding, KnownFinding | None]]:
    """What is wrong on the site now; with what the ledger has of it, where that was asked."""
    if audit.reconciled is None:
        return [(finding, None) for finding in audit.findings]
    return [(known.finding, known) for known in audit.reconciled.open if known.finding.site == audit.site]


def print_finding(finding: Finding, since: str = "") -> None:
    """A finding for people, in three lines."""
    print_lines(f"[bold red]{finding.kind}[/] {escape(finding.item)}{since}")
    print_lines(f"  {escape(finding.rule)}")
    print_lines(f"  [bold]Next:[/] {escape(finding.next_step)}")


def _print(audit: Audit) -> None:
    wrong = _open_findings(audit)
    if audit.left_alone:
        looked = "another look is at work there, which this one has left alone"
    else:
        looked = (
            f"{counted(audit.files, 'file')}, {audit.hashed} of them read back whole, "
            f"{counted(audit.pages, 'page')} of others"
        )
    line = f"site {audit.site}: {looked}, {counted(len(wrong), 'finding')}"
    out.print(line, style="bold", highlight=False)
    for finding, known in wrong:
        since = f" since {known.first_seen:%Y-%m-%d %H:%M} UTC" if known else ""
        print_finding(finding, since)
    for known in audit.reconciled.closed if audit.reconciled else ():
        line = f"closed: {known.finding.kind} {known.finding.item}, open since {known.first_seen:%Y-%m-%d %H:%M} UTC"
        print_lines(escape(line))


def _audit_facts(audit: Audit) -> dict[str, Any]:
    return {
        "site": audit.site,
        "files": audit.files,
        "read_back": audit.hashed,
        "pages_read_back": audit.pages,
        "left_alone": audit.left_alone,
        "findings": [_finding_facts(finding, known) for finding, known in _open_findings(audit)],
        "closed": [
            _finding_facts(known.finding, known) for known in (audit.reconciled.closed if audit.reconciled else ())
        ],
    }


def _finding_facts(finding: Finding, known: KnownFinding | None) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "item": finding.item,
        "obligation": finding.obligation,
        "business_date": finding.business_date,
        "rule": finding.rule,
        "next_step": finding.next_step,
        "runbook": finding.kind.section,
        "since": known and known.first_seen,
        "closed_at": known and known.closed_at,
    }
