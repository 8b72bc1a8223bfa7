"""Progress as CloudWatch's embedded metrics."""

import json
import os

from workload.contract import METRIC_DIMENSION, METRIC_MARK, Metric, Progress, metric_namespace
from workload.gang.log import Log
from workload.gang.metrics import EVERY_S, ProgressMetrics, embedded


def test_the_line_is_what_the_specification_of_the_format_asks_for() -> None:
    line = embedded(Progress(rank=0, step=7, total=10, rate=2.5), stack="lab", job="1f2e", now=1.5)
    assert line.startswith(METRIC_MARK)
    document = json.loads(line)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert document["_aws"]["Timestamp"] == 1500
    assert directive["Namespace"] == metric_namespace("lab")
    # Every dimension and every metric that the directive names is a member of the document itself.
    assert [document[name] for dimensions in directive["Dimensions"] for name in dimensions] == ["1f2e"]
    assert {m["Name"]: document[m["Name"]] for m in directive["Metrics"]} == {Metric.STEP: 7, Metric.RATE: 2.5}
    assert {m["Unit"] for m in directive["Metrics"]} == {"None", "Count/Second"}
    assert METRIC_DIMENSION in document


def test_a_line_goes_out_once_a_minute_and_at_the_end() -> None:
    metrics = ProgressMetrics("lab", "1f2e")
    assert metrics.line(Progress(rank=0, step=1, total=9), 0.0) is None, "nothing to tell before a rate is known"
    due = [
        second for second in range(1, 300) if metrics.line(Progress(rank=0, step=2, total=9, rate=1.0), float(second))
    ]
    assert due == [1, 61, 121, 181, 241]
    assert EVERY_S == 60
    end = Progress(rank=0, step=9, total=9, rate=1.0)
    assert metrics.line(end, 300.0)
    assert metrics.line(end, 301.0) is None


def test_in_the_log_the_line_stands_without_a_tag() -> None:
    reader, writer = os.pipe()
    Log(3, writer).metric('{"_aws":{}}')
    assert os.read(reader, 100) == b'{"_aws":{}}\n'
    os.close(reader)
    os.close(writer)
