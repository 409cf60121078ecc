"""Figures to Prometheus text: what is registered is read at each scrape, and only then."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from threading import Lock

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from cdcd.observe.metrics import BUILD_INFO, Histogram, InstanceMetrics, Metric, ProcessMetrics, declared

Labels = dict[str, str]
Sample = tuple[str, Labels, float]
"""(suffix of the name, labels, value)."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Registry:
    """Shows the figures of a process and of the instances in it.

    `build`: what runs -> its version, for cdcd_build_info; cdcd's own is the label `version`. `process` is asked at each scrape.
    """

    def __init__(self, build: Mapping[str, str], process: Callable[[], ProcessMetrics] = ProcessMetrics) -> None:
        self._build = {"version" if name == "cdcd" else name.replace("-", "_"): text for name, text in build.items()}
        self._process = process
        self._instances: dict[str, Callable[[], InstanceMetrics]] = {}
        self._lock = Lock()
        self._prometheus = CollectorRegistry()
        self._prometheus.register(_Families(self._collect))
        ProcessCollector(registry=self._prometheus)

    def add(self, instance: str, read: Callable[[], InstanceMetrics]) -> None:
        """Show an instance from now on. `read` is called at each scrape, in the scraping thread, and must not wait."""
        with self._lock:
            self._instances[instance] = read

    def remove(self, instance: str) -> None:
        """Its series end with this call; none of a name that is not shown."""
        with self._lock:
            self._instances.pop(instance, None)

    def render(self) -> bytes:
        """All figures in Prometheus' text format (CONTENT_TYPE)."""
        return generate_latest(self._prometheus)

    def _collect(self) -> Iterator[Family]:
        yield _family(BUILD_INFO, [("", self._build, 1.0)])
        process = self._process()
        for attribute, metric in declared(type(process)):
            yield _family(metric, _samples(metric, getattr(process, attribute), {}))
        with self._lock:
            readers = sorted(self._instances.items())
        figures = [({"sync_instance": name}, read()) for name, read in readers]
        for attribute, metric in declared(InstanceMetrics):
            yield _family(
                metric, (s for labels, each in figures for s in _samples(metric, getattr(each, attribute), labels))
            )


class _Families(Collector):
    def __init__(self, collect: Callable[[], Iterator[Family]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Family]:
        return self._collect()


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
    family = Family(name, metric.help, metric.kind)
    for suffix, labels, value in samples:
        family.add_sample(metric.name + suffix, labels, value)
    return family


def _samples(metric: Metric, value: object, labels: Labels) -> Iterator[Sample]:
    match value:
        case None:
            return
        case Histogram():
            yield from _buckets(value, labels)
        case str():
            for each in metric.values or (value,):
                yield "", {**labels, metric.label: each}, float(each == value)
        case dict():
            # A copy in one step: the owner may add a label value meanwhile.
            for each, number in value.copy().items():
                yield "", {**labels, metric.label: str(each)}, float(number)
        case int() | float():
            yield "", labels, float(value)
        case _:
            raise TypeError(f"{metric.name} is {value!r}")


def _buckets(histogram: Histogram, labels: Labels) -> Iterator[Sample]:
    counts, total = list(histogram.counts), histogram.total
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    for bound, count in zip(bounds, accumulate(counts), strict=True):
        yield "_bucket", {**labels, "le": bound}, count
    yield "_count", labels, sum(counts)
    yield "_sum", labels, total
