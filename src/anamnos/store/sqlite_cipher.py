"""The pages of an encrypted database, as SQLite3 Multiple Ciphers writes them with its cipher ``chacha20``.

The engine does all reading and writing; this is for ``sqlite_vfs``, which works below it and must see a page plain to
blank what is unused in it. Source: SQLite3 Multiple Ciphers, "sqleet: ChaCha20 - Poly1305"; RFC 8439.
"""

from __future__ import annotations

import os
import struct

NAME = "chacha20"
RESERVED = 32  # at the end of each page: a nonce of 16 bytes, of which 4 count, and the tag
_PLAIN_START = 24  # of page 1: the salt, then what must be known to read the page at all


class PageCipher:
    """Opens and seals the pages of one database.

    key  32 bytes, as given to the engine
    """

    def __init__(self, key: bytes) -> None:
        self.key = key

    def opened(self, page: bytes, number: int) -> bytes | None:
        """Return page ``number`` (from 1) with zeros where its nonce and tag were; None if the key is another."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.poly1305 import Poly1305

        end = len(page) - RESERVED
        if end <= _PLAIN_START:
            return None
        nonce, tag = page[end : end + 16], page[end + 16 :]
        once, counter = self._once(nonce, number)
        try:
            Poly1305.verify_tag(once[:32], page[: end + 16], tag)
        except InvalidSignature:
            return None
        start = _PLAIN_START if number == 1 else 0
        return page[:start] + _stream(once[32:], nonce, counter + 1, page[start:end]) + bytes(RESERVED)

    def sealed(self, page: bytes, number: int) -> bytes:
        """Return a page that ``opened`` gave, perhaps changed since, sealed with a nonce of its own."""
        from cryptography.hazmat.primitives.poly1305 import Poly1305

        end = len(page) - RESERVED
        nonce = os.urandom(16)
        once, counter = self._once(nonce, number)
        start = _PLAIN_START if number == 1 else 0
        body = page[:start] + _stream(once[32:], nonce, counter + 1, page[start:end]) + nonce
        return body + Poly1305.generate_tag(once[:32], body)

    def _once(self, nonce: bytes, number: int) -> tuple[bytes, int]:
        """Return the 64 bytes of key for one page (32 for the tag, 32 for the text), and its counter."""
        counter = struct.unpack("<I", nonce[12:])[0] ^ number
        return _stream(self.key, nonce, counter, bytes(64)), counter


def _stream(key: bytes, nonce: bytes, counter: int, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

    start = struct.pack("<I", counter & 0xFFFFFFFF) + nonce[:12]
    return Cipher(algorithms.ChaCha20(key, start), None).encryptor().update(data)
