"""Each failure that the static checks catch: the mistake is made, and the finding read.

A test is called after the failure's id in ``launcher/jobs/failures.json``.
"""

from __future__ import annotations

import pytest

from launcher.cli import main

L4 = "--accelerator=nvidia-l4:1"


def test_nothing_is_found_in_a_project_without_mistakes(project):
    assert project.check() == {}
    assert project.check(L4, device="cuda") == {}


def test_launch_timeout(project):
    project.replace("Dockerfile", "ENV ", "ENV FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE=/r.txt ")
    found = project.check()["image-launch-installs"]
    assert found.startswith("ERROR")
    assert "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE=/r.txt" in found


def test_silent_cpu(project):
    found = project.check(device="cuda")["gpu-missing"]
    assert found.startswith("ERROR --parameters device=cuda: the job requests no accelerator")
    project.write(
        "main.py",
        """
        from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor
        handler = PytorchModelHandlerTensor(state_dict_path="m", device="GPU")
        """,
    )
    assert "main.py:3: PytorchModelHandlerTensor" in project.check()["entry-silent-cpu"]


def test_gpu_out_of_memory(project):
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.zeros(25_000_000)}, project.root / "m.pth")  # 0.1 GB
    flags = [
        *("--accelerator=nvidia-tesla-t4:1", "--worker-machine-type=n1-standard-32"),
        "--additional-experiments=use_multiple_sdk_containers",
    ]
    found = project.check(
        *flags, "--checkpoint", str(project.root / "m.pth"), "--ignore=checkpoint-misfit"
    )
    assert "starts 32 SDK processes" in found["gpu-processes"]
    assert (
        "32 SDK processes x (0.1 GB model + 0.5 GB for CUDA) = 19.2 GB"
        in (found["model-gpu-memory"])
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("beam_python3.11_sdk:2.77.0", "beam_python3.11_sdk:2.73.0", "Beam is 2.73.0 in apache"),
        ("beam_python3.11_sdk:2.77.0", "beam_python3.14_sdk:2.77.0", "3.14 in apache"),
        ("pip install --no-deps", "pip install apache-beam==2.66.0 --no-deps", "2.66.0 in apache"),
    ],
)
def test_versions_differ(project, old, new, message):
    project.replace("Dockerfile", old, new)
    found = project.check()["image-versions"]
    assert found.startswith("ERROR")
    assert message in found


def test_workers_lack_code(project):
    project.change_spec(lambda spec: spec["defaultEnvironment"].pop("sdkContainerImage"))
    found = project.check()["workers-image"]
    assert found.startswith("WARNING sdkContainerImage: not set")
    assert "Add --sdk-container-image europe-docker.pkg.dev/" in found
    found = project.check("--sdk-container-image=europe-docker.pkg.dev/p/r/other:1")
    assert "not the launcher's image" in found["workers-image-differs"]


def test_no_capacity(project):
    assert "--worker-zone us-east1-b" in project.check(L4, "--worker-zone=us-east1-b")["gpu-zone"]


def test_disk_full(project):
    assert "--disk-size-gb 30" in project.check(L4, "--disk-size-gb=30")["gpu-disk"]
    project.replace("Dockerfile", "FROM python:3.11-slim", "FROM nvidia/cuda:13.0-devel-ubuntu22")
    assert "compilers that no worker needs" in project.check()["image-size"]
    project.replace("Dockerfile", "-devel-", "-runtime-")
    assert "both bring CUDA's libraries" in project.check()["image-size"]


def test_parameter_unrecognized(project):
    found = project.check(disk_size_gb="100")["parameter-unknown"]
    assert "the template has no such parameter -> Use the flag --disk-size-gb" in found


def test_accelerator_lost(project):
    found = project.check("--additional-experiments=worker_accelerator=type=nvidia-l4")
    assert "expected type:TYPE;count:N;install-nvidia-driver" in found["gpu-syntax"]
    found = project.check(
        "--worker-machine-type=g2-standard-4",
        "--additional-pipeline-options="
        "dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
    )
    assert "is not documented" in found["gpu-placement"]


