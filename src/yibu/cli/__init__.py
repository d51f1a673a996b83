"""The command line: one command per verb, each a few lines over the pipeline.

Everything heavy is imported inside the commands, so that ``yibu --help`` answers at once.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from yibu.cli.session import INTERRUPTED, Session, command, session

if TYPE_CHECKING:
    from yibu.core.errors import BaseModelError
    from yibu.pipeline import Recipe

app = typer.Typer(
    name="yibu",
    help="一步, one step: from raw domain rows and a base model to a tuned, measured language model.",
    epilog="Start with: yibu doctor · yibu check recipe.yaml · yibu run recipe.yaml · yibu chat NAME",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipePath = Annotated[Path, typer.Argument(help="a recipe.yaml; or a file or folder of rows, with every default")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="SECTION.KEY=VALUE", help="settings that differ; also --section.key value"),
]
Name = Annotated[str, typer.Argument(help="a recipe's name or file, a ref, or an artifact's id or its beginning")]
MaybeName = Annotated[
    str | None, typer.Argument(help="a recipe's name or file, a ref, or an artifact's id or its beginning")
]
StorePath = Annotated[
    Path | None, typer.Option("--store", envvar="YIBU_STORE", help="folder of the artifacts", show_default=".yibu")
]
Engine = Annotated[
    Literal["local", "ray"] | None, typer.Option("--engine", help="what prepares the rows and trains; ray: a cluster")
]
Processes = Annotated[
    int | None, typer.Option("--processes", min=1, help="that train together on this machine; see torchrun for more")
]
Json = Annotated[bool, typer.Option("--json", help="machine-readable lines on stdout")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="log more, and show tracebacks")]
Lang = Annotated[Literal["en", "zh"] | None, typer.Option("--lang", help="language of the report")]
Force = Annotated[bool, typer.Option("--force", help="go on past missed gates; it is written into the ledger")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="write it to this file")]

MAKE, ASK, LOOK = "Make", "Use", "Look"


def main() -> None:
    """Entry point of the command ``yibu``."""
    # Threads that wait must not spin: on cores shared with anything else two spinning threads are slower than one
    # (measured), and finish never under load. On a quiet machine this costs a tenth; export ACTIVE to have it back.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(args=as_overrides(sys.argv[1:]))


def as_overrides(arguments: Sequence[str]) -> list[str]:
    """``--train.lr 1e-3`` and ``--train.lr=1e-3`` as ``train.lr=1e-3``; everything else as it is."""
    result: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        found = re.fullmatch(r"--([A-Za-z_]\w*(?:\.\w+)+)(=.*)?", argument, re.DOTALL)
        if found is None:
            result.append(argument)
            continue
        key, value = found.group(1), found.group(2)
        if value is None:
            following = next(waiting, None)
            value = "" if following is None else f"={following}"
        result.append(key + value)
    return result


def with_engine(
    overrides: Sequence[str] | None,
    engine: str | None,
    sections: Sequence[str] = ("data",),
    processes: int | None = None,
) -> list[str]:
    """The overrides, with what ``--engine`` and ``--processes`` stand for."""
    engines = [] if engine is None else [f"{section}.engine={engine}" for section in sections]
    return [*(overrides or ()), *engines, *([] if processes is None else [f"train.processes={processes}"])]


def _version(wanted: bool) -> None:
    if wanted:
        from yibu import __version__

        typer.echo(f"yibu {__version__}")
        raise typer.Exit


@app.callback()
def _yibu(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """Options that stand before the verb."""


# --- verbs that make artifacts ----------------------------------------------------------------------------------------


@app.command(rich_help_panel=MAKE)
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    lang: Lang = None,
    engine: Engine = None,
    force: Force = False,
    processes: Processes = None,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """From raw rows to a tuned, measured model. What is done is not done again."""
    with session(json_lines, verbose) as here:
        from yibu.cli.make import build

        given = with_engine(overrides, engine, ("data", "train"), processes)
        build(here, recipe, given, lang, store, last="all", force=force)


@app.command(rich_help_panel=MAKE)
def check(
    recipe: RecipePath,
    overrides: Overrides = None,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """A dry run: rows, lengths, what would be trained, memory and time. Exit code 2 if a run would be refused.

    Keeps the prepared rows, which the later run uses; makes nothing else.
    """
    with session(json_lines, verbose) as here:
        from yibu import pipeline
        from yibu.cli.outlook import outlook_view
        from yibu.core.errors import BaseModelError
        from yibu.core.store import Store
        from yibu.model.resolve import bytes_to_make_plain
        from yibu.train import Config
        from yibu.train.check import check as foresee

        wanted = pipeline.load(recipe, overrides or ())
        shelf = Store(store)
        data = pipeline.prepared(wanted, shelf)
        try:
            base = pipeline.locate_base(wanted, shelf)
        except BaseModelError as error:
            if not _foresee(here, wanted, error):
                raise
            return
        config = Config(base=base, task=pipeline.task_of(data), adapter=wanted.adapter, train=wanted.train)
        found = foresee(config, data, bytes_to_make_plain(Path(base.path), base.digest, shelf))
        following = command("run", str(recipe), *(overrides or ()))
        cards = None if found.refusals else _on_cards(base.path, wanted)
        view = outlook_view(found, wanted.name, following, here.out.color_system is not None, cards)
        here.tell("outlook", view, cards=cards, **found.as_dict())
        if found.refusals:
            raise typer.Exit(2)


def _on_cards(base: str, recipe: Recipe) -> dict[str, Any] | None:
    """Figures for GPUs of 80 GB, from the config alone; None where there is none that can be read.

    Args:
        base: a path, or a name whose config is published.

    Raises:
        RecipeError: an adapter that does not fit the architecture.
    """
    from yibu.core.errors import BaseModelError
    from yibu.model.foresee import foresee

    try:
        settings = recipe.train
        return foresee(base, recipe.adapter, tokens=settings.pack_tokens, recompute=settings.recompute).as_dict()
    except BaseModelError:
        return None


def _foresee(here: Session, recipe: Recipe, error: BaseModelError) -> bool:
    """Tell what a base that is not on this machine would cost, where its config is published; False where it is not."""
    from yibu.cli.foresight import foresight_view

    found = _on_cards(recipe.base, recipe)
    if found is None:
        return False
    here.tell("foresight", foresight_view(recipe.base, found), base=recipe.base, **found)
    here.say(Text(f"{error.what} To have it: {error.do}", style="yellow"))
    return True


@app.command(rich_help_panel=MAKE)
def prepare(
    recipe: RecipePath,
    overrides: Overrides = None,
    engine: Engine = None,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Clean, deduplicate and split the rows, say what is wrong with them (page, card, review.csv), and stop."""
    with session(json_lines, verbose) as here:
        from yibu.cli.make import build

        build(here, recipe, with_engine(overrides, engine), None, store, last="data")


