"""`smki authority`: which roots are trusted, and which issuers cannot be had."""

import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from smki.certificates.model import CertificateClass
from smki.certificates.names import name_in_words
from smki.certificates.reading import read_certificate
from smki.cli.terminal import AsJson, Wide, show
from smki.repository.authorities import (
    AUTHORITY_CLASSES,
    TrustedRoot,
    UncheckedIssuer,
    list_trusted_roots,
    list_unchecked_issuers,
    state_unchecked_issuers,
    trust_roots,
)
from smki.repository.offers import Lodgement, Refusal
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

    Compare each SHA-256 with what its issuer publishes first.
    """
    fingerprints = [
        bytes.fromhex(root.replace(":", "")) if _FINGERPRINT.fullmatch(root) else sha256(_certificate(root)).digest()
        for root in roots
    ]
    stated = trust_roots(
        open_project().engine, [TrustedRoot(one, certificate_class) for one in dict.fromkeys(fingerprints)]
    )
    show({"trusted": stated, "trusted_before": len(set(fingerprints)) - stated}, as_json=as_json)


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
    names = [read_certificate(_certificate(one)).issuer if Path(one).exists() else _parse_name(one) for one in issuers]
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


def _certificate(file: str) -> bytes:
    """The first certificate in a file (DER or PEM), or a usage error."""
    if not Path(file).exists():
        raise typer.BadParameter(f"{file!r} is neither a SHA-256 nor a file")
    for offer in offers_of([Path(file)]):
        if isinstance(offer, Lodgement):
            return offer.body
        if isinstance(offer, Refusal):
            raise offer.error
    raise typer.BadParameter(f"{file!r} holds no certificate")


def _parse_name(text: str) -> bytes:
    try:
        return x509.Name.from_rfc4514_string(text).public_bytes()
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a file nor a Name such as CN=OCA1,OU=07; give a file of a certificate that it issued"
        ) from None
