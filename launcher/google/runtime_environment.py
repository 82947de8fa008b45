"""``FlexTemplateRuntimeEnvironment`` of the Dataflow REST API: where and how a job runs.

It serves twice: as the defaults of a container spec and in a launch request.
https://cloud.google.com/dataflow/docs/reference/rest/v1b3/FlexTemplateRuntimeEnvironment
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace


@dataclass(frozen=True, kw_only=True)
class FlexTemplateRuntimeEnvironment:
    """Where and how a job runs; None leaves a field to the template or the service."""

    additional_experiments: tuple[str, ...] = ()
    additional_pipeline_options: tuple[str, ...] = ()
    additional_user_labels: Mapping[str, str] = field(default_factory=dict)
    autoscaling_algorithm: str | None = None
    disk_size_gb: int | None = None
    dump_heap_on_oom: bool | None = None
    enable_launcher_vm_serial_port_logging: bool | None = None
    enable_streaming_engine: bool | None = None
    flexrs_goal: str | None = None
    ip_configuration: str | None = None
    kms_key_name: str | None = None
    launcher_machine_type: str | None = None
    machine_type: str | None = None
    max_workers: int | None = None
    network: str | None = None
    num_workers: int | None = None
    save_heap_dumps_to_gcs_path: str | None = None
    sdk_container_image: str | None = None
    service_account_email: str | None = None
    staging_location: str | None = None
    streaming_mode: str | None = None
    subnetwork: str | None = None
    temp_location: str | None = None
    worker_region: str | None = None
    worker_zone: str | None = None
    zone: str | None = None

    def over(self, base: FlexTemplateRuntimeEnvironment) -> FlexTemplateRuntimeEnvironment:
        """Return a job's environment: this one (the launch's) over ``base`` (the template's)."""
        given = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) not in (None, (), {})
        }
        return replace(base, **given)
