"""The same rows trained by TRL's SFTTrainer and by LLaMA-Factory: what `train_speed.py` runs beside yibu.

Each is a process of its own that writes a PEFT folder (or whole weights) and ``result.json``: seconds, own processor
seconds, non-padding tokens and target tokens of every optimizer step, peak memory.

LLaMA-Factory's pins clash with ours, so it lives in an environment of its own, made once (about 7 GB: it wants
torchvision and torchaudio, which come with torch's CUDA build).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LR = 2e-4
LR_FULL = 2e-5
ROWS_PER_STEP = 8
R, ALPHA = 16, 32
EMULATE = "YIBU_BENCH_EMULATE_BF16"
Talk = list[dict[str, str]]

LLAMAFACTORY = (
    ("torch==2.9.1", "torchvision==0.24.1"),
    ("torch==2.9.1", "torchaudio==2.9.*"),
    ("llamafactory==0.9.5", "torch==2.9.1", "torchvision==0.24.1"),
)

# Runs in LLaMA-Factory's environment, which has no yibu: `Clock` is handed over as text.
RUN_LLAMAFACTORY = """
import json, os, resource, sys, time
import torch
torch.set_num_threads(2)
from transformers import TrainerCallback
from llamafactory.train.sft import workflow
from llamafactory.train.tuner import run_exp
CLOCK
clock = Clock()
class Counting(workflow.CustomSeq2SeqTrainer):
    def compute_loss(self, model, inputs, *args, **kwargs):
        mask = inputs["attention_mask"]
        if mask.dim() == 4:  # rows of a pack apart: what may see itself is a token
            tokens = mask.diagonal(dim1=-2, dim2=-1) == 0
        else:
            tokens = mask != 0
        clock.count(int(tokens.sum()), int((inputs["labels"] != -100).sum()))
        return super().compute_loss(model, inputs, *args, **kwargs)
workflow.CustomSeq2SeqTrainer = Counting
class Steps(TrainerCallback):
    def on_train_begin(self, *args, **kwargs):
        clock.begin()
    def on_step_end(self, *args, **kwargs):
        clock.tick()
with open(sys.argv[1]) as file:
    config = json.load(file)
run_exp(config, callbacks=[Steps()])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
with open(sys.argv[2], "w") as file:
    json.dump({**clock.result(), "peak_gb": peak}, file)
"""


class Clock:
    """Tokens, wall and own processor seconds of each optimizer step; the first is warm-up and not counted."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.marks = [(time.perf_counter(), time.process_time())]
        self.tokens, self.targets = [0], [0]

    def count(self, tokens: int, targets: int) -> None:
        """A micro-batch of the step under way."""
        self.tokens[-1] += tokens
        self.targets[-1] += targets

    def tick(self) -> None:
        """An optimizer step has ended."""
        self.marks.append((time.perf_counter(), time.process_time()))
        self.tokens.append(0)
        self.targets.append(0)

    def result(self) -> dict[str, float]:
        """Rates over the steps behind the first."""
        (wall, cpu), (wall_end, cpu_end) = self.marks[1], self.marks[-1]
        counted = sum(self.tokens[1:])
        return {
            "tokens_per_second": counted / (wall_end - wall),
            "targets_per_second": sum(self.targets[1:]) / (wall_end - wall),
            "tokens_per_cpu_second": counted / (cpu_end - cpu),
            "steps": len(self.marks) - 1,
        }


