"""Rows per second and memory of `yibu prepare` beside data-juicer and datatrove, on the same rows and the same cores.

``python benchmarks/data_speed.py`` makes rows of about 500 characters by repeating and perturbing real ones (with exact
and near duplicates among them), and lets each tool read them, mend Unicode, put white space in order, drop what is too
short, drop exact and near duplicates (MinHash, threshold 0.85) and write the rest. yibu does more in the same time: it
verifies pairs by exact Jaccard, keeps what differs in values, splits 8:1:1, and looks for test rows in train.
datatrove's exact duplicates fall to its MinHash, so it runs no pass of their own. Both others live in environments of
their own (their pins clash with ours), which are made once.

Memory is the largest sum of the unique memory (USS) of a tool's processes, looked at every 0.2 s.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from claims import record

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
PINS = {
    "datajuicer": ["py-data-juicer[generic]==1.6.1", "aiohttp"],
    "datatrove": ["datatrove[io,processing]==0.10.1", "spacy"],
}
LENGTH = 500
EXACT, NEAR = 0.05, 0.05

DATATROVE = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster
from datatrove.pipeline.dedup import MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.formatters import FTFYFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

if __name__ == "__main__":
    source, folder = sys.argv[1:]
    config = MinhashConfig(n_grams=5, num_buckets=16, hashes_per_bucket=8)
    def run(pipeline, tasks=2):
        logs = f"{folder}/logs"
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=2, skip_completed=False, logging_dir=logs).run()
    run([JsonlReader(source), FTFYFormatter(), LambdaFilter(lambda doc: len(doc.text) >= 10),
         JsonlWriter(f"{folder}/clean", output_filename="${rank}.jsonl", compression=None),
         MinhashDedupSignature(f"{folder}/signatures", config=config)])
    run([MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)], tasks=16)
    run([MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config)], tasks=1)
    run([JsonlReader(f"{folder}/clean"), MinhashDedupFilter(f"{folder}/remove"),
         JsonlWriter(f"{folder}/out", output_filename="${rank}.jsonl", compression=None)])
"""

DATAJUICER = """
project_name: speed
dataset_path: {source}
export_path: {folder}/out.jsonl
work_dir: {folder}/work
np: 2
text_keys: text
process:
  - fix_unicode_mapper:
  - whitespace_normalization_mapper:
  - text_length_filter: {{min_len: 10}}
  - document_deduplicator:
  - document_minhash_deduplicator:
      {{tokenization: character, window_size: 5, num_permutations: 128, jaccard_threshold: 0.85, num_bands: 16,
        num_rows_per_band: 8}}
"""

YIBU = """
name: speed
data:
  source: {source}
  shape: text
  clean: {{profile: plain, mojibake: true, min_characters: 10}}
  duplicates: {{near: drop}}
"""


def real_texts() -> list[str]:
    """Notes, dialogues, bank queries and Chinese law texts."""
    texts: list[str] = []
    for path in sorted((SHARED / "mts_dialog").glob("*.csv")):
        with path.open(encoding="utf-8") as lines:
            texts += [row["dialogue"] for row in csv.DictReader(lines)]
    with (SHARED / "banking77" / "train.csv").open(encoding="utf-8") as lines:
        queries = [row["text"] for row in csv.DictReader(lines)]
    texts += [" ".join(queries[start : start + 8]) for start in range(0, len(queries), 8)]
    for path in sorted((SHARED / "lawbench" / "zero_shot").glob("*.json")):
        texts += [row["question"] for row in json.loads(path.read_text(encoding="utf-8"))]
    return [text for text in texts if len(text) >= 100]


def write_rows(path: Path, size: int, seed: int = 0) -> None:
    """Rows of about 500 characters: pieces of real texts in new orders, with duplicates among them."""
    draw = random.Random(seed)
    texts = real_texts()
    recent: list[str] = []
    with path.open("w", encoding="utf-8") as lines:
        for number in range(size):
            luck = draw.random()
            if luck < EXACT and recent:
                text = draw.choice(recent)
            elif luck < EXACT + NEAR and recent:
                text = draw.choice(recent)
                place = draw.randrange(len(text))
                text = text[:place] + draw.choice(("well ", "again ", "的", "，")) + text[place:]
            else:
                pieces, total = [], 0
                while total < LENGTH:
                    text = draw.choice(texts)
                    start = draw.randrange(max(1, len(text) - 120))
                    piece = text[start : start + draw.randint(60, 160)]
                    pieces.append(piece)
                    total += len(piece)
                text = " ".join([*pieces, str(draw.randrange(10**6))])
                recent = [*recent[-999:], text]
            lines.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")


