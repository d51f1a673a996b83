"""The mark of generated content that GB 45438-2025 asks for: words for readers, and a table for machines.

The table has the keys of the standard's appendix on implicit labels (``AIGC``); ``Label`` 1 says that it is generated.
"""

from __future__ import annotations

from yibu.serve.settings import MarkSettings


def for_machines(mark: MarkSettings, request_id: str) -> dict[str, str]:
    """Value of the key ``AIGC`` of an answer."""
    return {
        "Label": "1",
        "ContentProducer": mark.producer,
        "ProduceID": request_id,
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }


def for_readers(mark: MarkSettings | None) -> str:
    """What is put behind a generated text."""
    return "" if mark is None or mark.text is None else f"\n\n{mark.text}"
