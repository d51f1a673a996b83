"""Serving: a gateway in front of an engine, for every client of the OpenAI protocol.

::

    client -> guard (id, key, allowance, size) -> app (checks, names, queue, deadline) -> engine, a process of its own
                                                    ^
              keeper (starts the engine again, follows refs and keys)

The gateway knows no model library: it is asked, counts, refuses, and passes on. What a model is asked by its own task
(`yibu.serve.asked`) is what it was trained on.
"""

from yibu.serve.settings import LimitSettings, MarkSettings, ServeSettings

__all__ = ["LimitSettings", "MarkSettings", "ServeSettings"]
