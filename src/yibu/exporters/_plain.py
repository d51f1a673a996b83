"""Asks a Hugging Face folder through plain transformers, and peft for an adapter. Run as a program, without yibu.

``python -I _plain.py QUESTIONS.json OUT MODEL [ADAPTER]`` writes ``OUT.json`` and ``OUT.safetensors``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(questions: Path, out: Path, model: Path, adapter: Path | None) -> None:
    """Load, ask, write the replies."""
    import torch
    import transformers
    from safetensors.torch import save_file

    table = json.loads(questions.read_text(encoding="utf-8"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(adapter or model, local_files_only=True)
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, local_files_only=True)
    engine = f"transformers {transformers.__version__}"
    if adapter is not None:
        import peft

        # The base's own may hold penalties, under which the adapter was not measured. A whole model brings its own.
        stops = list(table["stop_ids"])
        network.generation_config = transformers.GenerationConfig(eos_token_id=stops, pad_token_id=stops[0])
        network = peft.PeftModel.from_pretrained(network, str(adapter))
        engine += f", peft {peft.__version__}"
    network = network.eval()
    rendered = [_rendered(tokenizer, messages) for messages in table["conversations"]]
    logits, written = {}, []
    with torch.no_grad():
        for number, prompt in enumerate(table["prompts"]):
            ids = torch.tensor([prompt])
            logits[f"logits.{number}"] = network(input_ids=ids, use_cache=False).logits[0, -1].float().contiguous()
            answer = network.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=table["max_new_tokens"]
            )
            written.append(answer[0, len(prompt) :].tolist())
    if any(name.partition(".")[0] == "yibu" for name in sys.modules):
        raise SystemExit("yibu was imported, so this proves nothing")
    save_file(logits, out.with_suffix(".safetensors"))
    replies = {"rendered": rendered, "written": written, "engine": engine}
    out.with_suffix(".json").write_text(json.dumps(replies), encoding="utf-8")


def _rendered(tokenizer: Any, messages: Any) -> list[int] | None:
    """Token ids of a conversation; None where the template refuses it, with whatever its author chose to raise."""
    try:
        ids = tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)
    except Exception:
        return None
    return list(ids)


if __name__ == "__main__":
    _, first, second, third, *rest = sys.argv
    main(Path(first), Path(second), Path(third), Path(rest[0]) if rest else None)
