"""FP8 checkpoints as DeepSeek-V3 publishes them, made into weights that can be trained and merged.

A matrix is stored as ``float8_e4m3fn`` beside ``<name>_scale_inv``: one fp32 factor for each block of 128 x 128 numbers
(arXiv 2412.19437, section 3.3; ``inference/fp8_cast_bf16.py`` of deepseek-ai/DeepSeek-V3). A block at the edge may be
smaller: V3's ``kv_a_proj_with_mqa`` has 576 rows, four blocks and a half. The reader of transformers 5.23 derives the
block from the grid of factors, so it refuses 576 rows, and where the rows happen to divide evenly (192 = 2 x 96) it
scales the wrong numbers without a word. Here the block comes from the config, and the grid is checked against it.

A folder is read tensor by tensor and written shard by shard, so a checkpoint far larger than memory can be converted;
the result is an artifact like the unpacked GGUF, made once.

Legend: O rows, I columns, P and Q blocks along them.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from yibu.core.errors import BaseModelError, NoSpace
from yibu.core.log import get
from yibu.core.progress import track
from yibu.core.recipe import Settings
from yibu.core.store import Work, stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = get("fp8")

INDEX = "model.safetensors.index.json"
SCALE = "_scale_inv"
# Bytes of one written file, and so about half of what memory must hold; the size that repositories use.
SHARD_BYTES = 4 * 2**30
Number = Literal["bf16", "fp32"]


def block_of(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Rows and columns of a block of a checkpoint in block-wise FP8; None for one that is not quantised.

    Args:
        config: the table in ``config.json``.

    Raises:
        BaseModelError: quantised in another way, which cannot be undone here.
    """
    table = config.get("quantization_config")
    if not table:
        return None
    block = table.get("weight_block_size")
    fits = (
        table.get("quant_method") == "fp8"
        and table.get("fmt", "e4m3") == "e4m3"
        and isinstance(block, list)
        and len(block) == 2
        and all(isinstance(size, int) and size > 0 for size in block)
    )
    if not fits:
        raise BaseModelError(
            "The base's weights are quantised in a way that yibu cannot undo, so they cannot be trained or merged.",
            got={key: table.get(key) for key in ("quant_method", "fmt", "weight_block_size")},
            allowed="plain weights, or fp8 (e4m3) by blocks as in DeepSeek-V3",
            do="take the repository with bf16 weights",
        )
    return block[0], block[1]


