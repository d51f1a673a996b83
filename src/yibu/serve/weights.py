"""What a ref names, as an engine loads it: a base with an adapter on it, a plain folder, or a GGUF file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from yibu.compress import MODEL
from yibu.core.errors import InputError
from yibu.core.recipe import parse
from yibu.core.store import Artifact, Store
from yibu.engines import Adapter
from yibu.export import BUNDLE
from yibu.serve.asked import Asked, asked_of
from yibu.serve.routes import Version
from yibu.train import Config

SERVED = "a trained model, what compress made of it, or its export to safetensors or gguf"


@dataclass(frozen=True)
class Weights:
    """The weights of an artifact.

    Attributes:
        id: of the artifact.
        form: a Hugging Face folder, or one GGUF file.
        path: of the base, of the folder or of the file, when the artifact was made; see `find`.
        base: name of the base, where `path` is one.
        digest: two artifacts with the same one are served by one engine and may take each other's place.
        adapter: None where it is in the weights.
        asked: the task.
        device, dtype: of the training.
    """

    id: str
    form: Literal["folder", "gguf"]
    path: Path
    base: str | None
    digest: str
    adapter: Adapter | None
    asked: Asked
    device: str = "auto"
    dtype: str = "auto"

    def find(self, store: Store) -> Path:
        """Where the weights lie now.

        Raises:
            InputError: a base that is gone.
        """
        if self.base is None or self.path.is_dir():
            return self.path
        from yibu.model.resolve import resolve  # imports torch, which the gateway has no other use for

        return resolve(self.base, store).path

    def version(self) -> Version:
        """As the gateway knows it."""
        return Version(self.id, self.adapter, self.asked)


def weights_of(artifact: Artifact, store: Store) -> Weights:
    """The weights of an artifact.

    Raises:
        InputError: it has none that an engine of ours can load. StoreError: what it was made from is gone.
    """
    stage = artifact.manifest.stage
    if stage == "train":
        config = parse(Config, artifact.manifest.config)
        kind = str(getattr(config.adapter, "kind", "lora"))
        adapter = Adapter(artifact.id, artifact.path / "adapter", kind)
        base, trained = config.base, config.train
        return Weights(
            id=artifact.id,
            form="folder",
            path=Path(base.path),
            base=base.name,
            digest=base.digest,
            adapter=adapter,
            asked=asked_of(artifact, store),
            device=trained.device,
            dtype=trained.dtype,
        )
    if stage == "compress":
        return _plain(artifact, store, artifact.path / MODEL)
    if stage == "export":
        return _exported(artifact, store)
    raise InputError("This artifact is no model.", got=artifact.id, allowed=SERVED, do="name a ref such as quickstart")


def _plain(artifact: Artifact, store: Store, path: Path, form: Literal["folder", "gguf"] = "folder") -> Weights:
    """All of it in its own weights; the task is that of the training."""
    asked = asked_of(store.get(artifact.manifest.inputs["model"]), store)
    return Weights(artifact.id, form, path, None, artifact.id, None, asked)


def _exported(artifact: Artifact, store: Store) -> Weights:
    config: dict[str, Any] = artifact.manifest.config
    kind, bundle = str(config["exporter"]["kind"]), artifact.path / BUNDLE
    if kind == "gguf":
        (path,) = (path for path in bundle.glob("*.gguf") if not path.name.startswith("adapter-"))
        return _plain(artifact, store, path, "gguf")
    if kind == "safetensors" and (bundle / "model").is_dir():
        return _plain(artifact, store, bundle / "model")
    if kind == "safetensors":
        whole = _plain(artifact, store, Path(config["base_path"]))
        adapter = Adapter(artifact.id, bundle / "adapter")
        return Weights(artifact.id, "folder", whole.path, config["base"], config["base_digest"], adapter, whole.asked)
    raise InputError(
        f"A bundle for {kind} is run by a server of its own, not by yibu.",
        got=artifact.id,
        allowed=SERVED,
        do="start it as its README says; `serve.engine: {kind: openai, endpoint: ...}` then puts the gateway before it",
    )
