"""Memory and time of a training run, foreseen from the shapes of the model: estimates, and said to be.

**Memory** is the sum of

- weights: parameters x bytes of their type. Weights that are trained themselves have their fp32 masters below, and
  here the copy in 16 bits that a pass computes with (none in fp32); a difference to the base's weights has such a copy
  beside the base;
- adapter: 20 bytes a trained parameter (fp32 weight, gradient, two AdamW moments, and on a CPU, where it shares the
  memory, the best weights so far), and the gradients that pass by, see `yibu.model.sizes.Trained`;
- activations: tokens of the largest pack x layers x `yibu.model.sizes.layer_bytes`. With ``recompute`` a layer keeps
  what came in, and one layer is whole;
- output layer: see `yibu.model.sizes.output_bytes`;
- libraries: what this process holds now.

**Disk** is the copy of an FP8 base in bf16, where it is still to be made; `KEEP` checkpoints and the one that is being
written, 16 bytes a trained parameter each (weights, two moments, the best weights); and the adapter, 4 bytes each.

**Time** is FLOPs over the speed of a matrix product of the run's own shape, measured here, times `efficiency`. A frozen
weight costs 4 FLOPs a token (forward 2, gradient of its input 2), one that is trained 6 (its own gradient 2 more), both
2 more where activations are computed again; the head counts only where there is a target. A sample of rows on which
experts are scored costs a forward pass.

Legend: T tokens, H hidden size, I feed-forward width.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from yibu.core import machine
from yibu.model.sizes import Sizes, Trained, layer_bytes, output_bytes
from yibu.train.checkpoint import KEEP

ADAPTER_BYTES = 20
CHECKPOINT_BYTES = 16
_MEASURE_SECONDS = 0.4


@dataclass(frozen=True)
class Memory:
    """Bytes, see the module's text; `available` is what the device can give."""

    weights: int
    adapter: int
    activations: int
    output_layer: int
    libraries: int
    available: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.output_layer + self.libraries


@dataclass(frozen=True)
class Disk:
    """Bytes of the store's disk, see the module's text; `available` is what is free there."""

    plain_base: int
    checkpoints: int
    adapter: int
    available: int

    @property
    def total(self) -> int:
        return self.plain_base + self.checkpoints + self.adapter


def foresee_disk(trained: int, plain_base: int, store: Path) -> Disk:
    """What a run writes at most at one time.

    Args:
        trained: parameters of the adapter.
        plain_base: bytes of a copy of the base that is still to be made.
        store: a folder on the store's disk.
    """
    return Disk(plain_base, (KEEP + 1) * CHECKPOINT_BYTES * trained, 4 * trained, machine.disk_bytes(store)[1])


def foresee_memory(
    sizes: Sizes,
    trained: Trained,
    tokens: int,
    targets: int,
    dtype: torch.dtype,
    device: torch.device,
    recompute: bool = False,
) -> Memory:
    """Peak memory of training.

    Args:
        tokens, targets: of the largest pack.
        dtype: of the frozen base.
        recompute: activations are computed again in the backward pass.
    """
    on_cpu = device.type == "cpu"
    width = dtype.itemsize
    one_layer = layer_bytes(sizes, trained.rank, dtype, on_cpu)
    kept = width * sizes.hidden * sizes.layers + one_layer if recompute else one_layer * sizes.layers
    copies = trained.whole
    if trained.masters:
        copies = 0 if dtype != torch.float32 else -trained.whole
    return Memory(
        weights=(sizes.parameters + copies) * width,
        adapter=(ADAPTER_BYTES if on_cpu else ADAPTER_BYTES - 4) * trained.parameters + 4 * trained.passing,
        activations=tokens * kept,
        output_layer=output_bytes(sizes, trained, targets, dtype),
        libraries=machine.resident_bytes() if on_cpu else 0,
        available=machine.memory_bytes()[1] if on_cpu else torch.cuda.mem_get_info(device)[0],
    )


def training_flops(
    sizes: Sizes, tokens: int, targets: int, recompute: bool = False, trained: Trained | None = None
) -> float:
    """FLOPs of forward and backward over frozen weights, and over those of `trained`."""
    flops = (6.0 if recompute else 4.0) * sizes.active * tokens + 4.0 * sizes.head * targets
    if trained is not None:
        beside = (8.0 if recompute else 6.0) * trained.used_beside
        flops += (beside + 2.0 * trained.used_whole) * tokens + (2.0 * sizes.head * targets if trained.head else 0.0)
    return flops


def forward_flops(sizes: Sizes, tokens: int, targets: int) -> float:
    """FLOPs of a forward pass."""
    return 2.0 * sizes.active * tokens + 2.0 * sizes.head * targets


def efficiency(dtype: torch.dtype) -> float:
    """Share of the matrix speed that a step reaches, as measured with SmolLM2-135M on two cores.

    The faster the products, the more of a step is everything else (norms, attention, memory).
    """
    return 0.6 if dtype == torch.float32 else 0.35


def matmul_rate(device: torch.device, dtype: torch.dtype, tokens: int, sizes: Sizes) -> float:
    """FLOPs a second of ``[T, H] x [H, I]`` on this device, the best of what fits into half a second."""
    left = torch.randn(tokens, sizes.hidden, device=device).to(dtype)
    right = torch.randn(sizes.hidden, max(1, sizes.feed_forward), device=device).to(dtype)
    flops = 2.0 * left.shape[0] * left.shape[1] * right.shape[1]
    repeats = max(1, int(2e9 / flops))  # a single small product would measure the clock
    best = 0.0
    end = time.perf_counter() + _MEASURE_SECONDS
    torch.mm(left, right)  # the first product sets up the library
    while time.perf_counter() < end or best == 0.0:
        began = _now(device)
        for _ in range(repeats):
            torch.mm(left, right)
        best = max(best, flops * repeats / (_now(device) - began))
    return best


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
