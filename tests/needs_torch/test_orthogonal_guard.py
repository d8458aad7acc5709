"""``OrthogonalGuard`` on layers of PyTorch: what earlier tasks need stays, and digits are not forgotten."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from anamnos.associative.arrays import digest  # noqa: E402
from anamnos.associative.orthogonal import OrthogonalGuard  # noqa: E402
from anamnos.errors import InvalidInput  # noqa: E402


def step(layer: Any, inputs: Any, optimiser: Any) -> None:
    optimiser.zero_grad()
    ((layer(inputs) - 1) ** 2).mean().backward()
    optimiser.step()


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_for_earlier_inputs_stay(bias: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(32, 8, bias=bias)
    guard, optimiser = OrthogonalGuard(layer), torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    basis = torch.linalg.qr(torch.randn(32, 6))[0].T
    with guard.task(6):
        for _ in range(200):
            step(layer, torch.randn(64, 6) @ basis, optimiser)
    span = torch.as_tensor(guard.subspace.old)
    earlier = torch.randn(20, 6) @ span
    before, optimiser = layer(earlier).detach(), torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    elsewhere = torch.randn(64, 32)
    other = layer(elsewhere).detach()
    with guard.task(6):
        for _ in range(200):
            step(layer, torch.randn(64, 32), optimiser)
    assert (layer(earlier) - before).abs().max() < 1e-5
    assert (layer(elsewhere) - other).abs().max() > 0.1
    guard.remove()
    layer(earlier).sum().backward()
    optimiser.step()
    assert (layer(earlier) - before).abs().max() > 0.01


def test_a_convolution_keeps_what_it_makes_of_earlier_patches() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 5, 3, padding=1, stride=2)
    guard, optimiser = OrthogonalGuard(layer), torch.optim.SGD(layer.parameters(), lr=0.05)
    colours = torch.randn(2, 3)

    def images(count: int) -> Any:  # mixtures of two even images: few patches
        return (torch.randn(count, 2) @ colours)[:, :, None, None].expand(count, 3, 8, 8)

    with guard.task(10):
        for _ in range(300):
            step(layer, images(32), optimiser)
    earlier = images(10)
    before = layer(earlier).detach()
    with guard.task(5):
        for _ in range(100):
            step(layer, torch.randn(32, 3, 8, 8), optimiser)
    change = (layer(earlier) - before).norm() / before.norm()
    assert change < 0.02


def test_the_state_of_a_guard_is_of_a_layer_with_the_same_inputs() -> None:
    layer = torch.nn.Linear(16, 4)
    guard = OrthogonalGuard(layer, seed=2)
    with guard.task(4):
        layer(torch.randn(32, 16))
    again = OrthogonalGuard.from_state(torch.nn.Linear(16, 9), guard.state_dict())
    assert digest(again.state_dict()) == digest(guard.state_dict())
    with pytest.raises(InvalidInput, match="16 inputs"):
        OrthogonalGuard.from_state(torch.nn.Linear(17, 4), guard.state_dict())
    with pytest.raises(InvalidInput, match="layer must be"):
        OrthogonalGuard(torch.nn.ReLU())


def test_permuted_digits_are_forgotten_less() -> None:
    """The 64 inputs have room for two tasks of 30 directions each."""
    from sklearn.datasets import load_digits

    from anamnos.bench.associative.permuted_digits import forgetting

    images, labels = load_digits(return_X_y=True)
    made = {"train": 1_200, "tasks": 2, "directions": (28, 40), "epochs": 10, "seed": 0}
    plain = forgetting(images / 16, labels, guard="none", **made)
    guarded = forgetting(images / 16, labels, guard="hebbian", **made)
    assert plain.mean_forgetting > 0.15
    assert guarded.mean_forgetting < 0.03
    assert min(guarded.at_once) > 0.85