@pytest.mark.parametrize(
    "line",
    [
        "options.view_as(GoogleCloudOptions).job_name = 'mine'",
        "cloud = options.view_as(GoogleCloudOptions); cloud.project = 'mine'",
        "options = PipelineOptions(runner='DirectRunner')",
    ],
)
def test_job_file_missing(project, line):
    project.write("main.py", line)
    found = project.check()["entry-options"]
    assert found.startswith("ERROR main.py:1: sets ")
    project.replace("Dockerfile", "ENV FLEX_TEMPLATE_PYTHON_PY_FILE=", "ENV OTHER=")
    assert "could not determine py file" in project.check()["image-entry-file"]


def test_without_the_variable_the_entry_file_is_looked_for(project):
    project.write("main.py", "options = PipelineOptions(runner='DirectRunner')")
    project.replace("Dockerfile", "ENV FLEX_TEMPLATE_PYTHON_PY_FILE=", "ENV OTHER=")
    assert set(project.check()) == {"entry-options", "image-entry-file"}


def test_wrong_entrypoint(project):
    project.replace("Dockerfile", 'ENTRYPOINT ["/opt/apache/beam/boot"]', "")
    assert "no ENTRYPOINT" in project.check()["image-entrypoint"]
    project.write(
        "Dockerfile",
        (project.root / "Dockerfile").read_text()
        + 'ENTRYPOINT ["/opt/google/dataflow/python_template_launcher"]',
    )
    assert "would crash on the flag --logging_endpoint" in project.check()["image-entrypoint"]
    project.replace("Dockerfile", "COPY --from=launcher", "COPY --from=launcher /x /y\n# ")
    assert "which the launcher VM starts" in project.check()["image-launcher"]
    project.replace("Dockerfile", "COPY --from=beam", "# COPY")
    assert "cannot be the workers' image" in project.check()["image-boot"]


def test_network_unreachable(project):
    found = project.check("--subnetwork=my-subnet")["network-subnetwork"]
    assert "Write regions/REGION/subnetworks/NAME" in found
    found = project.check("--subnetwork=regions/us-east1/subnetworks/s")["network-subnetwork"]
    assert "is in us-east1, the workers are in us-central1" in found
    assert "Private Google Access" in project.check("--disable-public-ips")["network-private"]


def test_driver_too_old(project):
    found = project.check("--accelerator=nvidia-l4:1:550")["gpu-driver"]
    assert found.startswith("ERROR --accelerator 'nvidia-l4:1:550': driver 550")
    assert "(cu130, CUDA 13) needs 580 or newer" in found
    assert project.check("--accelerator=nvidia-l4:1:default")["gpu-driver"].startswith("WARNING")
    assert (
        "installs no NVIDIA driver" in project.check("--accelerator=nvidia-l4:1:none")["gpu-driver"]
    )
    project.replace("requirements.txt", "nvidia-cuda-runtime==13.0.96", "")
    project.replace("requirements.txt", "torch==2.13.0", "torch==2.13.0+cpu")
    assert "without CUDA" in project.check(L4)["gpu-torch-cpu"]
    project.replace("requirements.txt", "+cpu", "+cu126")
    project.replace("Dockerfile", "LD_LIBRARY_PATH", "OTHER_PATH")
    found = project.check("--accelerator=nvidia-l4:1:550")
    assert set(found) == {"image-driver-path"}


def test_no_kernel_image(project):
    found = project.check("--accelerator=nvidia-tesla-v100:1")["gpu-capability"]
    assert "compute capability 7.0, and the image's torch (cu130) holds kernels for 7.5" in found


def test_hidden_environment(project):
    project.replace("Dockerfile", "RUN pip", "RUN python -m venv /venv && /venv/bin/pip")
    found = project.check()["image-environment"]
    assert found.startswith("ERROR")
    assert "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in found
    project.replace("Dockerfile", "ENV ", "ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 ")
    assert project.check() == {}
    project.write(
        "Dockerfile",
        (project.root / "Dockerfile")
        .read_text()
        .replace("RUN_PYTHON_SDK", "OTHER")
        .replace("python -m venv /venv && /venv/bin/pip", "apt-get install -y python3 && pip")
        .replace("FROM python:3.11-slim-bookworm", "FROM debian:bookworm-slim"),
    )
    assert "ensurepip" in project.check()["image-environment"]


