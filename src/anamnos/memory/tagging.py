"""The verbs that suggest: tags for a text, and which of several places it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from anamnos.cube import CubeId, MemCube, Scope, check_text, thaw_json
from anamnos.embed.base import Vectors
from anamnos.errors import InvalidInput
from anamnos.memory.checks import check_filter, check_scope
from anamnos.memory.core import Core
from anamnos.types import Filter, Op, Receipt

if TYPE_CHECKING:
    from anamnos.system.tagging import Suggestion, Tagging

MAX_SUGGESTIONS = 100


class Suggesting(Core):
    """Suggesting tags and places."""

    _tagging: Tagging | None = None

    def suggest_tags(self, content: str, scope: Scope, *, k: int = 5) -> list[Suggestion]:
        """Return up to ``k`` tags that fit a text, best first, learnt from the tagged memories of the scope.

        Each comes with a score in [0, 1] and the memories because of which. ``update(id, scope, tags=…)`` corrects: it
        counts from the next call on. Raises: InvalidInput.
        """
        self._check_suggesting(content, scope, k)
        self._guard.read("suggest_tags")
        tree = self._guard.fresh(None, scope)
        return self._shown_tags(self._tags().suggest(self._vector_of(content), scope, k=k, tree=tree)[0])

    def route(self, content: str, scope: Scope, among: Mapping[str, Filter | Scope], *, k: int = 5) -> list[Suggestion]:
        """Return up to ``k`` labels of ``among`` that fit a text, best first, by the memories that each stands for.

        among  label -> a filter, or a scope that ``scope`` covers: a session, an agent
        Raises: InvalidInput, also for a scope outside of ``scope``.
        """
        self._check_suggesting(content, scope, k)
        places: dict[str, tuple[Scope, Filter | None]] = {}
        for label, place in among.items():
            if isinstance(place, Scope):
                if not scope.covers(place):
                    raise InvalidInput(f"{label!r} stands for the scope {place}, which is not within {scope}.")
                places[label] = place, self._guard.fresh(None, place)
            else:
                check_filter(place)
                places[label] = scope, self._guard.fresh(place, scope)
        self._guard.read("route")
        return self._tags().route(self._vector_of(content)[0], places, k=k)

    def _erase(self, ids: Sequence[CubeId]) -> Receipt:
        receipt = super()._erase(ids)
        if self._tagging is not None:
            self._tagging.forget(set(receipt.ids))
        return receipt

    def _shown_tags(self, found: Sequence[Suggestion]) -> list[Suggestion]:
        return [replace(each, tag=self._guard.shown_text(each.tag)) for each in found]

    def _embedded_ops(
        self, new: Sequence[tuple[MemCube, bytes]], vectors: Vectors, tokens: Sequence[bytes]
    ) -> list[Op]:
        """Return what writes new memories; with the setting ``tagging`` at ``auto``, with the tags that are sure."""
        if self.settings.tagging == "auto":
            new = [(self._with_tags(cube, vector), key) for (cube, key), vector in zip(new, vectors, strict=True)]
        return super()._embedded_ops(new, vectors, tokens)

    def _with_tags(self, cube: MemCube, vector: Any) -> MemCube:
        if cube.version != 1 or cube.annotations.tags or cube.provenance.derived_from:
            return cube
        from anamnos.system.tagging import DATA_KEY, tagged

        wall = Scope(tenant=cube.scope.tenant, user=cube.scope.user) if cube.scope.user else cube.scope
        tree = self._guard.fresh(None, wall)
        mark = tagged(cube, self._tags().suggest(np.asarray(vector)[None], wall, tree=tree)[0])
        if mark is None:
            return cube
        data = {**thaw_json(cube.annotations.data), DATA_KEY: mark}
        return replace(cube, annotations=replace(cube.annotations, tags=tuple(mark["suggested"]), data=data))

    def _tags(self) -> Tagging:
        """Return what suggests, made anew for another store, principal or embedder."""
        from anamnos.system.tagging import Tagging

        found = self._tagging
        if found is None or found.store is not self.vault.store or found.info is not self._info:
            found = self._tagging = Tagging(self.vault.store, self._info, self.embedder.embed)
        return found

    def _vector_of(self, content: str) -> Vectors:
        return np.asarray(self.embedder.embed([content]), dtype=np.float32)

    def _check_suggesting(self, content: str, scope: Scope, k: int) -> None:
        check_scope(scope)
        if not check_text("content", content, max_chars=self.settings.max_text_chars).strip():
            raise InvalidInput("The content is empty.", hint="Give the text that a tag is wanted for.")
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_SUGGESTIONS:
            raise InvalidInput(f"k must be a whole number from 1 to {MAX_SUGGESTIONS}, got {k!r}.")
