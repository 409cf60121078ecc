"""The dashboards by their form; tests/integration/test_prometheus.py asks a real Prometheus all their queries."""

import re
from typing import Any

import pytest
import yaml

from cdcd.observe.metrics import BUILD_INFO, InstanceMetrics, ServerMetrics, declared
from tests.monitoring import OF_OTHERS, ROOT, dashboards, exported, names_in, panels, queries, recorded_in, rules

BOARDS = dashboards()
GRAFANA = ROOT / "deploy" / "grafana"
PANEL_TYPES = {"heatmap", "stat", "state-timeline", "table", "timeseries"}
UNITS = {"Bps", "bytes", "cps", "none", "percentunit", "s"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = ["datasource", "cluster", "server", "sync_instance", "docs"]
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())


def test_there_are_two() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        "cdcd-fleet.json": "cdcd-fleet",
        "cdcd-instance.json": "cdcd-instance",
    }


@each_board
def test_form(board: dict[str, Any]) -> None:
    assert "id" not in board, "the id is that of somebody's Grafana"
    assert board["schemaVersion"] >= 41
    assert [each["name"] for each in board["templating"]["list"]] == VARIABLES
    ids = [panel["id"] for panel in [*board["panels"], *panels(board)] if panel["type"] == "row"]
    ids += [panel["id"] for panel in panels(board)]
    assert len(ids) == len(set(ids))


@each_board
def test_every_panel_says_what_it_shows(board: dict[str, Any]) -> None:
    for panel in panels(board):
        place = panel["title"]
        assert panel["type"] in PANEL_TYPES, place
        assert panel["description"].endswith("."), place
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS, place
        assert defaults["thresholds"]["steps"][0]["value"] is None, place
        assert panel["datasource"] == SOURCE, place
        for target in panel["targets"]:
            assert target["datasource"] == SOURCE, place


@each_board
def test_a_single_figure_is_that_of_now(board: dict[str, Any]) -> None:
    """The last of a range would show for hours that all is well with what has gone."""
    for panel in panels(board):
        if panel["type"] == "stat":
            assert [(target["instant"], target["range"]) for target in panel["targets"]] == [(True, False)], panel[
                "title"
            ]


@each_board
def test_no_panel_lies_over_another(board: dict[str, Any]) -> None:
    covered: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not covered & cells, panel["title"]
        covered |= cells


@each_board
def test_queries_are_of_what_is_exported_and_chosen(board: dict[str, Any]) -> None:
    for query in queries(board["uid"], board):
        assert names_in(query.expression), query
        assert names_in(query.expression) <= exported() | OF_OTHERS, query
        assert not recorded_in(query.expression), "the dashboards do without the rules"
        # Each selector is bound to the choice of a fleet: elsewhere there may be another Prometheus job of that name.
        assert len(re.findall(r"\{[^}]*cluster=~\"\$cluster\"[^}]*\}", query.expression)) == len(
            re.findall(r"\{[^}]*\}", query.expression)
        ), query


@each_board
def test_changes_of_owner_are_annotations(board: dict[str, Any]) -> None:
    expressions = [each.get("expr", "") for each in board["annotations"]["list"]]
    assert any("cdcd_instance_owned" in each for each in expressions)


@each_board
def test_links_lead_somewhere(board: dict[str, Any]) -> None:
    alerts = {rule["alert"].lower() for rule in rules("alert")}
    text = str(board)
    for anchor in re.findall(r"\$\{docs\}/runbook\.md#(\w+)", text):
        assert anchor in alerts
    for page in re.findall(r"\$\{docs\}/([\w.-]+)", text):
        assert (ROOT / "docs" / page).exists(), page
    assert set(re.findall(r"/d/([\w-]+)", text)) <= {each["uid"] for each in BOARDS.values()}
    assert re.findall(r"\$\{docs\}/runbook\.md#", text)


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {name for board in BOARDS.values() for query in queries("", board) for name in names_in(query.expression)}
    shown = {re.sub(r"(?<=seconds)_(bucket|count|sum)$", "", name) for name in shown}
    declarations = [metric for kind in (InstanceMetrics, ServerMetrics) for _, metric in declared(kind)]
    assert {metric.name for metric in [*declarations, BUILD_INFO]} <= shown


def test_they_are_provisioned() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/cdcd.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/cdcd"
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["type"] == "prometheus"