def dequantise(weight_OI: Tensor, scale_PQ: Tensor, block: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Each number times the factor of its block, in fp32, then rounded to `dtype` once.

    Args:
        weight_OI: ``float8_e4m3fn``.
        scale_PQ: one factor per block; blocks at the edges may be cut off.
        block: rows and columns of a whole block.

    Raises:
        BaseModelError: another type, or factors that are not those of this matrix.
    """
    import torch

    if weight_OI.dtype != torch.float8_e4m3fn or not scale_PQ.is_floating_point() or scale_PQ.element_size() < 2:
        raise BaseModelError(
            "This quantised tensor is of another kind than block-wise fp8.",
            got=f"{weight_OI.dtype} with factors of {scale_PQ.dtype}",
            allowed="float8_e4m3fn with factors of fp32 or bf16",
            do="take the repository with bf16 weights",
        )
    grid = tuple(-(-size // step) for size, step in zip(weight_OI.shape, block, strict=True))
    if tuple(scale_PQ.shape) != grid:
        raise BaseModelError(
            "The factors of a quantised tensor are not those of its blocks.",
            got=f"{tuple(scale_PQ.shape)} for a matrix {tuple(weight_OI.shape)} in blocks of {block}",
            allowed=grid,
            do="fetch the base again",
        )
    values_OI = weight_OI.to(torch.float32)
    rows = scale_PQ.to(torch.float32).repeat_interleave(block[0], dim=0)[: weight_OI.shape[0]]
    for column, begin in enumerate(range(0, weight_OI.shape[1], block[1])):
        # One column of blocks after the other: factors as large as the matrix would double the memory.
        values_OI[:, begin : begin + block[1]] *= rows[:, column : column + 1]
    return values_OI.to(dtype)


@dataclass(frozen=True)
class Converted:
    """What `dequantise_folder` wrote.

    Attributes:
        num_tensors: tensors that were written.
        num_dequantised: those among them that were fp8.
        num_files: files they lie in.
        num_bytes: of all tensors together.
    """

    num_tensors: int
    num_dequantised: int
    num_files: int
    num_bytes: int


def dequantise_folder(source: Path, target: Path, dtype: Number = "bf16", shard_bytes: int = SHARD_BYTES) -> Converted:
    """A plain copy of a base in block-wise FP8: safetensors of `dtype`, config without quantisation, every other file.

    Tensors that are not fp8 (norms, router, head) keep their type and bits. Memory holds one written file at a time.

    Args:
        source: folder of the base, with one safetensors file or many and an index.
        target: an empty folder, made if need be.
        dtype: of the matrices that were fp8.
        shard_bytes: largest written file; a single larger tensor gets a file of its own.

    Raises:
        BaseModelError: not such a base, or one whose tensors and factors do not fit together.
        NoSpace: the disk cannot hold the copy; nothing was written.
    """
    import torch
    from safetensors.torch import save_file

    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    block = block_of(config)
    if block is None:
        raise BaseModelError("This base is not quantised.", got=source, do="use it as it is")
    kind = {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    target.mkdir(parents=True, exist_ok=True)
    tensors = _Tensors(source)
    shards = _cut(tensors, kind, shard_bytes)
    _check_space(target, sum(tensors.size_of(name, kind) for name in tensors.names))
    placed: dict[str, str] = {}
    num_bytes = 0
    with tensors, track("fp8 to " + dtype, total=len(tensors.names)) as bar:
        for number, names in enumerate(shards, start=1):
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            written: dict[str, Tensor] = {}
            for name in names:
                scale = tensors.scale_of(name)
                value = tensors.read(name)
                written[name] = value if scale is None else _named(name, value, tensors.read(scale), block, kind)
                placed[name] = file
                num_bytes += written[name].nbytes
                bar.advance()
            save_file(written, target / file, metadata={"format": "pt"})
            del written
    index = {"metadata": {"total_size": num_bytes}, "weight_map": dict(sorted(placed.items()))}
    (target / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    _copy_rest(source, target, config, dtype)
    num = sum(tensors.scale_of(name) is not None for name in tensors.names)
    return Converted(len(tensors.names), num, len(shards), num_bytes)


def plain_bytes(source: Path, dtype: Number = "bf16") -> int:
    """Bytes of the tensors that `dequantise_folder` would write. Their names and shapes are read, no weight is.

    Raises:
        BaseModelError: weights or factors are missing.
    """
    import torch

    kind = {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    tensors = _Tensors(source)
    return sum(tensors.size_of(name, kind) for name in tensors.names)


class DequantiseSettings(Settings):
    """Which FP8 base is made plain.

    Attributes:
        source: its folder.
        digest: of its files (`yibu.model.resolve.locate`); it, not the place, makes the artifact's id.
        dtype: of the matrices that were fp8.
    """

    source: str
    digest: str
    dtype: Number = "bf16"


@stage(name="dequantised", neutral=("source",))
def dequantised(settings: DequantiseSettings, work: Work) -> None:
    """A base in block-wise FP8 as a base that can be trained, once."""
    done = dequantise_folder(Path(settings.source), work.path, settings.dtype)
    log.info("%d of %d tensors were fp8 and are now %s", done.num_dequantised, done.num_tensors, settings.dtype)
    work.notes["num_dequantised"] = done.num_dequantised
    work.notes["dtype"] = settings.dtype


class _Tensors:
    """All tensors of a folder, opened file by file and read one at a time."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self._files: dict[str, Path] = {}
        self._open: tuple[Path, Any] | None = None
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.types: dict[str, str] = {}
        for path in _weight_files(folder):
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (no mapping)
                    part = file.get_slice(name)
                    self._files[name] = path
                    self.shapes[name], self.types[name] = tuple(part.get_shape()), part.get_dtype()
        scales = {name for name in self._files if name.endswith(SCALE)}
        self.names = sorted(self._files.keys() - scales, key=lambda name: (self._files[name].name, name))
        lost = sorted(scale for scale in scales if scale.removesuffix(SCALE) not in self._files)
        bare = sorted(name for name in self.names if self.types[name].startswith("F8") and name + SCALE not in scales)
        if lost or bare:
            raise BaseModelError(
                "Quantised weights and their factors are not all there.",
                got=[*lost, *bare][:3],
                allowed=f"a tensor <name>{SCALE} for each fp8 tensor <name>",
                do="fetch the base again, or take the repository with bf16 weights",
            )

    def scale_of(self, name: str) -> str | None:
        return name + SCALE if name + SCALE in self._files else None

    def size_of(self, name: str, dtype: torch.dtype) -> int:
        """Bytes of a tensor as it will be written."""
        each = _BYTES.get(self.types[name], 8) if self.scale_of(name) is None else dtype.itemsize
        return math.prod(self.shapes[name]) * each

    def read(self, name: str) -> Tensor:
        from safetensors import safe_open

        path = self._files[name]
        if self._open is None or self._open[0] != path:
            self.__exit__()
            self._open = (path, safe_open(path, framework="pt"))
        tensor: Tensor = self._open[1].get_tensor(name)
        return tensor

    def __enter__(self) -> _Tensors:
        return self

    def __exit__(self, *error: object) -> None:
        if self._open is not None:
            self._open[1].__exit__(*(error or (None, None, None)))
            self._open = None


def _weight_files(folder: Path) -> list[Path]:
    """The files that the index names; without one, every safetensors file."""
    index = folder / INDEX
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise BaseModelError("Parts of the base's weights are missing.", got=missing[:3], do="fetch the base again")
    return [folder / name for name in names]


def no_space_for_plain(folder: Path, needed: int, free: int) -> NoSpace:
    """The error of a disk that cannot hold a plain copy."""
    return NoSpace(
        "The base is in FP8, and the disk cannot hold the copy in bf16 that is trained.",
        got=f"{free / 1e9:,.1f} GB free in {folder}",
        allowed=f"{needed / 1e9:,.1f} GB",
        do="put the store on a larger disk (YIBU_STORE), or give a repository with bf16 weights",
    )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise no_space_for_plain(folder, needed, free)


def _cut(tensors: _Tensors, dtype: torch.dtype, shard_bytes: int) -> list[list[str]]:
    """Which tensors go into which written file, known before the first is read."""
    shards: list[list[str]] = []
    filled = 0
    for name in tensors.names:
        size = tensors.size_of(name, dtype)
        if not shards or filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


# Of safetensors' names of types.
_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def _named(name: str, weight: Tensor, scale: Tensor, block: tuple[int, int], dtype: torch.dtype) -> Tensor:
    if weight.ndim != 2 or scale.ndim != 2:
        raise BaseModelError(
            "This quantised tensor is no matrix with a grid of factors.",
            got=f"{name}: {tuple(weight.shape)} with factors {tuple(scale.shape)}",
        )
    return dequantise(weight, scale, block, dtype)


def _copy_rest(source: Path, target: Path, config: Mapping[str, Any], dtype: Number) -> None:
    """Config without quantisation, and tokenizer, template, terms as they are."""
    plain = {key: value for key, value in config.items() if key not in ("quantization_config", "torch_dtype", "dtype")}
    plain["dtype"] = {"bf16": "bfloat16", "fp32": "float32"}[dtype]
    text = json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False)
    (target / "config.json").write_text(text + "\n", encoding="utf-8")
    for path in sorted(source.iterdir()):
        weights = fnmatch(path.name, "*.safetensors") or path.name in (INDEX, "config.json")
        if path.is_file() and not weights and not path.name.endswith((".bin", ".pt", ".pth", ".py")):
            shutil.copyfile(path, target / path.name)
