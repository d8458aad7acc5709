"""The verbs that move and keep a vault: export and import, backup, verification, another embedder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.embed import spec_of
from anamnos.embed.base import Embedder
from anamnos.index.terms import TERMS_VERSION, searchable_text
from anamnos.memory.core import Core, Progress
from anamnos.store.base import EmbedderInfo, Transaction
from anamnos.system.backup import BackupReport
from anamnos.system.bulk import Engine
from anamnos.system.bundles import is_installed
from anamnos.system.exchange import Exported, read_export, write_export
from anamnos.system.governance.sensitivity import redacted
from anamnos.system.reembed import embedded, reembed
from anamnos.types import Derived, Op, OpKind, Receipt


class Keeping(Core):
    """Export and import, backup, verification, another embedder."""

    def export(self, path: str | Path, scope: Scope | None = None, *, redact: bool = False) -> int:
        """Write every version of every memory of a scope (None: of all) to a JSON Lines file; return how many.

        redact  e-mail addresses, phone and card numbers, keys … are written as labels, their texts without vectors;
                what is no text, in which nobody can see that, is left out
        Memories of installed bundles are left out. The file must not be there. Its format: docs/formats/export.md.
        """
        hide = redacted if redact or self._guard.hides() else None
        written = write_export(
            Path(path),
            self.vault.store,
            scope,
            self._info,
            self._clock(),
            keep=lambda cube: not is_installed(cube.scope) and (hide is None or isinstance(cube.content, str)),
            shown=hide,
            blob=self.vault.blobs.get,
        )
        self._guard.copied("export", Path(path))
        return written

    def import_(self, path: str | Path, *, progress: Progress | None = None) -> Receipt:
        """Read what ``export`` wrote, all or nothing; what is there already stays as it is.

        Vectors of another embedder are made anew. Raises: InvalidInput if the file is damaged or cut off, or lacks what
        a memory refers to that is no text; Conflict if a version is there with other content; then nothing has changed.
        """
        self._govern("import")
        items = read_export(Path(path), self._info)
        keys = self._keys_to_import(items)
        ops = [
            Op(OpKind.RESTORE, cube=item.cube, derived=derived, key=keys[item.cube.id, item.cube.version])
            for item, derived in zip(items, self._derived(items, progress), strict=True)
        ]
        refs = {ref: item.blob for item in items if not isinstance(ref := item.cube.content, str)}
        return self._write_with_blobs(ops, refs)

    def backup(self, folder: str | Path, *, incremental: bool = False) -> BackupReport:
        """Copy the vault to a new folder, consistently, while others read and write, and return what was written.

        incremental  the folder may be an older backup of this vault, which is brought up to date: only what differs is
                     written, and what was erased since is overwritten. Without it the folder must be new or empty
        """
        self._govern("backup")
        report = self.vault.backup(Path(folder), now=self._clock(), incremental=incremental)
        self._guard.copied("backup", Path(folder))
        return report

    def verify(self) -> list[str]:
        """Return what is wrong in the vault (store, index, blobs), one sentence each; empty if all agree."""
        self.vault.store.scrub()
        return [*self.vault.store.verify(), *self._index.verify(), *self.vault.verify_blobs()]

    def rebuild_index(self) -> None:
        """Make everything derived again from the texts: index terms, missing vectors, the vector index."""
        self._govern("rebuild index")
        self._rederive_terms()
        reembed(self.vault.store, self.embedder, self._info, self._reader, batch_size=self.settings.batch_size)
        self._index.rebuild()
        self._recaller.forget_spaces()

    def reembed(
        self, embedder: Embedder | str, *, engine: Engine | None = None, progress: Progress | None = None
    ) -> None:
        """Change the vault's embedder: embed every text anew, then switch at once.

        A stop in the middle loses nothing: the old vectors serve until the switch, and the next run goes on from
        where this one was. Other processes that have the vault open must open it again after the switch.

        engine  what embeds; this process by default. See ``anamnos.system.bulk``
        """
        self._govern("reembed")
        named = embedder if isinstance(embedder, str) else None
        new = self._named(embedder) if isinstance(embedder, str) else embedder
        info = EmbedderInfo(new.id, new.dim)
        if name := named or spec_of(new):  # before the switch: a kill between the two must not leave a wrong name
            self.vault.store.set_setting(f"embedder:{info.id}", name)
        size, portable = self.settings.batch_size, self._portable(new, name)
        parts = self.vault.store, new, info, self._reader
        reembed(*parts, batch_size=size, progress=progress, switch=True, engine=engine, portable=portable)
        self._index.close()
        self._working.close()
        self._use(new)
        self.vault.drop_other_indexes(self._info, self._index)

    def _rederive_terms(self) -> None:
        for cubes in self._every_version():
            terms = {row: self._reader.terms(searchable_text(cube)).astype("<u4").tobytes() for row, cube in cubes}
            self.vault.store.put_terms(terms)
        self.vault.store.set_setting("terms", TERMS_VERSION)

    def _every_version(self) -> Iterator[list[tuple[int, MemCube]]]:
        nobody, last = EmbedderInfo("", 0), 0  # no row has a vector of no embedder, so every text comes
        while batch := self.vault.store.without_vector(nobody, after=last):
            yield batch
            last = batch[-1][0]

    def _derived(self, items: Sequence[Exported], progress: Progress | None = None) -> list[Derived | None]:
        """Return what each of these versions is found by; vectors that they do not bring are made."""
        found: list[Derived | None] = []
        for start in range(0, len(items), self.settings.batch_size):
            batch = items[start : start + self.settings.batch_size]
            bare = [item.cube for item in batch if item.vector is None and item.is_text]
            fresh = zip(*embedded(self.embedder, bare, self._reader), strict=True)
            for item in batch:
                derived = None
                if item.is_text:
                    vector, tokens = next(fresh) if item.vector is None else (item.vector, item.tokens)
                    terms = self._reader.terms(searchable_text(item.cube))
                    derived = Derived(terms, self._checked_vector(vector), self._info.id, tokens)
                found.append(derived)
            if progress:
                progress(len(found), len(items))
        return found

    def _keys_to_import(self, items: Sequence[Exported]) -> dict[tuple[CubeId, int], bytes]:
        """Return the key of each version: a memory whose present words are known under another id is left out as a
        whole, by that key, and a past version never stands in for what another memory says now."""
        current = [item for item in items if item.key and item.cube.time.superseded_at is None]
        known = self.vault.store.find(item.key for item in current)
        twins = {item.cube.id: item.key for item in current if known.get(item.key, item.cube.id) != item.cube.id}
        said_now = {item.key: item.cube.id for item in current} | self.vault.store.find(i.key for i in items if i.key)
        return {
            (item.cube.id, item.cube.version): twins.get(
                item.cube.id, item.key if said_now.get(item.key, item.cube.id) == item.cube.id else b""
            )
            for item in items
        }

    def _write_bundle(self, ops: Sequence[Op], also: Callable[[Transaction], None]) -> Receipt:
        """Apply the operations of a bundle with its entry in the register, in one transaction."""

        def register(tx: Transaction) -> bool:
            also(tx)
            return True

        if not ops:
            with self.vault.store.write() as tx:
                also(tx)
        return self._write(ops, when=register, of_bundle=True)
