"""Servers of other projects that tests start; where one is not on this machine, its tests say how to get it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from yibu.core.errors import InputError
from yibu.engines import openvino
from yibu.engines._vllm_python import VllmPython
from yibu.exporters._llama import Llama
from yibu.exporters._tritonserver import TritonServer


def _needs(find: Callable[[], object]) -> pytest.MarkDecorator:
    try:
        find()
        missing = ""
    except InputError as reason:
        missing = reason.render()
    return pytest.mark.skipif(bool(missing), reason=missing)


needs_llama = _needs(Llama.find)
needs_triton = _needs(TritonServer.find)
needs_openvino = _needs(openvino.require)
needs_vllm = _needs(VllmPython.find)
