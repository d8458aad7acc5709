"""Forgetting: rules of how a memory fades, one file each. Nothing here deletes anything."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from anamnos.errors import ConfigError
from anamnos.evolve.forget.base import ARCHIVE_BELOW, EXPIRE_BELOW, Decay, Grade, is_protected
from anamnos.evolve.forget.ebbinghaus_adaptive import EbbinghausAdaptive
from anamnos.evolve.forget.fsrs import Fsrs
from anamnos.evolve.forget.memorybank import MemoryBank
from anamnos.evolve.forget.none import NoDecay
from anamnos.evolve.forget.power_law import PowerLaw
from anamnos.evolve.forget.reinforcement import Reinforcement

_RULES: tuple[Decay, ...] = (NoDecay(), MemoryBank(), PowerLaw(), Fsrs(), EbbinghausAdaptive(), Reinforcement())
DECAYS: Mapping[str, Decay] = MappingProxyType({rule.name: rule for rule in _RULES})
DEFAULT_DECAY = "fsrs"


def resolve_decay(decay: str | Decay) -> Decay:
    """Return the rule of a name, or the rule given. Raises: ConfigError for an unknown name."""
    if not isinstance(decay, str):
        return decay
    if decay not in DECAYS:
        raise ConfigError(f"There is no rule of forgetting {decay!r}.", hint=f"Use: {', '.join(DECAYS)}.")
    return DECAYS[decay]


__all__ = [
    "ARCHIVE_BELOW",
    "DECAYS",
    "DEFAULT_DECAY",
    "EXPIRE_BELOW",
    "Decay",
    "Grade",
    "is_protected",
    "resolve_decay",
]
