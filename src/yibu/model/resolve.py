"""From a base's name to its files, and from files to a model. Nothing is executed and nothing is fetched in silence.

A name is a hub id, a local folder, a ``.gguf`` file, or ``packaged:<name>`` for a model that comes as a Python package.
Whatever it is, the result is a folder of safetensors with tokenizer and config. Weights in pickle and repositories that
want their own code run are refused; the network is used only where it was asked for.

A base in block-wise FP8, as DeepSeek-V3 is published, is found like any other (`locate`). Its plain copy, which can be
trained and merged, is made by `plain`: twice as large, so a dry run does without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from yibu import bases
from yibu.core.errors import BaseModelError, nearest
from yibu.core.store import Artifact, Store, digest_file
from yibu.model import fp8
from yibu.model.convert import (
    PACKAGES,
    PREFIX,
    ConvertSettings,
    convert,
    convert_tokenizer,
    gguf_digest,
    package_named,
    quiet_transformers,
)

if TYPE_CHECKING:
    import torch

# The files that make a model what it is: these are fetched, and these make the digest.
TOKENIZER_FILES = (
    "config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "*.tiktoken",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.*",
)
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
MODEL_FILES = (*TOKENIZER_FILES, "generation_config.json", "*.safetensors", "model.safetensors.index.json")
TERMS = ("LICENSE*", "NOTICE*", "*TERMS*", "USE_POLICY*", "README.md")
UNSTATED = "not stated in its files; see where it came from"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_PACKAGED = " or ".join(PREFIX + name for name in PACKAGES)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Base:
    """A base whose files are on this machine.

    Attributes:
        name: as the recipe has it.
        path: folder with safetensors, tokenizer and config.
        digest: SHA-256 over `MODEL_FILES`, names and bytes; equal for equal files, wherever they lie.
        model_type: ``config.model_type`` of transformers.
        licence: what the base's own files say of it.
    """

    name: str
    path: Path
    digest: str
    model_type: str
    licence: str


def resolve(name: str, store: Store, online: bool | None = None) -> Base:
    """A base that can be trained: its files found and checked, GGUF unpacked, FP8 made plain.

    Args:
        name: hub id | local folder | ``.gguf`` file | ``packaged:<name>``.
        store: where unpacked and plain copies are kept.
        online: whether a hub id may be fetched; None asks ``$YIBU_ONLINE``. ``$HF_HUB_OFFLINE`` forbids it always.

    Raises:
        BaseModelError: not found, or found and not to be trusted; says which command would bring it.
        MissingExtra: a package is missing that reads this kind of file.
        NoSpace: the store's disk cannot hold the plain copy.
    """
    base = locate(name, store, online)
    path, digest = plain(base.path, base.digest, store)
    return replace(base, path=path, digest=digest)


def plain(folder: Path, digest: str, store: Store) -> tuple[Path, str]:
    """Folder and digest of a base that can be trained and merged, given one that `locate` found.

    That is the base itself; of one in block-wise FP8 it is a copy in bf16, made once and kept in the store.

    Raises:
        BaseModelError: quantised in another way, or not all of it is there.
        NoSpace: the store's disk cannot hold the copy.
    """
    if fp8.block_of(_read_config(folder)) is None:
        return folder, digest
    artifact = store.run(fp8.dequantised, fp8.DequantiseSettings(source=str(folder), digest=digest))
    return artifact.path, _digest_of(artifact)


def bytes_to_make_plain(folder: Path, digest: str, store: Store) -> int:
    """Bytes of disk that `plain` will take for this base; 0 where it is plain, or its copy is there already.

    Names and shapes of the tensors are read, no weight is.
    """
    if fp8.block_of(_read_config(folder)) is None:
        return 0
    settings = fp8.DequantiseSettings(source=str(folder), digest=digest)
    made = store.find(store.artifact_id(fp8.dequantised, settings))
    return 0 if made is not None else fp8.plain_bytes(folder, settings.dtype)


def locate(name: str, store: Store, online: bool | None = None) -> Base:
    """The base's files, found, checked and if need be unpacked, in whatever type its weights are.

    Args and errors are those of `resolve`.
    """
    source = _gguf_source(name)
    if source is not None:
        licence = package_named(name).licence if name.startswith(PREFIX) else UNSTATED
        return _unpacked(name, source, licence, store)
    return _base(name, _folder(name, online))


def resolve_tokenizer(name: str, store: Store, online: bool | None = None) -> tuple[Path, str]:
    """The folder of the base's tokenizer, and a digest of its files: weights are neither unpacked nor hashed.

    Args:
        name, store, online: as in `resolve`.

    Raises:
        BaseModelError, MissingExtra: as in `resolve`.
    """
    source = _gguf_source(name)
    if source is not None:
        folder = store.run(convert_tokenizer, ConvertSettings(source=source, sha256=gguf_digest(source))).path
    else:
        folder = _folder(name, online)
        _check(folder)
    return folder.absolute(), _digest({path.name: digest_file(path) for path in _matching(folder, TOKENIZER_FILES)})


def _gguf_source(name: str) -> str | None:
    """What `ConvertSettings` call the GGUF that a name means; None where it means none."""
    if name.startswith(PREFIX):
        package_named(name)
        return name
    path = Path(name).expanduser()
    is_gguf = not path.is_dir() and (path.is_file() or path.suffix == ".gguf")
    return str(path.absolute()) if is_gguf else None


def _folder(name: str, online: bool | None) -> Path:
    """The folder of a base that needs no unpacking."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if not _HUB_ID.fullmatch(name) or name.startswith((".", "/", "~")):
        raise BaseModelError(
            "There is no base at this path.",
            got=name,
            allowed="a folder with safetensors, a .gguf file, a hub id (owner/name), " + _PACKAGED,
        )
    return _from_hub(name, _may_fetch(online))


