"""GPTQ through a model, layer by layer: each sees what the rounded layers below it make of the calibration rows.

Legend: T tokens of a row, H width, K experts of a token, I inner width of an expert, C inputs of a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from yibu.compressors._layers import layers_of
from yibu.core.progress import track

Round = Callable[[str, Any, Any, int], Any]
"""``(name, weight [R, C], hessian [C, C] or None where no token was seen, tokens) -> rounded weight``."""


def round_layers(
    model: Any, rows: Sequence[Sequence[int]], linears: Sequence[str], experts: Sequence[str], round_one: Round
) -> dict[str, list[int]]:
    """Round the weights of these modules in place; how many tokens each routed expert was seen with, by its module.

    Args:
        rows: token ids of the calibration rows.
        linears: names of linear layers inside the decoder's layers.
        experts: names of modules with ``gate_up_proj`` and ``down_proj`` for all experts of a layer.
        round_one: called once for each weight; experts are named ``<module>.<number>.gate_up_proj``.
    """
    import torch

    layers, num_tokens = layers_of(model), sum(map(len, rows))
    names = {module: name for name, module in model.named_modules()}
    seen: dict[str, list[int]] = {}
    with torch.no_grad(), track("GPTQ, layers", total=len(layers)) as bar:
        states, calls = _beginnings(model, layers, rows)
        for number, layer in enumerate(layers):
            inside = {names[module]: module for module in layer.modules()}
            own = {name: inside[name] for name in linears if name in inside}
            mixtures = {name: inside[name] for name in experts if name in inside}
            with _sums(own) as hessians, _routed(mixtures) as routed:
                for state, call in zip(states, calls, strict=True):
                    _through(layer, state, call[number])
            for name, module in own.items():
                module.weight.data = round_one(name, module.weight.data, hessians.get(name), num_tokens)
            for name, module in mixtures.items():
                seen[name] = _round_experts(name, module, routed[name], round_one)
            states = [_through(layer, state, call[number]) for state, call in zip(states, calls, strict=True)]
            bar.advance()
    return seen


def products_before_head(model: Any, rows: Sequence[Sequence[int]]) -> Any:
    """Sum over tokens of the products of what the output layer is given ``[C, C]``."""
    import torch

    total: Any = 0
    with torch.no_grad(), track("GPTQ, output layer", total=len(rows)) as bar:
        for row in rows:
            output = model.get_decoder()(input_ids=torch.tensor([list(row)]), use_cache=False)
            state_TC = output.last_hidden_state[0].float()
            total = total + state_TC.T @ state_TC
            bar.advance()
    return total


def _beginnings(model: Any, layers: Any, rows: Sequence[Sequence[int]]) -> tuple[list[Any], list[list[Any]]]:
    """What enters the first layer of each row, and with what else each layer is called (masks, positions)."""
    import torch

    states: list[Any] = []
    calls: list[list[Any]] = []

    def listen(module: Any, inputs: Any, keywords: Any) -> None:
        given = dict(keywords)
        state = inputs[0] if inputs else given.pop("hidden_states")
        if len(calls[-1]) == 0:
            states.append(state)
        calls[-1].append((inputs[1:], given))

    handles = [layer.register_forward_pre_hook(listen, with_kwargs=True) for layer in layers]
    try:
        for row in rows:
            calls.append([])
            model.get_decoder()(input_ids=torch.tensor([list(row)]), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return states, calls


def _through(layer: Any, state: Any, call: tuple[Any, dict[str, Any]]) -> Any:
    output = layer(state, *call[0], **call[1])
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def _sums(modules: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Sum over tokens of the products of each module's inputs ``[C, C]``; modules that share an input share the sum."""
    hessians: dict[str, Any] = {}
    first: dict[str, str] = {}  # module -> the first one that saw the same tensor
    held: list[tuple[Any, str]] = []

    def listen(name: str) -> Any:
        def add(module: Any, inputs: Any) -> None:
            if name not in first:
                first[name] = next((other for tensor, other in held if tensor is inputs[0]), name)
                held.append((inputs[0], name))
            if first[name] == name:
                flat_TC = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
                product = flat_TC.T @ flat_TC
                hessians[name] = hessians[name] + product if name in hessians else product

        return add

    handles = [module.register_forward_pre_hook(listen(name)) for name, module in modules.items()]
    try:
        yield hessians
    finally:
        for handle in handles:
            handle.remove()
        for name, other in first.items():
            hessians[name] = hessians[other]


@contextmanager
def _routed(modules: Mapping[str, Any]) -> Iterator[dict[str, list[tuple[Any, Any]]]]:
    """Inputs ``[T, H]`` and chosen experts ``[T, K]`` of each mixture, row by row."""
    found: dict[str, list[tuple[Any, Any]]] = {name: [] for name in modules}

    def listen(name: str) -> Any:
        def add(module: Any, inputs: Any) -> None:
            found[name].append((inputs[0].reshape(-1, inputs[0].shape[-1]), inputs[1]))

        return add

    handles = [module.register_forward_pre_hook(listen(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _round_experts(name: str, module: Any, routed: Sequence[tuple[Any, Any]], round_one: Round) -> list[int]:
    """Each expert by the tokens that are sent to it alone; their numbers."""
    import torch

    state_TH = torch.cat([state for state, _ in routed])
    chosen_TK = torch.cat([chosen.reshape(-1, chosen.shape[-1]) for _, chosen in routed])
    counts = []
    for expert in range(module.gate_up_proj.shape[0]):
        own_TH = state_TH[(chosen_TK == expert).any(-1)].float()
        counts.append(len(own_TH))
        up, down = f"{name}.{expert}.gate_up_proj", f"{name}.{expert}.down_proj"
        module.gate_up_proj.data[expert] = round_one(
            up, module.gate_up_proj.data[expert], own_TH.T @ own_TH, len(own_TH)
        )
        inner_TI = module._apply_gate(own_TH @ module.gate_up_proj.data[expert].T)  # of transformers' fused experts
        module.down_proj.data[expert] = round_one(
            down, module.down_proj.data[expert], inner_TI.T @ inner_TI, len(own_TH)
        )
    return counts
