"""The samples of /metrics, by name and labels."""

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


class MetricSamples:
    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def get(self, name: str, /, **labels: str) -> float | None:
        """The sum of the samples with these labels, whatever their others; None where there is none."""
        found = [
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


def sample_names(metrics: Iterable[Metric]) -> set[str]:
    """The names of all samples that these metrics can have, whether they have any now or not."""
    return {metric.name + suffix for metric in metrics for suffix in _SUFFIXES.get(metric.type, ("",))}
