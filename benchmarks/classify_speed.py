"""Bank messages (banking77, prompts of 32 to 64 tokens) into 77 labels: our fastest form beside plain transformers.

Ours is the export ``{kind: triton, runtime: openvino}`` (bf16) in a real tritonserver, asked over HTTP by 32 clients.
Beside it, in fp32, on the same merged weights, and in turn with it, round by round:

- ``generation``: the pipeline ``text-generation`` that writes the label, greedy, one request at a time and in batches
  of 16, of which the faster counts. This is how plain transformers asks a model that was tuned to write its label.
- ``head``: the pipeline ``text-classification`` of the same base with a head of 77 labels: one forward pass over the
  prompt, batches of 1 and of 16. Its head is not trained, so its answers are not compared; it is the least that
  fp32 costs here.
- ``likelihood``: of each of the 77 labels by a forward pass over prompt and label; few rows, since it is slow.

Answers are compared with the pipeline's, and with the likeliest label by plain transformers in fp32. Latency is taken
in an open loop at 70 % of the saturation just measured. ``--prepare`` makes model, repository and reference in
``--place`` (minutes), so that the measurement itself is short.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from claims import record
from classifiers import Tuned, label_of, load, repository, request_of, together, tuned
from http_load import Client

CLIENTS, ROUNDS, BATCH, LATENCIES = 32, 3, 16, 600


def reference(model: Tuned, place: Path) -> list[str]:
    """The likeliest label of each row, by plain transformers in fp32; the search of the tree is exact for the best."""
    path = place / "reference.json"
    if not path.is_file():
        import torch
        from transformers import AutoModelForCausalLM

        from yibu.exporters._labels import Chooser, LabelTree, common
        from yibu.exporters._network import Transformers

        network: Any = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32).eval()
        tree, prefix = LabelTree(model.source.label_ids), common(model.prompts)
        scores = Chooser(tree, Transformers(network, tree.tokens, prefix), prefix).scores(model.prompts)
        path.write_text(json.dumps([model.source.labels[int(one.argmax())] for one in scores]), encoding="utf-8")
    found: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return found


class Pipelines:
    """Plain transformers in fp32."""

    def __init__(self, model: Tuned, threads: int) -> None:
        import torch
        import transformers

        torch.set_num_threads(threads)
        transformers.logging.set_verbosity_error()
        load_tokenizer: Any = transformers.AutoTokenizer.from_pretrained
        self.tokenizer = load_tokenizer(model.folder, padding_side="left")
        self.stop = model.source.stop_ids[0]
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token_id = self.stop
        folder, options = str(model.folder), {"dtype": torch.float32, "tokenizer": self.tokenizer, "device": "cpu"}
        self.generation = transformers.pipeline("text-generation", model=folder, **options)
        head: Any = transformers.AutoModelForSequenceClassification
        network = head.from_pretrained(folder, dtype=torch.float32, num_labels=len(model.source.labels))
        network.config.pad_token_id = self.tokenizer.pad_token_id
        self.head = transformers.pipeline("text-classification", model=network, tokenizer=self.tokenizer, device="cpu")
        self.longest = max(map(len, model.source.label_ids))

    def generate(self, prompts: list[str], batch: int) -> list[str]:
        """What is written behind each prompt."""
        found = self.generation(
            prompts,
            batch_size=batch,
            max_new_tokens=self.longest,
            do_sample=False,
            eos_token_id=self.stop,
            return_full_text=False,
            add_special_tokens=False,
        )
        return [one[0]["generated_text"].strip() for one in found]

    def classify(self, prompts: list[str], batch: int) -> None:
        """Speed alone."""
        self.head(prompts, batch_size=batch, add_special_tokens=False)

    def likelihood(self, prompt: list[int], answers: tuple[tuple[int, ...], ...]) -> int:
        """The likeliest answer, each behind the prompt in a pass of its own."""
        import torch

        best = []
        for answer in answers:
            ids = torch.tensor([[*prompt, *answer]])
            with torch.no_grad():
                log_probs = self.generation.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            best.append(float(log_probs.gather(1, torch.tensor(answer)[:, None]).sum()))
        return best.index(max(best))


def rate_of(work: Callable[[], Any], count: int) -> tuple[float, Any]:
    """Requests a second, and what came out."""
    begun = time.perf_counter()
    found = work()
    return count / (time.perf_counter() - begun), found


async def latencies(server: Any, texts: list[str], rate: float) -> list[float]:
    """Seconds of each request in an open loop."""
    client = Client(int(server.address.rpartition(":")[2]))
    answers = await client.open_loop(
        lambda number: request_of(server.name, texts[number % len(texts)]), rate, LATENCIES
    )
    client.close()
    for one in answers:
        label_of(one)
    return sorted(one.seconds for one in answers)


def main(store: Path, place: Path, threads: int, prepare: bool, dry: bool) -> None:
    """Prepare, or measure and print; record unless dry."""
    from yibu.exporters import triton
    from yibu.exporters._tritonserver import TritonServer

    place.mkdir(parents=True, exist_ok=True)
    settings = triton.Settings(runtime="openvino", dtype="bfloat16", back_end="python", threads=threads)
    model = tuned(store, place)
    models, right = repository(model.source, place / "triton", settings), reference(model, place)
    if prepare:
        return
    pipes, count = Pipelines(model, threads), len(model.texts)
    prompts: list[str] = pipes.tokenizer.batch_decode(model.prompts)
    rates: dict[str, list[float]] = {}
    said: dict[str, list[str]] = {"ours": [], "generation": []}
    with TritonServer.find().serve(models, model.source.name) as server:
        asyncio.run(together(server, model.texts, CLIENTS, CLIENTS))
        for number in range(ROUNDS):
            rows = range(number, count, ROUNDS)
            mine, theirs = [model.texts[row] for row in rows], [prompts[row] for row in rows]
            rate, _ = asyncio.run(together(server, model.texts, count, CLIENTS))
            _, answers = asyncio.run(together(server, mine, len(mine), CLIENTS))
            written_rate, written = rate_of(lambda theirs=theirs: pipes.generate(theirs, BATCH), len(theirs))
            few = theirs[:12]
            found = {
                "ours": rate,
                "generation_16": written_rate,
                "generation_1": rate_of(lambda few=few: pipes.generate(few, 1), len(few))[0],
                "head_16": rate_of(lambda theirs=theirs: pipes.classify(theirs[:32], BATCH), len(theirs[:32]))[0],
                "head_1": rate_of(lambda few=few: pipes.classify(few, 1), len(few))[0],
            }
            for name, value in found.items():
                rates.setdefault(name, []).append(value)
            print(f"round {number}, {load()}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))
            said["ours"] += [right[row] == label for row, label in zip(rows, answers, strict=True)]
            said["generation"] += [one == other for one, other in zip(answers, written, strict=True)]
        saturation = statistics.harmonic_mean(rates["ours"])
        waits = asyncio.run(latencies(server, model.texts, 0.7 * saturation))
        statistic = server.statistics()
    likely_rate, likely = rate_of(
        lambda: [pipes.likelihood(prompt, model.source.label_ids) for prompt in model.prompts[:2]], 2
    )
    assert [model.source.labels[best] for best in likely] == right[:2], "the reference is what it says"
    _tell(rates, likely_rate, said, waits, saturation, statistic, dry)


def _tell(
    rates: dict[str, list[float]],
    likely_rate: float,
    said: dict[str, list[Any]],
    waits: list[float],
    saturation: float,
    statistic: dict[str, Any],
    dry: bool,
) -> None:
    """Print, and record unless dry."""
    mean = {name: statistics.harmonic_mean(values) for name, values in rates.items()}
    best = {kind: max((f"{kind}_1", f"{kind}_16"), key=lambda name: mean[name]) for kind in ("generation", "head")}
    p50, p99 = (waits[int(share * len(waits))] * 1000 for share in (0.5, 0.99))
    times = {kind: [one / other for one, other in zip(rates["ours"], rates[best[kind]], strict=True)] for kind in best}
    same = {name: sum(map(bool, values)) / len(values) for name, values in said.items()}
    batches = statistic["inference_count"] / statistic["execution_count"]
    print({name: round(value, 2) for name, value in mean.items()}, f"likelihood {likely_rate:.3f}")
    print({kind: f"{mean['ours'] / mean[name]:.1f} x {name}" for kind, name in best.items()})
    print(f"likelihood one by one: {mean['ours'] / likely_rate:.0f} x; same {same}; mean batch {batches:.1f}")
    print(f"at 70 % of {saturation:.0f} requests/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms; {load()}")
    if dry:
        return
    n = len(said["ours"])
    record(
        "deploy.classify_requests",
        saturation,
        unit="requests/s, banking77 with prompts of 32 to 64 tokens, 77 labels, OpenVINO bf16 in Triton, 32 clients",
        n=n * ROUNDS,
        low=min(rates["ours"]),
        high=max(rates["ours"]),
    )
    for kind, name in best.items():
        record(
            f"deploy.classify_over_{kind}",
            mean["ours"] / mean[name],
            unit=f"times the requests/s of transformers' pipeline in fp32 ({name.replace('_', ', batch ')})",
            n=n,
            goal=">= 8",
            low=min(times[kind]),
            high=max(times[kind]),
        )
    record(
        "deploy.classify_over_likelihood",
        mean["ours"] / likely_rate,
        unit="times the requests/s of transformers in fp32, each label's likelihood by a pass of its own",
        n=2,
    )
    record("deploy.classify_same_as_generation", same["generation"], unit="share of 1", n=n, goal=">= 0.99")
    record("deploy.classify_same_as_fp32_likelihood", same["ours"], unit="share of 1", n=n, goal=">= 0.99")
    unit = "ms in an open loop at 70 % of saturation, over HTTP"
    record("deploy.classify_p50_ms", p50, unit=unit, n=len(waits))
    record("deploy.classify_p99_ms", p99, unit=unit, n=len(waits), goal="<= 50")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".yibu"))
    parser.add_argument("--place", type=Path, default=Path(".yibu/bench/classify"), help="where prepared files lie")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prepare", action="store_true", help="prepare and end")
    parser.add_argument("--dry", action="store_true", help="write no result")
    given = parser.parse_args()
    main(given.store, given.place, given.threads, given.prepare, given.dry)
