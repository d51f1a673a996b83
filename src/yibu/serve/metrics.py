"""Counters for Prometheus, in its text format; labels have few values, and none comes from a request."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

_HELP = {
    "yibu_requests_total": "counter Requests by path and status.",
    "yibu_request_seconds": "histogram From the arrival of a request to the end of its answer.",
    "yibu_tokens_total": "counter Tokens read and written.",
    "yibu_refused_total": "counter Requests that were refused, by reason.",
    "yibu_running": "gauge Requests at the engine.",
    "yibu_waiting": "gauge Requests that wait for it.",
    "yibu_ready": "gauge Whether requests are answered.",
    "yibu_engine_starts_total": "counter Starts of the engine; more than one means that it died.",
    "yibu_artifact_info": "gauge Which artifact answers to which name.",
}


class Metrics:
    """What was counted since the start."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], float] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def count(self, name: str, amount: float = 1, labels: str = "") -> None:
        """Add to a counter; `labels` as they stand between braces."""
        key = (name, labels)
        self._counts[key] = self._counts.get(key, 0) + amount

    def request(self, path: str, status: int, seconds: float) -> None:
        """One request and how long it took."""
        self.count("yibu_requests_total", 1, f'path="{path}",status="{status}"')
        buckets = self._buckets.setdefault(path, [0] * (len(_BOUNDS) + 1))
        buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds[path] = self._seconds.get(path, 0.0) + seconds

    def text(self, gauges: Mapping[tuple[str, str], float]) -> str:
        """Everything, with gauges as they are now."""
        values = {**self._counts, **gauges}
        lines: list[str] = []
        for name, said in _HELP.items():
            kind, _, what = said.partition(" ")
            lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
            lines += [
                f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:g}"
                for (known, labels), value in sorted(values.items())
                if known == name
            ]
            if kind == "histogram":
                lines += self._histograms(name)
        return "\n".join(lines) + "\n"

    def _histograms(self, name: str) -> list[str]:
        lines = []
        for path, buckets in sorted(self._buckets.items()):
            below = 0
            for bound, number in zip([*map(str, _BOUNDS), "+Inf"], buckets, strict=True):
                below += number
                lines.append(f'{name}_bucket{{path="{path}",le="{bound}"}} {below}')
            lines += [f'{name}_sum{{path="{path}"}} {self._seconds[path]:g}', f'{name}_count{{path="{path}"}} {below}']
        return lines
