"""The command line as a person uses it: every verb on a tiny base, every exit code, every form of an option."""

from __future__ import annotations

import csv
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as some
from typer.testing import CliRunner, Result

from tiny import tiny_base
from yibu.cli import app, as_overrides, with_engine
from yibu.core.store import Store

VERBS = [
    "serve",
    "keys",
    "compress",
    "export",
    "run",
    "check",
    "import",
    "prepare",
    "train",
    "evaluate",
    "chat",
    "report",
    "compare",
    "bench",
    "log",
    "show",
    "replay",
    "verify",
    "doctor",
    "schema",
]
LUNG, HAND = ("cough", "asthma", "pneumonia"), ("burn", "sprain", "fracture")


def yibu(*arguments: str | Path) -> Result:
    """One call in this process, as `main` makes it."""
    return CliRunner().invoke(app, as_overrides([str(argument) for argument in arguments]))


def events(result: Result) -> dict[str, dict[str, Any]]:
    """The JSON lines of stdout by event, the last of each kind."""
    return {line["event"]: line for line in map(json.loads, result.stdout.splitlines())}


class Place:
    """A folder with a recipe, rows and a store."""

    def __init__(self, root: Path) -> None:
        self.recipe, self.store = root / "kind.yaml", root / "store"
        chance = random.Random(0)
        with (root / "rows.csv").open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["text", "label"])
            for number in range(80):
                words, label = chance.choice([(LUNG, "lung"), (HAND, "hand")])
                lines.writerow([f"{chance.choice(words)}, case {number}", label])
        table = {
            "base": str(tiny_base(root / "base")),
            "data": {"source": str(root / "rows.csv")},
            "train": {"epochs": 1, "max_steps": 3, "lr": 1e-2, "threads": 1},
            "evaluate": {"num_resamples": 200},
        }
        self.recipe.write_text(json.dumps(table))  # JSON is YAML

    def __call__(self, verb: str, *arguments: str | Path) -> Result:
        return yibu(verb, *arguments, "--store", self.store)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def done(place: Place) -> Place:
    """The place after a whole run."""
    result = place("run", place.recipe)
    assert result.exit_code == 0, result.output
    return place


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "yibu.cli", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5  # of processor time: the wall clock belongs to the other processes