def load_tokenizer(path: Path) -> Any:
    """The tokenizer of a resolved base, with its chat template if it has one."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def load_model(
    path: Path,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    attn_implementation: str | None = None,
) -> Any:
    """The model of a resolved base, in evaluation mode. Weights go from the file to the wanted type one by one.

    What its ``generation_config.json`` says of writing (penalties, temperatures) is left out: answers are the likeliest
    tokens of the model itself, for whoever asks, or what was measured would not be what is served.

    Args:
        dtype: type of the weights in memory, whatever it is on disk.
        attn_implementation: one of transformers' names; None is what it prefers for this model.

    Raises:
        BaseModelError: the files lack weights of the model, which would otherwise be random.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig

    device_map = None if str(device) == "cpu" else {"": device}
    with quiet_transformers():
        model, report = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            device_map=device_map,
            attn_implementation=attn_implementation,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    if missing := sorted(report["missing_keys"]):
        raise BaseModelError(
            "The base's files lack weights of the model; they would be random numbers.",
            got=f"{len(missing)} missing, among them {', '.join(missing[:3])}",
            do="fetch the base again",
        )
    said = model.generation_config.to_dict()
    model.generation_config = GenerationConfig(**{key: said[key] for key in _TOKENS if said.get(key) is not None})
    return model.eval()


def _from_hub(name: str, fetch: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[*MODEL_FILES, *TERMS], local_files_only=not fetch))
    except Exception as error:  # the hub's client raises dozens of kinds: no network, no such name, gated, disk full
        how = "fetched" if fetch else "found on this machine, and the network was not asked for"
        raise BaseModelError(
            f"The base {name} could not be {how}.",
            got=f"{type(error).__name__}: {error}" if fetch else name,
            allowed="a hub id in the local cache, a local folder, a .gguf file, " + _PACKAGED,
            do=f"`hf download {name}`, or set YIBU_ONLINE=1",
        ) from error


def _may_fetch(online: bool | None) -> bool:
    def is_on(variable: str) -> bool:
        return os.environ.get(variable, "").lower() in {"1", "true", "yes", "on"}

    wanted = is_on("YIBU_ONLINE") if online is None else online
    return wanted and not is_on("HF_HUB_OFFLINE")


