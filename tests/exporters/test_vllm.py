"""An adapter that vLLM loads stays one, under a name that its bytes decide; any other leaves merged."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import InputError
from yibu.exporters import Source, vllm


def source(folder: Path, **config: Any) -> Source:
    (folder / "adapter").mkdir()
    table = {"peft_type": "LORA", "r": 16, "rank_pattern": {"q": 20}, **config}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(table))
    (folder / "model").mkdir()
    adapter = folder / "adapter"
    return Source("notes", folder / "model", None, adapter, folder, "b", {}, None, (), None, None, None, 8, (1,))


def test_a_lora_stays_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    vllm.write(source(tmp_path), out, vllm.Settings())
    line = (out / "start.sh").read_text()
    (adapter,) = (out / "adapters").iterdir()
    assert adapter.name.startswith("notes-")
    assert f"--lora-modules {adapter.name}=adapters/{adapter.name}" in line
    assert '--override-generation-config \'{"temperature": 0.0, "repetition_penalty": 1.0}\'' in line
    assert "--max-lora-rank 32" in line, "the next rank that vLLM takes above 20"
    assert subprocess.run(["sh", "-n", out / "start.sh"]).returncode == 0
    refused = subprocess.run(["sh", out / "start.sh"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert "set BASE to the folder of the base" in refused.stderr


@pytest.mark.parametrize("config", [{"use_dora": True}, {"target_parameters": ["mlp.experts"]}, {"r": 1024}])
def test_what_vllm_cannot_load_leaves_merged(tmp_path: Path, config: dict[str, Any]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    given = source(tmp_path, **config)
    with pytest.raises(InputError, match="cannot load this adapter"):
        vllm.write(given, out, vllm.Settings(form="lora"))
    vllm.write(given, out, vllm.Settings())
    assert (out / "model").is_dir()
    assert "--enable-lora" not in (out / "start.sh").read_text()
