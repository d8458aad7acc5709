"""Bytes made unreadable without a key, in pieces, so that a large file needs little memory.

Layout: 8 bytes ``ANMSEAL1``, 32 random bytes (the salt), then pieces of 1 MiB of the plain text (the last one shorter,
perhaps empty), each as AES-256-GCM gives it, 16 bytes longer. The key of a file is derived from the vault's and the
salt; the nonce of a piece is its number in 11 bytes and one byte that is 1 for the last: so no piece can be left out,
moved, cut off or added. Source: Hoang et al., "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", 2015 (STREAM); RFC 5869 (HKDF).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from anamnos.errors import MissingExtra

MAGIC = b"ANMSEAL1"
PIECE = 1 << 20
_SALT, _TAG = 32, 16


class Unsealable(Exception):
    """The bytes are damaged, or sealed with another key, or for another name."""


def derive(key: bytes, purpose: str, salt: bytes = b"") -> bytes:
    """Return 32 bytes that serve one purpose only; nobody can tell from them the key, or those of another purpose."""
    try:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as exc:
        raise MissingExtra("Encryption", "crypto") from exc
    return HKDF(SHA256(), 32, salt, f"anamnos {purpose}".encode()).derive(key)


def seal(key: bytes, data: bytes, name: str) -> Iterator[bytes]:
    """Yield ``data`` sealed, piece by piece; only under the same ``name`` can it be opened."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt = os.urandom(_SALT)
    cipher = AESGCM(derive(key, "file", salt))
    yield MAGIC + salt
    starts = range(0, max(len(data), 1), PIECE)
    for number, start in enumerate(starts):
        nonce = _nonce(number, last=number == len(starts) - 1)
        yield cipher.encrypt(nonce, data[start : start + PIECE], name.encode())


def unseal(key: bytes, file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield what was sealed, piece by piece. Raises: Unsealable; what came before it is genuine but not the whole."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = file.read(len(MAGIC) + _SALT)
    if len(head) < len(MAGIC) + _SALT or not head.startswith(MAGIC):
        raise Unsealable("no sealed file")
    cipher = AESGCM(derive(key, "file", head[len(MAGIC) :]))
    number, piece = 0, file.read(PIECE + _TAG)
    while True:
        following = file.read(PIECE + _TAG)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), piece, name.encode())
        except (InvalidTag, ValueError) as exc:
            raise Unsealable(f"piece {number} cannot be opened") from exc
        if not following:
            return
        number, piece = number + 1, following


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
