"""What ``novelty`` writes does not keep sleep from clearing away repetitions, or from bringing them back."""

from pathlib import Path

import pytest

from anamnos import Memory, Scope
from anamnos.cube import State

ANN = Scope(user="ann")
SAID = "The train to Lyon leaves from platform nine at quarter past"


@pytest.mark.parametrize("novelty", ["off", "link"])
def test_repetitions_leave_and_come_back_with_novelty_as_without(tmp_path: Path, novelty: str) -> None:
    with Memory(tmp_path / "vault", embedder="hashing", novelty=novelty) as memory:
        ids = [memory.add(SAID, ANN, source=source).ids[0] for source in "abcde"]
        memory.consolidate(ANN)
        states = [memory.get(cube_id, ANN).lifecycle.state for cube_id in ids]
        assert states.count(State.ARCHIVED) == 3
        for cube_id, state in zip(ids, states, strict=True):
            if state is not State.ARCHIVED:
                memory.delete(cube_id, ANN)
        memory.consolidate(ANN)
        kept = [cube.lifecycle.state for cube in memory.list(ANN)]
        assert kept
        assert State.ARCHIVED not in kept
