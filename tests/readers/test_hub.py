"""Hub addresses, without a network: what is asked of ``datasets``, and what is said when nobody answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import DataError, MissingExtra
from yibu.readers import Bad, Raw, hub

datasets = pytest.importorskip("datasets")


class Hub:
    """Stands in for ``datasets.load_dataset``."""

    def __init__(self, rows: list[dict[str, Any]], features: Any) -> None:
        self.rows, self.features = rows, features
        self.asked: list[tuple[Any, ...]] = []

    def load_dataset(self, name: str, subset: str | None, **options: Any) -> Any:
        assert options["streaming"] is True
        self.asked.append((name, subset, options["split"], options["revision"]))
        return datasets.IterableDataset.from_generator(lambda: iter(self.rows), features=self.features)


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> Hub:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    stand_in = Hub([{"text": "a", "label": 1}, {"text": "b", "label": 0}], features)
    monkeypatch.setattr(datasets, "load_dataset", stand_in.load_dataset)
    return stand_in


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("hub:owner/name", ("owner/name", None, "train", None)),
        ("hub:imdb", ("imdb", None, "train", None)),
        ("owner/name:test", ("owner/name", None, "test", None)),
        ("hub:owner/name@v1.0:fr:test", ("owner/name", "fr", "test", "v1.0")),
    ],
)
def test_an_address_says_name_revision_subset_and_split(
    labelled: Hub, address: str, asked: tuple[str | None, ...]
) -> None:
    assert list(hub.read(address)) == [
        Raw(address, 1, {"text": "a", "label": "pos"}),
        Raw(address, 2, {"text": "b", "label": "neg"}),
    ]
    assert labelled.asked == [asked]


def test_a_value_that_json_cannot_carry_costs_only_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = Hub([{"text": "a", "blob": None}, {"text": "b", "blob": b"\x00"}], None)
    monkeypatch.setattr(datasets, "load_dataset", stand_in.load_dataset)
    assert [type(item) for item in hub.read("hub:owner/name")] == [Raw, Bad]


def test_a_mistake_in_the_address_is_explained() -> None:
    for address in ("hub:", "hub:a/b/c", "hub:owner/name:a:b:c", "hub:owner name"):
        with pytest.raises(DataError, match="no address of a data set"):
            next(hub.read(address))


def test_only_what_can_be_no_path_is_taken_for_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert hub.accepts("teknium/OpenHermes-2.5")
    assert hub.accepts("owner/name:test")
    for path in ("data/train", "owner/rows.jsonl", "owner/rows.xlsx", "/owner/name", "a/b/c", "name", "./owner/name"):
        assert not hub.accepts(path)


def test_offline_names_the_command_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **options: Any) -> None:
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError) as caught:
        next(hub.read("owner/name"))
    message = str(caught.value)
    assert "hf download owner/name --repo-type dataset --local-dir data/name" in message
    assert "no file or folder is called 'owner/name'" in message


def test_a_connection_lost_on_the_way_is_an_error_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Any:
        yield {"text": "a"}
        raise TimeoutError("read timed out")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.IterableDataset.from_generator(rows))
    stream = hub.read("hub:owner/name")
    assert isinstance(next(stream), Raw)
    with pytest.raises(DataError, match="timed out"):
        next(stream)


def test_digest_is_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    class Info:
        sha = "b" * 40

    asked = []
    monkeypatch.setattr(
        huggingface_hub.HfApi, "dataset_info", lambda self, name, revision: asked.append((name, revision)) or Info
    )
    assert hub.digest("hub:owner/name@v2") == {"hub:owner/name@v2": f"owner/name@{'b' * 40}"}
    assert asked == [("owner/name", "v2")]
    pinned = f"hub:owner/name@{'a' * 40}:test"
    assert hub.digest(pinned) == {pinned: f"owner/name@{'a' * 40}"}
    assert len(asked) == 1  # a commit cannot change, so nobody is asked


def test_digest_offline_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(*given: Any, **options: Any) -> None:
        raise ConnectionError("offline mode is enabled")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fail)
    with pytest.raises(DataError, match="hf download owner/name"):
        hub.digest("hub:owner/name")


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"yibu\[hub\]"):
        next(hub.read("hub:owner/name"))
