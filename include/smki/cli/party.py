"""`smki sync` and `smki find`: for whoever downloads. They need neither Airflow nor a repository."""

import base64
import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import typer
from rich.markup import escape

from smki.certificates.model import Status, Usage
from smki.cli.exit_codes import Commands
from smki.cli.terminal import (
    AsJson,
    err,
    out,
    parse_date,
    parse_serial_number,
    print_facts,
    print_json,
    progress_bar,
    version_option,
)
from smki.errors import ConfigurationError
from smki.party import tables
from smki.party.copy import Applied, LocalCopy
from smki.party.lookup import Held, Question, chain
from smki.party.lookup import find as find_held
from smki.party.planning import Plan
from smki.party.refusals import SyncRefusedError
from smki.party.signed_index import load_signers
from smki.party.synchronising import UNKNOWN, Listener, Wish, is_there, plan, synchronise
from smki.publish.login import SiteLogin
from smki.publish.site import Site

_MOST = 1_000_000_000
_SIGNER = "SMKI_PARTY_SIGNER"

app = typer.Typer(name="smki", cls=Commands, no_args_is_help=True, help="A Party's copy of the SMKI Repository.")


@app.callback()
def smki(_version: Annotated[bool, version_option(lambda: f"a copy's tables {tables.VERSION}")] = False) -> None:
    """What both commands have in common."""


def parse_site(url: str, key: Path | None, host_key: str | None) -> Site:
    """The site that a URL and options state, or a usage error. Raises ConfigurationError for what is missing."""
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
    except (ValueError, UnicodeError) as error:
        raise typer.BadParameter(f"{url!r}: {error}", param_hint="SITE") from None
    if parts.scheme != "sftp" or not parts.hostname or parts.password is not None or parts.query or parts.fragment:
        raise typer.BadParameter(f"{url!r} is no sftp://USER@HOST:PORT/FOLDER without a password", param_hint="SITE")
    try:
        port = parts.port
    except ValueError as error:
        raise typer.BadParameter(f"{url!r}: {error}", param_hint="SITE") from None
    login = SiteLogin(
        host=parts.hostname,
        port=port,
        login=unquote(parts.username) if parts.username else None,
        key_file=str(key) if key else None,
        host_key=host_key,
    )
    return login.site(
        parts.hostname,
        unquote(parts.path),
        stated_in=f"site {url}",
        next_step="write sftp://USER@HOST:PORT/FOLDER, and add --key and --host-key.",
    )


