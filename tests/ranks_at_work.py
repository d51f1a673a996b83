"""What two processes do in a test: ``python ranks_at_work.py FOLDER RANK SIZE KIND...`` writes JSON into the folder.

Each kind is an architecture and an adapter. The gradient of a step is taken by this process alone, then together with
the others, then with the base sharded over all; so is the norm by which it is clipped.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from tiny import tiny_base, tiny_ids
from yibu import adapters
from yibu.core.errors import InputError
from yibu.model.assemble import for_training
from yibu.model.packing import causal_model, make_pack
from yibu.model.render import Example
from yibu.train import TrainSettings
from yibu.train.loop import Setting, TrainPass, add_gradients, fit, share_of, validation_loss
from yibu.train.shard import clip, shard, whole
from yibu.train.team import ALONE, Team

CPU = torch.device("cpu")
MAX_NORM = 0.01  # below the norms that are met, so that clipping does something
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "lora": ("llama", {"kind": "lora", "r": 4, "dropout": 0.1}, {}),
    "lora_bf16": ("llama", {"kind": "lora", "r": 4}, {"dtype": "bf16"}),
    "lora_recompute": ("llama", {"kind": "lora", "r": 4, "dropout": 0.1}, {"recompute": True}),
    "dora": ("qwen2", {"kind": "lora", "r": 4, "dora": True}, {}),
    "mixture": ("deepseek_v3", {"kind": "lora", "r": 4, "experts": True}, {}),
    "bottleneck": ("llama", {"kind": "bottleneck"}, {}),
    "experts": ("deepseek_v3", {"kind": "experts", "experts": {1: [0, 2]}}, {}),
    "full": ("llama", {"kind": "full"}, {}),
    "full_bf16": ("llama", {"kind": "full"}, {"dtype": "bf16"}),
    "full_mixture": ("deepseek_v3", {"kind": "full"}, {}),
}


def rows(count: int) -> list[Example]:
    made = []
    for index in range(count):
        ids = tuple(tiny_ids(1, 8 + 3 * index, index)[0].tolist())
        made.append(Example(ids, tuple(place > 3 + index % 3 for place in range(len(ids))), f"row-{index}"))
    return made


def model(folder: Path, adapter: dict[str, Any], more: dict[str, Any]) -> Any:
    plug = adapters.FAMILY.load(adapter["kind"])
    torch.manual_seed(3)
    made = for_training(
        folder, plug.Settings(**adapter), "cpu", more.get("dtype", "fp32"), more.get("recompute", False)
    )
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if parameter.requires_grad and float(parameter.abs().max()) == 0:  # or one half has no gradient
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    return made


def gradients(base: Any, passes: list[TrainPass], team: Team, sharded: bool) -> tuple[dict[str, Tensor], float, float]:
    trained = {name: p for name, p in base.model.named_parameters() if p.requires_grad}
    setting = Setting(CPU, base.dtype, base.packed, 0, sharded)
    base.model.train()
    loss = add_gradients(
        base.model, share_of(passes, setting, team), setting, None, sum(one.pack.num_targets for one in passes)
    )
    loss = sum(team.gather(loss, "in a test"))
    team.sum_gradients(list(trained.values()))
    found = {name: whole(p.grad).clone() for name, p in trained.items() if p.grad is not None}
    norm = clip(list(trained.values()), MAX_NORM)
    clipped = {name: whole(p.grad) for name, p in trained.items() if p.grad is not None}
    after = sum(float(grad.square().sum()) for grad in clipped.values()) ** 0.5
    assert abs(after - MAX_NORM) < 1e-4 * MAX_NORM, (after, MAX_NORM)
    return found, loss, norm


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference, as a share of the largest number."""
    assert one.keys() == other.keys(), sorted(one.keys() ^ other.keys())
    largest = max(float(grad.abs().max()) for grad in one.values())
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one) / largest


