"""Fewer bits are on disk, plain transformers loads them, and the gain that is left is measured."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from tiny import tiny_model
from tuned import Tuned, tuned
from yibu import bases, pipeline
from yibu.compress import CompressSettings, checks_of
from yibu.compressors import quantise
from yibu.core.errors import InputError
from yibu.exporters import Questions, ask_plain


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    return tuned(tmp_path_factory.mktemp("tuned"), num_rows=240)


def test_fewer_bits_are_smaller_and_the_gain_is_judged(made: Tuned) -> None:
    pytest.importorskip("compressed_tensors")
    whole, eight, four = (
        made.small(*given) for given in ((), ("compress.quantise=int8",), ("compress.quantise=int4",))
    )
    sizes = [small.read_json("summary.json")["bytes"] for small in (whole, eight, four)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    for small, bound in ((eight, 0.95), (four, 0.9)):
        gain = next(check for check in checks_of(small) if check["name"] == "gain kept")
        assert gain["bound"] == bound
        assert gain["ok"] is True
    weights = 61_440  # of the linear layers of the tiny model but its output layer
    assert four.read_json("summary.json")["steps"][0]["weights"] == weights
    assert sizes[1] - sizes[2] == pytest.approx(weights / 2, rel=0.05), "four bits less for each of them"


def test_plain_transformers_answers_with_the_rounded_weights(made: Tuned) -> None:
    pytest.importorskip("compressed_tensors")
    questions = Questions([], [[5, 6, 7]], 4, [4])
    rounded = ask_plain(questions, made.small("compress.quantise=int4").path / "model").logits[0]
    exact = ask_plain(questions, made.small().path / "model").logits[0]
    assert 0 < float((rounded - exact).abs().max()) < 1


def test_a_quantised_model_leaves_without_its_adapter(made: Tuned) -> None:
    pytest.importorskip("compressed_tensors")
    recipe = made.with_sections("compress.quantise=int8", "export=[safetensors]")
    small = made.small("compress.quantise=int8")
    (bundle,) = pipeline.make_bundles(recipe, made.store, made.data, made.model, small)
    assert not [name for name in bundle.manifest.files if name.startswith("bundle/adapter")]


@pytest.mark.parametrize("settings", [{"scheme": "nf4"}, {"scheme": "int4", "group": 128}])
def test_rows_that_no_group_divides_are_refused(settings: dict[str, object]) -> None:
    model = tiny_model()
    pytest.importorskip("bitsandbytes" if settings["scheme"] == "nf4" else "compressed_tensors")
    with pytest.raises(InputError, match="does not divide"):
        quantise.compress(model, quantise.Settings.model_validate(settings), bases.facts_for(model.config), [])


def test_router_and_output_layer_stay_whole() -> None:
    model = tiny_model("deepseek_v3")
    chosen = quantise._chosen(model)
    assert chosen
    assert not [name for name in chosen if name.endswith(("mlp.gate", "lm_head"))]


def test_the_scale_of_a_group_loses_less_than_the_largest_weight_would() -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    lost = []
    for step in (quantise._scales(weight, 4, 32), weight.view(8, 2, 32).abs().amax(-1) / 7):
        groups = weight.view(8, 2, 32)
        lost.append(float(((groups / step[..., None]).round().clamp(-8, 7) * step[..., None] - groups).square().sum()))
    assert lost[0] < lost[1]


def test_a_word_in_the_recipe_is_a_table() -> None:
    settings = CompressSettings.model_validate({"quantise": "int8"})
    assert settings.quantise == quantise.Settings(scheme="int8")
    with pytest.raises(ValidationError):
        CompressSettings.model_validate({"quantise": "int3"})
