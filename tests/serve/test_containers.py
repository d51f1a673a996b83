"""Dockerfile, compose file and manifests, held to what hadolint, the Compose specification and Kubernetes say of them.

No Docker engine is needed, and none runs: nothing here is built or started. A checker that is missing is named.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from yibu.core.recipe import parse
from yibu.serve.settings import ServeSettings

ROOT = Path(__file__).parents[2]
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
PIN = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*")
OWN = {"yibu:cpu", "yibu:cuda"}


def checker(name: str) -> str:
    """The program of the environment, or a skip that names it."""
    path = Path(sysconfig.get_path("scripts"), name)
    if not path.is_file():
        pytest.skip(f"{name} is not installed here: pip install yibu[dev]")
    return str(path)


def run(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, cwd=cwd)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    return run(checker("hadolint"), "--no-color", path)


def test_the_dockerfile_is_clean(tmp_path: Path) -> None:
    done = hadolint(ROOT / "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (tmp_path / "Dockerfile").write_text(text.replace("python:3.11.13-slim-bookworm", "python:latest"))
    assert "DL3007" in hadolint(tmp_path / "Dockerfile").stdout


def test_both_images_are_pinned_and_run_as_nobody() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    stages = [line.split() for line in lines if line.startswith("FROM")]
    named = {words[3] for words in stages}
    assert {"cpu", "cuda"} <= named
    assert all(words[1] in named or PIN.fullmatch(words[1]) for words in stages)
    runtime = lines[next(place for place, line in enumerate(lines) if line.endswith("AS runtime")) :]
    assert [line for line in runtime if line.startswith("USER")] == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK") for line in runtime)


def test_what_is_copied_is_let_through() -> None:
    """A file that .dockerignore keeps back would break the build, which no test can see."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()}
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def _installed() -> list[str]:
    """What the Dockerfile installs with the versions of deploy/constraints.txt, once for each line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    found = re.findall(r"pip install --constraint deploy/constraints\.txt \"?([^\s\"]+)", text)
    assert len(found) == text.count("--constraint")
    return found


def test_every_requirement_has_its_pin() -> None:
    lines = (ROOT / "deploy" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.fullmatch(r"\.\[(.+)\]", next(word for word in _installed() if word.startswith(".")))
    assert extras is not None
    asked = [*project["dependencies"]]
    for extra in extras.group(1).split(","):
        asked += project["optional-dependencies"][extra]
    for requirement in map(Requirement, asked):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin, f"{requirement.name} has no pin"
        assert requirement.specifier.contains(pin), f"{requirement} and the pin {pin}"
    assert f"torch=={pins['torch']} " in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_what_the_image_installs_resolves() -> None:
    target = next(word for word in _installed() if word.startswith("."))
    words = ["install", "--dry-run", "--ignore-installed", "--constraint", "deploy/constraints.txt", target]
    done = run(sys.executable, "-m", "pip", "--disable-pip-version-check", *words)
    told = done.stdout + done.stderr
    if "Failed to establish a new connection" in told and done.returncode:
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, told[-2000:]
    pins = (ROOT / "deploy" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    would = next(line for line in told.splitlines() if line.startswith("Would install")).split()[2:]
    named = {canonicalize_name(word.rpartition("-")[0]) for word in would} - {"yibu"}
    known = {line.partition("==")[0] for line in pins}
    # torch of PyPI brings CUDA, whose versions torch pins itself.
    loose = {name for name in named - known if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert not loose, f"not pinned: {sorted(loose)}"


def compose_check(path: Path) -> subprocess.CompletedProcess[str]:
    return run(checker("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)


def test_the_compose_file_is_one(tmp_path: Path) -> None:
    done = compose_check(ROOT / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    broken = load(ROOT / "compose.yaml")
    broken["services"]["gateway"]["reed_only"] = True
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(broken))
    assert compose_check(tmp_path / "compose.yaml").returncode == 1


def test_every_service_is_shut_in() -> None:
    table = load(ROOT / "compose.yaml")
    for name, service in table["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["image"] in OWN or PIN.fullmatch(service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        writes = "store:/store" in service["volumes"]
        assert writes == (name == "store"), "only the verbs write to the store"
    scraped = load(ROOT / "deploy" / "prometheus.yml")["scrape_configs"][0]
    target = scraped["static_configs"][0]["targets"][0]
    assert target == f"{table['services']['gateway']['networks']['default']['aliases'][0]}:8000"
    assert scraped["authorization"]["credentials_file"] == f"/run/secrets/{next(iter(table['secrets']))}"
    key = table["secrets"]["metrics_key"]["file"].removeprefix("./")
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert any(fnmatch(key, line) for line in ignored), "a key must never be committed"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_manifests_are_what_kubernetes_knows(path: Path, tmp_path: Path) -> None:
    program = checker("kubernetes-validate")
    done = run(program, "--strict", path)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = load(path) | {"speck": {}}
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(broken))
    assert run(program, "--strict", tmp_path / "broken.yaml").returncode != 0


def test_the_manifests_fit_together_and_the_gateway() -> None:
    by_kind = {load(path)["kind"]: load(path) for path in MANIFESTS}
    assert set(by_kind) == {"ConfigMap", "Deployment", "NetworkPolicy", "Service"}
    pod = by_kind["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert by_kind["Service"]["spec"]["selector"] == labels
    assert by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert by_kind["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    (container,) = pod["spec"]["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": by_kind["ConfigMap"]["metadata"]["name"]}}]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    bounds = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == bounds
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True

    # What the arguments become is settings that the gateway knows.
    args = [_filled(word, by_kind["ConfigMap"]["data"]) for word in container["args"]]
    assert args[:2] == ["serve", "production"]
    table = {
        key.removeprefix("serve."): yaml.safe_load(value) for key, _, value in (a.partition("=") for a in args[2:])
    }
    settings = parse(ServeSettings, table)
    assert settings.port == container["ports"][0]["containerPort"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > settings.drain_seconds
    grace = load(ROOT / "compose.yaml")["services"]["gateway"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > settings.drain_seconds


def _filled(word: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda found: values[found.group(1)], word)
