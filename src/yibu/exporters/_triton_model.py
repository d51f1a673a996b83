"""Triton's Python back end around whatever answers: reads requests, answers a batch at once, refuses one alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils


class Answers(Protocol):
    """What computes."""

    def read(self, text: str) -> dict[str, Any]:
        """A request as a table with the token ids of its prompt."""

    def answer(self, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the model says to each request."""


def execute(model: Answers, requests: Sequence[Any]) -> list[Any]:
    """One response for each request; one that cannot be read is answered with its error alone."""
    asked: list[tuple[int, dict[str, Any]]] = []
    responses: list[Any] = [None] * len(requests)
    for place, request in enumerate(requests):
        try:
            texts = pb_utils.get_input_tensor_by_name(request, "REQUEST").as_numpy().reshape(-1)
            asked += [(place, model.read(text.decode("utf-8"))) for text in texts]
        except Exception as error:
            responses[place] = pb_utils.InferenceResponse(
                error=pb_utils.TritonError(f"{type(error).__name__}: {error}")
            )
    asked = [(place, one) for place, one in asked if responses[place] is None]
    own: list[list[bytes]] = [[] for _ in requests]
    for (place, _), answer in zip(asked, model.answer([one for _, one in asked]), strict=True):
        own[place].append(json.dumps(answer).encode())
    for place in range(len(requests)):
        if responses[place] is None:
            output = np.array(own[place], dtype=np.object_).reshape(-1, 1)
            responses[place] = pb_utils.InferenceResponse([pb_utils.Tensor("ANSWER", output)])
    return responses
