"""Topics and reflections in the words that they were found in."""

from __future__ import annotations

from anamnos.evolve.consolidate.base import Wording


class RuleWorder:
    """Leaves the draft as it is: phrases and quotations."""

    operator = "consolidate-rules/1"

    def word(self, draft: Wording) -> Wording:
        return draft
