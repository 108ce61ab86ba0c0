"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.request import Answer, Refusal

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

#: What the replicas count, see ``Engine.facts`` and ``Batches.facts``: counters, then gauges.
_COUNTED = {
    "batches": "Batches that the engine was given",
    "batch_rows": "Rows of these batches",
    "batch_seconds": "Seconds that these batches took",
    "forwards": "Forward passes of the backbone",
    "tokens": "Tokens that were computed, without padding",
    "padding": "Tokens of padding that were computed",
    "cache_hits": "Pairs of a task and a token whose rows of P were in the cache, once per batch",
    "cache_misses": "Pairs whose rows of P were not",
}
_MEASURED = {
    "cache_bytes": "Memory that cached rows of P take",
    "cache_capacity_bytes": "Memory that they may take",
    "largest_batch_rows": "Rows of the largest batch so far",
}


class _Replicas(Collector):
    """What each replica said last with an answer; of one that died, what it had counted stays."""

    def __init__(self) -> None:
        self.facts: dict[str, Mapping[str, float]] = {}

    def collect(self) -> Iterator[Metric]:
        for names, family in ((_COUNTED, CounterMetricFamily), (_MEASURED, GaugeMetricFamily)):
            for name, words in names.items():
                metric = family(f"aot_{name}", words, labels=["replica"])
                for replica, facts in self.facts.items():
                    if facts.get(name) is not None:
                        metric.add_metric([replica], facts[name])
                yield metric


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # one more series for each, which nobody reads
        self._registry = own = CollectorRegistry()
        self.requests = Counter("aot_requests", "Requests by path and status", ["path", "status"], registry=own)
        self.seconds = Histogram(
            "aot_request_seconds", "Seconds until the answer", ["path"], buckets=_SECONDS, registry=own
        )
        self.rows = Counter("aot_rows", "Rows that were answered, by task", ["task"], registry=own)
        self.refused = Counter("aot_refused_rows", "Rows that were refused, by rule", ["rule"], registry=own)
        self.queue = Gauge("aot_queue_rows", "Rows that were accepted and are not answered yet", registry=own)
        self.retries = Counter("aot_retries", "Requests that were sent again, as their replica died", registry=own)
        self._replicas = _Replicas()
        self._registry.register(self._replicas)

    def count(self, answers: Sequence[Answer | Refusal]) -> None:
        """Rows by task; a name that nobody serves is no label, as clients make names up."""
        for answer in answers:
            counter = self.refused.labels(answer.rule) if isinstance(answer, Refusal) else self.rows.labels(answer.task)
            counter.inc()

    def heard(self, replica: str, facts: Mapping[str, Any]) -> None:
        """What a replica has counted since its start."""
        self._replicas.facts[replica] = facts

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
