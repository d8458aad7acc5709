"""Memories that are addressed by what is in them: sparse, superposed, Hebbian. One file or folder per system.

``create("hopfield", dim=384)`` makes one; ``payload.to_payload`` and ``from_payload`` store and restore it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from anamnos.associative.base import AssociativeMemory, Spec
from anamnos.associative.checks import check_choice

SYSTEMS = {
    # name: module, class, spec
    "sparsey": ("sparsey.mac", "SparseyMac", "SparseySpec"),
    "sparsey-belief": ("sparsey.belief", "BeliefMemory", "BeliefSpec"),
    "sdr-filter": ("sdr", "SdrFilter", "SdrFilterSpec"),
    "sdm": ("kanerva", "KanervaMemory", "KanervaSpec"),
    "feature-memory": ("feature_memory", "FeatureMemory", "FeatureMemorySpec"),
    "key-value-bottleneck": ("key_value_bottleneck", "KeyValueBottleneck", "KeyValueSpec"),
    "sparsey-sequence": ("sparsey.sequence", "SequenceMemory", "SequenceSpec"),
    "ca3": ("spiking", "CA3Memory", "CA3Spec"),
    "hopfield": ("hopfield", "HopfieldSlots", "HopfieldSpec"),
    "dense-hebbian": ("hebbian.dense", "DenseHebbian", "DenseHebbianSpec"),
    "multitasking": ("hebbian.multitask", "MultitaskMemory", "MultitaskSpec"),
}


def memory_class(system: str) -> tuple[Any, type[Spec]]:
    """Return the class of a system and that of its spec. Raises: InvalidInput if there is no such system."""
    check_choice("system", system, list(SYSTEMS))
    module, memory, spec = SYSTEMS[system]
    found = import_module(f"anamnos.associative.{module}")
    return getattr(found, memory), getattr(found, spec)


def create(system: str, **settings: Any) -> AssociativeMemory:
    """Return a new, empty memory. Raises: InvalidInput naming the setting that cannot be."""
    memory, spec = memory_class(system)
    made: AssociativeMemory = memory(spec(**settings))
    return made
