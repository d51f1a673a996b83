"""One matrix in few bits: to the nearest step, or by GPTQ, which lets later weights make up for earlier ones.

Legend: R rows (outputs), C columns (inputs), N groups of a row, G weights of a group.
"""

from __future__ import annotations

from typing import Any

_SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)  # of a group's largest weight: what a scale may give up to be finer
_DAMP = 0.01  # of the mean of the Hessian's diagonal, as in the paper's code
_FEW = 0.1  # of that mean where there are as many tokens as columns; falls with their square
_BLOCK = 128  # columns whose errors are held back and passed on together


def scales_of(weight_RC: Any, num_bits: int, group: int) -> Any:
    """The step of each group ``[R, N]`` in values of bf16: of several, the one whose rounding loses least."""
    import torch

    rows, columns = weight_RC.shape
    weight_RNG = weight_RC.reshape(rows, columns // group, group)
    top = 2 ** (num_bits - 1) - 1
    largest_RN = weight_RNG.abs().amax(-1).clamp_min(1e-8)
    best_RN, least_RN = largest_RN / top, torch.full_like(largest_RN, float("inf"))
    for share in _SHRINK if num_bits <= 4 else _SHRINK[:1]:
        step_RN = (largest_RN * share / top).to(torch.bfloat16).float()
        rounded = (weight_RNG / step_RN[..., None]).round().clamp(-top - 1, top) * step_RN[..., None]
        lost_RN = (rounded - weight_RNG).square().sum(-1)
        better = lost_RN < least_RN
        best_RN, least_RN = torch.where(better, step_RN, best_RN), torch.where(better, lost_RN, least_RN)
    return best_RN


def nearest(weight_RC: Any, num_bits: int, group: int) -> tuple[Any, Any]:
    """Rounded weights ``[R, C]`` and their steps ``[R, N]``."""
    scale_RN = scales_of(weight_RC, num_bits, group)
    return _rounded(weight_RC, scale_RN.repeat_interleave(group, dim=1), num_bits), scale_RN


def gptq(
    weight_RC: Any, hessian_CC: Any, num_bits: int, group: int, act_order: bool, num_tokens: int
) -> tuple[Any, Any]:
    """Weights rounded column by column, each error passed on to the columns that come later.

    Frantar et al. 2022 (arXiv 2210.17323). With `act_order` the columns of the largest inputs come first, and steps are
    those of the untouched weights, so that groups stay where they are.

    Few tokens say little of others: with fewer than columns, the damping of the paper gave outputs on unseen tokens
    that were worse than those of `nearest` (measured on random inputs), so it grows as tokens get fewer.

    Args:
        hessian_CC: sum over tokens of the products of the inputs.
        num_tokens: that were summed.

    Returns:
        Rounded weights ``[R, C]`` and their steps ``[R, N]``, as of `nearest`; those of `nearest` where the inputs say
        nothing (no token was seen).
    """
    import torch

    columns = weight_RC.shape[1]
    diagonal_C = hessian_CC.diagonal().clone()
    if not bool((diagonal_C > 0).any()):
        return nearest(weight_RC, num_bits, group)
    order = torch.argsort(diagonal_C, descending=True) if act_order else torch.arange(columns)
    damp = max(_DAMP, _FEW * (columns / max(1, num_tokens)) ** 2)
    upper_CC = _inverse(hessian_CC[order][:, order], damp * float(diagonal_C.mean()))
    work_RC = weight_RC[:, order].clone()
    scale_RN = scales_of(weight_RC, num_bits, group)
    result_RC = torch.empty_like(work_RC)
    for begin in range(0, columns, _BLOCK):
        end = min(begin + _BLOCK, columns)
        errors = torch.empty(len(work_RC), end - begin)
        for place in range(begin, end):
            if not act_order and place % group == 0:
                scale_RN[:, place // group] = scales_of(work_RC[:, place : place + group], num_bits, group)[:, 0]
            column_R = work_RC[:, place]
            result_RC[:, place] = _rounded(column_R, scale_RN[:, int(order[place]) // group], num_bits)
            error_R = (column_R - result_RC[:, place]) / upper_CC[place, place]
            # As far as a group may reach beyond the block, whose step is taken of weights that know all errors so far.
            work_RC[:, place:end] -= error_R[:, None] * upper_CC[place, place:end]
            errors[:, place - begin] = error_R
        work_RC[:, end:] -= errors @ upper_CC[begin:end, end:]
    back = torch.empty_like(order)
    back[order] = torch.arange(columns)
    return result_RC[:, back], scale_RN


def _inverse(hessian_CC: Any, damp: float) -> Any:
    """Upper Cholesky factor of the damped Hessian's inverse; damped more where few tokens left it without one."""
    import torch

    for more in (1, 10, 100):
        lower_CC, failed = torch.linalg.cholesky_ex(hessian_CC + more * damp * torch.eye(len(hessian_CC)))
        if not int(failed):
            upper_CC, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower_CC), upper=True)
            if not int(failed):
                return upper_CC
    return torch.eye(len(hessian_CC))  # no error is passed on: to the nearest step


def _rounded(weight: Any, scale: Any, num_bits: int) -> Any:
    top = 2 ** (num_bits - 1) - 1
    return (weight / scale).round().clamp(-top - 1, top) * scale
