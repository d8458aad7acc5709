"""Signatures of bundles: Ed25519, of whoever has the private key. Source: RFC 8032.

A pair of keys is two files: ``<name>.key``, PKCS #8 in PEM, to be kept secret, and ``<name>.pub``, the public key as 64
hex digits in one line, to be given to those who install.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from anamnos.errors import BadSignature, InvalidInput, MissingExtra

_HEX_KEY = re.compile(r"[0-9a-f]{64}\Z")
_DOMAIN = b"anamnos-bundle\0"  # so that no signature made for something else is one of a bundle


def make_keys(path: Path) -> str:
    """Write ``<path>.key`` and ``<path>.pub`` and return the public key. Raises: InvalidInput if one is there."""
    ed25519, serialization = _cryptography()
    private, public = (path.with_name(f"{path.name}.{suffix}") for suffix in ("key", "pub"))
    for file in (private, public):
        if file.exists():
            raise InvalidInput(f"{file} is there already.", hint="Name another one: a key that is lost is lost.")
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file_of_key:
            file_of_key.write(pem)
        public.write_text(f"{_hex(key)}\n", "ascii")
    except OSError as exc:
        raise InvalidInput(f"The keys {path} cannot be written: {exc.strerror}.") from exc
    return _hex(key)


def sign(data: bytes, key: Any) -> str:
    """Return the signature of ``data``, in hex, by a key of ``private_key``."""
    return str(key.sign(_DOMAIN + data).hex())


def private_key(path: Path) -> tuple[Any, str]:
    """Return the key in a ``.key`` file, and its public key. Raises: InvalidInput if it holds none."""
    ed25519, serialization = _cryptography()
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as exc:
        raise InvalidInput(f"{path} holds no private key: {exc}.", hint="anamnos bundle keygen makes one.") from exc
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InvalidInput(f"{path} holds a key of another kind than Ed25519.")
    return key, _hex(key)


def public_key(given: str) -> str:
    """Return a public key that is given in hex, or by the path of its ``.pub`` file. Raises: InvalidInput."""
    text = given.strip().lower()
    if not _HEX_KEY.match(text):
        try:
            text = Path(given).read_text("ascii").strip().lower()
        except (OSError, ValueError) as exc:
            raise InvalidInput(f"{given!r} is neither a public key nor a file with one.") from exc
    if not _HEX_KEY.match(text):
        raise InvalidInput(f"{given} holds no public key: 64 hex digits are wanted.")
    return text


def check_signature(what: str, data: bytes, signer: str, signature: str) -> None:
    """Raise BadSignature unless ``signature`` of ``data`` is by the public key ``signer``."""
    ed25519, _ = _cryptography()
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer))
        key.verify(bytes.fromhex(signature), _DOMAIN + data)
    except Exception as exc:  # the library has an exception of its own for each way of being wrong
        raise BadSignature(
            f"The signature of {what} is wrong: it was changed after it was signed, or not signed by {signer[:16]}….",
            hint="Get it again, from whom it comes.",
        ) from exc


def _hex(key: Any) -> str:
    return str(key.public_key().public_bytes_raw().hex())


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as exc:
        raise MissingExtra("A signed bundle", "crypto") from exc
    return ed25519, serialization
