"""The verbs that find: search with its explanation and calibration, packed evidence, answers."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from anamnos.cube import CubeId, MemCube, Scope, check_text, check_time, uuid7_source
from anamnos.embed.base import Vectors, gives_tokens
from anamnos.errors import InvalidInput
from anamnos.llm.base import estimate_tokens
from anamnos.memory.checks import check_filter, check_scope
from anamnos.memory.core import Core, MountedVault, weights_name
from anamnos.recall.analyse import Cue
from anamnos.recall.answer import Answer, answer
from anamnos.recall.answer.base import Kind as AnswerKind
from anamnos.recall.answer.base import cited
from anamnos.recall.calibrate import Calibration, calibrate
from anamnos.recall.evidence import Sentence, ranked_sentences
from anamnos.recall.pack import CountTokens, pack
from anamnos.recall.rerank import Reranker
from anamnos.recall.search import Explanation
from anamnos.recipes import RECIPES
from anamnos.system.governance import trust as believing
from anamnos.system.governance.guard import joined
from anamnos.types import Filter, Hit, Hits, PackedContext, Vector, matches

if TYPE_CHECKING:
    from anamnos.evolve.current import Current

MAX_TOP_K = 10_000
MAX_QUERY_CHARS = 100_000


class Searching(Core):
    """Search, its explanation and calibration, packed evidence, answers."""

    def search(
        self,
        query: str,
        scope: Scope,
        *,
        top_k: int = 10,
        filter: Filter | None = None,
        vector: Vector | None = None,
        as_of: datetime | None = None,
        asked_at: datetime | None = None,
        rerank: Sequence[Reranker] | None = None,
        redact: bool = False,
    ) -> Hits:
        """Return the memories of a scope that answer ``query`` best, best first, and how sure it is that they do.

        The result is a list of ``Hit`` with a ``confidence`` in [0, 1] that the memory holds the answer at all.

        top_k   exactly so many, if the scope (and the filter) has so many
        filter  which may be returned; make one with ``anamnos.where(role=…, tags=…, since=…)``
        vector  the query's embedding, if it is known: (dim,) float32 of norm 1
        as_of   search what was remembered then and true then: each memory in its version of that moment, without those
                that had not begun or had ceased to be true (``valid_from``, ``valid_to``). A time to come is taken as
                the present; what was deleted since is gone from the past too
        asked_at  when it is asked, with a zone: "yesterday" is the day before. None: when the newest memory was said
        rerank  what to put the hits in a better order with, one after the other; None: as the settings say
        redact  e-mail addresses, phone and card numbers, keys … are shown as labels
        What has expired is not found; what is not trusted does not get the first five places (setting ``trust``).
        Raises: InvalidInput for an empty or too long query, a bad top_k, a vector that does not fit, a naive as_of.
        """
        check_scope(scope)
        check_filter(filter)
        if not check_text("query", query, max_chars=MAX_QUERY_CHARS).strip():
            raise InvalidInput("The query is empty.", hint="Say what to look for, or use list.")
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= MAX_TOP_K:
            raise InvalidInput(f"top_k must be a whole number from 1 to {MAX_TOP_K:,}, got {top_k!r}.")
        if vector is not None:
            vector = self._checked_vector(vector)
        as_of = self._past(as_of)
        asked_at = None if asked_at is None else check_time("asked_at", asked_at)
        steps = self._rerankers if rerank is None else rerank
        depth = max([top_k, *(step.depth for step in steps)])
        filter = self._readable(filter, scope, as_of)
        more: dict[str, Any] = {"filter": filter, "vector": vector, "as_of": as_of, "asked_at": asked_at}

        def ask(mounted: MountedVault | None, scope: Scope) -> Hits:
            recaller = self._recaller if mounted is None else mounted.recaller
            there = recaller.search(query, scope, top_k=depth, **more)
            now = as_of or self._clock()
            live = [hit for hit in there if (ends := hit.cube.lifecycle.expires_at) is None or ends > now]
            return Hits(live, there.confidence)

        found = self._recaller.search(query, scope, top_k=depth, **more)
        if self._guard.principal is None:  # what others mounted is not open to principals
            found = self.mounts.joined(found, scope, ask, depth)
        hits: list[Hit] = found
        for step in steps:
            considered = hits if step.depth else hits[:top_k]
            hits = step.rerank(query, considered, self._vectors_of)
        if self.settings.trust == "capped":
            hits = self._cap.capped(
                hits,
                max(top_k, len(hits)),
                lambda tree, k: self._recaller.search(
                    query, scope, top_k=k, **{**more, "filter": joined([tree, *([filter] if filter else [])])}
                ),
            )
        self._guard.read("search")
        if self.settings.working == "on" and as_of is None and self._guard.takes_part_in(scope):
            self._note_cue(query, scope, [hit.id for hit in hits[:top_k]], filter)
        return Hits(self._guard.shown_hits(hits[:top_k], hide=redact), found.confidence)

    def working(self, scope: Scope) -> list[MemCube]:
        """Return what the searches in exactly this scope have been about lately, the most important first, at most 20.

        It is kept with the setting ``working``; without it there is none. What was erased or archived since has left
        it. See docs/howto/background-work.md.
        """
        check_scope(scope)
        self._guard.read("working")
        return self._guard.shown(cube for cube, _ in self._working.memories(scope))

    def explain(
        self,
        query: str,
        scope: Scope,
        *,
        top_k: int = 10,
        filter: Filter | None = None,
        asked_at: datetime | None = None,
    ) -> Explanation:
        """Return what ``search`` finds and how it comes to it: the cue as understood, the recipe, each channel's part.

        Raises: as ``search``.
        """
        hits = self.search(query, scope, top_k=top_k, filter=filter, asked_at=asked_at)
        cue = self._recaller.cue(query, self._recaller.space(scope), scope, asked_at)
        return Explanation(cue, self._recaller.served(words=gives_tokens(self.embedder)), hits)

    def calibrate(
        self, questions: Iterable[tuple[str, Sequence[str]]], scope: Scope, *, adopt: bool = True
    ) -> Calibration:
        """Fit the weights of the recipe to questions whose answers are known, and use them from now on if that helps.

        questions  (question, ids of the memories or of the messages that answer it)
        adopt      False: only look
        They are used if recall@10 rises by more than twice its standard error, each question being scored with weights
        fitted on others; then they hold for the whole vault, until the next call. A search of another embedder or
        recipe knows nothing of them. Raises: InvalidInput for fewer than 20 questions, or for an unknown answer.
        """
        check_scope(scope)
        if adopt:
            self._govern("calibrate")
        known: dict[str, CubeId] = {}
        for cube in self._each(scope, None):
            known |= dict.fromkeys((*cube.provenance.message_ids, cube.id), cube.id)
        asked = []
        for text, answers in questions:
            if missing := [name for name in answers if name not in known]:
                raise InvalidInput(
                    f"There is no memory and no message {missing[0]!r} in the scope {scope}.",
                    hint=f"It is given as an answer to {text!r}.",
                )
            ids = [known[name] for name in answers]
            asked.append(self._recaller.labelled(check_text("question", text), scope, ids))
        recipe = self._recaller.served(words=gives_tokens(self.embedder))
        result = calibrate([one for one in asked if one is not None], RECIPES[recipe.name])
        if adopt:
            weights = json.dumps(dict(result.weights) if result.adopted else {})
            self.vault.store.set_setting(weights_name(recipe, self._info), weights)
            self._use(self.embedder)
        return result

    def answer_context(
        self,
        question: str,
        scope: Scope,
        *,
        token_budget: int = 2_000,
        top_k: int = 25,
        filter: Filter | None = None,
        as_of: datetime | None = None,
        count_tokens: CountTokens = estimate_tokens,
    ) -> PackedContext:
        """Return what a prompt needs to answer ``question``: the best memories with their neighbours, in order of
        time, dated and cited, in at most ``token_budget`` tokens.

        as_of         as in ``search``
        count_tokens  how long a text is for the model that will read it; an estimate by default. See
                      ``anamnos.recall.pack.tokenizer_counter``
        Raises: as ``search``; InvalidInput for a budget below 1.
        """
        return self._evidence(question, scope, None, token_budget, top_k, filter, count_tokens, as_of)[1]

    def ask(
        self,
        question: str,
        scope: Scope,
        *,
        asked_at: datetime | None = None,
        token_budget: int = 2_000,
        top_k: int = 25,
        filter: Filter | None = None,
        as_of: datetime | None = None,
        count_tokens: CountTokens = estimate_tokens,
    ) -> Answer:
        """Return the answer to ``question`` with the memories that it rests on, or that it is not in memory.

        With a language model in the settings (``llm_url``) that model words it, and may say only what it can cite;
        without one, or if it fails, the answer is taken from facts, where the question asks for the present value of a
        relation or of a chain of them ("the currency of the country of Ann's home town") that they hold; else from the
        best sentences: word for word, a date, a number or a list.

        asked_at  when it was asked, with a zone; None: when the newest memory was said
        as_of     as in ``search``: the answer of then
        Raises: as ``answer_context``.
        """
        if asked_at is not None:
            asked_at = check_time("asked_at", asked_at)
        cue, context, ranked, sure = self._evidence(
            question, scope, asked_at, token_budget, top_k, filter, count_tokens, as_of
        )
        found = answer(cue, ranked, context, self._llm(), of_hits=sure, asked_at=asked_at)
        if found.kind is AnswerKind.GENERATED:
            return self._answered(found)
        value = self._current(question, scope, filter, asked_at, as_of, context.hits)
        if value is None:
            return self._answered(found)
        there = [source for source in value.sources if self.vault.store.get(source) is not None]
        told = cited(context, [self._get(source, scope, as_of=as_of) for source in there])
        return self._answered(Answer(value.words, told, value.confidence, AnswerKind.VALUE, False, context))

    def _evidence(
        self,
        question: str,
        scope: Scope,
        asked_at: datetime | None,
        token_budget: int,
        top_k: int,
        filter: Filter | None,
        count_tokens: CountTokens,
        as_of: datetime | None = None,
    ) -> tuple[Cue, PackedContext, list[Sentence], float]:
        """Return the cue of a question, its packed context, the sentences of its hits, best first, and how sure the
        search was."""
        if isinstance(token_budget, bool) or not isinstance(token_budget, int) or token_budget < 1:
            raise InvalidInput(f"token_budget must be a whole number >= 1, got {token_budget!r}.")
        as_of = self._past(as_of)
        hits = self.search(question, scope, top_k=top_k, filter=filter, as_of=as_of, asked_at=asked_at)
        cue = self._recaller.cue(question, self._recaller.space(scope, as_of=as_of), scope, asked_at)
        ranked = ranked_sentences(cue, self._for_answers(hits), self.embedder, self._reader)
        context = pack(
            hits,
            lambda hit: self._guard.shown(self._recaller.neighbours(hit, as_of)),
            self._version_before,
            believing.mark,
            token_budget=token_budget,
            evidence=ranked[0].text if ranked else "",
            count_tokens=count_tokens,
        )
        return cue, context, ranked, hits.confidence

    def _current(
        self,
        question: str,
        scope: Scope,
        filter: Filter | None,
        asked_at: datetime | None,
        as_of: datetime | None,
        hits: Sequence[Hit],
    ) -> Current | None:
        """Return the value that a question's chain of relations leads to, of facts whose sources ``filter`` passes and
        that are believed, and of what the hits say."""
        from anamnos.evolve import current

        store, known, known_at = self.vault.store, self._facts_of(scope), self._past(as_of)

        def allowed(cube: MemCube) -> bool:
            if cube.provenance.trust < believing.TRUSTED and self.settings.trust == "capped":
                return False
            sources = [found for i in cube.provenance.derived_from if (found := store.get(i))] or [cube]
            return filter is None or all(matches(filter, source) for source in sources)

        @functools.cache
        def heard() -> current.Heard:
            known.catch_up()
            return current.Heard(known, list(self._facts_in(hit.cube for hit in hits)))

        def step(subject: str, relation: str) -> Current | None:
            now = known_at or asked_at or self._clock()
            named = [subject, *([scope.user] if subject == current.NOBODY and scope.user else [])]
            found = (current.value_of(heard(), who, relation, now, known_at=known_at, allowed=allowed) for who in named)
            return next((value for value in found if value is not None), None)

        return current.follow(question, step)

    def _facts_in(self, cubes: Iterable[MemCube]) -> Iterator[MemCube]:
        """Yield the facts that ``enrich`` would make of some memories, by rules, without writing them."""
        from anamnos.ingest import enrich
        from anamnos.ingest.extract import RuleExtractor

        rules, new_id = RuleExtractor(self._reader), uuid7_source()
        for session in enrich.sessions(filter(enrich.is_readable, cubes), self.settings.batch_size):
            planned = enrich.plan_derived(rules.extract(session), session, rules.operator, new_id, self._clock())
            yield from (item.cube for item in planned if item.cube is not None)

    def _answered(self, found: Answer) -> Answer:
        """Return an answer as the principal is shown it."""
        told = {number: self._guard.shown([cube])[0] for number, cube in found.citations.items()}
        return replace(found, text=self._guard.shown_text(found.text), citations=told)

    def _for_answers(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return believing.for_answers(hits) if self.settings.trust == "capped" else hits

    def _readable(self, filter: Filter | None, scope: Scope, as_of: datetime | None) -> Filter | None:
        """Return a search's filter without what is past, and forget what was kept in mind under another rule."""
        if (rule := self._guard.rule()) != self._rule:
            self._rule = rule
            self._known.clear()
            self._recaller.forget_spaces()
        return self._guard.fresh(filter, scope, as_of)

    def _note_cue(self, query: str, scope: Scope, found: Sequence[CubeId], filter: Filter | None) -> None:
        """Let a cue that was searched change the working memory of its scope."""

        def find(text: str, many: int) -> list[CubeId]:
            return [hit.id for hit in self._recaller.search(text, scope, top_k=many, filter=filter)]

        cue = self._recaller.cue(query, self._recaller.space(scope), scope)
        self._working.note(query, cue.entities, scope, found, find)

    def _vectors_of(self, hits: Sequence[Hit]) -> Vectors:
        rows = self.vault.store.rows_of((hit.id, hit.cube.version) for hit in hits)
        return self.vault.store.vectors(rows, self._info)

    def _version_before(self, cube: MemCube) -> MemCube | None:
        """Return the last version of a memory that said something else, if there is one."""
        if cube.version == 1:
            return None
        older = [v for v in self._guard.shown(self.vault.store.history(cube.id)) if v.version < cube.version]
        return next((v for v in reversed(older) if v.content != cube.content), None)