@app.command(rich_help_panel=MAKE)
def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    engine: Engine = None,
    processes: Processes = None,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Prepare, train the adapter, and stop."""
    with session(json_lines, verbose) as here:
        from yibu.cli.make import build

        build(here, recipe, with_engine(overrides, engine, ("train",), processes), None, store, last="model")


@app.command(rich_help_panel=MAKE)
def evaluate(
    recipe: RecipePath,
    overrides: Overrides = None,
    lang: Lang = None,
    force: Force = False,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Prepare, train, measure on the untouched test split, and stop."""
    with session(json_lines, verbose) as here:
        from yibu.cli.make import build

        build(here, recipe, overrides or (), lang, store, last="report", force=force)


@app.command(rich_help_panel=MAKE)
def compress(
    recipe: RecipePath,
    overrides: Overrides = None,
    force: Force = False,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train, merge the adapter into the base, make it smaller if the recipe asks for it, prove it, and stop."""
    with session(json_lines, verbose) as here:
        from yibu.cli.make import build

        build(here, recipe, overrides or (), None, store, last="small", force=force)


@app.command(rich_help_panel=MAKE)
def export(
    name: Annotated[str, typer.Argument(metavar="RECIPE|RUN", help="a recipe.yaml, or the name of one that was run")],
    overrides: Overrides = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="safetensors, gguf, openvino, triton or vllm; may be repeated")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="new folder for the files; else in the store")] = None,
    force: Force = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="the folder may exist; it is exchanged at the end")
    ] = False,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """A tuned model as files that other engines load, each proven in its engine. Exit code 3 if a gate refuses it."""
    with session(json_lines, verbose) as here:
        from yibu.cli.leave import export as leave

        leave(here, name, overrides or (), to or (), out, force, replace, store)


@app.command(name="import", rich_help_panel=MAKE)
def import_config(
    config: Annotated[Path, typer.Argument(help="a config of LLaMA-Factory, Axolotl, TRL or ms-swift (YAML)")],
    tool: Annotated[str | None, typer.Option("--tool", help="which of them, where the file does not tell")] = None,
    out: Out = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Another tool's config as a recipe; says of each key whether it was taken, changed or left out, and why."""
    with session(json_lines, verbose) as here:
        from yibu import importers
        from yibu.cli.imports import imported_view
        from yibu.core.disk import write_atomically
        from yibu.core.errors import InputError
        from yibu.core.recipe import load_yaml, yaml_of
        from yibu.model.published import facts_of
        from yibu.pipeline import Recipe

        table = load_yaml(config)
        base = importers.base_of(table, tool)
        found = importers.convert(table, config, Recipe, None if base is None else facts_of(base), tool)
        path = out or Path(f"{found.recipe['name']}.yaml")
        if path.exists():
            raise InputError("There is a file of that name already.", got=path, do="choose another one: --out FILE")
        write_atomically(path, yaml_of(found.recipe))
        view = imported_view(found, str(path), command("check", str(path)))
        here.tell("imported", view, path=str(path), **found.as_dict())


# --- verbs that use a model -------------------------------------------------------------------------------------------


@app.command(rich_help_panel=ASK)
def chat(
    name: MaybeName = None,
    message: Annotated[list[str] | None, typer.Option("--message", "-m", help="ask this and end")] = None,
    base: Annotated[bool, typer.Option("--base", help="show what the base answers, too")] = False,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="longest answer")] = None,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Talk to a tuned model; or answer each line of a pipe: echo "text" | yibu chat NAME"""
    with session(json_lines, verbose) as here:
        from yibu.chat import chat as talk
        from yibu.cli.find import find
        from yibu.core.store import Store

        shelf = Store(store)
        talk(find(shelf, name, "model"), shelf, here.out, message, base, max_new_tokens, here.json)


@app.command(rich_help_panel=ASK)
def report(
    name: MaybeName = None,
    data: Annotated[bool, typer.Option("--data", help="the report about the rows")] = False,
    lang: Lang = None,
    out: Out = None,
    open_it: Annotated[bool, typer.Option("--open", help="open it in a browser")] = False,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print the path of a report, in English or Chinese; --out copies it, --open shows it."""
    with session(json_lines, verbose) as here:
        from yibu.cli.find import find, language_of, page_of
        from yibu.core.errors import InputError
        from yibu.core.store import Store

        shelf = Store(store)
        found = find(shelf, name, "data_report" if data else "report")
        language = language_of(found, lang)
        path = page_of(found, language)
        if out is not None:
            if out.is_dir() or not out.absolute().parent.is_dir():
                raise InputError(
                    "The report cannot be written there.", got=out, allowed="a file in a folder that exists"
                )
            shutil.copyfile(path, out)
            path = out.absolute()
        here.tell("report", Text(str(path)), id=found.id, path=str(path), lang=language)
        if open_it:
            typer.launch(str(path))


