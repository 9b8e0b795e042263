"""`smki produce` and `smki verify`: extracts without Airflow, and a check of any Annex B file."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from smki.cli.exit_codes import error_facts, exit_code, print_error
from smki.cli.terminal import (
    AsJson,
    BusinessDate,
    OutFolder,
    Workers,
    find_obligation,
    if_interrupted,
    print_facts,
    print_json,
    progress_bar,
    show,
)
from smki.errors import ConfigurationError, SmkiError, TransportError
from smki.kinds.extracts.agreement import check_agreement
from smki.kinds.extracts.production import plan_in_store
from smki.kinds.extracts.production import produce as produce_extract
from smki.kinds.extracts.reading import has_rows
from smki.obligations.catalogue import DeltaExtract, FullExtract
from smki.publish.login import site_from_environment
from smki.publish.unknown_files import refuse_to_close
from smki.repository.database import libpq_url
from smki.repository.project import open_project
from smki.repository.windows import close_windows
from smki.settings import Settings
from smki.store.manifest import find_manifest
from smki.store.paged_file import PagedFile
from smki.verify.verification import examine_stored, need_right, verify_file

_CORES = os.cpu_count() or 1
_LEFT = "A window that was closed stays so, what was rendered lies in the store; no file is written. Run it again."


def produce(  # noqa: PLR0913, PLR0917  # each is an option
    extract: Annotated[
        str, typer.Argument(metavar="OBLIGATION", help="full, delta, or another extract of the user guide.")
    ],
    day: BusinessDate,
    folder: OutFolder = Path(),
    workers: Workers = _CORES,
    any_day: Annotated[
        bool, typer.Option("--any-day", help="Also for a day on which none is due (for recovery).")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Render and verify every page, though some could be taken over.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be produced; close and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Produce a full extract or a delta, and verify it. The day's window is closed first if it is open.

    The file and its manifest come into the folder once they are verified; their pages lie in the store, too.
    """
    project = open_project()
    engine, schema = project.engine, project.settings.annex_b_xsd
    obligation = find_obligation(project.guide, extract)
    if not isinstance(obligation.kind, FullExtract | DeltaExtract):
        raise typer.BadParameter(f"{extract} is no extract of certificates, such as full or delta")
    if not any_day and (rule := obligation.why_not_due(day)):
        raise typer.BadParameter(f"{rule}: ask for a day on which one is, or add --any-day", param_hint="--date")
    with if_interrupted(_LEFT):
        if not dry_run:
            sites, now = project.settings.sites, datetime.now(UTC)
            refuse_to_close(engine, sites, site_from_environment, project.guide, day, now)
            close_windows(engine, day, project.guide.delta.cut_off.at)
        plan = plan_in_store(engine, project.store, schema, obligation, day, from_scratch=from_scratch)
        facts: dict[str, Any] = {"file": plan.name, "window": plan.window_seq, "segments to render": len(plan.segments)}
        if not dry_run:
            with progress_bar("producing", len(plan.segments)) as progress:
                sha256, manifest = produce_extract(
                    libpq_url(engine), plan, project.store, workers=workers, progress=progress
                )
            with progress_bar("verifying") as progress:
                verified, _ = examine_stored(
                    project.store,
                    manifest,
                    schema,
                    workers=workers,
                    keep_rows=has_rows(obligation.kind),
                    progress=progress,
                )
            check_agreement(engine, obligation.kind, manifest, need_right(verified))
            PagedFile.stored(project.store, manifest).write(folder / plan.name)
            facts |= {
                "records": verified.records,
                "bytes": verified.bytes,
                "XML bytes": verified.xml_bytes,
                "SHA-256": verified.sha256,
                "content digest": manifest.content_digest,
                "set digest": verified.set_digest,
                "pages": len(manifest.pages),
                "pages taken over": manifest.taken_over,
                "manifest": sha256,
            }
    show(facts, as_json=as_json)


def verify(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Annex B .xml.gz files, ours or anybody's.")
    ],
    workers: Workers = _CORES,
    as_json: AsJson = False,
) -> None:
    """Verify files from their own bytes; needs no repository. With a manifest beside a file all processes are used.

    Every file is looked at. Exit code 1 where one is not right, 4 where one cannot be read and the others are right.
    """
    schema = Settings.from_environment().annex_b_xsd
    errors: list[SmkiError] = []
    said: list[dict[str, Any]] = []
    for file in files:
        error: SmkiError
        try:
            said.append(_verify(file, schema, workers))
            if not as_json:
                print_facts(said[-1])
            continue
        except ConfigurationError:
            raise  # of the schema: no file can be verified
        except SmkiError as raised:
            error = raised
        except OSError as raised:
            error = TransportError(file.name, f"it cannot be read ({raised.strerror}).", "Nothing is said of it.")
        errors.append(error)
        verdict = "not known" if isinstance(error, TransportError) else "not as it should be"
        said.append({"file": file.name, "verdict": verdict} | error_facts(error))
        if not as_json:
            print_error(error)
    if as_json:
        print_json(said)
    if errors:
        raise typer.Exit(min(map(exit_code, errors)))


def _verify(file: Path, schema: Path, workers: int) -> dict[str, Any]:
    manifest = find_manifest(file)
    with progress_bar(f"verifying {file.name}") as progress:
        found = verify_file(file, schema, manifest=manifest, workers=workers, progress=progress)
    return {
        "file": found.name,
        "verdict": "as it should be",
        "records": found.records,
        "statuses": found.statuses,
        "classes": found.classes,
        "bytes": found.bytes,
        "XML bytes": found.xml_bytes,
        "SHA-256": found.sha256,
        "set digest": found.set_digest,
    }
