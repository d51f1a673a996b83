"""A PEFT folder leaves where peft has the kind, and says where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import tiny_base
from yibu.core.errors import InputError, YibuError
from yibu.exporters import Questions, Source, ask_plain, safetensors

QUESTIONS = Questions([[{"role": "user", "content": "Hi"}], [{"role": "nobody"}]], [[5, 6, 7]], 4, [4])


def source(folder: Path, adapter: bool = False, quantised: str | None = None) -> Source:
    model = tiny_base(folder / "base")
    (folder / "adapter").mkdir()
    given = folder / "adapter" if adapter else None
    return Source("tiny", model, quantised, given, model, "tiny", {}, None, (), None, None, None, 8, (4,))


def test_plain_transformers_answers_and_a_refusal_is_none(tmp_path: Path) -> None:
    replies = ask_plain(QUESTIONS, tiny_base(tmp_path))
    assert replies.engine.startswith("transformers 5")
    assert replies.rendered[0] is not None
    assert replies.rendered[1] is None
    assert replies.logits[0].shape == (512,)
    assert 1 <= len(replies.written[0]) <= 4


def test_a_folder_that_is_no_model_is_said_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(YibuError, match="Plain transformers cannot run") as caught:
        ask_plain(QUESTIONS, tmp_path)
    assert caught.value.got


@pytest.mark.parametrize(("adapter", "quantised"), [(False, None), (True, "int4")])
def test_what_is_no_adapter_does_not_leave_as_one(tmp_path: Path, adapter: bool, quantised: str | None) -> None:
    given = source(tmp_path, adapter, quantised)
    with pytest.raises(InputError, match="cannot leave as a PEFT folder"):
        safetensors.write(given, tmp_path, safetensors.Settings(what="adapter"))
    safetensors.write(given, tmp_path / "base", safetensors.Settings(what="both"))
    assert (tmp_path / "base" / "model").is_dir()
    assert not (tmp_path / "base" / "adapter").exists()
