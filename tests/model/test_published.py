"""Published configs: what is written down, and what a name finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yibu import bases
from yibu.core.errors import BaseModelError
from yibu.model.published import facts_of, published, read_config

NAMES = sorted(published())


def test_the_family_is_written_down() -> None:
    assert {"deepseek_v2_lite", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4_flash"} <= set(NAMES)
    assert {name for name in NAMES if name.startswith("r1_distill")} == {
        *("r1_distill_llama_70b", "r1_distill_llama_8b", "r1_distill_qwen_14b"),
        *("r1_distill_qwen_1_5b", "r1_distill_qwen_32b", "r1_distill_qwen_7b"),
    }


def test_the_folder_of_data_is_no_plug() -> None:
    assert "published" not in bases.FAMILY.names()


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_source(name: str) -> None:
    one = published()[name]
    assert one.names
    assert one.sources
    assert one.stated_by
    assert one.config["model_type"] in bases.known()


def test_no_hub_id_stands_twice() -> None:
    every = [name for one in published().values() for name in one.names]
    assert len(every) == len(set(every))


def test_names(tmp_path: Path) -> None:
    whole = read_config("deepseek-ai/DeepSeek-R1-0528")[1]
    assert whole is not None
    assert read_config("deepseek-r1")[1] == whole == read_config("deepseek_v3")[1]
    file = tmp_path / "config.json"
    file.write_text(json.dumps(whole.config), encoding="utf-8")
    assert read_config(file) == (whole.config, None) == read_config(str(tmp_path))


def test_bad_config_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(BaseModelError, match="not JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BaseModelError, match="names no architecture"):
        read_config(tmp_path)


def test_facts_without_a_model() -> None:
    found = facts_of("deepseek-ai/DeepSeek-V3")
    assert found is not None
    assert found.name == "deepseek_v3"
    assert facts_of("no/such-model") is None
    assert facts_of({"model_type": "no_such_type"}) is None