@app.command(rich_help_panel=LOOK)
def compare(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN ...", help="recipes, refs or ids of reports")],
    lang: Lang = None,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Tuned models of several runs on the rows that all of them answered; the first against each other, paired."""
    with session(json_lines, verbose) as here:
        from yibu.cli.comparison import comparison_view
        from yibu.cli.find import find, language_of
        from yibu.core.store import Store
        from yibu.evaluate import ReportConfig
        from yibu.evaluate.leaderboard import Run, leaderboard, read_predictions

        shelf = Store(store)
        reports = {name: find(shelf, name, "report") for name in names}
        runs = {
            name: Run(shelf.get(report.manifest.inputs["data"]), read_predictions(report))
            for name, report in reports.items()
        }
        first = next(iter(reports.values()))
        found = leaderboard(ReportConfig.model_validate(first.manifest.config), runs)
        language = language_of(first, lang)
        here.tell("comparison", comparison_view(found, language), **found)


@app.command(rich_help_panel=ASK)
def bench(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE|MODEL] [bench.KEY=VALUE]", help="a model of the store; settings that differ"),
    ] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="ask this address instead")] = None,
    engine: Annotated[Literal["openai", "triton"], typer.Option("--engine", help="what it speaks")] = "openai",
    model: Annotated[str | None, typer.Option("--model", help="name of the model, as the endpoint knows it")] = None,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Latency under load, up to saturation, and what an answer costs; of a tuned model or of any endpoint.

    Exit code 1 if the endpoint died; what was measured is kept.
    """
    with session(json_lines, verbose) as here:
        from yibu.cli import load
        from yibu.core.store import Store

        shelf = Store(store)
        name, settings = load.settings_of(words or ())
        made = load.measured(shelf, name, load.with_endpoint(settings, engine, endpoint, model))
        latency = made.read_json("latency.json")
        cost = made.read_json("efficiency.json") if "efficiency.json" in made.manifest.files else None
        here.tell("bench", load.load_view(latency, cost, made.path), id=made.id, latency=latency, efficiency=cost)
        if latency["ended"] == "interrupted":
            raise typer.Exit(INTERRUPTED)
        if latency["ended"] in load.FAILED:
            raise typer.Exit(1)


@app.command(rich_help_panel=ASK)
def serve(
    words: Annotated[
        list[str],
        typer.Argument(metavar="REF... [serve.KEY=VALUE]", help="refs of models of one base, or recipes' names"),
    ],
    is_open: Annotated[bool, typer.Option("--open", help="ask for no key; on the loopback only")] = False,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Answer over the OpenAI protocol, until Ctrl-C or SIGTERM. A ref that moves is followed without a restart."""
    with session(json_lines, verbose) as here:
        from yibu import pipeline
        from yibu.cli import serving
        from yibu.core.store import Store
        from yibu.serve.run import serve as answer

        shelf = Store(store)
        refs, overrides = serving.refs_of(words, shelf)
        settings = pipeline.serve_settings(list(refs.values()), shelf, overrides)
        answer(refs, shelf, settings, is_open=is_open, tell=serving.teller(here, list(refs)))


@app.command(rich_help_panel=ASK)
def keys(
    action: Annotated[Literal["list", "add", "rotate", "revoke"], typer.Argument()] = "list",
    name: Annotated[str | None, typer.Argument(help="whom the key is for")] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="generate, embed, classify, extract, metrics; default: all")
    ] = None,
    days: Annotated[float | None, typer.Option("--days", min=0, help="until the key ends")] = None,
    hours: Annotated[float, typer.Option("--hours", min=0, help="that a rotated key goes on")] = 24.0,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """The API keys of `yibu serve`: list, add, rotate (the old one goes on for a while), revoke."""
    with session(json_lines, verbose) as here:
        from yibu.cli import serving
        from yibu.core.store import Store

        serving.keys(here, Store(store), action, name, scope, days, hours)


# --- verbs that look --------------------------------------------------------------------------------------------------


@app.command(rich_help_panel=LOOK)
def log(store: StorePath = None, json_lines: Json = False, verbose: Verbose = False) -> None:
    """The ledger: which ref was moved when, by whom, from what to what, and why."""
    with session(json_lines, verbose) as here:
        from yibu.cli.history import ledger_view
        from yibu.core.store import Store

        entries = Store(store).ledger()
        here.tell("ledger", ledger_view(entries), entries=[entry.model_dump(by_alias=True) for entry in entries])


@app.command(rich_help_panel=LOOK)
def show(
    name: MaybeName = None,
    row: Annotated[str | None, typer.Option("--row", help="of a data set: one row, before and after each step")] = None,
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """An artifact: what it was made from, settings, files. Without a name: everything in the store."""
    with session(json_lines, verbose) as here:
        from yibu.cli import history
        from yibu.core.store import Store

        shelf = Store(store)
        if row is not None:
            from yibu.cli.find import find
            from yibu.cli.row import find_row, row_view

            told = find_row(shelf, find(shelf, name, "data"), row)
            here.tell("row", row_view(told), **told)
            return
        if name is None:
            artifacts = shelf.artifacts()
            ids = [artifact.id for artifact in artifacts]
            here.tell("store", history.store_view(shelf, artifacts), refs=shelf.refs(), artifacts=ids)
            return
        found = shelf.get(name)
        refs = sorted(ref for ref, id in shelf.refs().items() if id == found.id)
        manifest: dict[str, Any] = found.manifest.model_dump(by_alias=True)
        lineage = history.lineage(shelf, found)
        here.tell("artifact", history.artifact_view(shelf, found, refs), refs=refs, lineage=lineage, manifest=manifest)


@app.command(rich_help_panel=LOOK)
def replay(
    name: MaybeName = None,
    without: Annotated[
        Path | None, typer.Option("--without", help="file of row ids that are left out, one a line")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder of the adapter that is made again")] = Path("replay"),
    store: StorePath = None,
    json_lines: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train a model again from its log, bit for bit. Exit code 1 if the adapter is another one."""
    with session(json_lines, verbose) as here:
        from yibu.cli.find import find
        from yibu.core.errors import InputError
        from yibu.core.store import Store
        from yibu.train.replay import base_of
        from yibu.train.replay import replay as again

        if out.exists():
            raise InputError("There is something at this path already.", got=out, do="choose another one: --out FOLDER")
        if without is not None and not without.is_file():
            raise InputError("There is no file of row ids at this path.", got=without)
        ids = frozenset() if without is None else frozenset(without.read_text(encoding="utf-8").split())
        shelf = Store(store)
        model = find(shelf, name, "model")
        found = again(model, shelf.get(model.manifest.inputs["data"]), base_of(model, shelf), out, ids)
        if found.same is None:
            view = Text(
                f"Trained again without {found.left_out} rows; {len(found.touched)} steps differ: {found.folder}"
            )
        elif found.same:
            view = Text(f"The same bits after {found.steps} steps.", style="green")
        else:
            view = Text(f"Another adapter: the loss first differs at step {found.first_other_loss}.", style="red")
        here.tell("replayed", view, **found.as_dict())
        if found.same is False:
            raise typer.Exit(1)


@app.command(rich_help_panel=LOOK)
def verify(name: MaybeName = None, store: StorePath = None, json_lines: Json = False, verbose: Verbose = False) -> None:
    """Hash every file, walk the ledger, compare the refs. Exit code 1 if anything is not as it was recorded."""
    with session(json_lines, verbose) as here:
        from yibu.core.store import Store

        problems = Store(store).verify(name)
        view = Text("\n".join(problems), style="red") if problems else Text("All is as it was recorded.", style="green")
        here.tell("verified", view, problems=problems)
        if problems:
            raise typer.Exit(1)


@app.command(rich_help_panel=LOOK)
def doctor(store: StorePath = None, json_lines: Json = False, verbose: Verbose = False) -> None:
    """This machine, the versions here, what is missing and the command that adds it."""
    with session(json_lines, verbose) as here:
        from yibu import doctor as clinic
        from yibu.core.store import Store

        found = clinic.examine(Store(store).root)
        here.tell("doctor", clinic.view(found), **found.as_dict())
        if found.problems:
            raise typer.Exit(1)


@app.command(rich_help_panel=LOOK)
def schema(out: Out = None, json_lines: Json = False, verbose: Verbose = False) -> None:
    """JSON Schema of a recipe, for editors: every key, its type and its default."""
    with session(json_lines, verbose) as here:
        import json

        from yibu.core.disk import write_atomically
        from yibu.core.recipe import json_schema
        from yibu.pipeline import Recipe

        text = json.dumps(json_schema(Recipe), indent=2, ensure_ascii=False)
        if out is None:
            typer.echo(text)
        else:
            write_atomically(out, text + "\n")
            here.tell("schema", Text(str(out)), path=str(out))
