"""What a program of ours tells on its operators' port: asked directly, whatever the environment says of proxies."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from http import HTTPStatus

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_TIMEOUT = 5.0
_BY_WORKER = "consoleproxy_worker_sessions"


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_ready(url: str) -> bool:
    """Say whether ``/readyz`` answers yes."""
    try:
        with _direct.open(f"{url}/readyz", timeout=_TIMEOUT) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:  # urllib's own errors are such, too
        return False


def read_metrics(url: str) -> dict[str, float]:
    """Return the metrics that have no labels, by name; those with labels are left out."""
    return {sample.name: sample.value for sample in _samples(url) if not sample.labels}


def read_sessions_by_worker(url: str) -> dict[str, int]:
    """Return how many consoles each worker carries, by its name; nothing where there are no workers."""
    mine = (sample for sample in _samples(url) if sample.name == _BY_WORKER)
    return {sample.labels["worker"]: int(sample.value) for sample in mine}


def _samples(url: str) -> Iterator[Sample]:
    return (sample for family in text_string_to_metric_families(_read(url)) for sample in family.samples)


def _read(url: str) -> str:
    with _direct.open(f"{url}/metrics", timeout=_TIMEOUT) as answer:
        text: str = answer.read().decode()
    return text
