"""A dry run: what training would see, train, need and refuse, without reading a weight.

A wrong run looks like a right one, so this shows what decides: which tokens carry loss, whether the end of a turn is
among them, which modules get an adapter, how long rows are and what becomes of those that are too long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from yibu import adapters, bases, tasks
from yibu.core.errors import YibuError
from yibu.core.log import get
from yibu.core.store import Artifact
from yibu.model.assemble import choose_device, choose_dtype, load_renderer
from yibu.model.fp8 import no_space_for_plain
from yibu.model.packing import common_prefix, context_length, split_by_tokens
from yibu.model.render import Example, Renderer
from yibu.model.resolve import load_model, load_tokenizer
from yibu.model.sizes import Sizes, Trained
from yibu.train import Config, TrainSettings
from yibu.train.balance import balance_of, check_labels, draw_weights
from yibu.train.batches import TooLong, fit_lengths, step_rows
from yibu.train.estimate import (
    Disk,
    Memory,
    efficiency,
    foresee_disk,
    foresee_memory,
    forward_flops,
    matmul_rate,
    training_flops,
)
from yibu.train.rank import require_gpus
from yibu.train.run import check_stops, render
from yibu.train.shard import refuse_unshardable

log = get("check")
NUM_PREVIEWS = 5
NUM_BINS = 12

Kind = Literal["prompt", "special", "target", "stop"]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lengths:
    """Tokens of the train rows, prompt and target together.

    Attributes:
        count: rows.
        p50, p90, p99, max: quantiles.
        targets: target tokens of all rows; tokens: all of them.
        limit: longest row that is trained as it is.
        context: longest that the base can take.
        policy: what happens to longer rows.
        too_long: their names.
        histogram: ``(from, to, rows)``, `to` included.
    """

    count: int
    p50: int
    p90: int
    p99: int
    max: int
    tokens: int
    targets: int
    limit: int
    context: int
    policy: TooLong
    too_long: tuple[str, ...]
    histogram: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Course:
    """Steps and time. FLOPs and seconds are estimates: see `yibu.train.estimate`."""

    steps: int
    rows_per_step: int
    warmup_steps: int
    validations: int
    train_seconds: float
    valid_seconds: float
    flops: float
    matmul_gflops: float
    efficiency: float


@dataclass(frozen=True)
class Outlook:
    """What a run would do.

    Attributes:
        rows: ``summary.json`` of the data artifact.
        base: as the recipe names it.
        architecture: name of the facts that were used.
        template: whether the tokenizer brings its own chat template.
        stop_token: what ends a turn.
        stops_trained: rows whose end of turn carries loss.
        lengths: tokens of the train rows; None where no row could be rendered.
        previews: rows as pieces ``(text, kind)``.
        plan: one row per class of adapted modules.
        trained, parameters: of the adapter and of the base.
        device, dtype: where, and of which type the frozen base is.
        pack_tokens: tokens of the largest forward pass.
        memory: at its peak; None where nothing can be trained.
        disk: of the store.
        course: steps and time; None where no row could be rendered.
        refusals: why a run would stop; empty where it would not.
    """

    rows: dict[str, Any]
    base: str
    architecture: str
    template: bool
    stop_token: str
    stops_trained: int
    lengths: Lengths | None
    previews: tuple[tuple[tuple[str, Kind], ...], ...]
    plan: tuple[dict[str, Any], ...]
    trained: int
    parameters: int
    device: str
    dtype: str
    pack_tokens: int
    memory: Memory | None
    disk: Disk
    course: Course | None
    refusals: tuple[YibuError, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        table = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("lengths", "memory", "disk", "course"):
            part = getattr(self, name)
            table[name] = None if part is None else asdict(part)
        return {**table, "refusals": [error.as_dict() for error in self.refusals]}


def check(config: Config, data: Artifact, plain_base: int = 0) -> Outlook:
    """Look at what `yibu.train.train` would do with the same arguments.

    Args:
        plain_base: bytes of the plain copy that a base in FP8 still needs (`yibu.model.resolve.bytes_to_make_plain`).

    Raises:
        YibuError: something that leaves nothing to show: no base, no template, rows that cannot be rendered.
    """
    settings, path = config.train, Path(config.base.path)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)  # the speed that is measured must be that of the run
    rows = data.read_json("summary.json")
    task = tasks.build(config.task, rows.get("labels"))
    model = outline(path)
    facts = bases.facts_for(model.config)
    has_template = load_tokenizer(path).chat_template is not None
    renderer = load_renderer(path, facts)
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)

    train, valid = render(task, renderer, data, "train"), render(task, renderer, data, "valid")
    refusals: list[YibuError] = []
    wanted, context = None if settings.max_length == "auto" else settings.max_length, context_length(model)
    fitted = _attempt(refusals, lambda: fit_lengths(train, wanted, context, settings.too_long))
    _attempt(refusals, lambda: check_stops(train, renderer))
    _attempt(refusals, lambda: check_labels(settings, task))
    if settings.engine == "local":
        _attempt(refusals, lambda: require_gpus(settings.device, settings.processes))
    if settings.shard == "full":
        _attempt(refusals, lambda: refuse_unshardable(config.adapter, dtype))
    plug = adapters.FAMILY.load(config.adapter.kind)  # type: ignore[attr-defined]
    _attempt(refusals, getattr(plug, "require", lambda: None))
    # What a choice among experts depends on is measured at the start of a run, so its size is told by a stand-in.
    foreseen = getattr(plug, "foreseen", lambda model, facts, settings: settings)
    plan = _attempt(refusals, lambda: plug.plan(model, facts, foreseen(model, facts, config.adapter)))

    sizes = Sizes.of(model, facts)
    masters, rank = bool(getattr(plug, "MASTERS", False)), int(getattr(config.adapter, "r", 0))
    trained = None if plan is None else Trained.of(plan, model, facts, masters, rank)
    examples = train if fitted is None else fitted.examples
    balance = _attempt(refusals, lambda: balance_of(settings, examples)) if task.label_fields else None
    prefix = common_prefix([*examples, *valid]) if facts.isolated_packing and examples else 0
    draws = draw_weights(balance, examples)
    passes = pack_sizes(examples, settings, facts.isolated_packing, prefix, draws)
    largest = max(passes, default=0)
    targets = _targets_of_a_pass(examples, largest)
    disk = foresee_disk(0 if plan is None else plan.parameters, plain_base, data.path)
    if disk.plain_base > disk.available:
        refusals.append(no_space_for_plain(data.path, disk.plain_base, disk.available))
    return Outlook(
        rows=rows,
        base=config.base.name,
        architecture=facts.name,
        template=has_template,
        stop_token=renderer.stop_token,
        stops_trained=sum(example.trained[-1] and example.ids[-1] in renderer.stop_ids for example in train),
        lengths=_lengths(train, min(wanted or context, context), context, settings.too_long) if train else None,
        previews=tuple(tuple(pieces(example, renderer)) for example in train[:NUM_PREVIEWS]),
        plan=() if plan is None else tuple(plan.table()),
        trained=0 if plan is None else plan.parameters,
        parameters=sizes.parameters,
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        pack_tokens=largest,
        memory=None
        if trained is None
        else foresee_memory(sizes, trained, largest, targets, dtype, device, settings.recompute),
        disk=disk,
        course=_course(config, examples, valid, sizes, trained, passes, device, dtype) if examples else None,
        refusals=tuple(refusals),
    )


def outline(base_path: Path) -> Any:
    """The model without weights (on the meta device); where its class cannot be built so, the loaded model."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(base_path, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        log.info("this architecture cannot be outlined (%s), so its weights are read", type(error).__name__)
        return load_model(base_path, dtype=torch.bfloat16, device=torch.device("cpu"))


def pieces(example: Example, renderer: Renderer) -> list[tuple[str, Kind]]:
    """A row cut where the kind of its tokens changes; every token is in it, special ones by themselves.

    Neighbours of one kind are decoded together: a single token may be a third of a Chinese character.
    """
    special, stops = set(renderer.tokenizer.all_special_ids), set(renderer.stop_ids)
    runs: list[tuple[Kind, list[int]]] = []
    for token_id, trained in zip(example.ids, example.trained, strict=True):
        kind: Kind = "target" if trained else "prompt"
        if token_id in special | stops:
            kind = "stop" if trained and token_id in stops else "special"
        if runs and runs[-1][0] == kind and kind in ("prompt", "target"):
            runs[-1][1].append(token_id)
        else:
            runs.append((kind, [token_id]))
    return [(str(renderer.tokenizer.decode(ids, skip_special_tokens=False)), kind) for kind, ids in runs]


def pack_sizes(
    examples: Sequence[Example],
    settings: TrainSettings,
    packed: bool,
    prefix: int,
    draws: Sequence[float] | None = None,
) -> list[int]:
    """Tokens of each forward pass of the first epoch, cut as the training loop cuts them.

    Args:
        packed: whether rows may share a pass.
        prefix: tokens that all rows begin with alike, computed once per pack.
        draws: weight of each row for a weighted sampler.
    """
    sizes = []
    for rows in step_rows(len(examples), settings.batch * settings.accumulate, 0, settings.seed, draws):
        for begin in range(0, len(rows), settings.batch):
            micro = [examples[row] for row in rows[begin : begin + settings.batch]]
            for run in split_by_tokens(micro, settings.pack_tokens, packed):
                sizes.append(prefix + sum(len(example.ids) - prefix for example in run))
    return sizes


