"""The environment variables that lead clients, and the processes of jobs, to a local Dataflow."""

from __future__ import annotations

from launcher.emulator.instance import EmulatorInfo


def shell_variables(info: EmulatorInfo, *, project: str) -> dict[str, str]:
    """Return the variables by which gcloud, Beam and the Google clients find this emulator."""
    return {
        **client_variables(info),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW": info.dataflow_endpoint,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{info.storage_endpoint}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_CORE_PROJECT": project,
        "GOOGLE_CLOUD_PROJECT": project,
        **(
            {"CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{info.pubsub_host}/"}
            if info.pubsub_host
            else {}
        ),
    }


def client_variables(info: EmulatorInfo) -> dict[str, str]:
    """Return the variables that jobs' processes need; they get their project in another way."""
    loopback = f"127.0.0.1:{info.dataflow_port}"
    return {
        # google-auth looks for a key file, then in gcloud's folder, then asks the metadata server.
        # The first two must not lead to the user's own credentials.
        "GOOGLE_APPLICATION_CREDENTIALS": "",
        "CLOUDSDK_CONFIG": str(info.data_dir / "gcloud"),
        "GCE_METADATA_HOST": f"localhost:{info.dataflow_port}",
        "GCE_METADATA_IP": loopback,
        "GCE_METADATA_ROOT": loopback,
        "STORAGE_EMULATOR_HOST": info.storage_endpoint,
        **({"PUBSUB_EMULATOR_HOST": info.pubsub_host} if info.pubsub_host else {}),
    }
