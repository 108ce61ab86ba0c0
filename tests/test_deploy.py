"""The files that put a cluster up: valid by Ray's own checker and KubeRay's published fields, and of one mind."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from serving.options import Service

ROOT = Path(__file__).parents[1]
LAUNCHER = ("cluster.yaml", "deploy/on_premise.yaml")
KUBERAY, SERVICE = "deploy/kuberay.yaml", "deploy/rayservice.yaml"
FILES = (*LAUNCHER, KUBERAY, SERVICE, "Dockerfile", ".dockerignore", "deploy/mlflow.sh", "deploy/requirements.txt")

#: Fields of KubeRay's types: docs.ray.io/en/master/cluster/kubernetes/references/api.html (KubeRay 1.6) and, field by
#: field, docs/reference/api.md of ray-project/kuberay.
FIELDS = {
    "RayCluster": {"apiVersion", "kind", "metadata", "spec"},
    "RayJob": {"apiVersion", "kind", "metadata", "spec"},
    "RayClusterSpec": {
        "suspend", "managedBy", "autoscalerOptions", "headServiceAnnotations", "enableInTreeAutoscaling", "authOptions",
        "gcsFaultToleranceOptions", "headGroupSpec", "rayVersion", "workerGroupSpecs",
    },
    "AuthOptions": {"mode", "secretName", "enableK8sTokenAuth"},
    "AutoscalerOptions": {
        "resources", "image", "imagePullPolicy", "securityContext", "idleTimeoutSeconds", "upscalingMode", "version",
        "env", "envFrom", "volumeMounts",
    },
    "HeadGroupSpec": {"template", "headService", "enableIngress", "rayStartParams", "serviceType"},
    "WorkerGroupSpec": {
        "suspend", "groupName", "replicas", "minReplicas", "maxReplicas", "idleTimeoutSeconds", "rayStartParams",
        "template", "scaleStrategy", "numOfHosts",
    },
    "RayJobSpec": {
        "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata",
        "clusterSelector", "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId",
        "submissionMode", "entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished",
        "shutdownAfterJobFinishes", "suspend", "schedule",
    },
    "RayService": {"apiVersion", "kind", "metadata", "spec"},
    "RayServiceSpec": {
        "serveService", "upgradeStrategy", "serveConfigV2", "rayClusterConfig", "excludeHeadPodFromServeSvc",
    },
}  # fmt: skip


def text(name: str) -> str:
    return (ROOT / name).read_text()


def manifests() -> dict[str, Any]:
    both = (*yaml.safe_load_all(text(KUBERAY)), yaml.safe_load(text(SERVICE)))
    return {document["kind"]: document for document in both}


def pinned(package: str) -> str:
    found = re.search(rf"^{package}(?:\[[^\]]*\])?==(\S+)", text("requirements.txt"), re.MULTILINE)
    assert found
    return found[1]


# --- Ray's cluster launcher -------------------------------------------------------------------------------------------


@pytest.fixture(params=LAUNCHER)
def launched(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A configuration as `ray up` prepares it, which also checks it."""
    config = prepare_config(yaml.safe_load(text(request.param)))
    validate_config(config)
    return config


def test_the_schema_checker_sees_a_mistake() -> None:
    config = prepare_config(yaml.safe_load(text("cluster.yaml")))
    with pytest.raises(Exception, match="max_wrokers"):
        validate_config({**config, "max_wrokers": 1})