def run_trl(base: Path, folder: Path, talks: list[Talk], best: bool, full: bool) -> dict[str, Any]:
    """TRL by its defaults (padding, checkpointing, bf16 autocast), or by the best settings found for it here.

    Best is packing without padding, no checkpointing, weights in the type that is fastest here.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from yibu.model.assemble import choose_dtype

    data = Dataset.from_list([{"prompt": talk[:-1], "completion": talk[-1:]} for talk in talks])
    half = choose_dtype("auto", torch.device("cpu")) == torch.bfloat16
    chosen: dict[str, Any] = {} if half or os.environ.get(EMULATE) else {"bf16": False}
    if best:
        # Rows of one step are packed together: 1,024 tokens hold about four of these rows.
        chosen = {
            "packing": True,
            "per_device_train_batch_size": 2,
            "gradient_checkpointing": False,
            "bf16": False,
            "model_init_kwargs": {"dtype": "bfloat16" if half else "float32", "attn_implementation": "sdpa"},
        }
    config = SFTConfig(
        output_dir=str(folder),
        learning_rate=LR_FULL if full else LR,
        num_train_epochs=1,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        use_cpu=True,
        seed=0,
        disable_tqdm=True,
        **chosen,
    )
    clock = Clock()

    class Steps(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.tick()

    class Counting(SFTTrainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            mask = inputs.get("attention_mask")
            tokens = int(mask.sum()) if mask is not None else inputs["input_ids"].numel()
            clock.count(tokens, int((inputs["labels"] != -100).sum()))
            return super().compute_loss(model, inputs, *args, **kwargs)

    lora = LoraConfig(r=R, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = Counting(
        str(base), args=config, train_dataset=data, peft_config=None if full else lora, callbacks=[Steps()]
    )
    clock.begin()
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if full:
        trainer.model.save_pretrained(folder / "model")
        trainer.processing_class.save_pretrained(folder / "model")
    else:
        trainer.model.save_pretrained(folder / "adapter")
    weights = str(next(trainer.model.parameters()).dtype)
    return {
        **clock.result(),
        "peak_gb": peak,
        "dtype": "bf16 autocast" if not best and "bf16" not in chosen else weights,
    }


def run_llamafactory(base: Path, folder: Path, talks: list[Talk], best: bool, environments: Path) -> dict[str, Any]:
    """LLaMA-Factory by its example for LoRA (one row at a time, eight accumulated), or by the best settings found.

    Rank, learning rate and rows are ours, so that the loss after them can be compared.
    """
    import inspect

    python = llamafactory_python(environments)
    rows, tags = folder / "rows.json", {"role_tag": "role", "content_tag": "content"}
    rows.write_text(json.dumps([{"messages": talk} for talk in talks]), encoding="utf-8")
    about = {
        "file_name": rows.name,
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": tags | {"user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"},
    }
    (folder / "dataset_info.json").write_text(json.dumps({"rows": about}), encoding="utf-8")
    config: dict[str, Any] = {
        "model_name_or_path": str(base),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": R,
        "lora_alpha": ALPHA,
        "lora_target": "all",
        "dataset_dir": str(folder),
        "dataset": "rows",
        "template": "smollm2",
        "cutoff_len": 2048,
        "output_dir": str(folder / "adapter"),
        "save_strategy": "no",
        "report_to": "none",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": ROWS_PER_STEP,
        "learning_rate": LR,
        "lr_scheduler_type": "linear",
        "num_train_epochs": 1,
        "bf16": True,
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 0,
    }
    if best:
        config |= {
            "packing": True,
            "neat_packing": True,  # rows of a pack do not see each other
            "cutoff_len": 1024,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 1,
            "disable_gradient_checkpointing": True,
            "flash_attn": "sdpa",  # pure_bf16 is refused: "This device does not support"
        }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "run.py").write_text(RUN_LLAMAFACTORY.replace("CLOCK", inspect.getsource(Clock)), encoding="utf-8")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [str(python), str(folder / "run.py"), str(folder / "config.json"), str(folder / "took.json")]
    subprocess.run(command, check=True, env=environment, cwd=folder)
    found: dict[str, Any] = json.loads((folder / "took.json").read_text("utf-8"))
    return {**found, "dtype": "bf16 autocast"}


def llamafactory_python(environments: Path) -> Path:
    """Its interpreter; the environment is made where it is not there yet."""
    folder = environments / "llamafactory"
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for wanted in LLAMAFACTORY:
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "made").touch()
    return python