def environment(tool: str, home: Path) -> Path:
    """Python of the tool's own environment, made if it is not there."""
    folder = home / tool
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    installed = folder / ".installed"
    if not installed.exists():
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", *PINS[tool]], check=True)
        installed.touch()
    return folder / "bin" / "python"


def measured(command: list[str | Path], folder: Path) -> tuple[float, float]:
    """Seconds and the largest memory in MiB of a command and its children.

    Raises:
        RuntimeError: it failed.
    """
    # Threads of numeric libraries would fight for the two cores that each tool already fills with processes.
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    log = folder / "log"
    began = time.perf_counter()
    with log.open("w") as lines:
        process = subprocess.Popen(command, cwd=folder, env=quiet, stdout=lines, stderr=subprocess.STDOUT)
        peak = [0.0]
        watcher = threading.Thread(target=_watch, args=(process, peak))
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - began
        watcher.join()
    if code:
        raise RuntimeError(f"{command[0]} failed: {log.read_text(errors='replace')[-2000:]}")
    return seconds, peak[0] / 2**20


def _watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    root = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for one in [root, *_children(root)]:
            try:
                total += one.memory_full_info().uss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total)
        time.sleep(0.2)


def _children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return list(root.children(recursive=True))
    except psutil.Error:
        return []


def command_of(tool: str, source: Path, folder: Path, home: Path) -> list[str | Path]:
    """What runs a tool over a file of rows."""
    if tool == "yibu":
        (folder / "speed.yaml").write_text(YIBU.format(source=source))
        return [sys.executable, "-m", "yibu.cli", "prepare", "speed.yaml", "--store", str(folder / "store")]
    python = environment(tool, home)
    if tool == "datajuicer":
        (folder / "speed.yaml").write_text(DATAJUICER.format(source=source, folder=folder))
        return [python.with_name("dj-process"), "--config", "speed.yaml"]
    (folder / "speed.py").write_text(DATATROVE)
    halves = folder / "in"
    halves.mkdir()
    with source.open("rb") as lines, (halves / "0.jsonl").open("wb") as a, (halves / "1.jsonl").open("wb") as b:
        for number, line in enumerate(lines):
            (a, b)[number % 2].write(line)
    return [python, "speed.py", str(halves), str(folder)]


def num_out(tool: str, folder: Path) -> int:
    """Rows that a tool kept."""
    if tool == "yibu":
        paths = list((folder / "store" / "artifacts").glob("prepare-*/t*.jsonl"))
        paths += list((folder / "store" / "artifacts").glob("prepare-*/valid.jsonl"))
    else:
        paths = [folder / "out.jsonl"] if tool == "datajuicer" else list((folder / "out").glob("*.jsonl"))
    return sum(sum(1 for _ in path.open("rb")) for path in paths)


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--small", type=int, default=50_000)
    parser.add_argument("--tools", nargs="*", default=["yibu", "datajuicer", "datatrove"])
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-bench")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    found: dict[tuple[str, int], dict[str, Any]] = {}
    view = Table("tool", "rows", "seconds", "rows/s", "MiB", "kept")
    with tempfile.TemporaryDirectory() as temporary:
        for size in (given.small, given.rows):
            source = Path(temporary) / f"{size}.jsonl"
            write_rows(source, size)
            for tool in given.tools:
                folder = Path(temporary) / f"{tool}-{size}"
                folder.mkdir()
                command = command_of(tool, source, folder, given.environments.absolute())
                seconds, memory = measured(command, folder)
                kept = num_out(tool, folder)
                found[tool, size] = {"rate": size / seconds, "memory": memory}
                view.add_row(tool, f"{size:,}", f"{seconds:.1f}", f"{size / seconds:.0f}", f"{memory:.0f}", f"{kept:,}")
                Console().print(view)
    if given.dry:
        return
    ours = found["yibu", given.rows]
    others = {tool: found[tool, given.rows]["rate"] for tool in given.tools if tool != "yibu"}
    record("data.speed_rows_per_second", round(ours["rate"], 1), unit="rows/s", n=given.rows)
    for tool, rate in others.items():
        record(f"data.speed_{tool}_rows_per_second", round(rate, 1), unit="rows/s", n=given.rows)
    if others:
        ratio = ours["rate"] / max(others.values())
        record("data.speed_ratio_to_fastest", round(ratio, 2), unit="x", n=given.rows, goal=">= 2")
    for size in (given.small, given.rows):
        memory = found["yibu", size]["memory"]
        record(f"data.memory_{size // 1000}k", round(memory), unit="MiB", n=size, goal="<= 1024")


if __name__ == "__main__":
    main()
