"""`smki adopt`: what sites have and the ledger does not know."""

import getpass
import os
from typing import Annotated, Any

import typer

from smki.cli.exit_codes import error_facts, exit_code, print_error
from smki.cli.terminal import (
    AsJson,
    Columns,
    SiteName,
    Wide,
    if_interrupted,
    out,
    print_json,
    print_table,
    progress_bar,
)
from smki.errors import SmkiError
from smki.publish.login import site_from_environment
from smki.publish.unknown_files import ADOPTER
from smki.recovery.adoption import Adoption, Found, Seen
from smki.repository.project import open_project

_COLUMNS: Columns = {
    "site": "site",
    "file": "file",
    "outcome": "outcome",
    "lodged": lambda one: one.get("lodged"),
    "status changed": lambda one: one.get("status_changed"),
    "bytes": "bytes",
    "there since": "there_since",
}


def adopt(
    site: SiteName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what the ledger does not know.")] = False,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Take over what the sites have and the ledger does not know: after a restore from a backup, or `smki takeover`.

    After a restore nothing with a date is published on a site until that is done, or the files are moved away. Each
    delta is lodged and its window closed; each file has to be what the repository then says of its day, and the same on
    every site. Exit code 1 where one is not.
    """
    project = open_project()
    adoption = Adoption(
        project.engine,
        project.store,
        project.guide,
        project.settings.annex_b_xsd,
        f"{ADOPTER} by {getpass.getuser()}",
        len(os.sched_getaffinity(0)),
    )
    facts: list[dict[str, Any]] = []
    errors: list[SmkiError] = []
    with if_interrupted("What is adopted stays so; the same command goes on from there."):
        found: list[Found] = []
        for name in [site] if site else project.settings.sites:
            try:
                found += adoption.find(site_from_environment(name))
            except SmkiError as error:
                errors.append(error)
                facts.append({"site": name} | error_facts(error))
        try:
            known_to_nobody = (Seen(one.site.name, one.file) for one in found)
            for one in known_to_nobody if dry_run else adoption.adopt(found, progress_bar):
                facts.append(_facts(one, dry_run=dry_run))
                errors += [one.error] if one.error else []
        except SmkiError as error:
            errors.append(error)
            facts.append(error_facts(error))
    if as_json:
        print_json(facts)
    elif any("file" in one for one in facts):
        print_table((one for one in facts if "file" in one), _COLUMNS, wide=wide)
    elif not errors:
        out.print("The ledger knows every dated file that is there; nothing is to be adopted.")
    if errors:
        for one_error in errors if not as_json else ():
            print_error(one_error)
        raise typer.Exit(max(map(exit_code, errors)))


def _facts(seen: Seen, *, dry_run: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "site": seen.site,
        "file": seen.file.name,
        "bytes": seen.file.bytes,
        "there_since": seen.file.modified_at,
    }
    if seen.error:
        return facts | {"outcome": "left"} | error_facts(seen.error)
    if dry_run:
        return facts | {"outcome": "not known to the ledger"}
    return facts | {"outcome": "adopted", "lodged": seen.lodged, "status_changed": seen.changed}