def test_help_imports_no_model_library() -> None:
    code = """if True:
        import sys
        sys.argv = ["yibu", "--help"]
        from yibu.cli import main
        try:
            main()
        except SystemExit as end:
            assert end.code == 0
        assert not {"torch", "transformers", "peft", "sklearn", "numpy"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_verb_is_there_and_says_what_it_does() -> None:
    result = yibu("--help")
    assert result.exit_code == 0
    for verb in VERBS:
        assert verb in result.output
        assert yibu(verb, "--help").exit_code == 0
    assert {one.name or one.callback.__name__ for one in app.registered_commands if one.callback} == set(VERBS)


def test_version() -> None:
    from yibu import __version__

    assert yibu("--version").output.strip() == f"yibu {__version__}"


# --- overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["run", "r.yaml", "train.lr=1e-3"], ["run", "r.yaml", "train.lr=1e-3"]),
        (["run", "r.yaml", "--train.lr", "1e-3"], ["run", "r.yaml", "train.lr=1e-3"]),
        (["run", "r.yaml", "--train.lr=1e-3", "--json"], ["run", "r.yaml", "train.lr=1e-3", "--json"]),
        (["run", "--data.split.seed", "-1", "r.yaml"], ["run", "data.split.seed=-1", "r.yaml"]),
        (["run", "--task.prompt=a\nb=c"], ["run", "task.prompt=a\nb=c"]),
        (["run", "--store", "a.b", "--verbose"], ["run", "--store", "a.b", "--verbose"]),
        (["run", "--train.lr"], ["run", "train.lr"]),
    ],
)
def test_three_forms_of_an_override_mean_the_same(typed: list[str], meant: list[str]) -> None:
    assert as_overrides(typed) == meant


@given(some.lists(some.text().filter(lambda text: not text.startswith("--"))))
def test_what_is_no_option_is_left_alone(arguments: list[str]) -> None:
    assert as_overrides(arguments) == arguments


def test_an_override_without_a_value_is_refused(place: Place) -> None:
    result = place("prepare", place.recipe, "--train.lr")
    assert result.exit_code == 2
    assert "section.key=value" in result.stderr


# --- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.yaml"], "There is no recipe at this path."),
        (["nowhere"], "neither a recipe nor a folder of rows"),
        (["{recipe}", "train.lrr=1"], "did you mean 'lr'?"),
        (["{recipe}", "train.epochs=none"], "train.epochs"),
        (["{recipe}", "data.source=absent.csv"], "absent.csv"),
        (["{recipe}", "base=/nowhere"], "There is no base at this path."),
    ],
)
def test_wrong_input_ends_with_2_and_says_what_to_do(place: Place, arguments: list[str], told: str) -> None:
    result = place("run", *(argument.format(recipe=place.recipe) for argument in arguments))
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_engine_and_processes_stand_for_settings() -> None:
    assert with_engine(["a.b=1"], None) == ["a.b=1"]
    assert with_engine(None, "ray") == ["data.engine=ray"]
    assert with_engine([], "ray", ("data", "train"), 2) == [
        "data.engine=ray",
        "train.engine=ray",
        "train.processes=2",
    ]


def test_fewer_than_one_process_is_refused(place: Place) -> None:
    assert place("train", place.recipe, "--processes", "0").exit_code == 2
    result = place("train", place.recipe, "train.processes=0")
    assert result.exit_code == 2
    assert "train.processes" in result.stderr


def test_half_a_launcher_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = place("train", place.recipe)
    assert result.exit_code == 2
    assert "WORLD_SIZE without RANK" in result.stderr


def test_check_foresees_a_base_that_cannot_be_sharded(place: Place) -> None:
    result = place("check", place.recipe, "train.shard=full", "train.processes=2", "adapter.kind=qlora")
    assert result.exit_code == 2
    assert "four bits" in result.stdout


def test_a_mistyped_verb_or_option_is_told_the_nearest() -> None:
    assert "Did you mean 'run'" in yibu("rnu").output
    assert "--verbose" in yibu("run", "r.yaml", "--verbos").output


def test_an_error_is_one_json_line_under_json() -> None:
    result = yibu("run", "nowhere.yaml", "--json")
    (line,) = result.stdout.splitlines()
    told = json.loads(line)
    assert (told["event"], told["error"], told["exit_code"]) == ("error", "RecipeError", 2)
    assert told["got"] == "nowhere.yaml"


def test_verbose_shows_the_traceback() -> None:
    assert "Traceback" in yibu("run", "nowhere.yaml", "--verbose").stderr


# --- making -----------------------------------------------------------------------------------------------------------


def test_check_shows_what_a_run_would_do_and_makes_rows_only(tmp_path: Path) -> None:
    place = Place(tmp_path)
    result = place("check", place.recipe)
    assert result.exit_code == 0, result.output
    for told in (
        "80 read",
        "half ≤",
        "⟦lung⟧",
        "⟦<|im_end|>⟧",
        "(100%)",
        "attention_q",
        "peak",
        "steps of",
        "yibu run",
    ):
        assert told in result.stdout
    store = Store(place.store)
    assert [artifact.manifest.stage for artifact in store.artifacts()] == ["prepare"]
    assert store.refs() == {}
    outlook = events(place("check", place.recipe, "--json"))["outlook"]
    assert outlook["lengths"]["count"] == outlook["rows"]["splits"]["train"] == outlook["stops_trained"]
    assert outlook["refusals"] == []


def test_check_ends_with_2_where_a_run_would_be_refused(place: Place) -> None:
    result = place("check", place.recipe, "train.max_length=20")
    assert result.exit_code == 2
    assert "A run would be refused" in result.stdout
    assert "which would be refused" in result.stdout
    assert "attention_q" in result.stdout, "the rest is shown all the same"


def test_run_ends_with_the_table_the_report_and_the_next_command(done: Place) -> None:
    result = done("run", done.recipe)
    assert result.exit_code == 0
    for told in ("Base", "Tuned", "Majority class", "TF-IDF + SVM", "Accuracy of label", "n = ", "p "):
        assert told in result.stdout
    lines = result.stdout.splitlines()
    path = next(line.removeprefix("Report: ") for line in lines if line.startswith("Report: "))
    assert Path(path).is_file()
    assert lines[-1].startswith("Next: ")
    assert "yibu chat kind" in lines[-1]


def test_a_second_run_redoes_nothing_and_says_so(done: Place) -> None:
    before = {artifact.id for artifact in Store(done.store).artifacts()}
    result = done("run", done.recipe, "--json")
    told = events(result)
    assert told["done"]["made"] == []
    assert told["done"]["seconds"] < 30
    assert told["results"]["systems"][:2] == ["base", "tuned"]
    assert {artifact.id for artifact in Store(done.store).artifacts()} == before
    assert "Nothing was redone" in done("run", done.recipe).stdout


def test_the_results_can_be_read_in_chinese_without_another_run(done: Place) -> None:
    result = done("run", done.recipe, "--lang", "zh")
    assert "微调" in result.stdout
    assert "Nothing was redone" in result.stdout


@pytest.mark.parametrize(("verb", "part", "following"), [("prepare", "Data", "train"), ("train", "Model", "evaluate")])
def test_a_verb_stops_after_its_stage(done: Place, verb: str, part: str, following: str) -> None:
    result = done(verb, done.recipe, "--train.seed", "0")
    assert result.exit_code == 0
    assert f"{part}: " in result.stdout
    assert f"yibu {following} {done.recipe} train.seed=0" in result.stdout.splitlines()[-1]


def test_a_file_of_rows_is_a_recipe(place: Place) -> None:
    result = place("prepare", place.recipe.with_name("rows.csv"), "--json")
    assert result.exit_code == 0
    assert events(result)["done"]["name"] == "rows"


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path)
    settings = ["train.epochs=200", "train.max_steps=1500", "train.checkpoint_every=10"]
    command = [sys.executable, "-m", "yibu.cli", "train", str(place.recipe), *settings, "--store", str(place.store)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    for _ in range(1200):
        if list(place.store.glob("work/*/scratch/checkpoints/step-*")):
            break
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 130, told
    assert "The same command goes on from here." in told
    assert "Traceback" not in told
    assert not list(place.store.glob("artifacts/train-*"))
    again = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert again.stderr is not None
    for line in again.stderr:
        if "going on from the checkpoint of step" in line:
            break
    else:
        pytest.fail("it began anew")
    again.kill()
    again.communicate()


# --- using and looking ------------------------------------------------------------------------------------------------


def test_report_prints_the_page_in_either_language(done: Place, tmp_path: Path) -> None:
    english = done("report", "kind").stdout.strip()
    chinese = done("report", done.recipe, "--lang", "zh").stdout.strip()
    assert '<html lang="en"' in Path(english).read_text()
    assert '<html lang="zh-CN"' in Path(chinese).read_text()
    copy = tmp_path / "page.html"
    assert done("report", "--out", copy).stdout.strip() == str(copy)
    assert copy.read_bytes() == Path(english).read_bytes()
    refused = done("report", "--out", tmp_path / "absent" / "page.html")
    assert refused.exit_code == 2
    assert "folder that exists" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["report", "knid"], "did you mean 'kind'?"),
        (["report", "kind/model"], "This is not a report."),
        (["chat", "kind/data", "-m", "x"], "This is not a model."),
        (["show", "train-zzz"], "There is no artifact or ref of this name"),
    ],
)
def test_a_name_that_is_not_there_is_told_the_nearest(done: Place, arguments: list[str], told: str) -> None:
    result = done(*arguments)
    assert result.exit_code == 1
    assert told in result.stderr


def test_verbs_that_look_say_so_where_there_is_nothing(tmp_path: Path) -> None:
    empty = ["--store", tmp_path / "none"]
    assert "No ref has been moved yet." in yibu("log", *empty).stdout
    assert "is empty" in yibu("show", *empty).stdout
    assert yibu("verify", *empty).exit_code == 0
    assert "There is no model in the store yet." in yibu("chat", *empty).stderr
    assert not (tmp_path / "none").exists(), "to look makes nothing"


def test_log_shows_every_move(done: Place) -> None:
    entries = events(done("log", "--json"))["ledger"]["entries"]
    assert {"kind/data", "kind/model", "kind/report"} <= {entry["ref"] for entry in entries}
    assert "kind/model" in done("log").stdout


def test_show_draws_the_lineage_down_to_the_source(done: Place) -> None:
    store = Store(done.store)
    report = store.get("kind/report")
    shown = done("show", "kind/report").stdout
    for told in (report.id, *report.manifest.inputs.values(), "rows.csv", "metrics.json", "num_resamples"):
        assert told in shown
    lineage = events(done("show", report.id, "--json"))["artifact"]["lineage"]
    assert lineage["inputs"]["model"]["inputs"]["data"]["id"] == store.get("kind/data").id
    everything = done("show").stdout
    assert all(artifact.id in everything for artifact in store.artifacts())


def test_verify_ends_with_1_where_a_byte_was_changed(done: Place, tmp_path: Path) -> None:
    assert done("verify").exit_code == 0
    copy = tmp_path / "store"
    shutil.copytree(done.store, copy)
    victim = Store(copy).get("kind/model").file("adapter/adapter_model.safetensors")
    victim.chmod(0o644)
    raw = bytearray(victim.read_bytes())
    raw[-1] ^= 1
    victim.write_bytes(raw)
    result = yibu("verify", "--store", copy)
    assert result.exit_code == 1
    assert "adapter_model.safetensors was changed" in result.stdout.replace("\n", " ")
    named = yibu("verify", "kind/report", "--store", copy, "--json")
    assert named.exit_code == 1
    assert len(events(named)["verified"]["problems"]) == 1
    assert yibu("verify", "kind/data", "--store", copy).exit_code == 0


def test_schema_accepts_the_recipe_and_nothing_mistyped(place: Place, tmp_path: Path) -> None:
    schema = json.loads(yibu("schema").stdout)
    recipe = {"name": "kind", **json.loads(place.recipe.read_text())}
    jsonschema.validate(recipe, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**recipe, "trian": {}}, schema)
    path = tmp_path / "recipe.schema.json"
    assert yibu("schema", "--out", path).exit_code == 0
    assert json.loads(path.read_text()) == schema


def test_output_that_nobody_reads_is_no_error() -> None:
    command = f"set -o pipefail; {sys.executable} -m yibu.cli schema | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