def test_the_head_is_closed_and_wants_a_token(launched: dict[str, Any]) -> None:
    start = " ".join(launched["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in start
    assert "aot-mlflow" in start
    assert "--env RAY_AUTH_MODE=token" in launched["docker"]["run_options"]
    assert launched["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    options = dict(
        option.split(" ", 1)[1].split("=", 1) for option in launched["docker"]["head_run_options"] if "=" in option
    )
    assert options["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert "AOT_STORAGE" in options
    assert [option for option in launched["docker"]["head_run_options"] if option.endswith(":/home/aot/aot-search")]


def test_the_cloud_cluster_grows_from_nothing_on_spot() -> None:
    config = prepare_config(yaml.safe_load(text("cluster.yaml")))
    head, worker = (config["available_node_types"][name] for name in ("head", "gpu_worker"))
    assert "InstanceMarketOptions" not in head["node_config"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert (worker["min_workers"], worker["max_workers"]) == (0, config["max_workers"])
    assert (head["resources"], worker["resources"]["GPU"]) == ({"CPU": 0}, 1)


# --- KubeRay ----------------------------------------------------------------------------------------------------------


def kuberay_parts() -> Iterator[tuple[str, dict[str, Any]]]:
    found = manifests()
    yield "RayCluster", found["RayCluster"]
    yield "RayJob", found["RayJob"]
    yield "RayJobSpec", found["RayJob"]["spec"]
    yield "RayService", found["RayService"]
    yield "RayServiceSpec", found["RayService"]["spec"]
    for spec in cluster_specs():
        yield "RayClusterSpec", spec
        yield "AuthOptions", spec["authOptions"]
        yield "AutoscalerOptions", spec["autoscalerOptions"]
        yield "HeadGroupSpec", spec["headGroupSpec"]
        for group in spec["workerGroupSpecs"]:
            yield "WorkerGroupSpec", group


def test_the_manifests_have_only_published_fields() -> None:
    for kind, part in kuberay_parts():
        assert set(part) <= FIELDS[kind], kind


def test_the_manifests_want_a_token_and_hold_no_secret() -> None:
    for spec in cluster_specs():
        assert spec["authOptions"] == {"mode": "token", "secretName": "aot-ray-token"}
        for pod in pods(spec):
            assert pod["securityContext"]["runAsNonRoot"]
            for container in pod["containers"]:
                assert all(not re.search("KEY|TOKEN|PASSWORD|SECRET", e["name"]) for e in container.get("env", []))
    assert manifests()["RayCluster"]["spec"]["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "127.0.0.1"


def test_a_job_has_the_same_cluster_as_the_one_that_stays() -> None:
    stays, job, _ = cluster_specs()
    for key in ("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "workerGroupSpecs"):
        assert stays[key] == job[key]
    assert {v["name"] for v in pods(job)[0]["volumes"]} == {"aot-search", "study"}


def cluster_specs() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Of the cluster that stays, of a job and of a server."""
    spec = {kind: manifest.get("spec", {}) for kind, manifest in manifests().items()}
    return spec["RayCluster"], spec["RayJob"]["rayClusterSpec"], spec["RayService"]["rayClusterConfig"]


def pods(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def test_the_server_is_one_that_serve_and_we_understand() -> None:
    spec = manifests()["RayService"]["spec"]
    config = ServeDeploySchema.model_validate(yaml.safe_load(spec["serveConfigV2"]))
    [application] = config.applications
    module, _, function = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    service = Service.model_validate(application.args)
    assert service.token_file is not None  # it listens on all addresses
    [workers] = spec["rayClusterConfig"]["workerGroupSpecs"]
    asked, has = service.options, workers["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert asked.replicas.max <= workers["maxReplicas"]
    assert asked.cpus is not None
    assert asked.cpus <= float(has["cpu"])
    assert asked.gpus == float(has["nvidia.com/gpu"])
    for pod in pods(spec["rayClusterConfig"]):
        mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {"winners": str(service.folder), "token": str(service.token_file.parent)}
        assert {volume["name"] for volume in pod["volumes"]} == set(mounted)


# --- All of them ------------------------------------------------------------------------------------------------------


def test_versions_agree() -> None:
    ray, python = pinned("ray"), re.search(r"^FROM python:(\d+\.\d+)-slim", text("Dockerfile"), re.MULTILINE)
    assert python
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    tag = f"{version}-ray{ray}-py{python[1].replace('.', '')}"
    for name in (*LAUNCHER, KUBERAY, SERVICE, "Dockerfile", "docs/cluster.md", "docs/serving.md"):
        tags = set(re.findall(r"REGISTRY/aot-search:(\S+?)(?=[\s`])", text(name)))
        assert tags == {tag}, name
    assert {spec["rayVersion"] for spec in cluster_specs()} == {ray}
    assert f"mlflow[auth]=={pinned('mlflow')} " in text("deploy/requirements.txt")


def test_no_secret_stands_in_a_file() -> None:
    literal = (
        r"(?i)(password|secret_?key|access_?key|auth_token|token)\s*[:=]\s*[\"']?[A-Za-z0-9/+]{16,}|AKIA[A-Z0-9]{16}"
    )
    for name in FILES:
        assert not re.search(literal, text(name)), name
        assert not re.search(r"://[^\s/@]*:[^\s/@]*@", text(name)), name


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (.+)$", text("Dockerfile"), re.MULTILINE):
        *sources, _ = (word for word in line.split() if not word.startswith("--"))
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in kept, source
    assert kept <= {
        source for line in re.findall(r"^COPY (.+)$", text("Dockerfile"), re.MULTILINE) for source in line.split()
    }


def test_files_and_commands_that_are_mentioned_exist() -> None:
    for name in (*FILES, "docs/cluster.md", "docs/serving.md"):
        for path in re.findall(r"(?<![\w/.~])(?:deploy|docs|studies)/[\w./-]+\w", text(name)):
            assert (ROOT / path).exists(), f"{name}: {path}"
    assert re.search(r"COPY .*deploy/mlflow.sh /usr/local/bin/aot-mlflow", text("Dockerfile"))


def test_the_image_runs_as_the_user_whose_home_the_others_name() -> None:
    dockerfile = text("Dockerfile")
    assert "USER aot" in dockerfile
    assert "--uid 1000" in dockerfile
    assert "ENV HOME=/home/aot" in dockerfile  # the launcher looks for it


def test_the_script_is_sound() -> None:
    script = ROOT / "deploy" / "mlflow.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run([shutil.which("bash") or "bash", "-n", str(script)], check=True)
    assert "--host 127.0.0.1" in script.read_text()
