"""Detached CMS signatures (RFC 5652), held against certificates that the verifier has already, never their own."""

import hashlib
from collections.abc import Sequence

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256


def is_signed(content: bytes, signature: bytes, signers: Sequence[x509.Certificate]) -> bool:
    """Whether one of these certificates has signed the content; `signature` is DER, and may be anything."""
    try:
        signed = cms.ContentInfo.load(signature, strict=True)
        if signed["content_type"].native != "signed_data":
            return False
        return any(_verifies(content, info, signer) for info in signed["content"]["signer_infos"] for signer in signers)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _verifies(content: bytes, info: cms.SignerInfo, signer: x509.Certificate) -> bool:
    """Whether a signer's part of the signature is that certificate's (RFC 5652, 5.4)."""
    attributes = {one["type"].native: one["values"].native for one in info["signed_attrs"]}
    if attributes.get("content_type") != ["data"] or info["digest_algorithm"]["algorithm"].native != "sha256":
        return False
    if attributes.get("message_digest") != [hashlib.sha256(content).digest()]:
        return False
    signed, value, key = info["signed_attrs"].untag().dump(), info["signature"].native, signer.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(value, signed, ec.ECDSA(SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(value, signed, padding.PKCS1v15(), SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True
