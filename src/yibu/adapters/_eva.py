"""EVA's start of LoRA (Paischer et al. 2024, arXiv 2410.07170): A spans what a layer really gets to see.

The rows of A are the right singular vectors of the layer's inputs over a sample of train rows, so that the update acts
where the inputs vary; B is zero, so nothing changes yet. peft collects all inputs and fits an incremental PCA to them;
here the vectors are found by subspace iteration (Halko et al. 2011, arXiv 0909.4061), which keeps ``I x (R + 8)``
numbers a layer whatever the sample, and runs in the packed loop. Ranks are not moved between layers (rho = 1), so the
plan stays what was printed; inputs are not centred, since what A multiplies is not.

Legend: N tokens, I input features, R rank, Q = R + 8 directions that are followed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from yibu.core.errors import TrainingError

OVERSAMPLE = 8
PASSES = 3


class _Sketch:
    """What one layer gathers: ``C @ Q`` with ``C`` the second moments of its inputs, never held whole."""

    def __init__(self, layer: nn.Module, generator: torch.Generator) -> None:
        base: Any = layer
        self.rank = int(base.lora_A["default"].weight.shape[0])
        self.features = int(base.lora_A["default"].weight.shape[1])
        self.device = base.lora_A["default"].weight.device
        followed = min(self.features, self.rank + OVERSAMPLE)
        start_IQ = torch.randn(self.features, followed, generator=generator)
        self.basis_IQ = torch.linalg.qr(start_IQ).Q.to(self.device)
        self.sum_IQ = torch.zeros_like(self.basis_IQ)

    def see(self, inputs: Tensor) -> None:
        x_NI = inputs.detach().reshape(-1, self.features).float()
        self.sum_IQ += x_NI.T @ (x_NI @ self.basis_IQ)

    def turn(self) -> None:
        self.basis_IQ = torch.linalg.qr(self.sum_IQ).Q
        self.sum_IQ = torch.zeros_like(self.basis_IQ)

    def directions(self) -> Tensor:
        """``[R, I]``: main directions, the strongest first; the sign is fixed, for the same bits anywhere."""
        moments_QQ = self.basis_IQ.T @ self.sum_IQ
        values, vectors_QQ = torch.linalg.eigh((moments_QQ + moments_QQ.T) / 2)
        order = values.argsort(descending=True)[: self.rank]
        found_RI = (self.basis_IQ @ vectors_QQ[:, order]).T
        largest = found_RI.gather(1, found_RI.abs().argmax(dim=1, keepdim=True))
        signed_RI: Tensor = found_RI * largest.sign()
        return signed_RI


@torch.no_grad()
def set_main_directions(model: Any, run_sample: Callable[[], None]) -> None:
    """Set A of every LoRA layer to the main directions of its inputs.

    Args:
        model: a peft model whose B is zero.
        run_sample: as in `yibu.adapters.lora.initialise`.

    Raises:
        TrainingError: a layer saw no input, or no number.
    """
    from peft.tuners.lora import Linear

    generator = torch.Generator().manual_seed(0)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
    sketches = {name: _Sketch(layer, generator) for name, layer in layers.items()}

    def listener(sketch: _Sketch) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, inputs: sketch.see(inputs[0])

    hooks = [layers[name].register_forward_pre_hook(listener(sketch)) for name, sketch in sketches.items()]
    training = model.training
    model.eval()
    try:
        for turn in range(PASSES):
            run_sample()
            if turn < PASSES - 1:
                for sketch in sketches.values():
                    sketch.turn()
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    for name, sketch in sketches.items():
        if not torch.isfinite(sketch.sum_IQ).all() or not sketch.sum_IQ.any():
            raise TrainingError("adapter.init: eva found no inputs that it could begin with.", got=name)
        layer: Any = layers[name]
        layer.lora_A["default"].weight.copy_(sketch.directions())
