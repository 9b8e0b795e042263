"""`smki anchors`: check the anchor slots' configuration, produce the files, see what the sites have."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from smki.cli.terminal import (
    AsJson,
    err,
    open_repository,
    out,
    print_facts,
    print_json,
    print_rows,
    reported_errors,
)
from smki.kinds.anchors.production import checked_set, judge_configured, produce_set
from smki.kinds.anchors.rules import Verdict
from smki.kinds.anchors.set_ledger import SetState, set_state
from smki.obligations.user_guide import load_user_guide

app = typer.Typer(no_args_is_help=True, help="Certificates for Device anchor slots, by region, and their document.")


@app.command()
def check(as_json: AsJson = False) -> None:
    """Show each slot with its certificate and whether it fits; exit code 1 where one does not."""
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        verdicts = judge_configured(engine, settings.anchor_slots, datetime.now(UTC))
    if as_json:
        print_json([_verdict_json(verdict) for verdict in verdicts])
    else:
        print_rows(
            ["slot", "region", "certificate", "subject", "verdict"],
            [_verdict_row(verdict) for verdict in verdicts],
        )
        problems = [problem for verdict in verdicts for problem in verdict.problems]
        for problem in problems:
            place, rule, next_step = map(escape, (problem.place, problem.rule, problem.next_step))
            err.print(f"[bold red]✗[/] {place}\n  {rule}\n  [bold]Next:[/] {next_step}", highlight=False)
        out.print(f"{len(verdicts)} places, {len(problems)} problems in {settings.anchor_slots}", soft_wrap=True)
    if not all(verdict.fits for verdict in verdicts):
        raise typer.Exit(1)


@app.command()
def produce(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the four files.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Produce and verify both regions' files, the document and its table; publishes and records nothing."""
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        guide = load_user_guide(settings.config)
        anchor_set = checked_set(engine, settings.anchor_slots, datetime.now(UTC))
        produced = produce_set(anchor_set, guide, folder, settings.annex_b_xsd)
    facts = [
        {
            "file": str(folder / file.name),
            "certificates": file.written.records,
            "bytes": file.written.bytes,
            "SHA-256": file.written.sha256,
            "content digest": file.written.content_digest,
        }
        for file in produced
    ]
    if as_json:
        print_json(facts)
    else:
        for file in facts:
            print_facts(file)


@app.command()
def state(as_json: AsJson = False) -> None:
    """Show which version of each file each site offers; exit code 1 where a set is not complete."""
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        guide = load_user_guide(settings.config)
        states = [set_state(engine, guide, site) for site in settings.sites]
    if as_json:
        print_json([_state_json(one) for one in states])
    else:
        print_rows(
            ["site", "file", "offered", "newest", "published (UTC)"],
            [
                [
                    one.site,
                    file.name,
                    "–" if file.offered_version is None else file.offered_version,
                    "–" if one.version is None else one.version,
                    f"{file.published_at:%Y-%m-%d %H:%M}" if file.published_at else "not published",
                ]
                for one in states
                for file in one.files
            ],
        )
        for one in states:
            out.print(f"{one.site}: {'complete' if one.complete else 'incomplete'}")
    if not all(one.complete for one in states):
        raise typer.Exit(1)


def _verdict_row(verdict: Verdict) -> list[object]:
    place, certificate = verdict.placement, verdict.certificate
    return [
        place.slot,
        place.region.words if place.region else "both",
        str(place.reference) + (" (placeholder)" if place.reference.placeholder else ""),
        certificate.subject if certificate else "–",
        "fits" if verdict.fits else "does not fit",
    ]


def _verdict_json(verdict: Verdict) -> dict[str, object]:
    place, certificate = verdict.placement, verdict.certificate
    return {
        "slot": place.slot,
        "region": place.region,
        "issuer": place.reference.issuer,
        "serial_number": place.reference.serial_number.hex().upper(),
        "placeholder": place.reference.placeholder,
        "certificate": certificate
        and {
            "subject": certificate.subject,
            "role": certificate.role,
            "usage": certificate.usage,
            "status": certificate.status,
            "valid_from": certificate.not_before.isoformat(),
            "valid_to": certificate.not_after.isoformat(),
            "sha256": certificate.sha256,
        },
        "fits": verdict.fits,
        "problems": [{"rule": problem.rule, "next_step": problem.next_step} for problem in verdict.problems],
    }


def _state_json(one: SetState) -> dict[str, object]:
    return {
        "site": one.site,
        "version": one.version,
        "complete": one.complete,
        "files": [
            {
                "file": file.name,
                "offered_version": file.offered_version,
                "current": file.is_current,
                "published_at": file.published_at and file.published_at.isoformat(),
            }
            for file in one.files
        ],
    }
