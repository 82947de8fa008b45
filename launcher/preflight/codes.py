"""Every code that a finding can have, at which depth it is found, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Depth(StrEnum):
    """How deep a check looks, and so what it costs."""

    STATIC = "static"  # reads files and the request
    IMAGE = "image"  # ``flexpack image test``: enters the image
    REHEARSAL = "rehearsal"  # runs the launcher phase and a sample on the local Dataflow
    LIVE = "live"  # asks the project, reading only
    READ_BACK = "read-back"  # compares the launched job with what was asked for


@dataclass(frozen=True)
class Code:
    """One kind of finding."""

    name: str
    depth: Depth
    meaning: str


def _codes(depth: Depth, meanings: dict[str, str]) -> tuple[Code, ...]:
    return tuple(Code(name, depth, meaning) for name, meaning in meanings.items())


CODES: tuple[Code, ...] = (
    *_codes(
        Depth.STATIC,
        {
            "checkpoint-misfit": "The model class does not load the checkpoint.",
            "checkpoint-pickled": "The checkpoint holds pickled objects, not weights alone.",
            "checkpoint-unasked": "The checkpoint could not be looked at.",
            "checkpoint-unreadable": "The checkpoint is no file of torch.save, or broken.",
            "entry-after-run": "The entry file asks for metrics or cancels after run().",
            "entry-defines": "The entry file defines classes that the workers need.",
            "entry-model": "The model is loaded while the pipeline is built.",
            "entry-options": "The code sets an option that the launcher owns.",
            "entry-parse-args": "The entry file refuses the launcher's flags.",
            "entry-poison": "RunInference without handling of exceptions.",
            "entry-silent-cpu": "A model handler that falls back from the GPU to the CPU.",
            "entry-stream-batches": "Streaming inference whose batches do not wait for company.",
            "entry-syntax": "A file is not Python.",
            "entry-waits": "The launcher waits for a job that it only stages.",
            "gpu-capability": "The image's torch has no kernels for the GPU.",
            "gpu-disk": "The workers' disk is too small for a CUDA image.",
            "gpu-driver": "The NVIDIA driver is missing, or too old for the image's CUDA.",
            "gpu-flexrs": "FlexRS takes no GPUs.",
            "gpu-idle": "GPUs that no process uses.",
            "gpu-machine": "The machine type does not go with the accelerator.",
            "gpu-missing": "The job predicts on a GPU and asks for none.",
            "gpu-mps": "MPS with a single process.",
            "gpu-not-asked": "A machine type with GPUs, without the accelerator.",
            "gpu-placement": "The accelerator stands where a Flex Template may not read it.",
            "gpu-processes": "Several SDK processes, each with a model on the one GPU.",
            "gpu-secure-boot": "Secure Boot may keep the NVIDIA driver from loading.",
            "gpu-syntax": "A worker_accelerator that cannot be read.",
            "gpu-torch-cpu": "GPUs, and a torch without CUDA.",
            "gpu-twice": "The accelerator is asked for twice.",
            "gpu-type": "Dataflow has no such GPU, or not so many on a worker.",
            "gpu-unused": "GPUs, and the prediction is on the CPU.",
            "gpu-zone": "A pinned zone, which may have no GPU left.",
            "image-boot": "The image holds no boot program for workers.",
            "image-driver-path": "The image does not look for the driver where it is mounted.",
            "image-entry-file": "The image does not name its entry file.",
            "image-entrypoint": "The image starts the wrong program as a worker.",
            "image-environment": "Packages where Beam's boot program does not see them.",
            "image-launch-installs": "Packages are downloaded again at every launch.",
            "image-launcher": "The image holds no launcher program.",
            "image-local-address": "The image points at an address of a developer's machine.",
            "image-platform": "The image is built for another processor.",
            "image-registry": "Workers cannot pull from the image's registry.",
            "image-size": "The image holds gigabytes that no worker needs.",
            "image-tag": "A reference to an image that moves.",
            "image-versions": "Beam or Python differ between the parts of the image.",
            "image-weights": "Weights inside the image.",
            "launcher-small": "The launcher VM has too little memory.",
            "local-address": "A parameter points at an address of this machine.",
            "lock-advisory": "A version of a package that is known to be bad.",
            "lock-conflict": "Pinned versions that Beam does not take.",
            "lock-unpinned": "Packages without a pinned version.",
            "metadata-default": "A default that its own declaration refuses.",
            "metadata-duplicate": "A parameter declared twice.",
            "metadata-empty": "A field that must not be empty.",
            "metadata-enum": "An ENUM without options.",
            "metadata-parent": "A parentName that names no parameter.",
            "metadata-regex": "A regular expression that cannot be read.",
            "metadata-regex-anchor": "A regular expression that is not anchored.",
            "metadata-regex-dialect": "A regular expression that egrep reads otherwise.",
            "metadata-reserved": "A parameter that the service passes itself.",
            "metadata-type": "A paramType that does not exist.",
            "model-bfloat16": "bfloat16 weights on a GPU that does not compute in it.",
            "model-gpu-memory": "The models of all processes are too much for the GPU.",
            "model-load": "Every process of a worker loads a large model.",
            "model-memory": "The models of all processes are too much for the worker.",
            "network-private": "Private addresses on a network that may not reach Google.",
            "network-subnetwork": "A subnetwork in another form or region.",
            "options-reserved": "A pipeline option that the launcher sets itself.",
            "options-unasked": "The pipeline options could not be looked at.",
            "options-unknown": "A pipeline option that Beam does not know.",
            "parameter-enum": "A value that is none of the parameter's options.",
            "parameter-local-path": "Results would be written to the disks of the workers.",
            "parameter-missing": "A required parameter is missing.",
            "parameter-regex": "A value that does not match the parameter's regex.",
            "parameter-regex-unreadable": "A value that could not be matched.",
            "parameter-twice": "A value both as a parameter and in the environment.",
            "parameter-unknown": "A parameter that the template does not have.",
            "spec-field-unknown": "A field of the spec that nobody reads.",
            "spec-sdk": "The spec does not tell its SDK's language.",
            "spec-snake-case": "A field in snake_case.",
            "workers-image": "The workers would run Beam's stock image.",
            "workers-image-differs": "Launcher and workers run different images.",
        },
    ),
    *_codes(
        Depth.IMAGE,
        {
            "image-address": "The image remembers an address of whoever built it.",
            "image-example": "The example model cannot be used in the image.",
            "image-label": "A label says other versions than the image holds.",
            "image-launch": "The entry file stages no job.",
            "image-packages": "Packages in the image do not fit each other.",
            "image-prediction": "A worker of the image does not predict what torch does.",
        },
    ),
    *_codes(
        Depth.REHEARSAL,
        {
            "rehearsal-dead-letters": "Rows of the sample could not be predicted.",
            "rehearsal-graph": "The job's graph is too large.",
            "rehearsal-launch": "The launcher fails, or does not end in time.",
            "rehearsal-network": "Launcher or workers want a network that there need not be.",
            "rehearsal-run": "The pipeline fails on a sample of the input.",
            "rehearsal-sample": "There is no sample of the input.",
            "rehearsal-slow": "The launcher takes long.",
            "rehearsal-step": "A step carries much data with it.",
        },
    ),
    *_codes(
        Depth.LIVE,
        {
            "api-disabled": "An API that the job needs is not enabled.",
            "bucket-missing": "A bucket does not exist.",
            "bucket-region": "A bucket is far from the workers.",
            "image-architecture": "The image is for another processor.",
            "image-missing": "The image is not in its registry.",
            "image-unpacked": "The image does not fit on the workers' disks.",
            "live-unasked": "A question to the project got no answer.",
            "network-custom": "A network without subnetworks of its own, and none is named.",
            "network-missing": "A network or subnetwork does not exist.",
            "network-private-access": "Private addresses without Private Google Access.",
            "object-missing": "A file to read does not exist.",
            "output-exists": "Result files of an earlier run would stay beside the job's.",
            "permission-missing": "The caller lacks a permission.",
            "pubsub-missing": "A topic or subscription does not exist.",
            "quota-short": "A quota is too small for all workers.",
            "worker-permission": "The workers' service account lacks a right on what it uses.",
            "worker-role": "The workers' service account lacks its role.",
        },
    ),
    *_codes(
        Depth.READ_BACK,
        {
            "job-accelerator": "The job has not the accelerator that was asked for.",
            "job-disk": "The workers' disks are not as large as was asked.",
            "job-image": "The workers run another image than was asked for.",
            "job-machine": "The workers are other machines than were asked for.",
        },
    ),
)