STREAMING = """
import apache_beam as beam
from apache_beam.ml.inference.base import RunInference
from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor

def build(pipeline):
    handler = PytorchModelHandlerTensor(state_dict_path="gs://b/m")
    return pipeline | beam.io.ReadFromPubSub("s") | RunInference(handler)
"""


def test_streaming_batch_of_one(project):
    project.write("main.py", "from steps import build\n")
    project.write("steps.py", STREAMING)
    assert "steps.py:7" in project.check()["entry-stream-batches"]


def test_poison_record(project):
    project.write("main.py", STREAMING)
    assert "one bad record stalls the pipeline for ever" in project.check()["entry-poison"]
    project.replace("main.py", "RunInference(handler)", "R(handler).with_exception_handling()")
    assert "entry-poison" not in project.check()


def test_main_session(project):
    project.write("main.py", "import apache_beam as beam\nclass Parse(beam.DoFn):\n    pass\n")
    assert "main.py:2: class Parse is defined in the entry file" in project.check()["entry-defines"]


def test_option_dropped(project):
    found = project.check("--additional-pipeline-options=worker_machin_type=n1-standard-4")
    assert "did you mean 'worker_machine_type'?" in found["options-unknown"]
    found = project.check("--additional-pipeline-options=region=us-east1")
    assert "the launcher sets region itself" in found["options-reserved"]


def test_strict_parser(project):
    project.write("main.py", "import argparse\nargparse.ArgumentParser().parse_args()\n")
    found = project.check()["entry-parse-args"]
    assert found.startswith("ERROR main.py:2: parse_args() exits with status 2")


def test_machine_mismatch(project):
    found = project.check("--worker-machine-type=g2-standard-4")["gpu-not-asked"]
    assert "Add --accelerator nvidia-l4:1" in found
    found = project.check(L4, "--worker-machine-type=n1-standard-4")["gpu-machine"]
    assert "1 nvidia-l4 need g2-standard-4" in found
    found = project.check("--accelerator=nvidia-l4:2")
    assert "one SDK process predicts on one GPU" in found["gpu-idle"]


def test_weights_only(project):
    torch = pytest.importorskip("torch")
    path = project.root / "whole.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    found = project.check("--checkpoint", str(path))["checkpoint-pickled"]
    assert found.startswith("ERROR")
    assert "torch.save(model.state_dict(), PATH)" in found
    torch.save([1, 2], path)
    found = project.check("--checkpoint", str(path))["checkpoint-pickled"]
    assert "holds a list, not a state_dict" in found
    torch.save({"weight": torch.zeros(2)}, path)
    found = project.check("--checkpoint", str(path))["checkpoint-misfit"]
    assert "No module named 'template'" in found or "not the weights of this network" in found
    path.write_bytes(b"no checkpoint")
    assert "checkpoint-unreadable" in project.check("--checkpoint", str(path))


def test_a_checkpoint_without_a_launch(project, capsys):
    torch = pytest.importorskip("torch")
    path = project.root / "weights.pth"
    check = ["check", "--project-root", str(project.root), "--checkpoint", str(path)]
    torch.save({"weight": torch.zeros(2)}, path)
    assert main(check) == 0
    assert f", {path}." in capsys.readouterr().out
    path.write_bytes(b"no checkpoint")
    assert main(check) == 1
    assert "ERROR checkpoint-unreadable" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flag", ["--live", "--rehearse", "--accelerator=nvidia-l4:1", "--parameters=batch_size=1"]
)
def test_flags_of_a_launch_need_a_template(project, capsys, flag):
    assert main(["check", flag, "--project-root", str(project.root)]) == 2
    name = flag.partition("=")[0]
    assert f"{name}: needs --template-file-gcs-location" in capsys.readouterr().err


def test_launcher_vm(project):
    found = project.check(L4, "--launcher-machine-type=n1-standard-1")["launcher-small"]
    assert "little memory for a launcher that imports torch" in found


