"""What all verbs stand on: the opened parts of a vault, and the one way in which a verb reads, checks and writes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from anamnos.config import Settings
from anamnos.cube import (
    BlobRef,
    Clock,
    CubeId,
    IdSource,
    MemCube,
    Scope,
    State,
    check_id,
    check_text,
    check_time,
    check_version,
    to_iso,
)
from anamnos.embed import resolve_embedder, spec_of
from anamnos.embed.base import Embedder, Vectors
from anamnos.errors import InvalidInput, LimitExceeded, NotFound, StoreError
from anamnos.index.base import VectorIndex
from anamnos.index.terms import TERMS_VERSION, TermReader, searchable_text
from anamnos.ingest.plan import Planned
from anamnos.llm import resolve_llm
from anamnos.llm.base import LanguageModel
from anamnos.memory.checks import check_scope
from anamnos.recall.analyse_llm import LlmAnalyser
from anamnos.recall.calibrate import with_weights
from anamnos.recall.rerank import Reranker, rerankers
from anamnos.recall.rerank.trusted import TrustCap
from anamnos.recall.search import Recaller
from anamnos.recipes import RECIPES, Recipe
from anamnos.store.apply import apply
from anamnos.store.base import EmbedderInfo, Transaction, held_at
from anamnos.store.jobs import NewJob
from anamnos.system.bundles import Bundles
from anamnos.system.governance import trust as believing
from anamnos.system.governance.access import ADMIN
from anamnos.system.governance.audit import Audit
from anamnos.system.governance.forget import closure
from anamnos.system.governance.guard import Guard
from anamnos.system.governance.policies import Policies
from anamnos.system.mounts import Mounts
from anamnos.system.quotas import Quotas
from anamnos.system.reembed import Portable, embedded
from anamnos.system.scheduler import Jobs
from anamnos.system.vault import Vault
from anamnos.system.working import Working
from anamnos.types import Derived, Filter, Op, OpKind, Outcome, Receipt, Vector

if TYPE_CHECKING:
    from anamnos.evolve.resolve.known import Known
    from anamnos.system.novelty import Novelty

Progress = Callable[[int, int], None]
"""Called with (done, total) as long work goes on."""


MAX_KNOWN = 64  # scopes whose facts are kept in mind by subject and relation
MAX_NOVELTIES = 8  # owners whose memories new ones are compared with; 4 to 150 MB each


@dataclass(frozen=True)
class MountedVault:
    """Another vault, opened for reading, and what searches it."""

    vault: Vault
    recaller: Recaller

    def close(self) -> None:
        self.vault.close()


class Core:
    """The parts of an opened vault, and what the verbs share. ``Memory`` sets the parts."""

    vault: Vault
    settings: Settings
    embedder: Embedder
    jobs: Jobs
    policy: Policies
    audit: Audit
    bundles: Bundles
    mounts: Mounts[MountedVault]
    quotas: Quotas
    _clock: Clock
    _shared: bool  # whether files and index belong to another ``Memory``
    _new_id: IdSource
    _reader: TermReader
    _guard: Guard
    _rule: Filter | None
    _known: dict[Scope, Known]
    _novelties: dict[Scope, Novelty]
    _lock = Lock()  # of what is kept in mind
    _info: EmbedderInfo
    _index: VectorIndex
    _recaller: Recaller
    _rerankers: Sequence[Reranker]
    _cap: TrustCap
    _working: Working

    def _get(self, cube_id: str, scope: Scope, *, version: int | None = None, as_of: datetime | None = None) -> MemCube:
        """Return a memory as it is, whatever of it the principal is shown."""
        check_scope(scope)
        if version is not None:
            check_version("version", version)
            if as_of is not None:
                raise InvalidInput("version and as_of both say which version is wanted.", hint="Give one of them.")
        cube = self.vault.store.get(check_id("id", cube_id), version)
        if cube is not None and (moment := self._past(as_of)) is not None:
            then = (each for each in self.vault.store.history(cube.id) if held_at(each, moment))
            cube = next(then, None)
        if cube is None or not scope.covers(cube.scope):
            if cube is None:
                self._guard.missed("get", CubeId(cube_id))
            what = f"memory {cube_id}" + (f" version {version}" if version is not None else "")
            when = f" as of {to_iso(as_of)}" if as_of is not None else ""
            raise NotFound(f"There is no {what} in the scope {scope}{when}.")
        return cube

    def _facts_of(self, scope: Scope) -> Known:
        """Return the facts of a scope by what they claim something of."""
        from anamnos.evolve.resolve.known import Known  # many patterns

        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        return self._known.setdefault(scope, Known(self.vault.store, scope))

    def _llm(self) -> LanguageModel | None:
        return resolve_llm(self.settings)

    def _each(self, scope: Scope, filter: Filter | None) -> Iterator[MemCube]:
        after = None
        while page := self.vault.store.list(scope, filter, after=after, limit=1_000):
            yield from page
            after = page[-1].id

    def _named_cubes(self, ids: str | Iterable[str], scope: Scope) -> list[MemCube]:
        if not isinstance(ids, Iterable):
            raise InvalidInput(f"ids must be a memory id or a list of them, got {type(ids).__name__}.")
        return [self._get(cube_id, scope) for cube_id in dict.fromkeys([ids] if isinstance(ids, str) else ids)]

    def _past(self, as_of: datetime | None) -> datetime | None:
        """Return the moment that a read is as of, never one to come; None for the present versions."""
        return None if as_of is None else min(check_time("as_of", as_of), self._clock())

    def _govern(self, verb: str) -> None:
        self._guard.require(ADMIN, verb)

    def _held(self, cubes: Sequence[MemCube]) -> list[CubeId]:
        """Return which of some memories and of what was made of them are frozen."""
        return [cube.id for cube in closure(self.vault.store, cubes) if cube.lifecycle.state is State.FROZEN]

    def _ops(self, planned: Sequence[Planned]) -> list[Op]:
        """Return the operations for what is not known already, embedded in one go."""
        new = self._admitted(planned)
        return self._embedded_ops(new, *embedded(self.embedder, [cube for cube, _ in new], self._reader))

    def _admitted(self, planned: Sequence[Planned]) -> list[tuple[MemCube, bytes]]:
        """Return what is not known already, as it is to be written, and its keys."""
        return [(self._guard.admitted(item.cube), item.key) for item in planned if item.cube is not None]

    def _embedded_ops(
        self, new: Sequence[tuple[MemCube, bytes]], vectors: Vectors, tokens: Sequence[bytes]
    ) -> list[Op]:
        """Return the operations that write cubes with their keys, their vectors and the vectors of their words."""
        compared = self._compared([cube for cube, _ in new], vectors)
        return [
            Op(OpKind.TOUCH, target=cube.id, cube=cube)
            if cube.id != before.id
            else Op(
                OpKind.ADD if cube.version == 1 else OpKind.UPDATE,
                target=None if cube.version == 1 else cube.id,
                cube=cube,
                derived=Derived(
                    self._reader.terms(searchable_text(cube)), self._checked_vector(vector), self._info.id, own
                ),
                key=key,
            )
            for (before, key), cube, vector, own in zip(new, compared, vectors, tokens, strict=True)
        ]

    def _compared(self, cubes: Sequence[MemCube], vectors: Vectors) -> Sequence[MemCube]:
        """Return cubes as the setting ``novelty`` wants them: with what they are like, or what they only repeat."""
        how = self.settings.novelty
        if how == "off" or not cubes:
            return cubes
        from anamnos.system import novelty  # an embedder of its own, and random numbers

        return novelty.compared(cubes, vectors, self._novelty_of, self.vault.store, self._clock(), how == "reinforce")

    def _novelty_of(self, scope: Scope) -> Novelty:
        from anamnos.system.novelty import Novelty, wall_of

        wall = wall_of(scope)
        with self._lock:
            found = self._novelties.pop(wall, None) or Novelty(self.vault.store, self._info, wall)
            self._novelties[wall] = found  # the one asked for last comes last
            while len(self._novelties) > MAX_NOVELTIES:
                del self._novelties[next(iter(self._novelties))]
        return found

    def _write(
        self,
        ops: Sequence[Op],
        *,
        when: Callable[[Transaction], bool] | None = None,
        of_bundle: bool = False,
        jobs: Sequence[NewJob] = (),
    ) -> Receipt:
        """Apply operations in one transaction and return their receipt.

        when       asked inside the transaction; if it says no, nothing is written
        of_bundle  they install a bundle, whose memories nobody else may change
        jobs       what is to be done about them, written down with them
        """
        if not of_bundle:
            self.bundles.refuse_changes(ops)
        store, done = self.vault.store, []
        if ops:
            if store.embedder() is None:
                self._register_embedder()
            with store.write() as tx:
                self.quotas.check(ops)
                for op in ops if when is None or when(tx) else ():
                    done += apply(op, tx, now=self._clock())[:1]  # not what became as strict as its source
                for job in jobs if done else ():
                    tx.enqueue(job, now=self._clock())
            if jobs:
                self.jobs.wake()
            if len(ops) > 1:
                with suppress(StoreError):  # what is written is written; the next search says what is wrong
                    self._index.catch_up()  # so that the first search after a long ingest need not
                    self._index.maintain()
        return Receipt(tuple(i for i, _ in done), tuple(o for _, o in done), store.sequence())

    def _write_with_blobs(self, ops: Sequence[Op], given: Mapping[BlobRef, bytes | None]) -> Receipt:
        """Apply operations on cubes that refer to blobs, which are put in the same turn: nobody can clear one away
        before it is referred to. If that fails, nothing of them stays.

        Raises: InvalidInput if the bytes of one are neither given nor there.
        """
        blobs = self.vault.blobs

        def put(_: Transaction) -> bool:
            for ref, data in given.items():
                if data is not None:
                    blobs.put(data, ref.media_type)
                elif not blobs.path(ref.sha256).exists():
                    raise InvalidInput(
                        f"The bytes of a memory that is no text are missing: blob {ref.sha256[:12]}….",
                        hint="Take a backup or a bundle, which have them, or export anew.",
                    )
            return True

        try:
            return self._write(ops, when=put)
        except BaseException:
            with suppress(StoreError):
                self.vault.drop_unused_blobs()
            raise

    def _write_moved(self, cubes: Sequence[MemCube]) -> Receipt:
        """Write next versions that say the same as the ones before them."""
        return self._write([transition(cube) for cube in cubes])

    def _erase(self, ids: Sequence[CubeId]) -> Receipt:
        store = self.vault.store
        done: dict[CubeId, Outcome] = {}
        with store.write() as tx:
            for cube_id in ids:
                if cube_id not in done:  # else it was derived from one that went before
                    done.update(apply(Op(OpKind.DELETE, target=cube_id), tx, now=self._clock()))
        self._index.catch_up()
        if any(self.vault.blobs.names()):
            self.vault.drop_unused_blobs()  # and what a save that was killed had left of them
        for wall, novelty in list(self._novelties.items()):
            novelty.catch_up()
            if not len(novelty):
                self._novelties.pop(wall, None)
        clean = store.scrub()
        return Receipt(tuple(done), tuple(done.values()), store.sequence(), "erased" if clean else "erasing")

    def _register_embedder(self) -> None:
        """Make a new vault remember what it is written with."""
        self.vault.store.set_setting("terms", TERMS_VERSION)
        name = self.settings.embedder if self.settings.embedder != "auto" else spec_of(self.embedder)
        if name is not None:
            self.vault.store.set_setting(f"embedder:{self._info.id}", name)
        self.vault.store.use_embedder(self._info)  # last of all, so that a kill leaves nothing half done

    def _use(self, embedder: Embedder, index: VectorIndex | None = None) -> None:
        """Take an embedder, and with it the index, the recipe and all else that works with its vectors."""
        self.embedder, self._novelties = embedder, {}
        self.mounts.close()  # they are searched with the embedder, too
        held = self.vault.store.embedder()
        self._info = held if held is not None and held.id == embedder.id else EmbedderInfo(embedder.id, embedder.dim)
        self._index = index or self.vault.index(
            self._info,
            self.settings.index,
            url=self.settings.index_url or self.settings.store,
            memory_mb=self.settings.index_memory_mb,
        )
        recipe = self._weighted(RECIPES[self.settings.recipe])
        if recipe.otherwise is not None:
            recipe = replace(recipe, otherwise=self._weighted(recipe.otherwise))
        llm = self._llm() if self.settings.analyser == "llm" else None
        analyser = None if llm is None else LlmAnalyser(llm)
        self._recaller = Recaller(self.vault.store, self._index, embedder, self._reader, recipe, analyser)
        self._rerankers = rerankers(self.settings.reranker, self._reader)
        self._cap = TrustCap(believing.TRUSTED)
        self._working = Working(self.vault.store, embedder, self._info, self._reader)

    def _named(self, name: str) -> Embedder:
        return resolve_embedder(name, model_dir=self._model_dir, api_key=self.settings.embedder_api_key or None)

    @property
    def _model_dir(self) -> Path | None:
        return Path(self.settings.model_dir) if self.settings.model_dir else None

    def _portable(self, embedder: Embedder, name: str | None = None) -> Portable:
        """Return an embedder so that other processes can have it: by its name, if it has one."""
        name = name or self.vault.store.setting(f"embedder:{embedder.id}") or spec_of(embedder)
        return Portable(embedder, name, self._model_dir, self.settings.embedder_api_key or None)

    def _weighted(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the weights that ``calibrate`` found, if there are such."""
        found = self.vault.store.setting(weights_name(recipe, self._info))
        return with_weights(recipe, json.loads(found)) if found else recipe

    def _checked_text(self, text: str) -> str:
        if not check_text("content", text).strip():
            raise InvalidInput("The content is empty.", hint="Give some text to remember.")
        limit = self.settings.max_text_chars
        if len(text) > limit:
            raise LimitExceeded(
                f"The content has {len(text):,} characters; one memory may have {limit:,}.",
                hint="Write it to a file and use ingest, which splits it, or raise max_text_chars.",
            )
        return text

    def _checked_vector(self, vector: Any) -> Vector:
        try:
            array = np.asarray(vector, dtype=np.float32)
        except (TypeError, ValueError) as exc:
            raise InvalidInput(f"The vector must be numbers: {exc}.") from exc
        if array.shape != (self._info.dim,):
            raise InvalidInput(f"The vector has shape {array.shape}; this vault needs ({self._info.dim},).")
        if not np.isfinite(array).all():
            raise InvalidInput("The vector holds NaN or infinite numbers.")
        norm = float(np.linalg.norm(array))
        if not math.isclose(norm, 1.0, abs_tol=1e-2):
            raise InvalidInput(f"The vector has norm {norm:.4f}; it must be 1.", hint="Divide it by its norm.")
        return array

    def _checked_end(self, expires_at: datetime | None) -> datetime | None:
        if expires_at is None or (end := check_time("expires_at", expires_at)) > self._clock():
            return expires_at and end
        raise InvalidInput(f"expires_at ({to_iso(end)}) is over already.", hint="Name a time to come.")


def transition(cube: MemCube) -> Op:
    """Return the operation that writes a next version with the same words."""
    return Op(OpKind.TRANSITION, target=cube.id, cube=cube)


def weights_name(recipe: Recipe, info: EmbedderInfo) -> str:
    """Return the setting of a vault that holds what ``calibrate`` found."""
    return f"weights:{recipe.name}:{info.id}"
