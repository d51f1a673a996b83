"""What every file of the package must have, and what none may have."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "yibu"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

every_file = pytest.mark.parametrize("path", FILES, ids=NAMES)


@every_file
def test_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(TREES[path]), "a module begins with a docstring that says what it does and why"


@every_file
def test_public_names_have_docstrings(path: Path) -> None:
    missing = [name for name, node in _public(path) if not ast.get_docstring(node)]
    assert not missing, f"no docstring: {missing}"


def _public(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public functions and classes of a module, but those that another docstring speaks for.

    That of the module, where it lists them (``name``, or the tree of the errors); that of the family, whose contract
    says what each name in ``requires`` is.
    """
    told = ast.get_docstring(TREES[path]) or ""
    family = importlib.import_module(".".join(["yibu", *path.relative_to(SOURCE).parent.parts]))
    contract: tuple[str, ...] = getattr(getattr(family, "FAMILY", None), "requires", ())
    for node in TREES[path].body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        drawn = f"``{node.name}``" in told or re.search(rf"[├└]── {node.name}\b", told)
        if not drawn and node.name not in contract:
            yield node.name, node


@every_file
def test_runs_no_foreign_code(path: Path) -> None:
    """Weights are safetensors, remote code is refused, nothing is unpickled, evaluated or passed to a shell."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & set(modules)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"torch.load", "eval", "exec", "os.system", "os.popen", "torch.jit.load"}, called
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert given.get("trust_remote_code", "False") == "False"
            assert given.get("shell", "False") == "False"
            assert given.get("allow_pickle", "False") == "False"
            assert called != "yaml.load" or "StrictLoader" in given.get("Loader", "")


@every_file
def test_leaves_nothing_for_later(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)


@every_file
def test_asks_no_model_type_outside_of_bases(path: Path) -> None:
    if path.is_relative_to(SOURCE / "bases"):
        return
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            names = any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in map(_first, sides))
            asks = any(ast.unparse(side).endswith("model_type") for side in sides)
            assert not (asks and names), "facts are data: ask yibu.bases"


def _first(side: ast.expr) -> ast.expr:
    """The first element of a literal list, tuple or set; anything else itself."""
    return side.elts[0] if isinstance(side, ast.List | ast.Tuple | ast.Set) and side.elts else side


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    vague = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"}
    words = {path.stem.strip("_") for path in FILES} | {path.parent.name for path in FILES}
    assert not vague & words


def test_there_is_no_second_tree_beside_the_first() -> None:
    names = [path.stem for path in FILES if path.parent != SOURCE / "bases"]  # DeepSeek V2 is called so
    assert not [name for name in names if re.search(r"_v\d+$|^(new|old|legacy)(_|$)", name)]


def test_every_folder_is_a_package() -> None:
    folders = {path.parent for path in FILES}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def test_tests_mirror_the_source() -> None:
    """tests/core tests src/yibu/core, so that whoever changes one finds the other."""
    tests = ROOT / "tests"
    folders = {test.parent.relative_to(tests) for test in tests.rglob("test_*.py")} - {Path("house"), Path("contract")}
    assert not [str(folder) for folder in folders if not (SOURCE / folder).is_dir()]
    for test in tests.glob("test_*.py"):
        tested = SOURCE / test.stem.removeprefix("test_")
        assert tested.with_suffix(".py").is_file() or tested.is_dir(), test.name


def test_every_package_has_tests() -> None:
    packages = {path.parent.relative_to(SOURCE) for path in FILES if path.stem != "__init__"} - {Path()}
    tests = ROOT / "tests"
    without = [
        str(package)
        for package in packages
        if not list((tests / package).glob("test_*.py")) and not (tests / f"test_{package}.py").is_file()
    ]
    assert not without


def test_a_missing_package_is_asked_for_by_an_extra_that_brings_it() -> None:
    """``pip install "yibu[qlora]"`` must name an extra of pyproject.toml that has the package, or the core has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras, core = project["optional-dependencies"], project["dependencies"]
    wrong, found = [], set()
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "MissingExtra":
                given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "extra")]
                package, extra = (value.value if isinstance(value, ast.Constant) else None for value in given[:2])
                found.add(extra)
                brought = [re.split(r"[\[<>=~ ]", line)[0] for line in (*extras.get(extra, ()), *core)]
                known = package is None or str(package).replace("_", "-") in brought
                if extra not in extras or not known:
                    wrong.append(f"{path.name}: {package} by {extra}")
    assert not wrong
    assert {"qlora", "gguf", "parquet"} <= found
