"""The frozen lower layers, run once and kept on disk.

Where adapters sit in the upper layers only, what enters the first adapted layer is a fixed function of a row's tokens.
It is computed once per row, written to memory-mapped files, and every epoch, fold and trial starts from there: the
lower layers cost nothing any more, and the passes above are the model's own code with the lower layers stepped over.

- **The same losses.** In fp32 they are those of the whole model to 1e-5 (another order of summation is all that
  differs). The files hold the type of the model's own stream (bf16 for a bf16 base), so nothing is rounded that would
  not be in memory; 16-bit losses differ as they do between two ways to pack the same rows, by a few hundredths.
- **The same bits every time.** Each row is computed alone, or alone behind the common beginning of all rows, never
  beside neighbours: what is kept for it does not depend on the rows that were there before, so that the folds and
  trials of one data set share rows and a replayed run finds what the first one found.
- **Never silently wrong.** Nothing trained may lie below (asked of autograd), the lower part must draw no random
  numbers, and `Lower.check` compares the losses of some of the user's own rows both ways on the real class: an
  architecture whose layers hand each other more than one stream (shared keys and values, say) is refused.

On the disk, below the root: ``<key>/rows-<digest>.safetensors``. The key holds the base, its weights as they are in
memory, the first layer, types, versions, device and threads; a tensor's name is the SHA-256 of its row's tokens, so
another template or tokenizer gives other rows. A file is named only when it is whole; a run that is killed loses the
file it was writing. Hidden states of low layers can be turned back into text: the files are as confidential as the rows
(mode 600), and erasing a person means `remove`.

Legend: T tokens of a pack or row; what lies behind it is the shape of the stream per token, ``[H]`` for most.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache

from yibu.core.disk import digest_json, remove_temporary
from yibu.core.errors import InputError, NoSpace
from yibu.core.lock import hold
from yibu.core.log import get
from yibu.core.progress import track
from yibu.model import attention
from yibu.model.kept_rows import DTYPES, Rows, bytes_used, entries_of, files_of, key_of
from yibu.model.packing import Pack, causal_model, make_pack, target_losses
from yibu.model.render import Example

log = get("lower")

LOWER = "lower"  # folder of the store that all such caches lie in
FORMAT = 1  # raised when the same rows would be kept in another way
RESERVE = 2**30  # bytes left free beside the cache, for checkpoints and what the run writes
_SAMPLE = 4096  # numbers of each lower weight that the key looks at
# Largest difference of a row's mean loss per target between both ways, as a share of it and absolutely. 16 bits
# disagree with themselves by that much in another order of summation.
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-5}
_COARSE = 5e-2
_CONTINUED = "yibu_continued"
_OFF = "train without the cache of lower layers; the result is the same, only later"


def continued_attention(
    module: nn.Module,
    query_BHTD: Tensor,
    key_BHTD: Tensor,
    value_BHTD: Tensor,
    attention_mask: Tensor | None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """`packed_attention` of one row behind a beginning whose keys and values come first, from a cache."""
    length, keys = query_BHTD.shape[2], key_BHTD.shape[2]
    if length != keys:
        seen = torch.ones(length, keys, dtype=torch.bool, device=query_BHTD.device).tril(keys - length)
        if sliding_window is not None:
            seen = seen.triu(keys - length - sliding_window + 1)
        attention_mask = seen[None, None]
    return attention.packed_attention(
        module, query_BHTD, key_BHTD, value_BHTD, attention_mask, sliding_window=sliding_window, **kwargs
    )


AttentionInterface.register(_CONTINUED, continued_attention)


class _Stepped(nn.Module):
    """Stands in for a layer: hands on its input, or what it was given; answers for the layer's other attributes."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._layer = (layer,)  # in a tuple, so that it is no submodule and owns no parameter here
        self.given: Tensor | None = None
        self.seen: Tensor | None = None
        self.records = False

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self.seen = hidden_states if self.records else None
        if self.given is None:
            return hidden_states
        # Another sequence than that of the pack would be trained on the pack's rows without a word.
        assert self.given.shape == hidden_states.shape, "a pass over other tokens than those that were fed"
        return self.given

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_layer"][0], name)


