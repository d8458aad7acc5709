"""Pipelines: a declared chain of verbs, run stage by stage, stored, and run again on what it ran on.

>>> Pipeline(
...     (
...         Step("search", {"query": "question", "scope": "scope"}, "found"),
...         Step("archive", {"ids": "found", "scope": "scope"}, "done", on_error="compensate"),
...     )
... ).names
('question', 'scope')

Each stage is a verb of ``Memory``. One that fails has done nothing, but for verbs that write batch by batch and keep
whole batches (``ingest``, ``enrich``, ``resolve``, ``consolidate``, ``expire``). What the stages before it did is
undone, in reverse order, if the failing step says so. A stored run holds ids and versions of memories and hashes of
everything else, never words: those are given again when it is replayed.
Source: MemPipeline of MemOS, arXiv:2507.03724 section 5.1.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from anamnos.cube import CubeId, MemCube, Scope, check_id, check_name, to_iso, utc_now
from anamnos.errors import AnamnosError, Conflict, InvalidInput, NotFound
from anamnos.store.base import Store
from anamnos.types import Hit, Receipt

OnError = Literal["abort", "skip", "compensate"]
_ON_ERROR = ("abort", "skip", "compensate")
_PREFIX = "pipeline-run:"
_NOT_STAGES = {"close", "export", "backup", "rebuild_index", "reembed"}  # about the vault, not about memories
_READS = frozenset(
    (
        *("search", "working", "explain", "answer_context", "ask"),
        *("get", "list", "history", "stats", "retention", "advise", "verify"),
    )
)
_UNDO_BY = {"freeze": "unfreeze", "unfreeze": "freeze"}
_LASTING = {"used", "share", "unshare", "enrich"}  # they do more than their receipt says


class Verbs(Protocol):
    """A memory, as far as pipelines know it."""

    @property
    def vault(self) -> Any:
        """The open vault."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stage.

    op         a verb of ``Memory``
    input      argument of the verb -> name of the value that it gets: an input of the pipeline, or an earlier output
    output     the name that the result gets; "" if nobody wants it
    on_error   what to do if it fails: ``abort`` leaves what was done before, ``skip`` goes on without it,
               ``compensate`` undoes what was done before
    arguments  further arguments, as they are
    """

    op: str
    input: Mapping[str, str] = field(default_factory=dict)
    output: str = ""
    on_error: OnError = "abort"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.op.startswith("_") or self.op in _NOT_STAGES:
            raise InvalidInput(f"{self.op!r} cannot be a stage of a pipeline.", hint="Use a verb of Memory.")
        if self.on_error not in _ON_ERROR:
            raise InvalidInput(f"on_error must be one of {', '.join(_ON_ERROR)}, got {self.on_error!r}.")
        if both := set(self.input) & set(self.arguments):
            raise InvalidInput(f"The step {self.op} has {min(both)!r} twice.")


@dataclass(frozen=True, slots=True)
class Stage:
    """What became of a step. ``done``, ``skipped`` or ``failed``; ``undone`` or ``kept`` if a later one failed and what
    it had done could be, or could not be, undone; ``not run`` behind a failed one."""

    op: str
    outcome: Literal["done", "skipped", "failed", "undone", "kept", "not run"]
    memories: tuple[tuple[CubeId, int], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a pipeline.

    pipeline  hash of its steps
    inputs    name -> the memories (ids and versions) that it was, or the hash of any other value
    stages    what became of each step, in order
    outputs   name -> value; empty in a run that was read from the store
    replays   the run that this one repeats
    """

    id: str
    pipeline: str
    at: str
    inputs: Mapping[str, Any]
    stages: tuple[Stage, ...]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    replays: str | None = None

    @property
    def outcome(self) -> Literal["done", "failed"]:
        return "failed" if any(stage.outcome == "failed" for stage in self.stages) else "done"

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored of it."""
        return {
            "pipeline": self.pipeline,
            "at": self.at,
            "inputs": dict(self.inputs),
            "stages": [[s.op, s.outcome, [list(m) for m in s.memories], s.error] for s in self.stages],
            "replays": self.replays,
        }


@dataclass(frozen=True)
class Pipeline:
    """Verbs in a row. Raises: InvalidInput if an output has the name of something that is there already."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not self.steps:
            raise InvalidInput("The pipeline has no steps.")
        taken: set[str] = set()
        for step in self.steps:
            taken |= {*step.input.values()}
            if step.output and check_name("output", step.output) in taken:
                raise InvalidInput(f"The step {step.op} gives {step.output!r}, which is there already.")
            taken.add(step.output)

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that a run needs."""
        outputs = {step.output for step in self.steps}
        return tuple(dict.fromkeys(name for s in self.steps for name in s.input.values() if name not in outputs))

    @property
    def hash(self) -> str:
        """What tells it from other pipelines."""
        steps = [[s.op, dict(s.input), s.output, s.on_error, _hash(dict(s.arguments))] for s in self.steps]
        return _hash(steps)

    def run(
        self, memory: Verbs, inputs: Mapping[str, Any], *, now: datetime | None = None, replays: str | None = None
    ) -> Run:
        """Run the steps, store the run, and return it with its outputs.

        inputs  name -> value. A memory, or several, may be given as cubes, hits, or the receipt of a write; a verb that
                wants ids gets theirs
        now     when it ran, as it is stored; the present by default
        A step that fails with an error of Anamnos ends the run, or is skipped; ``outcome`` says so, nothing is raised.
        Any other error is raised, after the run was stored.
        Raises: InvalidInput if an input is missing or too much, or a verb does not exist or has no such argument.
        """
        if wrong := sorted(set(inputs) ^ set(self.names)):
            raise InvalidInput(f"The pipeline needs the inputs {', '.join(self.names)}; see {', '.join(wrong)}.")
        for step in self.steps:
            _check_arguments(memory, step)
        values = dict(inputs)
        known = {name: _remembered(value, memory.vault.store) for name, value in inputs.items()}
        stages: list[Stage] = []
        undo: list[Callable[[], Any] | None] = []
        try:
            for step in self.steps:
                if any(name not in values for name in step.input.values()):  # from a step that was skipped
                    stages.append(Stage(step.op, "skipped"))
                    undo.append(None)
                    continue
                arguments = {to: _fitting(to, values[name]) for to, name in step.input.items()} | dict(step.arguments)
                try:
                    result = getattr(memory, step.op)(**arguments)
                except AnamnosError as exc:
                    if step.on_error == "skip":
                        stages.append(Stage(step.op, "skipped", error=exc.code))
                        undo.append(None)
                        continue
                    if step.on_error == "compensate":
                        stages = _undone(stages, undo)
                    stages.append(Stage(step.op, "failed", error=exc.code))
                    break
                except BaseException:
                    stages.append(Stage(step.op, "failed", error="internal"))
                    raise
                stages.append(Stage(step.op, "done", tuple(_versions(result, memory.vault.store))))
                undo.append(_undo(memory, stages[-1], arguments, result))
                if step.output:
                    values[step.output] = result
        finally:
            stages += [Stage(step.op, "not run") for step in self.steps[len(stages) :]]
            outputs = {name: value for name, value in values.items() if name not in inputs}
            run = Run(
                uuid.uuid4().hex, self.hash, str(to_iso(now or utc_now())), known, tuple(stages), outputs, replays
            )
            memory.vault.store.set_setting(_PREFIX + run.id, json.dumps(run.to_dict()))
        return run

    def replay(self, memory: Verbs, run_id: str, given: Mapping[str, Any], *, now: datetime | None = None) -> Run:
        """Run the steps again on what a stored run ran on, and return the new run.

        given  the inputs that were not memories, again; memories are read in the versions that they had
        Raises: NotFound if there is no such run, or a memory of it was deleted since; Conflict if it was a run of
        another pipeline, or if another value is given.
        """
        old = stored_run(memory.vault.store, run_id)
        if old.pipeline != self.hash:
            raise Conflict(f"The run {run_id} was one of another pipeline.", hint="Give the pipeline as it was.")
        inputs: dict[str, Any] = dict(given)
        for name, value in old.inputs.items():
            if isinstance(value, str):
                if name in given and _hash(_plain(given[name])) != value:
                    raise Conflict(f"The run {run_id} had another {name!r}.")
                continue
            cubes = [_version_of(memory.vault.store, check_id("id", i), version) for i, version in value]
            inputs[name] = cubes
        return self.run(memory, inputs, now=now, replays=run_id)


def stored_run(store: Store, run_id: str) -> Run:
    """Return a run that was stored. Raises: NotFound."""
    value = store.setting(_PREFIX + run_id)
    if value is None:
        raise NotFound(f"There is no run {run_id!r} of a pipeline.")
    return _run(run_id, value)


def stored_runs(store: Store) -> list[Run]:
    """Return all stored runs, oldest first."""
    runs = [_run(name.removeprefix(_PREFIX), value) for name, value in store.settings(_PREFIX).items()]
    return sorted(runs, key=lambda run: (run.at, run.id))


def _run(run_id: str, value: str) -> Run:
    parts = json.loads(value)
    stages = tuple(
        Stage(op, outcome, tuple((i, v) for i, v in ids), error) for op, outcome, ids, error in parts["stages"]
    )
    return Run(run_id, parts["pipeline"], parts["at"], parts["inputs"], stages, replays=parts["replays"])


# --- undoing


def _undo(memory: Verbs, stage: Stage, arguments: Mapping[str, Any], result: Any) -> Callable[[], Any] | None:
    """Return what takes back what a stage did; None if nothing can."""
    if stage.op in _READS:
        return _nothing
    if stage.op in _LASTING or not isinstance(result, Receipt) or result.count("deleted"):
        return None
    verbs: Any = memory
    scope = arguments.get("scope")
    done = list(zip(result.ids, result.outcomes, strict=True))
    added = list(dict.fromkeys(i for i, outcome in done if outcome == "added"))
    changed = Counter(i for i, outcome in done if outcome == "updated" and i not in added)  # once per new version
    if not added and not changed:
        return _nothing
    if not isinstance(scope, Scope):
        return None
    if stage.op in _UNDO_BY:
        return lambda: getattr(verbs, _UNDO_BY[stage.op])(list(changed), scope)
    before = {i: version - changed[i] for i, version in stage.memories if i in changed}

    def back() -> None:
        for cube_id, version in before.items():
            verbs.rollback(scope, id=cube_id, version=version)
        if added:
            verbs.delete(added, scope)

    return back


def _nothing() -> None:
    return None


def _undone(stages: Sequence[Stage], undo: Sequence[Callable[[], Any] | None]) -> list[Stage]:
    """Undo stages, the last one first, and return what became of them."""
    out = list(stages)
    for number in reversed(range(len(stages))):
        stage, take_back = stages[number], undo[number]
        if stage.outcome != "done":
            continue
        outcome: Literal["undone", "kept"] = "kept"
        error = "" if take_back is not None else "irreversible"
        if take_back is not None:
            try:
                take_back()
                outcome = "undone"
            except AnamnosError as exc:  # somebody has changed it since, or holds it
                error = exc.code
        out[number] = Stage(stage.op, outcome, stage.memories, error)
    return out


# --- values


def _check_arguments(memory: Verbs, step: Step) -> None:
    verb = getattr(type(memory), step.op, None)
    if not inspect.isfunction(verb):
        raise InvalidInput(f"Memory has no verb {step.op!r}.")
    known = inspect.signature(verb).parameters
    if strange := sorted({*step.input, *step.arguments} - set(known)):
        raise InvalidInput(f"{step.op} has no argument {strange[0]!r}.", hint=f"It has: {', '.join(list(known)[1:])}.")


def _fitting(parameter: str, value: Any) -> Any:
    """Return a value as the verb wants it: memories become ids where ids are wanted, or their words."""
    cubes = _cubes(value)
    ids = list(value.ids) if isinstance(value, Receipt) else [cube.id for cube in cubes]
    if parameter == "ids" and (ids or isinstance(value, Receipt)):
        return ids
    if parameter in ("cube_id", "id") and len(ids) == 1:
        return ids[0]
    if parameter in ("content", "query", "question") and len(cubes) == 1:
        return cubes[0].text
    return value


def _cubes(value: Any) -> list[MemCube]:
    if isinstance(value, MemCube | Hit):
        value = [value]
    if not isinstance(value, list | tuple):
        return []
    found = [one.cube if isinstance(one, Hit) else one for one in value]
    return found if all(isinstance(one, MemCube) for one in found) else []


def _versions(value: Any, store: Store) -> Iterable[tuple[CubeId, int]]:
    """Return the ids and versions of the memories that a value stands for."""
    if isinstance(value, Receipt):
        current = (store.get(cube_id) for cube_id in dict.fromkeys(value.ids))
        return [(cube.id, cube.version) for cube in current if cube is not None]
    return [(cube.id, cube.version) for cube in _cubes(value)]


def _remembered(value: Any, store: Store) -> Any:
    """Return what is stored of an input: ids and versions, or a hash."""
    if versions := list(_versions(value, store)):
        return [list(pair) for pair in versions]
    return _hash(_plain(value))


def _version_of(store: Store, cube_id: CubeId, version: int) -> MemCube:
    cube = store.get(cube_id, version)
    if cube is None:
        raise NotFound(f"Memory {cube_id} version {version}, which the run ran on, is not there any more.")
    return cube


def _plain(value: Any) -> Any:
    """Return a value as JSON, to be hashed."""
    if isinstance(value, Scope):
        return {"tenant": value.tenant, **value.to_dict()}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float | bool) else repr(value)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True).encode()).hexdigest()


__all__ = ["Pipeline", "Run", "Stage", "Step", "stored_run", "stored_runs"]
