"""Settings that are added to a launch with GPUs, and settings that stay as requested."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher import (
    Accelerator,
    EnvironmentOptions,
    FlexTemplateRuntimeEnvironment,
    InputError,
    TemplateMetadata,
    build_container_spec,
    build_environment,
    build_launch_request,
)

L4 = Accelerator("nvidia-l4")
WORKER_L4 = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:latest"


def build(base=None, **options):
    return build_environment(EnvironmentOptions(**options), base=base, image="image:1")


def test_a_job_without_gpus_gets_nothing():
    assert build() == FlexTemplateRuntimeEnvironment()


def test_what_a_gpu_needs():
    assert build(accelerator=L4) == FlexTemplateRuntimeEnvironment(
        additional_experiments=(WORKER_L4, "no_use_multiple_sdk_containers"),
        additional_pipeline_options=("number_of_worker_harness_threads=4",),
        disk_size_gb=50,
        launcher_machine_type="e2-standard-2",
        machine_type="g2-standard-4",
        sdk_container_image="image:1",
    )


@pytest.mark.parametrize(
    ("accelerator", "machine_type", "threads"),
    [
        ("nvidia-l4:1", "g2-standard-32", 8),
        ("nvidia-l4:2", None, 16),
        ("nvidia-l4:4", None, 32),
        ("nvidia-tesla-t4:4", "n1-standard-16", 16),
        ("nvidia-tesla-a100:16", None, 96),
    ],
)
def test_threads_grow_with_the_gpus_up_to_the_cores(accelerator, machine_type, threads):
    environment = build(
        accelerator=Accelerator.parse(accelerator), worker_machine_type=machine_type
    )
    assert environment.additional_pipeline_options == (
        f"number_of_worker_harness_threads={threads}",
    )


def test_what_is_asked_for_stays():
    asked = {
        "additional_experiments": ("sdk_worker_parallelism=2",),
        "additional_pipeline_options": ("number_of_worker_harness_threads=1",),
        "disk_size_gb": 30,
        "launcher_machine_type": "n1-standard-1",
        "sdk_container_image": "other:1",
    }
    environment = build(accelerator=L4, worker_machine_type="g2-standard-16", **asked)
    assert environment.machine_type == "g2-standard-16"
    for name, value in asked.items():
        found = getattr(environment, name)
        assert found == ((WORKER_L4, *value) if name == "additional_experiments" else value)


def test_what_the_template_sets_is_left_to_it():
    base = build(accelerator=L4, worker_machine_type="g2-standard-16", disk_size_gb=200)
    environment = build(base, accelerator=L4)
    assert (environment.machine_type, environment.disk_size_gb) == (None, None)
    assert (environment.launcher_machine_type, environment.sdk_container_image) == (None, None)
    assert build(base) == FlexTemplateRuntimeEnvironment()


def test_another_accelerator_replaces_the_templates_and_its_machine():
    base = build(accelerator=L4, additional_experiments=("keep",))
    environment = build(base, accelerator=Accelerator("nvidia-tesla-t4"))
    assert environment.machine_type == "n1-standard-4"
    assert environment.additional_experiments == (
        "worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver:latest",
        *("keep", "no_use_multiple_sdk_containers"),
    )


def test_lists_and_labels_of_the_template_are_kept():
    base = FlexTemplateRuntimeEnvironment(
        additional_experiments=("a",),
        additional_pipeline_options=("x=1", "y=2"),
        additional_user_labels={"team": "ml", "cost": "low"},
    )
    environment = build(
        base,
        additional_experiments=("b",),
        additional_pipeline_options=("x=3",),
        additional_user_labels={"cost": "high"},
    )
    assert environment.additional_experiments == ("b", "a")
    assert environment.additional_pipeline_options == ("x=3", "y=2")
    assert environment.additional_user_labels == {"team": "ml", "cost": "high"}


def test_processes_share_the_gpu_under_mps():
    environment = build(accelerator=replace(L4, mps=True))
    assert environment.additional_experiments == (f"{WORKER_L4};use_nvidia_mps",)
    assert environment.additional_pipeline_options == ()


def test_right_fitting_gives_the_gpu_to_the_prediction_step_alone(config):
    config = replace(config, accelerator=L4, right_fitting=True)
    parameter = build_launch_request(config).launch_parameter
    assert parameter.parameters["prediction_accelerator"] == (
        "type:nvidia-l4;count:1;install-nvidia-driver:latest"
    )
    environment = parameter.environment
    assert environment.additional_experiments == ("no_use_multiple_sdk_containers",)
    assert (environment.machine_type, environment.disk_size_gb) == (None, 50)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"right_fitting": True}, "--right-fitting: needs --accelerator"),
        (
            {
                "right_fitting": True,
                "accelerator": L4,
                "parameters": {"prediction_accelerator": "x"},
            },
            "--right-fitting and --parameters prediction_accelerator: the same thing twice",
        ),
        (
            {"accelerator": Accelerator("nvidia-tesla-k80")},
            "--accelerator 'nvidia-tesla-k80:1': Compute Engine has retired it",
        ),
    ],
)
def test_each_mistake_is_named(config, changes, message):
    with pytest.raises(InputError, match=message):
        build_launch_request(replace(config, **changes))


def test_the_workers_of_a_foreign_template_get_its_own_image(config):
    spec = build_container_spec(image="image:1", metadata=TemplateMetadata(name="t"))
    foreign = replace(spec, default_environment=FlexTemplateRuntimeEnvironment())
    request = build_launch_request(replace(config, accelerator=L4), foreign)
    assert request.launch_parameter.environment.sdk_container_image == "image:1"