@dataclass(frozen=True)
class Kept:
    """What `Lower.fill` did.

    Attributes:
        computed, found: entries that were computed now, and that were there already.
        bytes_written: size of what was computed.
        seconds: time for it.
    """

    computed: int
    found: int
    bytes_written: int
    seconds: float


class Lower:
    """The frozen layers below the first trained one, and their kept output.

    Args:
        model: base with its adapter attached, in the type and on the device of the training.
        root: folder of all such caches, for example `LOWER` in a store's root; nothing is written before `fill`.
        base_digest: SHA-256 of the base's files.
        max_bytes: most that this cache may hold on disk; None: what the disk has, less `RESERVE`.

    Attributes:
        first: number of the first layer that is trained; those below are never run again.
        folder: where the rows of this base, first layer and type lie.
        shape: of the stream per token.
        dtype: its type, on disk as in memory.

    Raises:
        InputError: no layer lies below, or the part below is trained or random, or cannot be told apart.
    """

    def __init__(self, model: Any, root: Path, base_digest: str, max_bytes: int | None = None) -> None:
        self._model = model
        self._causal = causal_model(model)
        self._decoder = self._causal.get_decoder()
        self._list, layers = _layer_list(self._decoder)
        self.first = first_trained(layers)
        self._max_bytes = max_bytes
        stand_ins = [_Stepped(layer) for layer in layers]
        self._feeder, self._recorder = stand_ins[self.first - 1], stand_ins[self.first]
        self._recorder.records = True
        self._below = nn.ModuleList([*layers[: self.first], *stand_ins[self.first :]])
        self._above = nn.ModuleList([*stand_ins[: self.first], *layers[self.first :]])
        probe_1T = self._probe()
        self.shape, self.dtype = tuple(probe_1T.shape[2:]), probe_1T.dtype
        self.folder = root / self._key(base_digest)[:32]
        self._rows = Rows(self.folder)

    @property
    def token_bytes(self) -> int:
        """Bytes on disk of one token."""
        return self.dtype.itemsize * torch.Size(self.shape).numel()

    @property
    def bytes_used(self) -> int:
        """Bytes on disk of this base, first layer and type; see the function `bytes_used` for all."""
        return bytes_used(self.folder)

    def need(self, rows: Sequence[Example], prefix: int = 0) -> int:
        """Bytes that `fill` would write: the rows that are not kept yet, each once, the common beginning once."""
        return self._size(self._missing(rows, prefix))

    def fill(self, rows: Sequence[Example], prefix: int = 0) -> Kept:
        """Compute and keep what is missing of these rows. Any number of processes may ask at once: one computes.

        Args:
            rows: all that will be trained on or validated.
            prefix: number of tokens that all of them begin with alike, as in `make_pack`; computed and kept once.

        Raises:
            NoSpace: the disk, or `max_bytes`, has no room; nothing was written, or whole files only.
        """
        began = time.perf_counter()
        wanted = len(entries_of(rows, prefix))
        computed, size = 0, 0
        if self._missing(rows, prefix):
            with hold(self.folder / "lock", "the cache of lower layers"):
                self._rows.refresh()  # another process may have computed them while this one waited
                missing = self._missing(rows, prefix)
                computed, size = len(missing), self._size(missing)
                self._check_room(size)
                self._write(missing, rows[0].ids[:prefix])
        kept = Kept(computed, wanted - computed, size, time.perf_counter() - began)
        log.info(
            "layers 0 to %d of %s rows run once and kept (%s were there), %s bytes on disk, %.1f s",
            self.first - 1,
            f"{computed:,}",
            f"{kept.found:,}",
            f"{self.bytes_used:,}",
            kept.seconds,
        )
        return kept

    def hidden(self, rows: Sequence[Example], prefix: int = 0) -> list[Tensor]:
        """What enters the first trained layer for each row's own tokens behind the prefix, ``[T, ...]``, on the CPU."""
        return [self._rows.read(key_of(example.ids, prefix)) for example in rows]

    def of_pack(self, pack: Pack) -> Tensor:
        """What enters the first trained layer for a pack of kept rows, ``[1, T, ...]``, on the pack's device."""
        ids, borders = pack.ids_1T[0].tolist(), pack.borders.tolist()
        prefix = borders[0]
        parts = [self._rows.read(key_of(ids[:prefix], prefix))] if prefix else []
        parts += [
            self._rows.read(key_of(ids[:prefix] + ids[begin:end], prefix)) for begin, end in itertools.pairwise(borders)
        ]
        return torch.cat(parts)[None].to(pack.ids_1T.device)

    @contextlib.contextmanager
    def feeding(self, pack: Pack) -> Iterator[None]:
        """Inside the block a forward pass over this pack starts at the first trained layer.

        ``with lower.feeding(pack): loss = pack_loss(model, pack)``. The backward pass may follow outside.
        """
        self._feeder.given = self.of_pack(pack)
        try:
            with self._layers(self._above):
                yield
        finally:
            self._feeder.given = None

    def check(self, rows: Sequence[Example], prefix: int = 0, packed: bool = True) -> float:
        """Compare the losses of a few rows with and without what is kept, on the real class; `fill` comes first.

        Args:
            rows: some that were filled in; the four shortest are taken.
            packed: as one pack, where the architecture's attention knows packs at all.

        Returns:
            The largest difference of a row's mean loss per target, as a share of it where it is above 1.

        Raises:
            InputError: they differ by more than another order of summation explains.
        """
        some = sorted(rows, key=lambda example: len(example.ids))[:4]
        tolerance = _TOLERANCE.get(self.dtype, _COARSE)
        differences: list[Tensor] = []
        try:
            with torch.no_grad(), _evaluating(self._model):
                for group in [some] if packed and self._packs else [[example] for example in some]:
                    pack = make_pack(group, prefix).to(self._device)
                    # Other tokens first: what a pass over these very rows left somewhere would pass for theirs.
                    self._run(pack.ids_1T[0].flip(0).tolist())
                    with self.feeding(pack):
                        started = _mean_losses(self._model, pack)
                    whole = _mean_losses(self._model, pack)
                    differences.append((started - whole).abs() / whole.abs().clamp(min=1))
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # layers that miss what a lower one would have left them raise what they like
            raise self._refusal(f"{type(error).__name__} above the kept layers") from error
        worst = float(torch.cat(differences).max())  # NaN where any is, and then refused; Python's own max drops it
        if not worst <= tolerance:
            raise self._refusal(f"losses of the same rows differ by {worst:.3g} (allowed: {tolerance:g})")
        return worst

    # How the lower part is run

    @property
    def _device(self) -> torch.device:
        device: torch.device = self._causal.get_input_embeddings().weight.device
        return device

    @property
    def _packs(self) -> bool:
        return bool(self._causal.config._attn_implementation == attention.NAME)

    @contextlib.contextmanager
    def _layers(self, layers: nn.ModuleList) -> Iterator[None]:
        own = getattr(self._decoder, self._list)
        setattr(self._decoder, self._list, layers)
        try:
            yield
        finally:
            setattr(self._decoder, self._list, own)

    def _run(self, ids: Sequence[int], begin: int = 0, cache: Any = None) -> Tensor:
        """What enters the first trained layer for these tokens, ``[1, T, ...]``; the first stands at `begin`."""
        ids_1T = torch.tensor([list(ids)], device=self._device)
        positions_1T = torch.arange(begin, begin + len(ids), device=self._device)[None]
        try:
            with self._layers(self._below):
                self._decoder(
                    input_ids=ids_1T, position_ids=positions_1T, past_key_values=cache, use_cache=cache is not None
                )
            seen = self._recorder.seen
        finally:
            self._recorder.seen = None
        if not isinstance(seen, Tensor) or seen.shape[:2] != ids_1T.shape or seen.dtype not in DTYPES:
            raise self._refusal("its layers hand on something else than one stream of numbers")
        return seen

    def _probe(self) -> Tensor:
        """A short run, from which the stream's shape and type are read; trained or random lower parts are refused."""
        ids = list(range(min(8, int(self._causal.get_input_embeddings().weight.shape[0]))))
        trained = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        try:
            with _evaluating(self._model), torch.enable_grad(), torch.random.fork_rng():
                seen = self._run(ids)
                touched = seen.requires_grad and any(
                    grad is not None for grad in torch.autograd.grad(seen.float().sum(), trained, allow_unused=True)
                )
                again = self._run(ids).detach()
                self._model.train()
                drawn = [self._run(ids).detach() for _ in range(2)]
        except InputError:
            raise
        except Exception as error:
            raise self._refusal(f"{type(error).__name__} in a run of the lower layers alone") from error
        if touched:
            raise self._refusal(
                f"something that is trained lies below layer {self.first}, outside of the layers",
                do="train nothing below the first adapted layer, or " + _OFF,
            )
        if any(not torch.allclose(again, other, rtol=_COARSE, atol=_COARSE * float(again.std())) for other in drawn):
            raise self._refusal(
                "the lower layers compute something else in training (dropout, or noise of a router)",
                do="set the base's own dropout to 0, or " + _OFF,
            )
        return again

    def _refusal(self, got: str, do: str = _OFF) -> InputError:
        return InputError(
            f"The lower layers of this base ({type(self._causal).__name__}) cannot be run once and kept.",
            got=got,
            allowed="frozen layers that hand nothing but one stream of hidden states to the layer above",
            do=do,
        )

    def _key(self, base_digest: str) -> str:
        device = self._device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
        return digest_json(
            {
                "format": FORMAT,
                "base": base_digest,
                # What was done to the weights in memory (4 bits, a merged adapter) is not in the digest of the files.
                "weights": _sampled(self._causal.get_input_embeddings(), *list(self._below)[: self.first]),
                "first": self.first,
                "dtype": str(self.dtype),
                "shape": list(self.shape),
                "attention": self._causal.config._attn_implementation,
                # Other bits come out of these, and a run is promised to end in the same bits.
                "device": f"{device.type}, {name}",
                **{package: metadata.version(package) for package in ("torch", "transformers")},
            }
        )

    # What is missing, and how it is written

    def _missing(self, rows: Sequence[Example], prefix: int) -> dict[str, tuple[int, ...]]:
        return {key: ids for key, ids in entries_of(rows, prefix).items() if key not in self._rows}

    def _size(self, entries: Mapping[str, tuple[int, ...]]) -> int:
        return self.token_bytes * sum(len(ids) for ids in entries.values())

    def _check_room(self, needed: int) -> None:
        free = max(0, shutil.disk_usage(self.folder).free - RESERVE)
        allowed = free if self._max_bytes is None else min(free, max(0, self._max_bytes - self.bytes_used))
        if needed > allowed:
            limit = "" if self._max_bytes is None else f", of {self._max_bytes:,} allowed"
            raise NoSpace(
                f"The output of layers 0 to {self.first - 1} does not fit: {needed:,} bytes are needed.",
                got=f"{free:,} bytes free at {self.folder.parent} beside {RESERVE:,} for the run itself; "
                f"the cache holds {self.bytes_used:,}{limit}",
                allowed=f"up to {allowed:,} bytes",
                do=f"free space, point YIBU_STORE to a larger disk, or {_OFF}",
            )

    def _write(self, entries: Mapping[str, tuple[int, ...]], beginning: Sequence[int]) -> None:
        remove_temporary(self.folder)  # a killed run's: the lock is ours
        attend = _CONTINUED if beginning else self._causal.config._attn_implementation
        with (
            torch.no_grad(),
            _evaluating(self._model),
            _attending(self._causal, attend),
            track("lower layers, once", total=len(entries)) as bar,
        ):
            states = self._states(entries, beginning)
            for part in files_of(entries, self.token_bytes):
                self._rows.write(part, self.shape, self.dtype, itertools.islice(states, len(part)))
                bar.advance(len(part))

    def _states(self, entries: Mapping[str, tuple[int, ...]], beginning: Sequence[int]) -> Iterator[Tensor]:
        """The stream of each entry, in order; a row behind a beginning goes on from its keys and values."""
        cache = DynamicCache() if beginning else None
        begun = self._run(beginning, cache=cache) if beginning else None
        own_key = key_of(beginning, len(beginning))
        for key, ids in entries.items():
            if begun is not None and key == own_key:
                yield begun[0].cpu()
                continue
            fresh = None
            if cache is not None:
                fresh = DynamicCache()
                fresh.layers = [copy.copy(layer) for layer in cache.layers]  # an update makes new tensors
            yield self._run(ids, len(beginning), fresh)[0].cpu()


