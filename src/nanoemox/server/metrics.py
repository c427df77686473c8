"""What a server counts, in the form that Prometheus reads. Nothing in it says who asked, or what."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "nanoemox_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "nanoemox_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            registry=self.registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
        )
        self.batch_size = Histogram(
            "nanoemox_batch_size",
            "How many requests were answered at once.",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )
        self.in_house = Gauge(
            "nanoemox_requests_in_house",
            "Requests that were let in and not yet answered.",
            registry=self.registry,
        )
        self.refused = Counter(
            "nanoemox_refused", "Requests that found no place and got status 429.", registry=self.registry
        )
        self.cut = Counter(
            "nanoemox_cut_connections",
            "Connections that were ended, as their clients kept silent in a request or read no answer.",
            registry=self.registry,
        )
        self.bytes = Counter("nanoemox_body_bytes", "Bytes of bodies that arrived.", registry=self.registry)
        self.clip_s = Counter(
            "nanoemox_clip_seconds", "Seconds of clips that were read.", registry=self.registry
        )

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for when somebody looks.

        Args:
            name: Of the number.
            meaning: What it counts.
            value: Gives it.
        """
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All figures."""
        text: bytes = generate_latest(self.registry)
        return text
