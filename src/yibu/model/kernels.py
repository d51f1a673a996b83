"""The faster of torch's two libraries of matrix products on this processor, where it is as exact.

torch's wheels multiply fp32 matrices with MKL, which leaves half of an AMD processor's arithmetic unused; oneDNN, which
comes in the same wheel, does not (114 against 265 GFLOPS on one core of an EPYC). torch calls oneDNN for fp32 only if
it is allowed to round the factors to bf16, which oneDNN does where the processor has matrix tiles (AMX) and not
elsewhere. So it is tried: on this machine, once per process, for exactness and for speed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from yibu.core.log import get

log = get("kernels")

_WORSE = 4  # a sum of 1,024 products in another order may differ by this much more from the exact one; bf16: 100 times
_FASTER = 0.8  # share of MKL's time below which a change is worth it


@contextmanager
def fast_fp32() -> Iterator[bool]:
    """Inside, fp32 products on the CPU come from oneDNN if that is faster here and still fp32; says whether they do."""
    if not _onednn_is_better():
        yield False
        return
    switch = _switch()
    before = switch.fp32_precision
    switch.fp32_precision = "bf16"
    try:
        yield True
    finally:
        switch.fp32_precision = before


def _switch() -> Any:
    return getattr(torch.backends.mkldnn, "matmul", None)


@cache
def _onednn_is_better() -> bool:
    switch = _switch()
    library: Any = torch.backends.mkldnn
    if not library.is_available() or not hasattr(switch, "fp32_precision"):
        return False
    draw = torch.Generator().manual_seed(0)
    left, right = torch.randn(256, 1024, generator=draw), torch.randn(1024, 1024, generator=draw)
    exact = left.double() @ right.double()
    before = switch.fp32_precision
    try:
        switch.fp32_precision = "ieee"
        error, seconds = _tried(left, right, exact)
        switch.fp32_precision = "bf16"
        other_error, other_seconds = _tried(left, right, exact)
    finally:
        switch.fp32_precision = before
    better = other_error <= _WORSE * error and other_seconds <= _FASTER * seconds
    log.info("oneDNN against MKL: %.2f of the time, %.1f of the error", other_seconds / seconds, other_error / error)
    return better


def _tried(left: Tensor, right: Tensor, exact: Tensor) -> tuple[float, float]:
    """Largest error, and the shortest processor time of a few products."""
    error, times = float((left @ right - exact).abs().max()), []
    for _ in range(5):
        began = time.process_time()
        left @ right
        times.append(time.process_time() - began)
    return error, max(min(times), 1e-9)
