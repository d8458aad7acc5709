"""Values of the library that have no JSON form of their own, as JSON data."""

from __future__ import annotations

from typing import Any

from anamnos.recall.calibrate import Calibration
from anamnos.recall.search import Explanation
from anamnos.system.governance.access import Principal
from anamnos.system.governance.retention import Rule


def explanation(found: Explanation) -> dict[str, Any]:
    """Return how a search came to its result."""
    cue = found.cue
    return {
        "cue": {
            "intent": str(cue.intent),
            "words": list(cue.words.values()),
            "speakers": list(cue.speakers),
            "entities": list(cue.entities),
            "quoted": list(cue.quoted),
            "embedded_as": cue.dense_text,
            "asks_when": cue.asks_when,
            "wants_list": cue.wants_list,
            "assistant_ref": cue.assistant_ref,
            "windows": [{"start": span.start.isoformat(), "end": span.end.isoformat()} for span in cue.windows],
        },
        "recipe": {
            "name": found.recipe.name,
            "weights": {part.channel.name: part.weight for part in (*found.recipe.channels, *found.recipe.late)},
        },
        "hits": [hit.to_dict() for hit in found.hits],
        "confidence": found.hits.confidence,
    }


def calibration(found: Calibration) -> dict[str, Any]:
    """Return what a fit of the weights found."""
    return {name.replace("recall@10", "recall_at_10"): value for name, value in found.to_dict().items()}


def principal(who: Principal) -> dict[str, Any]:
    """Return what a principal may do."""
    return {"name": who.name, **who.to_record()}


def rule(each: Rule) -> dict[str, Any]:
    """Return a rule of retention."""
    return {"name": each.name, **each.to_record()}
