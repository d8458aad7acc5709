"""What a reader is: a file in, turns out, verbatim and in order.

Laws (checked for every reader by ``tests/unit/ingest``):
 1. Nothing is paraphrased, cut or merged: the words of the source are in the turns, in the order of the
    source. What a format sets apart (times, speakers, headings above a text) may be in the other fields.
 2. Times are the source's own, in UTC; what is unknown stays None. A zone that the format leaves open is UTC.
 3. A message id is given only if the source gives one; it is unique in the source.
 4. The same file gives the same turns.
 5. A file that is not what it says raises InvalidInput naming the file and the place, before anything is
    written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from anamnos.cube import Role


@dataclass(frozen=True, slots=True)
class Turn:
    """One piece of a source: a message of a chat, or a passage of a document.

    content     the words
    speaker     who said it; None for documents
    said_at     when, with a zone; None if nobody knows
    session     the conversation's session or the document's section that it belongs to
    message_id  the id that the source itself gives
    role        turn for something said, resource for a passage of a document, fact or note for another memory's
    data        anything else of the source worth keeping, as JSON
    valid_from, valid_to  when it is true in the world, in UTC; None where the source does not say
    """

    content: str
    speaker: str | None = None
    said_at: datetime | None = None
    session: str | None = None
    message_id: str | None = None
    role: Role = Role.TURN
    data: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    valid_from: datetime | None = None
    valid_to: datetime | None = None


class Reader(Protocol):
    """Reads one kind of file."""

    @property
    def name(self) -> str:
        """As users know the format: ``messages``, ``text``, ``markdown``, ``locomo`` …"""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of file names that it may read, in lower case: ``(".json", ".jsonl")``."""

    def accepts(self, path: Path, data: Any) -> bool:
        """Return whether the file looks like this format.

        data  the parsed JSON of a .json file, the first parsed line of a .jsonl file, else None
        """

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        """Yield the turns in order. ``data`` is as for ``accepts``. Raises: InvalidInput."""
