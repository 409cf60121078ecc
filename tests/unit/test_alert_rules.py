"""The alert rules by their form; tests/integration/test_prometheus.py has promtool and a real Prometheus judge them."""

import re
from collections import defaultdict

import yaml

from tests.monitoring import OF_OTHERS, ROOT, RULE_TESTS, exported, names_in, recorded_in, rules

RUNBOOK = ROOT / "docs" / "runbook.md"


def test_the_search_for_metrics_finds_what_it_must() -> None:
    expression = 'sum by (cdcd_x, up) (rate(cdcd_rows_total{op="up"}[5m])) / a:cdcd_b:c unless on (up) up == 0'
    assert names_in(expression) == {"cdcd_rows_total", "up"}
    assert recorded_in(expression) == {"a:cdcd_b:c"}


def test_rules_read_what_is_exported_or_recorded() -> None:
    recorded = {rule["record"] for rule in rules("record")}
    for rule in rules("record") + rules("alert"):
        assert names_in(rule["expr"]) <= exported() | OF_OTHERS, rule
        assert recorded_in(rule["expr"]) <= recorded, rule
        assert names_in(rule["expr"]) | recorded_in(rule["expr"]), rule


def test_every_alert_says_how_urgent_it_is_and_what_to_read() -> None:
    for rule in rules("alert"):
        assert re.fullmatch(r"Cdcd[A-Z]\w+", rule["alert"])
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_has_an_entry_for_each_alert_and_no_other() -> None:
    entries = re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    assert sorted(entry.splitlines()[0] for entry in entries) == sorted({rule["alert"] for rule in rules("alert")})
    for entry in entries:
        assert re.findall(r"^\*\*(\w+):\*\*", entry, re.MULTILINE) == ["Means", "Look", "Do"], entry


def test_every_alert_is_shown_to_fire_and_not_to_fire() -> None:
    shown: dict[str, set[bool]] = defaultdict(set)
    severities: dict[str, set[str]] = defaultdict(set)
    for group in yaml.safe_load(RULE_TESTS.read_text())["tests"]:
        for case in group.get("alert_rule_test", ()):
            shown[case["alertname"]].add(bool(case["exp_alerts"]))
            severities[case["alertname"]] |= {each["exp_labels"]["severity"] for each in case["exp_alerts"]}
    for rule in rules("alert"):
        assert shown[rule["alert"]] == {True, False}, rule["alert"]
        assert rule["labels"]["severity"] in severities[rule["alert"]], rule["alert"]
