"""`smki index`: the signed index of what each site offers."""

import posixpath
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import typer

from smki.cli.exit_codes import error_facts, exit_code, print_error
from smki.cli.terminal import AsJson, SiteName, show
from smki.errors import ConfigurationError, SmkiError
from smki.kinds.index.publishing import publish_index
from smki.kinds.index.signing import load_signer
from smki.publish.login import site_from_environment
from smki.publish.unknown_files import refuse_if_behind
from smki.repository.project import open_project

app = typer.Typer(no_args_is_help=True, help="The signed index of what a site offers.")


@app.callback()
def index() -> None:
    """With it a single command keeps its name."""


@app.command()
def publish(
    site: SiteName = None,
    as_json: AsJson = False,
) -> None:
    """Publish the index of what a site offers now, by the ledger, as each publishing DAG does at its end.

    A site that fails keeps no other one from its index.
    """
    project = open_project()
    terms, signer = project.guide.index, load_signer(project.settings)
    if terms is None or signer is None:
        setting = "[index] publish in user_guide.toml" if terms is None else "SMKI_INDEX_KEY"
        raise ConfigurationError(setting, "it switches the index off.", "No index was published.", "set it first.")
    published: list[dict[str, Any]] = []
    failures: list[SmkiError] = []
    for name in [site] if site else project.settings.sites:
        try:
            login = site_from_environment(name)
            refuse_if_behind(project.engine, login, project.guide, datetime.now(UTC))
            login = replace(login, folder=posixpath.join(login.folder, terms.folder.lstrip("/")))
            put = publish_index(project.engine, project.store, login, project.guide, signer, partial(datetime.now, UTC))
            published.append({"site": name, "put": put})
        except SmkiError as error:  # the other sites get theirs all the same
            failures.append(error)
            published += [{"site": name} | error_facts(error)] if as_json else []
    show(published, as_json=as_json)
    if failures:
        for failure in failures if not as_json else ():
            print_error(failure)
        raise typer.Exit(max(map(exit_code, failures)))  # 4 where the same command may succeed later
