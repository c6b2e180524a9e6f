"""Alert rules and dashboard: they load, they fire, and they name nothing that the exporter does not say."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._daemon.types import DaemonHeartbeat

from sleevegraph.alerts import Kind
from tests.exports import parsed, scrape
from tests.homes import TemporaryHome
from tests.made_runs import made_run

PROJECT = Path(__file__).resolve().parent.parent
PROMETHEUS = PROJECT / "deploy" / "prometheus"
DASHBOARD = PROJECT / "deploy" / "grafana" / "sleevegraph.json"
NAME = re.compile(r"\bsleevegraph_[a-z_]+\b")

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool (Debian: prometheus) is not installed"
)


def promtool(*arguments: object, given: str = "", folder: Path = PROMETHEUS) -> str:
    ran = subprocess.run(
        ["promtool", *map(str, arguments)], input=given, cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load((PROMETHEUS / "sleevegraph.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.fixture
def exported(home: TemporaryHome) -> str:
    """A scrape of a home in which something of everything has happened."""
    made_run(home, dg.DagsterRunStatus.STARTED)
    home.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "id", []))
    return scrape(home.store.folders)


@needs_promtool
def test_rules_and_the_example_load() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", "sleevegraph.rules.yml")
    assert "is valid" in promtool("check", "config", "prometheus.yml")


@needs_promtool
def test_every_alert_fires_and_does_not_fire_as_its_tests_say() -> None:
    assert "SUCCESS" in promtool("test", "rules", "sleevegraph.rules.test.yml")
    tests = yaml.safe_load((PROMETHEUS / "sleevegraph.rules.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


@needs_promtool
def test_alerts_that_ask_for_something_else_fail_their_tests(tmp_path: Path) -> None:
    changed = yaml.safe_load((PROMETHEUS / "sleevegraph.rules.yml").read_text())
    for rule in changed["groups"][0]["rules"]:
        rule["expr"] = "vector(1) > 2"
    (tmp_path / "sleevegraph.rules.yml").write_text(yaml.safe_dump(changed))
    shutil.copy(PROMETHEUS / "sleevegraph.rules.test.yml", tmp_path)
    with pytest.raises(AssertionError) as failed:
        promtool("test", "rules", "sleevegraph.rules.test.yml", folder=tmp_path)
    assert all(f"alertname: {rule['alert']}" in str(failed.value) for rule in rules())


@needs_promtool
def test_a_scrape_keeps_to_the_conventions(exported: str) -> None:
    assert promtool("check", "metrics", given=exported) == ""


def test_rules_and_dashboard_name_only_what_is_exported(exported: str) -> None:
    known = {name for name, _ in parsed(exported)}
    for text in (*(rule["expr"] for rule in rules()), *expressions()):
        assert set(NAME.findall(text)) <= known, text
    shown = set(NAME.findall(" ".join(expressions())))
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in known}
    unseen = families - {re.sub(r"_bucket$", "", name) for name in shown}
    # Shown by another figure of the same thing.
    assert {name for name in unseen if not name.endswith("_timestamp_seconds")} == set()


def test_rules_name_labels_that_are_exported(exported: str) -> None:
    labels = {label for _, pairs in parsed(exported) for label, _ in pairs}
    of_prometheus = {"instance", "job"}
    for rule in rules():
        grouped = re.findall(r"by \(([a-z_, ]+)\)", rule["expr"])
        named = {label.strip() for group in grouped for label in group.split(",")}
        named |= set(re.findall(r"([a-z_]+)=~?\"", rule["expr"]))
        assert named <= labels | of_prometheus, rule["alert"]
    assert not labels & of_prometheus, "Prometheus would rename them"


@needs_promtool
def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    made = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": made}]}))
    assert f"{len(made)} rules found" in promtool("check", "rules", tmp_path / "panels.yml")


def test_each_alert_has_its_heading_in_the_runbook() -> None:
    text = (PROJECT / "docs" / "operations.md").read_text()
    headings = {line.lstrip("# ") for line in text.splitlines() if line.startswith("### ")}
    assert {rule["alert"] for rule in rules()} <= headings
    assert {kind.value for kind in Kind} <= headings
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"  # type: ignore[index]
