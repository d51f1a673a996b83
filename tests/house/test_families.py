"""The plugs that there are. A new one is one file and one line here; one that vanishes is noticed."""

import importlib

import pytest

from yibu.core.plugs import Family
from yibu.train import TRACKERS

PLUGS = {
    "adapters": ["bottleneck", "experts", "full", "lora", "lora+bottleneck", "qlora"],
    "attacks": [
        *("characters", "textattack"),
    ],
    "augmenters": [
        *("glyphs", "homophones", "keyboard", "mix", "ocr", "rewrite"),
        *("synonyms", "templates"),
    ],
    "bases": ["deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "gemma3", "generic", "llama", "qwen2"],
    "compressors": ["prune", "quantise"],
    "detectors": [
        *("account", "address", "age", "bank_card", "biometric", "credit_code"),
        *("date", "device", "email", "id_card", "ip", "licence"),
        *("licence_plate", "medical_record", "name", "other_id", "passport", "phone"),
        *("presidio", "ssn", "url", "vehicle"),
    ],
    "engines": ["llamacpp", "openai", "openvino", "transformers", "triton", "vllm"],
    "exporters": ["gguf", "openvino", "safetensors", "triton", "vllm"],
    "importers": ["axolotl", "llamafactory", "swift", "trl"],
    "meters": ["modelled", "nvml", "rapl"],
    "readers": ["csv", "dataset_info", "hub", "icd10cm", "json", "jsonl", "parquet", "pubtator"],
    "shapes": [
        *("alpaca", "fields", "messages", "ner_tags", "prompt_completion"),
        *("sharegpt", "spans", "text", "text_label"),
    ],
    "tasks": ["classify", "generate"],
    "trackers": ["mlflow", "tensorboard", "wandb"],
}


def family(name: str) -> Family:
    found: Family = TRACKERS if name == "trackers" else importlib.import_module(f"yibu.{name}").FAMILY
    return found


@pytest.mark.parametrize("name", PLUGS)
def test_plugs_are_those_on_the_list(name: str) -> None:
    assert family(name).names() == PLUGS[name]


@pytest.mark.parametrize(("name", "plug"), [(name, plug) for name, plugs in PLUGS.items() for plug in plugs])
def test_plug_keeps_the_contract(name: str, plug: str) -> None:
    module = family(name).load(plug)
    for required in family(name).requires:
        assert getattr(module, required) is not None
    assert module.__doc__


@pytest.mark.parametrize("name", PLUGS)
def test_family_states_its_contract(name: str) -> None:
    found = family(name)
    assert found.requires, "a family without a contract is a folder"
    package = importlib.import_module(found.package)
    assert package.__doc__
    assert found.name == name