def first_trained(layers: Sequence[nn.Module]) -> int:
    """Number of the first layer that holds a trained parameter.

    Raises:
        InputError: no layer does, or the lowest one: there is nothing to run once.
    """
    trained = [any(parameter.requires_grad for parameter in layer.parameters()) for layer in layers]
    first = trained.index(True) if True in trained else None
    if not first:
        raise InputError(
            "There are no frozen layers below the adapter that could be run once and kept.",
            got="no layer is trained" if first is None else "layer 0 is trained",
            allowed=f"adapters in upper layers only, of the {len(trained)} of this base",
            do=f"set adapter.layers, for example top-{max(1, len(trained) // 3)}, or {_OFF}",
        )
    return first


def _layer_list(decoder: nn.Module) -> tuple[str, list[nn.Module]]:
    """Name and members of the decoder's list of layers: the one that is as long as the model is deep."""
    depth = int(decoder.config.get_text_config().num_hidden_layers)  # type: ignore[union-attr,operator]
    lists = {
        name: list(child)
        for name, child in decoder.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == depth
    }
    if "layers" not in lists and len(lists) != 1:
        raise InputError(
            f"It cannot be told which modules of {type(decoder).__name__} are its layers.",
            got=sorted(lists) or "no list of modules as long as the model is deep",
            do=_OFF,
        )
    name = "layers" if "layers" in lists else next(iter(lists))
    return name, lists[name]


def _sampled(*modules: nn.Module) -> str:
    """SHA-256 of evenly spaced numbers of every tensor of some modules, with names, types and shapes."""
    digest = hashlib.sha256()
    for place, module in enumerate(modules):
        for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
            digest.update(f"{place}.{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            flat = tensor.detach().reshape(-1)
            some = flat[:: max(1, flat.numel() // _SAMPLE)].contiguous().cpu()
            digest.update(some.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _mean_losses(model: Any, pack: Pack) -> Tensor:
    """Mean loss per target of each row of a pack, ``[S]``."""
    losses_N = target_losses(model, pack)
    sums_S = torch.zeros(len(pack.borders) - 1, device=losses_N.device)
    counts_S = torch.zeros_like(sums_S).index_add_(0, pack.owner_N, torch.ones_like(losses_N))
    return sums_S.index_add_(0, pack.owner_N, losses_N) / counts_S.clamp(min=1)


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)


@contextlib.contextmanager
def _attending(causal: Any, name: str) -> Iterator[None]:
    before = causal.config._attn_implementation
    if name != before:
        causal.set_attn_implementation(name)
    try:
        yield
    finally:
        if name != before:
            causal.set_attn_implementation(before)