def _unpacked(name: str, source: str, licence: str, store: Store) -> Base:
    artifact = store.run(convert, ConvertSettings(source=source, sha256=gguf_digest(source)))
    return Base(name, artifact.path, _digest_of(artifact), _read_config(artifact.path)["model_type"], licence)


def _base(name: str, folder: Path) -> Base:
    """Check a folder and describe it."""
    model_type = _check(folder)
    digests = {path.name: digest_file(path) for path in _matching(folder, MODEL_FILES)}
    return Base(name, folder.absolute(), _digest(digests), model_type, _licence(folder))


def _check(folder: Path) -> str:
    """The model type of a folder that is a base, whole and to be trusted."""
    config = _read_config(folder)
    _check_weights(folder)
    _check_code(folder, config)
    model_type = _check_architecture(config)
    fp8.block_of(config)  # refuses what cannot be undone before its files are hashed
    if not _matching(folder, _TOKENIZERS):
        raise BaseModelError("The base has no tokenizer.", got=folder, allowed=" or ".join(_TOKENIZERS))
    return model_type


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        adapter = (folder / "adapter_config.json").is_file()
        raise BaseModelError(
            "This folder is an adapter, not a base." if adapter else "This folder is no model: it has no config.json.",
            got=folder,
            allowed="config.json, safetensors and a tokenizer",
            do="give the base that the adapter was trained on" if adapter else None,
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BaseModelError("The base's config.json is not JSON.", got=path) from error
    if not isinstance(config, dict):
        raise BaseModelError("The base's config.json is no table.", got=path)
    return config


def _check_weights(folder: Path) -> None:
    weights = {path.name for path in _matching(folder, ("*.safetensors",))}
    if not weights:
        pickles = [path.name for path in _matching(folder, _PICKLES)]
        raise BaseModelError(
            "The base's weights are pickles, which run code when they are read."
            if pickles
            else "This folder has no weights.",
            got=pickles or folder,
            allowed="*.safetensors",
            do="convert them on a machine that you can lose, or take a repository with safetensors"
            if pickles
            else f"if it is a snapshot of the hub, fetch the rest: `hf download <owner/name>` (folder {folder.name})",
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        if missing := sorted(shards - weights):
            raise BaseModelError("Parts of the base's weights are missing.", got=missing, do="fetch the base again")


def _check_code(folder: Path, config: dict[str, Any]) -> None:
    """Refuse repositories that want their own code run, but those whose classes transformers has natively."""
    native = bases.known().get(str(config.get("model_type")))
    allowed = set(native.remote_code) if native else set()
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        values = (table.get("auto_map") or {}).values()
        classes = {c for value in values for c in (value if isinstance(value, list) else [value]) if c is not None}
        if foreign := sorted(str(c) for c in classes - allowed):
            raise BaseModelError(
                "The base wants its own code run (auto_map), which yibu never does.",
                got=f"{name} names {', '.join(foreign)}",
                allowed="architectures that transformers has itself",
                do="take a repository of the same model without auto_map",
            )


def _check_architecture(config: dict[str, Any]) -> str:
    model_type = str(config.get("model_type"))
    if model_type not in bases.known():  # spares the import of transformers for the architectures with facts
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        if model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            close = nearest(model_type, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
            raise BaseModelError(
                "transformers has no causal language model of this type.",
                got=f"model_type {model_type!r}",
                allowed="a language model that the installed transformers knows",
                do=f"did the config mean {close!r}?" if close else "see `yibu doctor` for its version",
            )
    return model_type


def _licence(folder: Path) -> str:
    """The licence in the front matter of the model card."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    try:
        table = yaml.safe_load(front.group(1)) if front else None
    except yaml.YAMLError:
        table = None
    stated = table.get("license_name") or table.get("license") if isinstance(table, dict) else None
    return str(stated) if stated else UNSTATED


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and any(fnmatch(path.name, pattern) for pattern in patterns)
    )


def _digest_of(artifact: Artifact) -> str:
    """Digest of a base that the store made; its files were hashed when it was."""
    files = artifact.manifest.files
    return _digest({name: f.sha256 for name, f in files.items() if any(fnmatch(name, like) for like in MODEL_FILES)})


def _digest(digests: dict[str, str]) -> str:
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()
