"""`smki authority`: which roots are trusted, and which issuers cannot be had."""

import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from asn1crypto import x509 as lenient_x509
from cryptography import x509

from smki.certificates.model import CertificateClass, CertificateFields
from smki.certificates.names import name_in_words
from smki.certificates.reading import read_certificate
from smki.cli.terminal import AsJson, Wide, print_facts, print_json, show
from smki.errors import DataError
from smki.repository.authorities import (
    AUTHORITY_CLASSES,
    TrustedRoot,
    UncheckedIssuer,
    list_trusted_roots,
    list_unchecked_issuers,
    state_unchecked_issuers,
    trust_roots,
)
from smki.repository.offers import Refusal, RevocationListOffer
from smki.repository.project import open_project
from smki.repository.sources import offers_of

app = typer.Typer(no_args_is_help=True, help="State trusted roots, and issuers whose certificates cannot be had.")
_FINGERPRINT = re.compile("(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}", re.IGNORECASE)


def _authority_class(text: str) -> CertificateClass:
    if text.upper() not in AUTHORITY_CLASSES:
        raise typer.BadParameter(f"{text!r} is neither OCA nor DCA")
    return CertificateClass(text.upper())


AuthorityClass = Annotated[
    CertificateClass,
    typer.Option("--class", metavar="OCA|DCA", parser=_authority_class, help="Class of all that chains to it."),
]


@app.command()
def trust(
    roots: Annotated[
        list[str], typer.Argument(metavar="ROOT…", help="CA certificates: SHA-256 (hex, colons or not), or files.")
    ],
    certificate_class: AuthorityClass,
    as_json: AsJson = False,
) -> None:
    """Trust CA certificates: they can be lodged then, and what chains to them.

    Compare each SHA-256 with what its issuer publishes first. A file holds one CA certificate and nothing else.
    """
    named = dict(_root(root) for root in roots)
    stated = trust_roots(open_project().engine, [TrustedRoot(one, certificate_class) for one in named])
    facts = {"trusted": stated, "trusted_before": len(named) - stated}
    said = [{"sha256": one.hex(), "subject": subject} for one, subject in named.items()]
    if as_json:
        print_json(facts | {"roots": said})
        return
    show(said, as_json=False)
    print_facts(facts)


@app.command()
def unchecked(
    issuers: Annotated[
        list[str],
        typer.Argument(
            metavar="ISSUER…",
            help="Names such as CN=OCA1,OU=07 (RFC 4514), or files: the issuers of the certificates in them.",
        ),
    ],
    certificate_class: AuthorityClass,
    reason: Annotated[str, typer.Option(help="Why its certificate cannot be had; every report of the gate says it.")],
    as_json: AsJson = False,
) -> None:
    """State issuers whose certificates cannot be had: what names them is lodged unchecked."""
    names = [name for one in issuers for name in _names(one)]
    stated = state_unchecked_issuers(
        open_project().engine, [UncheckedIssuer(name, certificate_class, reason) for name in dict.fromkeys(names)]
    )
    show({"stated": stated, "stated_before": len(set(names)) - stated}, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False, wide: Wide = False) -> None:
    """List what was stated."""
    engine = open_project().engine
    show(
        [
            *(
                {
                    "stated": "trusted root",
                    "class": root.certificate_class,
                    "authority": root.sha256.hex(),
                    "stated_at": root.stated_at,
                    "reason": None,
                }
                for root in list_trusted_roots(engine)
            ),
            *(
                {
                    "stated": "unchecked issuer",
                    "class": one.certificate_class,
                    "authority": name_in_words(one.name),
                    "stated_at": one.stated_at,
                    "reason": one.reason,
                }
                for one in list_unchecked_issuers(engine)
            ),
        ],
        {name: name for name in ("stated", "class", "authority", "reason")} | {"since": "stated_at"},
        as_json=as_json,
        wide=wide,
    )


def _root(text: str) -> tuple[bytes, str | None]:
    """The SHA-256 that a text is, or that of the authority in the file it names, and whose certificate that is."""
    if _FINGERPRINT.fullmatch(text):
        return bytes.fromhex(text.replace(":", "")), None
    if (file := _find_file(text)) is None:
        raise typer.BadParameter(f"{text!r} is neither a SHA-256 nor a file")
    (body, fields), *others = islice(_read_certificates(file), 2)
    if others:
        raise typer.BadParameter(f"{text!r} holds more than one certificate: name a file with one, or a SHA-256")
    if fields.certificate_class is not None:
        raise typer.BadParameter(f"{text!r} is a certificate of class {fields.certificate_class}, and no authority")
    return sha256(body).digest(), name_in_words(lenient_x509.Certificate.load(body).subject.dump())


def _names(text: str) -> list[bytes]:
    """The issuers of the certificates in a file, or the Name that the text is."""
    file = _find_file(text)
    return [_parse_name(text)] if file is None else [fields.issuer for _, fields in _read_certificates(file)]


def _find_file(text: str) -> Path | None:
    with suppress(OSError):  # of what is too long for a file's name
        file = Path(text)
        return file if file.exists() and not file.is_dir() else None
    return None


def _read_certificates(file: Path) -> Iterator[tuple[bytes, CertificateFields]]:
    """All that a file offers, at least one, or a usage error where something of it is no certificate."""
    offer = None
    try:
        for offer in offers_of([file]):
            if isinstance(offer, Refusal):
                raise offer.error
            if isinstance(offer, RevocationListOffer):
                raise typer.BadParameter(f"{str(file)!r} holds a revocation list")
            yield offer.body, read_certificate(offer.body)
    except DataError as error:
        raise typer.BadParameter(f"{str(file)!r} holds what is no certificate: {error.rule}") from None
    if offer is None:
        raise typer.BadParameter(f"{str(file)!r} holds no certificate")


def _parse_name(text: str) -> bytes:
    try:
        return x509.Name.from_rfc4514_string(text).public_bytes()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a file nor a Name such as CN=OCA1,OU=07; give a file of a certificate that it issued"
        ) from None
