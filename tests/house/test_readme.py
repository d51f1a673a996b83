"""Both READMEs say the same true things: commands that exist, recipes that parse, figures that were measured."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from yibu.cli import app
from yibu.core.recipe import parse
from yibu.pipeline import Recipe

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh.md")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def commands(name: str) -> list[str]:
    lines = "\n".join(blocks(name, "bash")).splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.partition("#")[0].strip()]


def test_both_have_the_same_commands() -> None:
    assert commands("README.md") == commands("README.zh.md")


def test_every_command_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    for name in READMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        for command in commands(name):
            program, *arguments = command.split()
            if program == "make":
                assert re.search(rf"^{arguments[0]}:", makefile, flags=re.MULTILINE), command
            elif program == "yibu":
                assert arguments[0] in verbs, command
        for verb in re.findall(r"`yibu ([a-z]+)", text):
            assert verb in verbs, f"{name}: yibu {verb}"


def test_verbs_answer_with_help() -> None:
    for verb in ("run", "check", "chat", "report", "show", "doctor"):
        assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


@pytest.mark.parametrize("name", READMES)
def test_its_recipe_is_a_recipe(name: str) -> None:
    (text,) = blocks(name, "yaml")
    assert parse(Recipe, yaml.safe_load(text)).name == "clinic-notes"


def test_the_english_one_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("name", READMES)
def test_its_table_is_the_one_that_was_measured(name: str) -> None:
    claims = runpy.run_path(str(ROOT / "benchmarks" / "claims.py"))
    found = re.search(r"<!-- results -->\n(.*)\n<!-- /results -->", (ROOT / name).read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert found.group(1) == claims["headlines"](READMES.index(name))


def test_every_headline_is_a_claim_that_was_measured() -> None:
    claims = runpy.run_path(str(ROOT / "benchmarks" / "claims.py"))
    assert set(claims["HEADLINES"]) <= set(claims["newest"]())


def test_the_page_of_all_results_is_the_one_that_was_measured() -> None:
    claims = runpy.run_path(str(ROOT / "benchmarks" / "claims.py"))
    assert (ROOT / "docs" / "results.md").read_text("utf-8") == claims["page"]()


@pytest.mark.parametrize("name", READMES)
def test_files_that_it_names_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"\]\((?!https?:)([^)]+)\)", text) + re.findall(r"`(recipes/[\w.]+|benchmarks/[\w.]+)`", text)
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing
