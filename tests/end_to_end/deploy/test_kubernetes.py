"""deploy/kubernetes: built by kustomize, checked by kubeconform, and its pod's commands run with its settings.

There is no cluster here. A pod's processes are started with what its containers would get: the image's and the
manifests' environment, the arguments, and a signal. Only addresses, ports and paths are replaced.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from local_servers.process import free_port
from local_servers.valkey import ValkeyServer
from server.config.settings import Settings
from server.routes.health import CHECK_SECONDS
from tests.end_to_end.deploy.shipped import ADDRESS, DEPLOY, checked
from tests.harness.programs import go_build, go_program, python_with

FOLDER = DEPLOY / "kubernetes"
ROOT = DEPLOY.parent
HERE = Path(__file__).parent / "kubernetes"
KUSTOMIZE = ("sigs.k8s.io/kustomize/kustomize/v5", "v5.7.1")
KUBECONFORM = ("github.com/yannh/kubeconform/cmd/kubeconform", "v0.7.0")
VERSIONS = ("1.29.0", "1.37.0")
SCHEMAS = (
    "_definitions.json",
    "configmap-v1.json",
    "deployment-apps-v1.json",
    "poddisruptionbudget-policy-v1.json",
    "service-v1.json",
)
WITH_MONITOR = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
Manifest = dict[str, Any]


def kustomized(folder: Path) -> str:
    """Return what kustomize builds from a folder, which may lie anywhere."""
    command = [go_program(*KUSTOMIZE), "build", "--load-restrictor", "LoadRestrictionsNone", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="session")
def built() -> str:
    """The manifests as kubectl would apply them."""
    return kustomized(FOLDER)


@pytest.fixture(scope="session")
def with_monitor(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The manifests of an overlay that has the component for the Prometheus operator."""
    folder = tmp_path_factory.mktemp("overlay")
    parts = {name: os.path.relpath(path, folder) for name, path in (("base", FOLDER), ("part", FOLDER / "prometheus"))}
    overlay = {**WITH_MONITOR, "resources": [parts["base"]], "components": [parts["part"]], "namespace": "chat"}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return kustomized(folder)


def test_the_overlay_of_the_page_changes_what_it_names(tmp_path: Path) -> None:
    page = (FOLDER.parents[1] / "docs" / "operation.md").read_text()
    [block] = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "behavior: merge" in block]
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    checkout = os.path.relpath(FOLDER.parents[1], overlay)
    (overlay / "kustomization.yaml").write_text(textwrap.dedent(block).replace("../buzz/", f"{checkout}/"))
    made = kustomized(overlay)
    assert of_kind(made, "Deployment")["spec"]["replicas"] == 3
    assert "image: registry.your-company.example/buzz:0.1.0" in made
    assert "registry.example" not in made
    settings = of_kind(made, "ConfigMap")["data"]
    assert settings["BUZZ_PUBLIC_URL"] == "https://buzz.your-company.example"
    assert settings["BUZZ_MODE"] == "production"
    assert "kind: ServiceMonitor" in made


def of_kind(manifests: str, kind: str) -> Manifest:
    """Return the only manifest of this kind."""
    [found] = [each for each in yaml.safe_load_all(manifests) if each["kind"] == kind]
    return dict(found)


@pytest.fixture
def pod(built: str) -> Manifest:
    return dict(of_kind(built, "Deployment")["spec"]["template"]["spec"])


@pytest.fixture
def container(pod: Manifest) -> Manifest:
    [found] = pod["containers"]
    return dict(found)


# --- by the tools of Kubernetes -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where kubeconform finds the schemas of Kubernetes: copies of kubernetes-validate's, without public addresses."""
    python, folder = Path(python_with(HERE / "requirements.lock")), tmp_path_factory.mktemp("schemas")
    [packed] = python.parents[1].glob("lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema")
    for version in VERSIONS:
        (folder / f"v{version}").mkdir()
        for name in SCHEMAS:
            text = (packed / f"v{version}-local-strict" / name).read_text()
            schema = json.loads(text.replace('"/api/_definitions.json#', '"_definitions.json#'))
            del schema["$id"]
            (folder / f"v{version}" / name).write_text(json.dumps(schema))
    return f"{folder}/{{{{ .NormalizedKubernetesVersion }}}}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"