@app.command()
def sync(  # noqa: PLR0913, PLR0917  # each is an option
    url: Annotated[str, typer.Argument(metavar="SITE", help="sftp://USER@HOST:PORT/FOLDER")],
    into: Annotated[Path, typer.Option("--into", metavar="FILE", dir_okay=False, help="The copy: a SQLite file.")],
    key: Annotated[
        Path | None, typer.Option(envvar="SMKI_PARTY_KEY", help="Private key that logs in, without a passphrase.")
    ] = None,
    host_key: Annotated[
        str | None,
        typer.Option(envvar="SMKI_PARTY_HOST_KEY", help="The server's host key, pinned: 'ssh-ed25519 AAAA…'."),
    ] = None,
    signer: Annotated[
        list[Path] | None,
        typer.Option(envvar=_SIGNER, help="Certificate (PEM) that has to sign the index; may be repeated."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Make the copy again from a full extract, whatever it has.")
    ] = False,
    until: Annotated[
        date | None,
        typer.Option(metavar="YYYY-MM-DD", parser=parse_date, help="Go no further than the state of this day."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read the whole copy first: is it what it was?")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched; fetch nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a copy of the repository to the newest state that a server offers.

    It says first what it will fetch. Where something is refused, the code (S01 …) has a section in docs/party.md.
    """
    if not signer and os.environ.get(_SIGNER) is not None:
        rule = "it is set, and names no file."
        raise ConfigurationError(_SIGNER, rule, next_step="name the certificate, or unset it.")
    site, wish = parse_site(url, key, host_key), Wish(load_signers(signer or []), anew, until)
    if check and not anew and is_there(into):
        with LocalCopy(into, read_only=True) as copy:
            copy.check()
    if dry_run:
        _say(chosen := plan(site, into, wish), as_json=as_json)
        if as_json:
            print_json(_plan_facts(chosen))
        return
    plans: list[Plan] = []

    def planned(chosen: Plan) -> None:
        plans.append(chosen)
        _say(chosen, as_json=as_json)

    def passed_over(error: SyncRefusedError) -> None:
        err.print(escape(f"{error.item}: {error.rule} It is passed over."), highlight=False, soft_wrap=True)

    with progress_bar("synchronising") as show:
        applied = synchronise(site, into, wish, Listener(planned, show, passed_over))
    with LocalCopy(into, read_only=True) as copy:
        facts = _plan_facts(plans[-1]) | {
            "applied": [_applied_facts(one) for one in applied],
            "day": copy.day,
            "in_use": copy.in_use.count,
            "set_digest": str(copy.in_use),
            "unknown": [] if wish.signers else UNKNOWN,
        }
    if as_json:
        print_json(facts)
    else:
        print_facts({name: facts[name] for name in ("day", "in_use", "set_digest")})
        for one in facts["unknown"]:
            out.print(f"not known: {one}", highlight=False)


@app.command()
def find(  # noqa: PLR0913, PLR0917  # each is an option
    file: Annotated[
        Path, typer.Option("--in", metavar="FILE", exists=True, dir_okay=False, help="The copy that `smki sync` keeps.")
    ],
    eui64: Annotated[str | None, typer.Option(help="EUI-64, with or without dashes or colons.")] = None,
    serial: Annotated[str | None, typer.Option(help="Serial number: hex, however spelled.")] = None,
    decimal: Annotated[bool, typer.Option("--decimal", help="The serial number is decimal.")] = False,
    sha1: Annotated[str | None, typer.Option(help="SHA-1 of the certificate (DER), hex.")] = None,
    sha256: Annotated[str | None, typer.Option(help="SHA-256 of the certificate (DER), hex.")] = None,
    role: Annotated[int | None, typer.Option(min=0, max=_MOST, help="Remote party role, a number.")] = None,
    usage: Annotated[Usage | None, typer.Option(help="DS or KA.", case_sensitive=False)] = None,
    status: Annotated[Status | None, typer.Option(help="P, I, N, E or R.", case_sensitive=False)] = None,
    with_chain: Annotated[bool, typer.Option("--chain", help="Also the authorities above each.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="How many to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Find certificates in a copy: all that is stated has to hold. It answers while `smki sync` works."""
    if decimal and serial is None:
        raise typer.BadParameter("it says how --serial is written, and there is none", param_hint="--decimal")
    question = Question(
        eui64=_parse_hex(eui64, 8, "--eui64"),
        serial_number=parse_serial_number(serial, decimal=decimal) if serial is not None else None,
        sha1=_parse_hex(sha1, 20, "--sha1"),
        sha256=_parse_hex(sha256, 32, "--sha256"),
        role=role,
        usage=usage,
        status=status,
    )
    if question == Question():
        raise typer.BadParameter("say what to find, such as --eui64 or --serial")
    with LocalCopy(file, read_only=True) as copy:
        found = find_held(copy, question, limit + 1)
        facts: dict[str, Any] = {
            "day": copy.day,
            "more": len(found) > limit,
            "found": [
                _held_facts(one) | ({"chain": [_held_facts(above) for above in chain(copy, one)]} if with_chain else {})
                for one in found[:limit]
            ],
        }
    if as_json:
        print_json(facts)
        return
    for one in facts["found"]:
        above = one.pop("chain", [])
        print_facts({name: value for name, value in one.items() if name != "body" and value is not None})
        for number, authority in enumerate(above, 1):
            out.print(
                f"{'  ' * number}issued by {escape(authority['common_name'] or authority['eui64'])}, serial number "
                f"{authority['serial_number']}, {authority['status']}, SHA-256 {authority['sha256']}",
                highlight=False,
            )
        out.print()
    more = ", and there are more: --limit shows them" if facts["more"] else ""
    out.print(f"{len(facts['found'])} found in the state of {facts['day']}{more}", highlight=False)


def _say(chosen: Plan, *, as_json: bool) -> None:
    (err if as_json else out).print(chosen.words, highlight=False, soft_wrap=True)
    if chosen.missing:
        err.print(f"the server has no delta of {chosen.missing}: the copy gets no further", highlight=False)
    for late in chosen.overdue:
        err.print(
            escape(
                f"the index was written at {chosen.written_at:%Y-%m-%d %H:%M} UTC, and by it {late.name} was due at "
                f"{late.publish_by:%Y-%m-%d %H:%M}: there may be a newer state than the server shows; ask its operator"
            ),
            highlight=False,
            soft_wrap=True,
        )


def _plan_facts(chosen: Plan) -> dict[str, Any]:
    return {
        "plan": chosen.words,
        "bytes": chosen.bytes,
        "reaches": chosen.reaches,
        "missing": chosen.missing,
        "written_at": chosen.written_at,
        "overdue": [{"file": late.name, "publish_by": late.publish_by} for late in chosen.overdue],
        "files": [{"name": file.name, "bytes": file.bytes} for file in chosen.files],
    }


def _applied_facts(one: Applied) -> dict[str, Any]:
    return {
        "name": one.name,
        "sha256": one.sha256,
        "records": one.records,
        "in_use": one.in_use.count,
        "set_digest": str(one.in_use),
    }


def _held_facts(held: Held) -> dict[str, Any]:
    return held.facts | {"body": base64.b64encode(held.body).decode()}


def _parse_hex(text: str | None, length: int, option: str) -> bytes | None:
    if text is None:
        return None
    digits = re.sub(r"[-:\s]", "", text)
    if not re.fullmatch(f"[0-9A-Fa-f]{{{2 * length}}}", digits, re.ASCII):
        raise typer.BadParameter(f"{text!r} is not {length} bytes in hex", param_hint=option)
    return bytes.fromhex(digits)
