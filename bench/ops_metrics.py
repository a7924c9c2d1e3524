"""What a program of ours tells on its operators' port: asked directly, whatever the environment says of proxies."""

from __future__ import annotations

import urllib.request
from http import HTTPStatus

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT = 5.0


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
    with _direct.open(f"{url}/metrics", timeout=_TIMEOUT) as answer:
        text = answer.read().decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {sample.name: sample.value for sample in samples if not sample.labels}
