"""Engines for bulk work: where the costly pure part of a verb is done, while the verb itself reads, checks and writes.

``Local``   one piece after the other, in this process
``Ray``     pieces at the same time in worker processes, here or on the machines of a Ray cluster

A verb hands ``map`` its pieces lazily and takes the results in the same order, so that with either engine it writes the
same, batch by batch, and a stop anywhere leaves what a stop of the local engine leaves. See docs/engines/ray.md.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Any, Protocol, Self, TypeVar

from anamnos.errors import AnamnosError, ConfigError, InvalidInput, MissingExtra, ProviderError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

ENGINES = ("local", "ray")
RETRIES = 3  # of a piece whose worker died; one that kills its workers must not do so for ever
REACH_S = 10.0  # how long the machine of a cluster may take to answer
STORE_BYTES = 200 * 2**20  # shared memory of Ray on one machine; two pieces per worker lie in it


class Engine(Protocol):
    """Does pieces of work. To be entered before, and left after."""

    def __enter__(self) -> Self:
        """Start what it needs."""

    def __exit__(self, *exc: object) -> None:
        """Stop what it started."""

    def map(
        self, work: Callable[[T], R], items: Iterable[T], *, ahead: int = 1, here: bool = False
    ) -> Iterator[R | AnamnosError]:
        """Yield what ``work`` makes of each item, in the order of the items, or the AnamnosError that it raised there.

        work   called in another process, it is a pickled copy
        items  read as far ahead as the engine works; what reading them raises comes behind the results before it
        ahead  pieces that wait for a worker that is busy
        here   the work needs this machine
        """


def result(made: R | AnamnosError) -> R:
    """Return what ``map`` yielded for an item. Raises: the error, if it was one."""
    if isinstance(made, AnamnosError):
        raise made
    return made


def each(
    engine: Engine,
    work: Callable[[T], R],
    items: Iterable[S],
    asked: Callable[[S], T],
    *,
    ahead: int = 1,
    here: bool = False,
) -> Iterator[tuple[S, R | AnamnosError]]:
    """Yield each item with what ``engine`` makes of what ``asked`` takes from it, as ``Engine.map`` does."""
    first, again = tee(items)
    made = engine.map(work, map(asked, first), ahead=ahead, here=here)
    return ((item, found) for found, item in zip(made, again, strict=False))  # ``made`` is read first: it may raise


def resolve_engine(name: str, *, workers: int | None = None, address: str | None = None) -> Engine:
    """Return the engine of this name. Raises: InvalidInput, also if workers or an address are given to ``local``."""
    if name not in ENGINES:
        raise InvalidInput(f"There is no engine {name!r}.", hint=f"Use: {', '.join(ENGINES)}.")
    if name == "ray":
        return Ray(workers=workers, address=address)
    if workers is not None or address is not None:
        raise InvalidInput("Workers and the address of a cluster are for the engine ray.", hint="Add --engine ray.")
    return Local()


class Local:
    """Does one piece after the other, each when its result is asked for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def map(
        self, work: Callable[[T], R], items: Iterable[T], *, ahead: int = 1, here: bool = False
    ) -> Iterator[R | AnamnosError]:
        """Yield what ``work`` makes of each item, or the AnamnosError that it raised."""
        for item in items:
            try:
                made: R | AnamnosError = work(item)
            except AnamnosError as exc:
                made = exc
            yield made


