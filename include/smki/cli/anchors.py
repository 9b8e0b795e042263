"""`smki anchors`: check the anchor slots' configuration, produce the files, see what the sites have."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from smki.cli.terminal import AsJson, OutFolder, Wide, err, out, print_json, print_lines, print_table, show
from smki.kinds.anchors.production import check_configured, load_anchor_set, produce_set
from smki.kinds.anchors.rules import SlotResult
from smki.kinds.anchors.set_ledger import SetState, set_state
from smki.repository.project import open_project
from smki.store.local_files import checked_first
from smki.verify.verification import verify_file
from smki.words import counted

app = typer.Typer(no_args_is_help=True, help="Certificates for Device anchor slots, by region, and their document.")


@app.command()
def check(as_json: AsJson = False, wide: Wide = False) -> None:
    """Show each slot with its certificate and whether it fits; exit code 1 where one does not."""
    project = open_project()
    configuration = project.settings.anchor_slots
    results = check_configured(project.engine, configuration, datetime.now(UTC))
    show(
        [_place_facts(result) for result in results],
        {
            "slot": "slot",
            "region": lambda place: place["region"].words if place["region"] else "both",
            "result": lambda place: "fits" if place["fits"] else "does not fit",
            "certificate": lambda place: (
                f"{place['issuer']} {place['serial_number']}" + (" (placeholder)" if place["placeholder"] else "")
            ),
            "subject": lambda place: place["certificate"] and place["certificate"]["subject"],
        },
        as_json=as_json,
        wide=wide,
    )
    if not as_json:
        problems = [problem for result in results for problem in result.problems]
        for problem in problems:
            place, rule, next_step = map(escape, (problem.place, problem.rule, problem.next_step))
            print_lines(f"[bold red]✗[/] {place}\n  {rule}\n  [bold]Next:[/] {next_step}", err)
        out.print(
            escape(f"{counted(len(results), 'place')}, {counted(len(problems), 'problem')} in {configuration}"),
            soft_wrap=True,
        )
    if not all(result.fits for result in results):
        raise typer.Exit(1)


@app.command()
def produce(
    folder: OutFolder = Path(),
    as_json: AsJson = False,
) -> None:
    """Produce and verify both regions' files, the document and its table; publishes and records nothing."""
    project = open_project()
    anchor_set = load_anchor_set(project.engine, project.settings.anchor_slots, datetime.now(UTC))
    with checked_first(folder) as unchecked:
        files = produce_set(anchor_set, project.guide, unchecked)
        for path in sorted(unchecked / one.name for one in files if one.name.endswith(".gz")):
            verify_file(path, project.settings.annex_b_xsd)
    show(
        [
            {
                "file": str(folder / file.name),
                "certificates": file.records,
                "bytes": file.written.bytes,
                "SHA-256": file.written.sha256,
                "content digest": file.written.content_digest,
            }
            for file in files
        ],
        as_json=as_json,
    )


@app.command()
def state(as_json: AsJson = False, wide: Wide = False) -> None:
    """Show which version of each file each site offers; exit code 1 where a set is not complete."""
    project = open_project()
    states = [_state_facts(set_state(project.engine, project.guide, site)) for site in project.settings.sites]
    if as_json:
        print_json(states)
    else:
        print_table(
            [{"site": one["site"], "newest": one["version"]} | file for one in states for file in one["files"]],
            {
                "site": "site",
                "file": "file",
                "offered": "offered_version",
                "newest": "newest",
                "published": lambda file: file["published_at"] or "not published",
            },
            wide=wide,
        )
        for one in states:
            out.print(f"{one['site']}: {'complete' if one['complete'] else 'incomplete'}")
    if not all(one["complete"] for one in states):
        raise typer.Exit(1)


def _place_facts(result: SlotResult) -> dict[str, Any]:
    place, certificate = result.placement, result.certificate
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
            "valid_from": certificate.not_before,
            "valid_to": certificate.not_after,
            "sha256": certificate.sha256,
        },
        "fits": result.fits,
        "problems": [{"rule": problem.rule, "next_step": problem.next_step} for problem in result.problems],
    }


def _state_facts(one: SetState) -> dict[str, Any]:
    return {
        "site": one.site,
        "version": one.version,
        "complete": one.complete,
        "files": [
            {
                "file": file.name,
                "offered_version": file.offered_version,
                "current": file.is_current,
                "published_at": file.published_at,
            }
            for file in one.files
        ],
    }