def _attempt(refusals: list[YibuError], function: Callable[[], Result]) -> Result | None:
    """The result; or None, and one more reason why a run would stop."""
    try:
        return function()
    except YibuError as error:
        refusals.append(error)
        return None


def _lengths(train: Sequence[Example], limit: int, context: int, policy: TooLong) -> Lengths:
    lengths = sorted(len(example.ids) for example in train)
    low, high = lengths[0], lengths[-1]
    width = max(1, math.ceil((high - low + 1) / NUM_BINS))
    bins = [(begin, begin + width - 1) for begin in range(low, high + 1, width)]
    return Lengths(
        count=len(lengths),
        p50=_quantile(lengths, 0.5),
        p90=_quantile(lengths, 0.9),
        p99=_quantile(lengths, 0.99),
        max=high,
        tokens=sum(lengths),
        targets=sum(example.num_targets for example in train),
        limit=limit,
        context=context,
        policy=policy,
        too_long=tuple(example.name for example in train if len(example.ids) > limit),
        histogram=tuple((begin, end, sum(begin <= length <= end for length in lengths)) for begin, end in bins),
    )


def _quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest length that at least this share of the rows does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _targets_of_a_pass(examples: Sequence[Example], tokens: int) -> int:
    """About so many targets lie in a pass of so many tokens."""
    every = sum(len(example.ids) for example in examples)
    return math.ceil(tokens * sum(example.num_targets for example in examples) / every) if every else 0


def _course(
    config: Config,
    train: Sequence[Example],
    valid: Sequence[Example],
    sizes: Sizes,
    trained: Trained | None,
    passes: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
) -> Course:
    settings = config.train
    rows_per_step = settings.batch * settings.accumulate
    an_epoch = math.ceil(len(train) / rows_per_step)
    steps = min(an_epoch * settings.epochs, settings.max_steps or an_epoch * settings.epochs)
    every = settings.evaluate_every or min(an_epoch, steps)
    validations = math.ceil(steps / every) if valid else 0
    warmup = math.ceil(0.06 * steps) if settings.warmup_steps is None else settings.warmup_steps
    tokens, targets = sum(passes), sum(example.num_targets for example in train)
    rate = matmul_rate(device, dtype, max(1, tokens // len(passes)), sizes)
    share = efficiency(dtype)
    speed = share * rate
    once = forward_flops(sizes, sum(len(e.ids) for e in valid), sum(e.num_targets for e in valid))
    flops = steps / an_epoch * training_flops(sizes, tokens, targets, settings.recompute, trained)
    plug = adapters.FAMILY.load(config.adapter.kind)  # type: ignore[attr-defined]
    if hasattr(plug, "needs_scores") and plug.needs_scores(config.adapter):
        sample = min(config.adapter.sample_tokens, sum(len(example.ids) for example in train))  # type: ignore[attr-defined]
        flops += forward_flops(sizes, sample, 0)
    return Course(
        steps=steps,
        rows_per_step=rows_per_step,
        warmup_steps=warmup,
        validations=validations,
        train_seconds=flops / speed,
        valid_seconds=validations * once / speed,
        flops=flops + validations * once,
        matmul_gflops=rate / 1e9,
        efficiency=share,
    )
