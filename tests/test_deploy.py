"""Files of deploy/ that need a Docker engine or a cluster: what they name exists, they fit each other, and hold no secrets."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.metadata import entry_points
from importlib.util import find_spec
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config_schema
from dagster_k8s import K8sRunLauncher
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from jsonschema import Draft202012Validator
from kubernetes import client
from packaging.specifiers import SpecifierSet

from tests.homes import environment

PROJECT = Path(__file__).resolve().parent.parent
DEPLOY = PROJECT / "deploy"
TEXTS = {str(path.relative_to(PROJECT)): path.read_text() for path in DEPLOY.rglob("*") if path.is_file()}
DOCKERFILE, COMPOSE = TEXTS["deploy/Dockerfile"], yaml.safe_load(TEXTS["deploy/docker-compose.yaml"])
VALUES, INSTANCE = (yaml.safe_load(TEXTS[f"deploy/k8s/{name}.yaml"]) for name in ("values", "dagster"))
OF_OTHERS = {"postgres": {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}, "redis": {"REDIS_PASSWORD"}}
"""Services whose images are not ours, and the variables of each."""
PROGRAMS = {script.name for script in entry_points(group="console_scripts")} | {"python"}
HOME = "/srv/sleevegraph"


def variables_of_the_code() -> set[str]:
    """What the program reads, or what it names of what its packages read."""
    places = [PROJECT / name for name in ("assets", "checks", "commands", "resources", "sensors")]
    text = "".join(file.read_text() for place in places for file in place.rglob("*.py"))
    return set(re.findall(r"\b(?:SLEEVEGRAPH|AWS|DAGSTER)_[A-Z]+(?:_[A-Z]+)*\b|PGPASSWORD", text))


KNOWN = variables_of_the_code()


def copied() -> list[str]:
    """Sources of every COPY, as they lie in the image, too."""
    return [source for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for source in line.split()]


def in_image(path: str) -> bool:
    return any(Path(path).is_relative_to(source) for source in copied()) and (PROJECT / path).exists()


def wrong_command(words: list[str]) -> Iterator[str]:
    if words[0] not in PROGRAMS:
        yield f"no program {words[0]}"
    for flag, value in pairwise(words):
        if flag in {"-m", "-A"} and find_spec(value) is None:
            yield f"no module {value}"
        if flag == "-w" and not in_image(value):
            yield f"not in the image: {value}"


def wrong_service(name: str, service: dict[str, Any], compose: dict[str, Any]) -> Iterator[str]:
    if name not in OF_OTHERS:
        yield from wrong_command(service.get("command") or command_of_the_image())
        if f"home:{HOME}" not in service["volumes"]:
            yield f"{name}: not on the home"
    yield from (
        f"{name}: {variable} is read by nobody" for variable in set(service["environment"]) - OF_OTHERS.get(name, KNOWN)
    )
    yield from (
        f"{name}: no service {other}" for other in service.get("depends_on", {}) if other not in compose["services"]
    )
    for volume in service["volumes"]:
        if volume.split(":")[0] not in compose["volumes"]:
            yield f"{name}: no volume {volume}"
    for published in service.get("ports", []):
        address, outside, inside = published.rsplit(":", 2)
        if not ip_address(address).is_loopback:
            yield f"{name}: published on {address}"
        if inside not in service["command"] or f":{outside}/" not in str(service["healthcheck"]):
            yield f"{name}: nobody listens on {inside}"
    if service.get("restart") != "unless-stopped" or not (service.get("healthcheck") or name == "code"):
        yield f"{name}: neither watched nor started again"


def wrong_compose(compose: dict[str, Any]) -> list[str]:
    found = [
        error.message for error in Draft202012Validator(get_builtin_schema("vendor.compose-spec")).iter_errors(compose)
    ]
    found += [line for name, service in compose["services"].items() for line in wrong_service(name, service, compose)]
    for name, service in compose["services"].items():
        missing = {v for v in KNOWN if v.startswith("SLEEVEGRAPH_")} - {"SLEEVEGRAPH_HOME", *service["environment"]}
        found += [f"{name}: does not get {variable}" for variable in missing if name not in OF_OTHERS]
    return found


def command_of_the_image() -> list[str]:
    """The code server, which the shell becomes after the settings were tried."""
    (command,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    first, _, server = yaml.safe_load(command)[2].partition("; exec ")
    assert first == "sleevegraph doctor --settings"
    return shlex.split(server)


def changed(document: Any, change: Callable[[Any], object]) -> Any:
    copy = deepcopy(document)
    change(copy)
    return copy


def test_what_compose_names_exists_and_is_published_on_loopback_only() -> None:
    assert wrong_compose(COMPOSE) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["services"]["daemon"].update(comand=[]), "unexpected"),
        (lambda c: c["services"]["daemon"].update(command=["dagster-demon", "run"]), "no program dagster-demon"),
        (lambda c: c["services"]["worker"]["command"].__setitem__(2, "resources.worker"), "no module resources.worker"),
        (lambda c: c["services"]["daemon"]["command"].__setitem__(3, "workspaces.yaml"), "not in the image"),
        (lambda c: c["services"]["viewer"].update(ports=["0.0.0.0:3001:3001"]), "published on 0.0.0.0"),
        (lambda c: c["services"]["viewer"].update(ports=["127.0.0.1:3001:3002"]), "nobody listens on 3002"),
        (lambda c: c["services"]["daemon"]["environment"].update(SLEEVEGRAPH_LAKES=""), "is read by nobody"),
        (lambda c: c["services"]["daemon"]["environment"].pop("SLEEVEGRAPH_LAKE"), "does not get SLEEVEGRAPH_LAKE"),
        (lambda c: c["services"]["daemon"].update(volumes=["other:/srv/sleevegraph"]), "no volume other"),
        (lambda c: c["services"]["daemon"]["depends_on"].update(db={}), "no service db"),
        (lambda c: c["services"]["exporter"].pop("restart"), "neither watched"),
    ],
)  # fmt: skip
def test_a_defect_in_compose_is_found(change: Callable[[Any], object], said: str) -> None:
    assert said in " ".join(wrong_compose(changed(COMPOSE, change)))


def test_the_image_is_made_as_make_install_makes_the_environment() -> None:
    assert [source for source in copied() if not (PROJECT / source).exists()] == []
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    packages = {name.split(".")[0] for name in settings["tool"]["setuptools"]["packages"]}
    assert packages <= set(copied())
    (tag,) = re.findall(r"^FROM python:(\d+\.\d+\.\d+)-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert tag in SpecifierSet(settings["project"]["requires-python"])
    makefile = (PROJECT / "Makefile").read_text()
    assert f"--python-version {tag.rpartition('.')[0]} " in makefile  # of the lock
    for step in ("--no-deps --require-hashes -r requirements/", "--no-deps --no-build-isolation --no-index -e ."):
        assert step in makefile
        assert step in DOCKERFILE
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert list(wrong_command(command_of_the_image())) == []


def test_every_file_that_is_copied_gets_past_the_ignored_ones() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert sorted(line.removeprefix("!") for line in ignored if line.startswith("!")) == sorted(copied())


def test_all_files_name_the_same_port_and_code_location() -> None:
    server = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    module = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    assert server["location_name"] == deployment["name"] == module  # what `sleevegraph automate` knows sensors by
    assert deployment["dagsterApiGrpcArgs"] == ["-m", module]
    assert command_of_the_image()[-4:] == ["-p", str(server["port"]), "-m", module]
    assert deployment["port"] == server["port"]
    assert f"EXPOSE {server['port']}\n" in DOCKERFILE
    assert server["host"] in COMPOSE["services"]


def wrong_instance(instance: dict[str, Any]) -> list[str]:
    """What Dagster says of it, in a pod of the chart."""
    with environment(DAGSTER_K8S_PIPELINE_RUN_NAMESPACE="sleevegraph"):
        result = process_config(resolve_to_config_type(dagster_instance_config_schema()), instance)
        given = instance["run_launcher"]["config"]
        launcher = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), given)
    return [error.message for found in (result, launcher) for error in found.errors or []]


def test_a_home_on_kubernetes_is_set_as_any_other_but_for_who_starts_runs() -> None:
    home = yaml.safe_load((PROJECT / "dagster_home" / "dagster.yaml").read_text())
    assert {**INSTANCE, "run_launcher": home["run_launcher"]} == home
    assert wrong_instance(INSTANCE) == []
    assert "imagee" in str(wrong_instance(changed(INSTANCE, lambda i: i["run_launcher"]["config"].update(imagee="a"))))
    launcher = INSTANCE["run_launcher"]["config"]
    assert launcher["service_account_name"] == VALUES["serviceAccount"]["name"]
    assert launcher["dagster_home"] == f"{HOME}/dagster_home"
    # What the chart does not hand on from the code server to the pods of runs.
    assert launcher["run_k8s_config"]["pod_spec_config"]["security_context"] == pods(VALUES)[2]["podSecurityContext"]
    assert launcher["run_k8s_config"]["container_config"]["security_context"] == pods(VALUES)[2]["securityContext"]


def wrong_pod(pod: dict[str, Any]) -> Iterator[str]:
    """Of what all three deployments of the chart have in common."""
    models = {
        "env": client.V1EnvVar,
        "envSecrets": client.V1SecretEnvSource,
        "volumes": client.V1Volume,
        "volumeMounts": client.V1VolumeMount,
        "podSecurityContext": client.V1PodSecurityContext,
        "securityContext": client.V1SecurityContext,
        "resources": client.V1ResourceRequirements,
    }
    for key, model in models.items():
        for part in pod[key] if isinstance(pod[key], list) else [pod[key]]:
            yield from refusal(model, part)
    given = {variable["name"]: variable.get("value") for variable in pod["env"]}
    yield from (f"{name} is read by nobody" for name in set(given) - KNOWN - {"DAGSTER_HOME"})
    if given["DAGSTER_HOME"] != f"{HOME}/dagster_home" or VALUES["global"]["dagsterHome"].startswith(HOME):
        yield "the chart's own dagster.yaml would be used"
    if [mount["mountPath"] for mount in pod["volumeMounts"]] != [HOME]:
        yield "not on the home"


def refusal(model: Any, part: dict[str, Any]) -> Iterator[str]:
    """What the client of Kubernetes says of a part that is none."""
    try:
        k8s_model_from_dict(model, k8s_snake_case_dict(model, part))
    except Exception as error:  # noqa: BLE001 - Dagster raises a plain Exception there
        yield str(error)


def pods(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [values["dagsterWebserver"], values["dagsterDaemon"], *values["dagster-user-deployments"]["deployments"]]


def test_every_pod_of_the_chart_has_our_image_the_home_and_its_settings() -> None:
    assert [line for pod in pods(VALUES) for line in wrong_pod(pod)] == []
    assert len({str(pod["image"]) for pod in pods(VALUES)}) == 1
    assert {"name": "sleevegraph"} in pods(VALUES)[0]["envSecrets"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pod: pod["volumes"][0].update(persistentVolume={}), "Unexpected keys"),
        (lambda pod: pod["env"].append({"name": "SLEEVEGRAPH_LAKES", "value": ""}), "SLEEVEGRAPH_LAKES is read by nobody"),
        (lambda pod: pod["env"].__setitem__(0, {"name": "DAGSTER_HOME", "value": "/opt"}), "the chart's own"),
        (lambda pod: pod["volumeMounts"].clear(), "not on the home"),
    ],
)  # fmt: skip
def test_a_defect_in_a_pod_is_found(change: Callable[[Any], object], said: str) -> None:
    assert said in " ".join(wrong_pod(changed(pods(VALUES)[1], change)))


def test_the_volume_of_the_home_and_the_job_that_fills_it_are_what_kubernetes_knows() -> None:
    claim, job = yaml.safe_load_all(TEXTS["deploy/k8s/home.yaml"])
    assert list(refusal(client.V1PersistentVolumeClaim, claim)) == list(refusal(client.V1Job, job)) == []
    broken = changed(job, lambda j: j["spec"]["template"]["spec"].update(volums=[]))
    assert "volums" in " ".join(refusal(client.V1Job, broken))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    image = VALUES["dagsterDaemon"]["image"]
    assert container["image"] == f"{image['repository']}:{image['tag']}"
    assert VALUES["dagsterDaemon"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert all(in_image(path) for path in re.findall(r"/app/(\S+)", container["command"][-1]))


def shells() -> list[str]:
    """Every line that a shell will read."""
    runs = re.findall(r"^RUN ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    parts = [
        part
        for service in COMPOSE["services"].values()
        for part in (service.get("command"), service.get("healthcheck"))
    ]
    tests = [part["test"] if isinstance(part, dict) else part for part in parts if part]
    lines = [words[-1] for words in tests if words[0] in {"CMD-SHELL", "sh"}]
    return [*runs, *(line.replace("$$", "$") for line in lines)]


def unreadable(line: str) -> str:
    return subprocess.run(["bash", "-n"], input=line, text=True, capture_output=True, check=False).stderr


def test_a_shell_can_read_its_lines() -> None:
    assert len(shells()) == 6
    assert [unreadable(line) for line in shells()] == [""] * 6
    assert unreadable("echo 'open")


def secrets_in(text: str) -> list[str]:
    """What looks like the value of a secret: userinfo with a password, or a value given to a secret's name."""
    value = r"""[ \t]*[:=][ \t]*["']?(?!true|false)([^\s"'$%{,#?]+)"""
    named = re.findall(rf"(?im)^[^#\n]*?(?:password|secret_access_key|token){value}", text)
    return [*re.findall(r"://[^\s/:@]*:[^\s/@$%]+@", text), *named]


def test_no_file_holds_a_secret_or_names_an_index_of_packages() -> None:
    assert {name: found for name, text in TEXTS.items() if (found := secrets_in(text))} == {}
    for planted in ("a: redis://:pass@host", "PGPASSWORD: hunter2", 'AWS_SECRET_ACCESS_KEY="abc"', "ENV TOKEN=abc"):
        assert secrets_in(planted), planted
    assert not re.search(r"index-url|trusted-host|pypi", DOCKERFILE)


def test_commands_of_the_documentation_are_those_of_compose() -> None:
    text = (PROJECT / "docs" / "scale_out.md").read_text()
    assert shlex.join(COMPOSE["services"]["worker"]["command"][:4]) in text
    for name in re.findall(r"`(deploy/[\w./-]+)`", text):
        assert (PROJECT / name).exists(), name