def judged(manifests: str, version: str, schemas: str) -> list[str]:
    """Return what kubeconform says against manifests, one line each; without their ServiceMonitor."""
    command = [go_program(*KUBECONFORM), "-strict", "-output", "json", "-kubernetes-version", version]
    command += ["-schema-location", schemas, "-skip", "ServiceMonitor", "-"]
    done = subprocess.run(command, input=manifests, check=False, capture_output=True, text=True, timeout=60)
    report = json.loads(done.stdout)
    assert (done.returncode == 0) == (not report["resources"])
    return [f"{each['kind']}: {each['msg']}" for each in report["resources"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(with_monitor: str, schemas: str, version: str) -> None:
    assert judged(with_monitor, version, schemas) == []


def test_an_unknown_field_is_found(built: str, schemas: str) -> None:
    [said] = judged(built.replace("readinessProbe:", "readynessProbe:"), VERSIONS[-1], schemas)
    assert "readynessProbe" in said


def test_the_monitor_is_what_the_operator_knows_and_finds_the_metrics(with_monitor: str) -> None:
    monitor, service = of_kind(with_monitor, "ServiceMonitor"), of_kind(with_monitor, "Service")
    reader = go_build(HERE / "servicemonitor")
    for manifest, status in ((monitor, 0), ({**monitor, "spec": {"selecter": {}}}, 1)):
        done = subprocess.run([reader], input=yaml.safe_dump(manifest), check=False, text=True, timeout=60)
        assert done.returncode == status
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "buzz", "the job in the alerts"


# --- what they say of Buzz ----------------------------------------------------------------------------------------


def test_a_node_may_drain_and_finish_before_it_is_killed(built: str, pod: Manifest, container: Manifest) -> None:
    drain = int(of_kind(built, "ConfigMap")["data"]["BUZZ_DRAIN_SECONDS"])
    command, waited = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert pod["terminationGracePeriodSeconds"] >= int(waited) + drain + 15
    ready = container["readinessProbe"]
    assert ready["timeoutSeconds"] > CHECK_SECONDS
    assert int(waited) >= ready["periodSeconds"] * ready["failureThreshold"]


def test_nothing_is_root_and_nothing_is_written_but_to_volumes(pod: Manifest) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) in (DEPLOY / "Dockerfile").read_text()
    for each in (*pod["initContainers"], *pod["containers"]):
        confined = each["securityContext"]
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert {"/tmp", "/var/lib/buzz"} <= {mount["mountPath"] for mount in each["volumeMounts"]}
    assert pod["automountServiceAccountToken"] is False


def test_the_key_is_readable_by_the_group_alone(pod: Manifest) -> None:
    """Buzz accepts it: tests/unit/auth/test_key_file.py."""
    [secret] = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secret["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_one_node_is_taken_away_at_a_time(built: str) -> None:
    deployment, budget = of_kind(built, "Deployment"), of_kind(built, "PodDisruptionBudget")
    assert deployment["spec"]["replicas"] > 1
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]


# --- a pod's life -------------------------------------------------------------------------------------------------


class Pod:
    """A pod's processes, with the environment of its containers."""

    def __init__(self, built: str, pod: Manifest, folder: Path, secrets: Mapping[str, str]) -> None:
        self.ports = {"http": free_port(), "metrics": free_port()}
        key = folder / "signing-key.pem"
        key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key.chmod(0o600)
        replaced = {
            "BUZZ_HOST": ADDRESS,
            "BUZZ_PORT": str(self.ports["http"]),
            "BUZZ_METRICS_PORT": str(self.ports["metrics"]),
            "BUZZ_SIGNING_KEY_FILE": str(key),
            "BUZZ_DATA_DIR": str(folder),
        }
        environment = {**of_image(), **of_kind(built, "ConfigMap")["data"], **secrets}
        assert set(replaced) <= set(environment)
        self.environment = {"PATH": os.environ["PATH"], **environment, **replaced}
        self.deadline = pod["terminationGracePeriodSeconds"]

    def command(self, container: Manifest) -> list[str]:
        return [sys.executable, str(ROOT / "run.py"), *container["args"]]

    def url(self, probe: Manifest) -> str:
        asked = probe["httpGet"]
        return f"http://{ADDRESS}:{self.ports[asked['port']]}{asked['path']}"


def of_image() -> dict[str, str]:
    """Return the environment that the image sets."""
    [line] = re.findall(r"^ENV (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    return dict(pair.split("=", 1) for pair in line.split())


@pytest.fixture
def secrets(empty_postgres_url: str, valkey_server: ValkeyServer, bus_namespace: str) -> dict[str, str]:
    """What the operator puts into the secret buzz-secrets."""
    return {
        "BUZZ_DATABASE_URL": empty_postgres_url,
        "BUZZ_BUS_URL": valkey_server.url,
        "BUZZ_BUS_NAMESPACE": bus_namespace,
    }


async def test_a_pod_migrates_serves_answers_its_probes_and_ends_in_time(
    built: str, pod: Manifest, container: Manifest, tmp_path: Path, secrets: dict[str, str]
) -> None:
    running = Pod(built, pod, tmp_path, secrets)
    [migrate] = pod["initContainers"]
    assert "up to date" not in await checked(running.command(migrate), running.environment)
    assert "up to date" in await checked(running.command(migrate), running.environment)
    node = await asyncio.create_subprocess_exec(
        *running.command(container), env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert node.stdout is not None
        assert b"listening on" in await node.stdout.readline()
        async with aiohttp.ClientSession() as http:
            for name in ("startupProbe", "livenessProbe", "readinessProbe"):
                async with http.get(running.url(container[name])) as answer:
                    assert answer.status == 200, name
        node.terminate()
        assert await asyncio.wait_for(node.wait(), running.deadline) == 0
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()


async def test_the_environment_of_a_service_named_buzz_would_stop_the_start(
    built: str, pod: Manifest, container: Manifest, tmp_path: Path
) -> None:
    """Kubernetes sets these for each Service of the namespace, unless the pod says otherwise."""
    assert pod["enableServiceLinks"] is False
    running = Pod(built, pod, tmp_path, {})
    links = {"BUZZ_PORT": "tcp://10.0.0.1:8080", "BUZZ_SERVICE_HOST": "10.0.0.1"}
    with pytest.raises(AssertionError, match="BUZZ_SERVICE_HOST"):
        await checked(running.command(container), {**running.environment, **links})


def test_settings_are_known(built: str) -> None:
    known = {f"BUZZ_{name.upper()}" for name in Settings.model_fields}
    assert set(of_kind(built, "ConfigMap")["data"]) <= known