def test_metrics_in_launcher(project):
    project.write(
        "main.py",
        """
        import apache_beam as beam
        result = beam.Pipeline().run()
        result.wait_until_finish()
        print(result.metrics().query())
        """,
    )
    found = project.check()
    assert found["entry-after-run"].startswith("ERROR main.py:5: calls metrics()")
    assert found["entry-waits"].startswith("WARNING main.py:4: waits for the job")


def test_comma_in_parameters(project):
    project.change_spec(
        lambda spec: spec["metadata"]["parameters"].append(
            {"name": "extra", "label": "Extra", "helpText": "Extra."}
        )
    )
    found = project.check(input="gs://my-bucket/x,extra=1")["parameter-comma"]
    assert "--parameters input=gs://my-bucket/x --parameters extra=1" in found
    found = project.check("--additional-pipeline-options=pickle_library=dill,num_workers=3")
    assert "--additional-pipeline-options num_workers=3" in found["options-comma"]


def test_slow_model_load(project):
    torch = pytest.importorskip("torch")
    path = project.root / "m.pth"
    state = {"w": torch.zeros(1)}
    torch.save(state, path)
    with path.open("ab") as file:
        file.truncate(2_500_000_000)  # sparse: as large as it looks to whoever downloads it
    found = project.check(
        *("--worker-machine-type=n1-standard-8", "--checkpoint", str(path)),
        "--ignore=checkpoint-unreadable,checkpoint-misfit",
    )
    assert "each of 8 SDK processes of a worker loads the model of 2.5 GB" in found["model-load"]
    assert (
        "n1-standard-4 has 15 GB"
        in (
            project.check(
                *("--worker-machine-type=n1-standard-4", "--checkpoint", str(path)),
                "--additional-experiments=sdk_worker_parallelism=6",
            )["model-memory"]
        )
    )


def test_private_registry(project):
    project.change_spec(lambda spec: spec.update(image="jfrog.example.com/ml/fashion:1"))
    assert "workers cannot authenticate at jfrog.example.com" in project.check()["image-registry"]


def test_a_registry_of_this_machine(project, monkeypatch):
    endpoint = "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW"
    project.change_spec(lambda spec: spec.update(image="localhost:5000/fashion:1"))
    monkeypatch.delenv(endpoint, raising=False)
    assert project.check()["image-registry"].startswith("ERROR")
    monkeypatch.setenv(endpoint, "http://localhost:9100/")
    assert "image-registry" not in project.check()


def test_modules_of_the_package_that_nothing_imports_by_name(project):
    package = project.root / "fashion"
    (project.root / "main.py").rename(project.write("fashion/main.py", ""))
    (package / "__init__.py").touch()
    entry_file = f"--entry-file={package / 'main.py'}"
    project.write("fashion/models/good.py", "import json, torch\nfrom fashion import main\n")
    before = project.check(entry_file)
    assert "entry-import" not in before
    project.write("fashion/models/broken.py", "import json\nimport no_such_package\n")
    found = project.check(entry_file)["entry-import"]
    assert found.startswith("WARNING")
    assert "fashion/models/broken.py:2: imports 'no_such_package'" in found
    project.write("fashion/models/broken.py", "def predict(:\n")
    assert "fashion/models/broken.py: invalid syntax" in project.check(entry_file)["entry-syntax"]


def test_wrong_architecture(project):
    project.replace("Dockerfile", "FROM python", "FROM --platform=linux/arm64 python")
    found = project.check()["image-platform"]
    assert found.startswith("ERROR")
    assert "Build with --platform linux/amd64" in found


def test_package_conflict(project):
    project.write("requirements.txt", REQUIREMENTS_IN_CONFLICT)
    found = project.check()
    assert "protobuf 4.21.0, and apache-beam 2.77.0 asks for" in found["lock-conflict"]
    assert "not pinned to one version: pandas>=2" in found["lock-unpinned"]
    assert "strip_trailing_zero" in found["lock-advisory"]


