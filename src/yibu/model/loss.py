"""Cross entropy of the head at target positions only, without ever holding all logits.

With 100,000 words and thousands of tokens the logits outweigh every other activation. The head is frozen, so its
gradient is not needed, and the gradient by the hidden state can be computed in the forward pass chunk by chunk
(Wijmans et al. 2024, "Cut Your Losses", arXiv 2411.09009, is the same idea in one GPU kernel).

Legend: N target tokens, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 512  # target tokens whose logits exist at once


class FrozenHeadCrossEntropy(torch.autograd.Function):
    """Sum over targets of ``-w log softmax(h W^T)[target]``; gradient flows to the hidden states alone.

    The factors ``w`` of each target are 1 where none are given, and then cost nothing.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, targets_N: Tensor, factors_N: Tensor | None = None
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden_NH.device)
        needs_grad = ctx.needs_input_grad[0]
        grad_NH = torch.empty_like(hidden_NH) if needs_grad else None
        for begin in range(0, hidden_NH.shape[0], CHUNK):
            part = slice(begin, begin + CHUNK)
            logits_NV = F.linear(hidden_NH[part], weight_VH).float()
            targets = targets_N[part]
            normaliser_N = torch.logsumexp(logits_NV, dim=-1)
            losses_N = normaliser_N - logits_NV.gather(1, targets[:, None]).squeeze(1)
            total += losses_N.sum() if factors_N is None else losses_N @ factors_N[part]
            if grad_NH is not None:
                probabilities_NV = logits_NV.sub_(normaliser_N[:, None]).exp_()
                probabilities_NV[torch.arange(len(targets), device=targets.device), targets] -= 1.0
                if factors_N is not None:
                    probabilities_NV *= factors_N[part][:, None]
                grad_NH[part] = probabilities_NV.to(weight_VH.dtype) @ weight_VH
        if grad_NH is not None:
            ctx.save_for_backward(grad_NH)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        (grad_NH,) = ctx.saved_tensors
        return grad_NH * grad.to(grad_NH.dtype), None, None, None


def head_loss(
    hidden_NH: Tensor,
    head: torch.nn.Module,
    targets_N: Tensor,
    softcap: float | None = None,
    factors_N: Tensor | None = None,
) -> Tensor:
    """Summed cross entropy in fp32.

    Args:
        hidden_NH: final hidden states at the positions that predict a target.
        head: the output layer; a frozen bias-free `nn.Linear` takes the fast way, any other the plain one.
        targets_N: token ids.
        softcap: ``tanh`` cap on the logits where the architecture has one (Gemma 2).
        factors_N: fp32, what the loss of each target is multiplied by; None: 1.
    """
    plain = type(head) is torch.nn.Linear and head.bias is None and not head.weight.requires_grad
    if plain and softcap is None:
        loss: Tensor = FrozenHeadCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden_NH, head.weight, targets_N, factors_N
        )
        return loss
    logits_NV = head(hidden_NH).float()
    if softcap is not None:
        logits_NV = torch.tanh(logits_NV / softcap) * softcap
    if factors_N is None:
        return F.cross_entropy(logits_NV, targets_N, reduction="sum")
    return F.cross_entropy(logits_NV, targets_N, reduction="none") @ factors_N