def compare(kind: str, folder: Path, team: Team) -> dict[str, Any]:
    architecture, adapter, more = KINDS[kind]
    place = folder / architecture
    if team.first and not place.exists():
        tiny_base(place, architecture)
    team.gather(None, "before a base is read")
    count = 1 if kind == "lora_bf16" else 5  # one pass for two: a rank has nothing to do
    passes = [TrainPass([row], make_pack([row]), 11 + index) for index, row in enumerate(rows(count))]

    reference, loss, norm = gradients(model(place, adapter, more), passes, ALONE, False)
    together, loss_together, norm_together = gradients(model(place, adapter, more), passes, team, False)

    cut = model(place, adapter, more)
    masters = adapter["kind"] == "full"
    shard(cut.model, team, CPU, masters)
    layers = next(c for c in causal_model(cut.model).get_decoder().children() if isinstance(c, nn.ModuleList))
    inside = [(n, p) for n, p in layers.named_parameters() if masters or not p.requires_grad]
    plain = [name for name, parameter in inside if not isinstance(parameter, DTensor)]
    held = sum(p.to_local().numel() for _, p in inside if isinstance(p, DTensor))
    sharded, loss_sharded, norm_sharded = gradients(cut, passes, team, True)
    few = rows(3)
    valid = validation_loss(cut.model, few, 16, Setting(CPU, cut.dtype, cut.packed, 0, True), team)
    whole_base = model(place, adapter, more)
    valid_alone = validation_loss(whole_base.model, few, 16, Setting(CPU, whole_base.dtype, whole_base.packed))
    return {
        "summed": apart(reference, together),
        "sharded": apart(reference, sharded),
        "losses": [loss, loss_together, loss_sharded],
        "norms": [norm, norm_together, norm_sharded],
        "valid": [valid_alone, valid],
        "plain": plain,
        "held": held / sum(p.numel() for _, p in inside),
        "passes": [len(share_of(passes, Setting(CPU, cut.dtype, True, 0, on), team)) for on in (False, True)],
    }


def interrupted(kind: str, folder: Path, team: Team) -> dict[str, Any]:
    """A sharded run, the same from its middle on, and the same from its middle on in one process."""
    architecture, adapter, more = KINDS[kind]
    settings = TrainSettings(lr=1e-2, epochs=4, batch=2, accumulate=2, checkpoint_every=2)

    def run(name: str, members: Team, cut: bool) -> dict[str, Tensor]:
        base = model(folder / architecture, adapter, more)
        if cut:
            shard(base.model, members, CPU, adapter["kind"] == "full")
        trained = {name: p for name, p in base.model.named_parameters() if p.requires_grad}
        place = folder / f"{kind}-{name}"
        return fit(
            base.model,
            trained,
            rows(4),
            rows(2),
            settings,
            Setting(CPU, base.dtype, True, 0, cut),
            place.with_suffix(f".history-{team.rank}"),
            place,
            {name: "all" for name in trained},
            {},
            team=members,
        )[0]

    whole_run = run("cut", team, True)
    if team.first:
        shutil.rmtree(folder / f"{kind}-cut" / "step-00000004")
        shutil.copytree(folder / f"{kind}-cut", folder / f"{kind}-alone")
    team.gather(None, "before the second half")
    second_half = run("cut", team, True)
    kept = sum(tensor.numel() for tensor in whole_run.values())
    if not team.first:
        return {"kept": kept}
    alone = run("alone", ALONE, False)
    same = all(torch.equal(whole_run[name], second_half[name]) for name in whole_run)
    return {"kept": kept, "same_bits": same, "from_alone": apart(alone, second_half)}


def words(team: Team) -> dict[str, Any]:
    """What is said and heard, and a parameter that no rank, and one that a single rank, has a gradient for."""
    heard = team.gather({"rank": team.rank, "loss": 0.1 + team.rank, "text": "咳" * 3 * team.rank}, "in a test")
    first = team.hear_first(["from", team.rank], "in a test")
    stop = team.any_of(15 if team.rank == 1 else None, "in a test")
    team.agree({"rows": "same"}, "in a test")
    try:
        team.agree({"rows": "same", "data": f"of rank {team.rank}"}, "in a test")
        apart = ""
    except InputError as error:
        apart = str(error)
    none, one = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    one.grad = torch.full((2,), 3.0) if team.rank == 1 else None
    team.sum_gradients([none, one])
    began = torch.full((2,), float(team.rank + 7))
    team.copy_from_first([began])
    return {
        **{"heard": heard, "first": first, "stop": stop, "apart": apart, "none": none.grad is None},
        **{"one": None if one.grad is None else one.grad.tolist(), "began": began.tolist()},
    }


def main(folder: Path, rank: int, size: int, kinds: list[str]) -> None:
    store = dist.FileStore(str(folder / "meeting"), size)
    with Team.meet(CPU, rank, size, size, 60, store) as team:
        (folder / f"words-{rank}.json").write_text(json.dumps(words(team)))
        for kind in kinds:
            began = time.monotonic()
            found = compare(kind, folder, team)
            if kind in ("full", "lora"):
                found |= interrupted(kind, folder, team)
            found["seconds"] = round(time.monotonic() - began, 1)
            (folder / f"{kind}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