REQUIREMENTS_IN_CONFLICT = """
apache-beam==2.77.0
protobuf==4.21.0
pandas>=2
setuptools==75.0
packaging==21.3
"""


def test_metadata_broken(project):
    parameters = [
        {"name": "topic", "label": "", "help_text": "h"},
        {"name": "n", "label": "N", "helpText": "h", "regexes": ["^\\d+$"], "defaultValue": "x"},
        {"name": "k", "label": "K", "helpText": "h", "isOptional": True, "regexes": ["a|b"]},
        {"name": "region", "label": "R", "helpText": "h", "isOptional": True},
    ]
    project.change_spec(lambda spec: spec["metadata"].update(parameters=parameters, nmae="x"))
    found = project.check()
    assert "the REST API writes 'helpText'" in found["spec-snake-case"]
    assert "label is empty" in found["metadata-empty"]
    assert "defaultValue 'x' does not match its own regex" in found["metadata-default"]
    assert "Write [0-9] for \\d" in found["metadata-regex-dialect"]
    assert "Write ^(a|b)$." in found["metadata-regex-anchor"]
    assert "the service sets this option itself" in found["metadata-reserved"]
    assert "metadata.nmae: no such field; did you mean 'name'?" in found["spec-field-unknown"]


def test_memory_leak(project):
    project.replace("requirements.txt", "2.77.0", "2.71.0")
    assert "keep every error" in project.check()["lock-advisory"]


def test_deadlock(project):
    project.write("requirements.txt", "grpcio==1.62.1\n")
    found = project.check()["lock-advisory"]
    assert found.startswith("ERROR")
    assert "deadlocks Beam's workers" in found


def test_bfloat16(project):
    torch = pytest.importorskip("torch")
    path = project.root / "m.pth"
    torch.save({"w": torch.zeros(2, dtype=torch.bfloat16)}, path)
    found = project.check("--accelerator=nvidia-tesla-t4:1", "--checkpoint", str(path))
    assert "the weights are bfloat16, and nvidia-tesla-t4" in found["model-bfloat16"]


def test_set_twice(project):
    found = project.check("--worker-machine-type=n1-standard-8", machine_type="n1-standard-4")
    assert "The service takes it in one place only" in found["parameter-twice"]
    accelerator = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    found = project.check(
        L4, f"--additional-pipeline-options=dataflow_service_options={accelerator}"
    )
    assert "the accelerator is given 2 times" in found["gpu-twice"]
    hint = {"prediction_accelerator": "type:nvidia-l4;count:1;install-nvidia-driver:latest"}
    assert "the accelerator is given 2 times" in project.check(L4, **hint)["gpu-twice"]


def test_right_fitting_leaves_the_other_steps_without_a_gpu(project):
    right = [L4, "--right-fitting"]
    assert not {code for code in project.check(*right) if code.startswith("gpu-")}
    found = project.check(*right, "--worker-machine-type=g2-standard-4")["gpu-not-asked"]
    assert "with right fitting the workers of the other steps request none" in found
    accelerator = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    project.change_spec(
        lambda spec: spec["defaultEnvironment"].update(additionalExperiments=[accelerator])
    )
    assert "the template requests worker_accelerator=" in project.check(*right)["gpu-twice"]


def test_graph_too_big(project):
    project.write("main.py", "import torch\nMODEL = torch.load('m.pth')\n")
    assert "main.py:2: loads a model when the launcher starts" in project.check()["entry-model"]


def test_secure_boot(project):
    found = project.check(L4, "--additional-experiments=enable_secure_boot")["gpu-secure-boot"]
    assert found.startswith("WARNING")


def test_local_address(project):
    project.replace("Dockerfile", "ENV ", "ENV PUBSUB_EMULATOR_HOST=localhost:8085 ")
    assert "PUBSUB_EMULATOR_HOST=localhost:8085" in project.check()["image-local-address"]
    project.change_spec(
        lambda spec: spec["metadata"]["parameters"].append(
            {"name": "api", "label": "A", "helpText": "h"}
        )
    )
    assert "which no worker reaches" in project.check(api="http://localhost:8080")["local-address"]
