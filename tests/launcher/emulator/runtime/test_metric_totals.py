"""Metrics over several executors of one job."""

from launcher.emulator.runtime.metric_totals import add_metrics


def scalar(name, value):
    return {"name": {"origin": "user", "name": name, "context": {"step": "s"}}, "scalar": value}


def distribution(count, total, least, most):
    numbers = {"count": count, "sum": total, "min": least, "max": most}
    mean = total / count if count else 0
    return {"name": {"name": "sizes", "context": {}}, "distribution": {**numbers, "mean": mean}}


def test_counters_go_on_where_the_last_executor_ended():
    earlier = [scalar("read", 5), scalar("only earlier", 1)]
    assert add_metrics(earlier, [scalar("read", 3), scalar("only now", 2)]) == [
        scalar("read", 8),
        scalar("only earlier", 1),
        scalar("only now", 2),
    ]
    assert add_metrics((), [scalar("read", 3)]) == [scalar("read", 3)]


def test_distributions_add_up():
    assert add_metrics([distribution(2, 10, 4, 6)], [distribution(1, 8, 8, 8)]) == [
        distribution(3, 18, 4, 8)
    ]
    assert add_metrics([distribution(0, 0, 0, 0)], [distribution(1, 8, 8, 8)]) == [
        distribution(1, 8, 8, 8)
    ]
    assert add_metrics([distribution(1, 8, 8, 8)], [distribution(0, 0, 0, 0)]) == [
        distribution(1, 8, 8, 8)
    ]
