import json
import logging
import os
import subprocess
import sys
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.json_logs import JsonLines, configure_logs, json_console_logger
from sleevegraph.errors import ConfigurationError

PROJECT = Path(__file__).resolve().parent.parent
PROGRAM = """
import logging
import dagster as dg
from resources.json_logs import configure_logs

configure_logs()
log = logging.getLogger("resources.own")
days = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-05")

@dg.asset(key=["a_sleeve", "weights"], partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
def weights(context):
    context.log.info("made\\nof two lines, with top-secret-password")
    log.warning("our own %s", "word")
    for key in context.partition_keys:
        context.log_event(dg.AssetObservation(["bars"], partition=key))

@dg.asset_check(asset=weights)
def is_sound():
    return dg.AssetCheckResult(passed=True)

@dg.asset(deps=[weights], partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run())
def broken(context):
    try:
        raise OSError("inner")
    except OSError:
        context.log.exception("told")
    raise ValueError("boo")

defs = dg.Definitions(assets=[weights, broken], asset_checks=[is_sound], executor=dg.in_process_executor)
job = defs.resolve_implicit_global_asset_job_def()
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
log.info("before")
range_tags = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-01-02"}
job.execute_in_process(raise_on_error=False, partition_key="2024-01-03")
job.execute_in_process(raise_on_error=False, partition_key="2024-01-03", run_config=quiet)
job.execute_in_process(raise_on_error=False, tags=range_tags)
"""
PLAIN, QUIET, RANGE = 0, 1, 2
"""The runs of PROGRAM: of one partition, of one with our commands' configuration, and of a range."""


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(form="json").splitlines()]


def of_run(number: int) -> list[dict[str, Any]]:
    """Lines that name the run, or that any process prints at first."""
    runs = list(dict.fromkeys(line["run"] for line in lines() if "run" in line))
    assert len(runs) == RANGE + 1
    return [line for line in lines() if line.get("run", runs[number]) == runs[number]]


@cache
def said(form: str) -> str:
    """Stderr of PROGRAM in a process of its own."""
    url = "postgresql://user:top-secret-password@db/x"
    environment = {"PYTHONPATH": str(PROJECT), "SLEEVEGRAPH_LOGS": form, "SLEEVEGRAPH_POSTGRES_URL": url}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stderr


@pytest.mark.parametrize("number", [PLAIN, QUIET])
def test_a_run_of_one_partition_says_where_each_line_belongs(number: int) -> None:
    found = of_run(number)
    assert all(datetime.fromisoformat(line["time"]).utcoffset() is not None for line in found)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in found)
    (made,) = (line for line in found if line["message"].startswith("made"))
    assert made["message"] == "made\nof two lines, with ***"
    assert made["level"] == "INFO"
    assert made["asset"] == "a_sleeve/weights"
    assert made["step"] == "a_sleeve__weights"
    assert made["partition"] == "2024-01-03"
    (own,) = (line for line in found if line["message"] == "our own word")
    assert own["logger"] == "resources.own"
    assert {name: own[name] for name in ("run", "job", "asset", "step", "partition")} == {
        name: made[name] for name in ("run", "job", "asset", "step", "partition")
    }
    (before,) = (line for line in found if line["message"] == "before")
    assert "run" not in before
    judged = [line for line in found if line.get("step") == "a_sleeve__weights_is_sound"]
    assert judged
    assert {line["asset"] for line in judged} == {"a_sleeve/weights"}
    (ended,) = (line for line in found if line.get("event") == "STEP_SUCCESS" and line["step"] == "a_sleeve__weights")
    assert ended["run"] == made["run"]


def test_a_range_is_said_as_one_and_an_event_of_a_partition_as_that() -> None:
    found = of_run(RANGE)
    (made,) = (line for line in found if line["message"].startswith("made"))
    assert made["partition"] == "2024-01-01...2024-01-02"
    observed = [(line["asset"], line["partition"]) for line in found if line.get("event") == "ASSET_OBSERVATION"]
    assert observed == [("bars", "2024-01-01"), ("bars", "2024-01-02")]


def test_an_exception_is_one_line_with_its_trace_as_a_field() -> None:
    found = of_run(PLAIN)
    (told,) = (line for line in found if line["message"] == "told")
    assert told["level"] == "ERROR"
    assert told["trace"].startswith("Traceback")
    assert told["trace"].endswith("OSError: inner")
    (failed,) = (line for line in found if line.get("event") == "STEP_FAILURE")
    assert "ValueError: boo" in failed["trace"]
    assert failed["asset"] == "broken"


def test_text_is_what_it_was() -> None:
    text = said(form="")
    assert "a_sleeve__weights - made\nof two lines" in text
    assert not any(line.startswith("{") for line in text.splitlines())


def test_the_projects_own_definitions_log_json_in_a_run(tmp_path: Path) -> None:
    (tmp_path / "dagster_home").mkdir()
    (tmp_path / "dagster_home" / "dagster.yaml").write_text((PROJECT / "dagster_home" / "dagster.yaml").read_text())
    ran = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "dagster",
            "asset",
            "materialize",
            "-m",
            "definitions",
            "--select",
            "daily_bars",
        ],
        cwd=PROJECT,
        env=os.environ | {"DAGSTER_HOME": str(tmp_path / "dagster_home"), "SLEEVEGRAPH_LOGS": "json"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = [json.loads(line) for line in ran.stderr.splitlines()]
    observed = [line for line in found if line.get("event") == "ASSET_OBSERVATION"]
    assert {line["asset"] for line in observed} == {"known_bars"}
    assert len({line["partition"] for line in observed}) == len(observed) > 100
    assert any(line.get("event") == "RUN_SUCCESS" or line.get("event") == "PIPELINE_SUCCESS" for line in found)


def test_a_form_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEEVEGRAPH_LOGS", "xml")
    with pytest.raises(ConfigurationError, match="SLEEVEGRAPH_LOGS: expected text or json, found 'xml'"):
        configure_logs()


def test_a_record_of_no_run_has_no_fields_of_one() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s of %s", ("a", 3), None)
    line = json.loads(JsonLines().format(record))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "WARNING", "logger": "x", "message": "a of 3"}
    assert isinstance(json_console_logger, dg.LoggerDefinition)
