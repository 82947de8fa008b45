"""Each failure that the static checks catch: each test makes the mistake and reads the finding.

A test is named after the failure's id in ``launcher/jobs/failures.json``.
"""

from __future__ import annotations

import pytest

from launcher.cli import main

L4 = "--accelerator=nvidia-l4:1"


def test_nothing_is_found_in_a_project_without_mistakes(project):
    assert project.check() == {}
    assert project.check(L4, device="cuda") == {}


@pytest.mark.usefixtures("probed_here")
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


def test_network_unreachable(project):
    found = project.check("--subnetwork=my-subnet")["network-subnetwork"]
    assert "Write regions/REGION/subnetworks/NAME" in found
    found = project.check("--subnetwork=regions/us-east1/subnetworks/s")["network-subnetwork"]
    assert "is in us-east1, but the workers are in us-central1" in found
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
    assert "compute capability 7.0, but the image's torch (cu130) holds kernels for 7.5" in found


def test_option_dropped(project):
    found = project.check("--additional-pipeline-options=worker_machin_type=n1-standard-4")
    assert "did you mean 'worker_machine_type'?" in found["options-unknown"]
    found = project.check("--additional-pipeline-options=region=us-east1")
    assert "the launcher sets region itself" in found["options-reserved"]


def test_machine_mismatch(project):
    found = project.check("--worker-machine-type=g2-standard-4")["gpu-not-asked"]
    assert "Add --accelerator nvidia-l4:1" in found
    found = project.check(L4, "--worker-machine-type=n1-standard-4")["gpu-machine"]
    assert "1 nvidia-l4 need g2-standard-4" in found
    found = project.check("--accelerator=nvidia-l4:2")
    assert found["gpu-idle"].startswith("HINT --accelerator 'nvidia-l4:2': one SDK process")
    assert "a copy of the model on each" in found["gpu-idle"]


@pytest.mark.usefixtures("probed_here")
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
    path.write_bytes(b"no checkpoint")
    assert "checkpoint-unreadable" in project.check("--checkpoint", str(path))


@pytest.mark.usefixtures("probed_here")
def test_weights_misfit(project):
    torch = pytest.importorskip("torch")
    path = project.root / "other.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    found = project.check("--checkpoint", str(path))["checkpoint-misfit"]
    assert "No module named 'template'" in found or "not the weights of this network" in found


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
    assert "too little memory for a launcher that imports torch" in found


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


@pytest.mark.usefixtures("probed_here")
def test_slow_model_load(project):
    torch = pytest.importorskip("torch")
    path = project.root / "m.pth"
    state = {"w": torch.zeros(1)}
    torch.save(state, path)
    with path.open("ab") as file:
        file.truncate(2_500_000_000)  # sparse, but a download would have this size
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
    assert "workers cannot authenticate to jfrog.example.com" in project.check()["image-registry"]


def test_a_registry_of_this_machine(project, monkeypatch):
    endpoint = "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW"
    project.change_spec(lambda spec: spec.update(image="localhost:5000/fashion:1"))
    monkeypatch.delenv(endpoint, raising=False)
    assert project.check()["image-registry"].startswith("ERROR")
    monkeypatch.setenv(endpoint, "http://localhost:9100/")
    assert "image-registry" not in project.check()


def test_bfloat16_as_the_precision(project):
    precision = "--parameters=precision=bfloat16"
    for gpu in ("nvidia-tesla-t4:1", "nvidia-tesla-p100:1", "nvidia-tesla-v100:1"):
        found = project.check(f"--accelerator={gpu}", precision)["gpu-precision"]
        assert found.startswith("ERROR --parameters precision=bfloat16: nvidia-tesla-")
        assert "does not support it" in found
        other = project.check(f"--accelerator={gpu}", "--parameters=precision=float16")
        assert "gpu-precision" not in other
    assert "gpu-precision" not in project.check("--accelerator=nvidia-l4:1", precision)
    hint = "--parameters=prediction_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver"
    assert "gpu-precision" in project.check(hint, precision)


@pytest.mark.usefixtures("probed_here")
def test_bfloat16(project):
    torch = pytest.importorskip("torch")
    path = project.root / "m.pth"
    torch.save({"w": torch.zeros(2, dtype=torch.bfloat16)}, path)
    found = project.check("--accelerator=nvidia-tesla-t4:1", "--checkpoint", str(path))
    assert "the weights are bfloat16, and nvidia-tesla-t4" in found["model-bfloat16"]


def test_set_twice(project):
    found = project.check("--worker-machine-type=n1-standard-8", machine_type="n1-standard-4")
    assert "The service accepts it in one place only" in found["parameter-twice"]
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
    assert "with right fitting the workers of the other steps request no GPU" in found
    accelerator = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    project.change_spec(
        lambda spec: spec["defaultEnvironment"].update(additionalExperiments=[accelerator])
    )
    assert "the template requests worker_accelerator=" in project.check(*right)["gpu-twice"]


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
    assert (
        "workers cannot reach an address of this machine"
        in project.check(api="http://localhost:8080")["local-address"]
    )


def test_no_region(project):
    found = project.check("--region=europe-wset4")["region-unknown"]
    assert "there is no region 'europe-wset4'; did you mean 'europe-west4'?" in found


def test_long_name(project):
    assert "64 characters" in project.check(f"--job-name={'a' * 64}")["job-name"]


@pytest.mark.usefixtures("probed_here")
@pytest.mark.parametrize("kind", ["script", "safetensors"])
def test_a_model_file_of_another_kind_is_left_to_the_model_class(project, kind):
    torch = pytest.importorskip("torch")
    path = project.root / f"m.{kind}"
    network = torch.nn.Linear(2, 1)
    if kind == "script":
        torch.jit.save(torch.jit.trace(network, torch.zeros(1, 2)), path)
    else:
        path.write_bytes((2).to_bytes(8, "little") + b"{}")
    assert "checkpoint-unreadable" not in project.check("--checkpoint", str(path))
