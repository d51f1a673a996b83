"""Continuous batching and kept prefixes say what one request at a time says, in every architecture."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch

from tiny import ARCHITECTURES, tiny_base
from yibu.core.errors import InputError
from yibu.engines import Adapter, Sampling
from yibu.engines._bank import Bank
from yibu.engines._job import Job, ScoreJob
from yibu.engines._schedule import Schedule
from yibu.model.assemble import use_generating_attention
from yibu.model.generate import generate
from yibu.model.score import score_answers

TEXTS = ["cough and fever", "患者咳嗽三天", "blood pressure is 120 over 80, no known allergies", "hi"]
ANSWERS = ((5, 6, 4), (7, 4), (5, 9, 4))


def text_of(job: Job) -> str:
    said = ""
    while (piece := job.said.get(timeout=60)) is not None:
        said += piece[0]
    assert not job.failed
    return said


def running(base: Path, adapter: Adapter | None = None, max_batch: int = 8) -> tuple[Bank, Schedule]:
    bank = Bank(base, adapter, "cpu", "fp32")
    schedule = Schedule(bank, max_batch, 512)
    schedule.start()
    return bank, schedule


def prompts_of(bank: Bank) -> list[list[int]]:
    return [bank.system.renderer.prompt([{"role": "user", "content": text}]) for text in TEXTS]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batched_is_as_alone(tmp_path: Path, architecture: str) -> None:
    bank, schedule = running(tiny_base(tmp_path, architecture))
    prompts = prompts_of(bank)
    jobs = [Job(prompt, 4 + 4 * place) for place, prompt in enumerate(prompts)]
    for place, job in enumerate(jobs):
        schedule.put(job)
        if place:
            time.sleep(0.005)  # some come while others are being written
    said = [text_of(job).strip() for job in jobs]
    scores = []
    for prompt in prompts:  # behind each other, so that their common beginning is kept
        wanted = ScoreJob(prompt, ANSWERS, None)
        schedule.put(wanted)
        assert wanted.done.wait(60)
        assert wanted.error is None
        scores.append(wanted.result)
    model = bank.system.model
    torch.testing.assert_close(
        torch.tensor(scores), score_answers(model, prompts, ANSWERS, tree=False), rtol=1e-4, atol=1e-4
    )
    use_generating_attention(model, bank.system.facts)
    alone = [
        generate(model, bank.system.renderer, [job.ids], job.max_new_tokens, title="alone")[0].text for job in jobs
    ]
    assert said == alone


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_vectors_are_those_of_each_text_alone(tmp_path: Path, architecture: str) -> None:
    bank, schedule = running(tiny_base(tmp_path, architecture))
    texts = [list(bank.system.renderer.tokenizer(text)["input_ids"]) for text in TEXTS]
    found = schedule.embed(texts, None)
    use_generating_attention(bank.system.model, bank.system.facts)
    for ids, vector in zip(texts, found, strict=True):
        with torch.no_grad():
            states = bank.system.model(torch.tensor([ids]), output_hidden_states=True, use_cache=False).hidden_states
        mean = states[-1][0].mean(0)
        assert torch.allclose(torch.tensor(vector), mean / mean.norm(), atol=1e-4)


def test_a_full_batch_lets_others_wait_and_serves_them(tmp_path: Path) -> None:
    bank, schedule = running(tiny_base(tmp_path), max_batch=2)
    prompts = prompts_of(bank) * 3
    jobs = [Job(prompt, 6, ignore_eos=True) for prompt in prompts]
    for job in jobs:
        schedule.put(job)
    said = [text_of(job) for job in jobs]
    assert said[: len(TEXTS)] * 3 == said
    assert {job.num_tokens for job in jobs} == {6}


def test_who_hung_up_is_not_worked_for(tmp_path: Path) -> None:
    bank, schedule = running(tiny_base(tmp_path))
    job = Job(prompts_of(bank)[0], 100_000, ignore_eos=True)
    schedule.put(job)
    assert job.said.get(timeout=60) is not None
    job.gone = True
    text_of(job)
    assert job.num_tokens < 100_000


def test_draws_follow_their_seed_and_stop_texts_end(tmp_path: Path) -> None:
    bank, schedule = running(tiny_base(tmp_path))
    prompt = prompts_of(bank)[0]

    def drawn(sampling: Sampling) -> tuple[str, Job]:
        job = Job(prompt, 24, sampling=sampling, ignore_eos=True)
        schedule.put(job)
        return text_of(job), job

    hot = [drawn(Sampling(temperature=2.0, seed=seed))[0] for seed in (1, 1, 2)]
    assert hot[0] == hot[1] != hot[2]
    greedy = drawn(Sampling())[0]
    assert drawn(Sampling(temperature=2.0, top_p=1e-6, seed=1))[0] == greedy
    stop = greedy[8:11]
    cut, job = drawn(Sampling(stop=(stop, "never said")))
    assert cut == greedy[: greedy.index(stop)]
    assert job.finish == "stop"


def test_adapters_take_turns_and_never_mix(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    folders = [lora_folder(base, tmp_path / f"lora{seed}", seed) for seed in (1, 2)]
    bank, schedule = running(base, Adapter("one", folders[0]))
    schedule.call(lambda bank: bank.load(Adapter("two", folders[1])))
    prompt = prompts_of(bank)[0]

    def asked(names: list[str | None]) -> list[str]:
        jobs = [Job(prompt, 12, name, ignore_eos=True) for name in names]
        for job in jobs:
            schedule.put(job)
        return [text_of(job) for job in jobs]

    alone = {name: asked([name])[0] for name in (None, "one", "two")}
    assert len(set(alone.values())) == 3
    mixed: list[str | None] = ["one", "two", None, "two", "one"] * 3
    assert asked(mixed) == [alone[name] for name in mixed]
    fresh = Bank(base, Adapter("x", folders[1]), "cpu", "fp32")
    other = Schedule(fresh, 8, 512)
    other.start()
    job = Job(prompt, 12, "x", ignore_eos=True)
    other.put(job)
    assert text_of(job) == alone["two"]
    with pytest.raises(InputError, match="never used again"):
        schedule.call(lambda bank: bank.load(Adapter("two", folders[0])))
    schedule.forget("two")
    schedule.forget("one")
    assert asked([None]) == [alone[None]]
    unknown = Job(prompt, 2, "two")
    schedule.put(unknown)
    assert unknown.said.get(timeout=60) is None
    assert unknown.failed


def test_kept_prefixes_belong_to_their_adapter(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    folder = lora_folder(base, tmp_path / "lora", 1)
    bank, schedule = running(base, Adapter("one", folder))
    prompts = prompts_of(bank)
    found: dict[str | None, list[list[float]]] = {}
    for name in (None, "one", None, "one"):
        jobs = [ScoreJob(prompt, ANSWERS, name) for prompt in prompts]
        for job in jobs:
            schedule.put(job)
        assert all(job.done.wait(60) for job in jobs)
        now = [job.result for job in jobs]
        torch.testing.assert_close(now, found.setdefault(name, now), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(torch.tensor(found[None]), torch.tensor(found["one"]), atol=1e-2)


def test_calls_from_many_threads_are_run_in_one(tmp_path: Path) -> None:
    _, schedule = running(tiny_base(tmp_path))
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: schedule.call(lambda bank: seen.append(threading.current_thread().name)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == ["schedule"] * 4


def lora_folder(base: Path, folder: Path, seed: int) -> Path:
    """A plain PEFT folder whose effect can be seen."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(seed)
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"]))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    tuned.save_pretrained(folder)
    return folder
