"""One logger: set up by the command line only, plain in a pipe."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from yibu.core import log
from yibu.core.errors import InputError


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    logger = log.LOGGER
    before = (logger.level, logger.propagate, list(logger.handlers))
    monkeypatch.delenv("YIBU_LOG", raising=False)
    yield
    logger.setLevel(before[0])
    logger.propagate = before[1]
    logger.handlers[:] = before[2]


def test_loggers_are_below_the_packages_own() -> None:
    assert log.get("store").name == "yibu.store"
    assert log.get("store").parent is log.LOGGER


def test_a_program_that_only_imports_yibu_keeps_its_own_logging(caplog: pytest.LogCaptureFixture) -> None:
    log.LOGGER.handlers.clear()
    log.LOGGER.propagate = True
    with caplog.at_level(logging.INFO):
        log.get("store").info("made %s", "x")
    assert caplog.messages == ["made x"]


def test_lines_are_plain_in_a_pipe_and_configuring_twice_does_not_double_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure()
    log.configure()
    log.get("store").info("made %s", "[bold]x[/bold]")
    log.get("store").debug("detail")
    assert capsys.readouterr().err == "INFO yibu.store: made [bold]x[/bold]\n"


def test_verbose_and_the_environment_set_the_level(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.configure(verbose=True)
    log.get("x").debug("detail")
    monkeypatch.setenv("YIBU_LOG", "error")
    log.configure()
    log.get("x").warning("unseen")
    assert capsys.readouterr().err == "DEBUG yibu.x: detail\n"
    monkeypatch.setenv("YIBU_LOG", "loud")
    with pytest.raises(InputError, match="YIBU_LOG is not a level"):
        log.configure()