class Ray:
    """Does pieces in the worker processes of Ray, each of which keeps its copy of the work.

    workers  at most so many, one processor each; None: as many as there are processors
    address  of a running cluster, ``10.0.0.5:6379``, ``ray://…`` or ``auto``; None: Ray is started on this machine for
             as long as this engine is open, reachable from nowhere else. If the program has connected to Ray already,
             that is used, and left as it is
    A worker that dies is replaced and its piece done again.
    """

    def __init__(self, *, workers: int | None = None, address: str | None = None) -> None:
        if workers is not None and workers < 1:
            raise InvalidInput(f"workers must be at least 1, got {workers!r}.")
        self._wanted = workers
        self._address = address
        self._started = False

    def __enter__(self) -> Self:
        """Start or join Ray. Raises: MissingExtra; ConfigError if the cluster cannot be joined or is too small."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is told to anybody
        os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = ".*"  # or it would say on standard output that a worker died
        if self._address is None:  # else the cluster's own ways hold
            # read when Ray is imported: on any system, listen on loopback only
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # keeps out other users of this machine
        elif self._address != "auto":
            _check_reachable(self._address)
        try:
            import ray
        except ImportError as exc:
            raise MissingExtra("The engine ray", "ray") from exc
        self._ray: Any = ray
        if not self._ray.is_initialized():
            self._start()
            self._started = True
        there = int(self._ray.cluster_resources().get("CPU", 0))
        if there < (self._wanted or 1):
            self.__exit__()
            raise ConfigError(
                f"{self._wanted or 1} workers are wanted; Ray has {there} processors.",
                hint="Ask for fewer, or join a cluster that has more.",
            )
        self.workers = self._wanted or there
        return self

    def __exit__(self, *exc: object) -> None:
        if self._started:
            self._ray.shutdown()
            self._started = False

    def _start(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._address is not None:
            try:
                self._ray.init(address=self._address, **quiet)
            except Exception as exc:  # Ray's errors of connecting have no common base
                raise _no_cluster(self._address, exc) from exc
            return
        try:
            self._ray.init(
                address="local",  # whatever cluster RAY_ADDRESS names
                num_cpus=self._wanted,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                **quiet,
            )
        except Exception as exc:
            raise ConfigError(f"Ray cannot be started: {exc}", hint="Leave out --engine ray, or see /tmp/ray.") from exc

    def map(
        self, work: Callable[[T], R], items: Iterable[T], *, ahead: int = 1, here: bool = False
    ) -> Iterator[R | AnamnosError]:
        """Yield what ``work`` makes of each item, in the order of the items, or the AnamnosError that it raised there.

        Raises: ConfigError if the work cannot be sent; ProviderError if its workers died again and again.
        """
        coming, failed = iter(items), None
        sent: dict[Any, list[Any]] = {}  # worker -> its pieces, of which some may be done
        waiting: deque[Any] = deque()  # all pieces, in the order of the items
        try:
            more = True
            while more or waiting:
                while more and len(waiting) < (1 + ahead) * self.workers:
                    try:
                        item = next(coming)
                    except StopIteration:
                        more = False
                    except Exception as exc:  # what came before it is still to be handed out
                        more, failed = False, exc
                    else:
                        if len(sent) < self.workers:
                            sent[self._hired(work, here)] = []
                        worker = self._least_busy(sent)
                        sent[worker].append(worker.do.remote(item))
                        waiting.append(sent[worker][-1])
                if waiting:
                    yield self._got(waiting.popleft())
            if failed is not None:
                raise failed
        finally:
            for worker in sent if self._ray.is_initialized() else ():
                self._ray.kill(worker)

    def _hired(self, work: Callable[[T], R], here: bool) -> Any:
        """Return a new worker that has a copy of the work."""
        options: dict[str, Any] = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": RETRIES}
        if here:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            node = self._ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        try:
            return self._ray.remote(_Worker).options(**options).remote(work, _version())
        except TypeError as exc:  # what Ray says of what cannot be pickled
            raise ConfigError(
                f"The work cannot be sent to other processes: {exc}",
                hint="Name the embedder instead of giving an object, or use the engine local.",
            ) from exc

    def _least_busy(self, sent: dict[Any, list[Any]]) -> Any:
        for worker, pieces in sent.items():
            if pieces:
                sent[worker] = self._ray.wait(pieces, num_returns=len(pieces), timeout=0, fetch_local=False)[1]
        return min(sent, key=lambda worker: len(sent[worker]))

    def _got(self, piece: Any) -> Any:
        from ray.exceptions import ObjectLostError, RayActorError

        try:
            made = self._ray.get(piece)
        except (RayActorError, ObjectLostError) as exc:
            raise ProviderError(
                f"The workers of Ray died over the same piece of work {1 + RETRIES} times, or were lost with it.",
                hint="They may lack memory: try fewer workers or a smaller batch_size. Run it again to go on.",
                retryable=True,
            ) from exc
        return made.error() if isinstance(made, _Failed) else made


def _check_reachable(address: str) -> None:
    """Raise ConfigError if nobody answers there: Ray would try for a quarter of an hour."""
    import socket

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, ValueError) as exc:
        raise _no_cluster(address, exc) from exc


def _no_cluster(address: str, exc: Exception) -> ConfigError:
    return ConfigError(
        f"The Ray cluster at {address} cannot be joined: {exc}",
        hint="Check the address (HOST:PORT), and that this machine has the same versions of Python and Ray.",
    )


def _version() -> str:
    from importlib.metadata import version  # takes a while to import

    return version("anamnos")


@dataclass(frozen=True)
class _Failed:
    """An error of ours on its way from a worker: its parts, as not every kind can be pickled."""

    kind: type[AnamnosError]
    arguments: tuple[Any, ...]
    state: dict[str, Any]

    def error(self) -> AnamnosError:
        made = self.kind.__new__(self.kind, *self.arguments)
        made.__dict__.update(self.state)
        return made


class _Worker:
    """What runs in a worker's process."""

    def __init__(self, work: Callable[[Any], Any], wanted: str) -> None:
        self._work = work
        self._wanted = wanted

    def do(self, item: Any) -> Any:
        try:
            if (here := _version()) != self._wanted:
                raise ConfigError(
                    f"A worker of Ray has Anamnos {here}; this program has {self._wanted}.",
                    hint="Install the same version on all machines of the cluster.",
                )
            return self._work(item)
        except AnamnosError as exc:
            return _Failed(type(exc), exc.args, dict(vars(exc)))
