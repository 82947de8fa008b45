"""The findings of checks, and all kinds of findings.

To add a kind, add its code to the table at the end: its name, the depth of its check, and its
meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from launcher.errors import InputError
from template.parameters import did_you_mean


class Severity(StrEnum):
    """How bad a finding is. An ERROR will fail the launch or the job; a WARNING may.

    A HINT fails nothing: it states an assumption of a check, or an improvement.
    """

    HINT = "HINT"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Depth(StrEnum):
    """The depth of a check, which determines its cost."""

    STATIC = "static"  # reads files and the request
    IMAGE = "image"  # ``flexpack image test``: enters the image
    REHEARSAL = "rehearsal"  # runs the launcher phase and a sample on the local Dataflow
    LIVE = "live"  # queries the project, read-only
    VERIFY = "verify"  # compares the launched job with what was requested


@dataclass(frozen=True)
class Code:
    """One kind of finding."""

    depth: Depth
    meaning: str

    @property
    def name(self) -> str:
        """Its public name: GPU_TWICE is ``gpu-twice``."""
        return _NAMES[self]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        code: stable name of the kind of finding, for example ``parameter-missing``.
        message: the flag or field, what is wrong, and what was given.
        remedy: what to do next.
    """

    severity: Severity
    code: str
    message: str
    remedy: str


def error(code: Code, message: str, remedy: str) -> Finding:
    """Return a finding that will fail the launch or the job."""
    return Finding(Severity.ERROR, code.name, message, remedy)


def warning(code: Code, message: str, remedy: str) -> Finding:
    """Return a finding that may fail the job, or makes it slow or expensive."""
    return Finding(Severity.WARNING, code.name, message, remedy)


def hint(code: Code, message: str, remedy: str) -> Finding:
    """Return a finding that fails nothing."""
    return Finding(Severity.HINT, code.name, message, remedy)


def format_findings(findings: Iterable[Finding]) -> str:
    """Return the findings as text, two lines each: the problem and the remedy."""
    return "\n".join(
        f"{finding.severity} {finding.code}: {finding.message}\n    {finding.remedy}"
        for finding in findings
    )


def refuse_errors(
    findings: Iterable[Finding], ignore: Collection[str] = (), *, done: str = "launched"
) -> list[Finding]:
    """Return the warnings among findings, and raise if there is an ERROR.

    Args:
        ignore: codes of findings that do not count.
        done: the action that an ERROR prevents.

    Raises:
        InputError: there is one.
    """
    kept = without_ignored(findings, ignore)
    errors = select_errors(kept)
    if errors:
        raise InputError(
            f"the check found {len(errors)} error{'s' if len(errors) > 1 else ''}; nothing was "
            f"{done}. Ignore one by its code: --ignore CODE, in Python ignore=[CODE].\n"
            f"{format_findings(kept)}"
        )
    return kept


def refuse_unknown_codes(names: Iterable[str]) -> None:
    """Refuse unknown codes among those to ignore.

    Raises:
        InputError: one does not.
    """
    known = [code.name for code in CODES]
    for name in names:
        if name not in known:
            raise InputError(
                f"--ignore {name!r}: no such code{did_you_mean(name, known) or '.'} "
                "'flexpack check --codes' lists them"
            )


def select_errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that will fail the launch or the job."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def without_ignored(findings: Iterable[Finding], ignored: Collection[str]) -> list[Finding]:
    """Return the findings without ignored codes, the worst first."""
    kept = [finding for finding in findings if finding.code not in ignored]
    worst = [Severity.ERROR, Severity.WARNING, Severity.HINT]
    return sorted(kept, key=lambda finding: worst.index(finding.severity))


def _static(meaning: str) -> Code:
    return Code(Depth.STATIC, meaning)


def _image(meaning: str) -> Code:
    return Code(Depth.IMAGE, meaning)


def _rehearsal(meaning: str) -> Code:
    return Code(Depth.REHEARSAL, meaning)


def _live(meaning: str) -> Code:
    return Code(Depth.LIVE, meaning)


def _verify(meaning: str) -> Code:
    return Code(Depth.VERIFY, meaning)


BUCKET_MISSING = _static("A bucket does not exist.")
CHECKPOINT_MISFIT = _static("The model class does not load the checkpoint.")
CHECKPOINT_PICKLED = _static("The checkpoint holds pickled objects, not weights alone.")
CHECKPOINT_UNASKED = _static("The checkpoint could not be checked.")
CHECKPOINT_UNREADABLE = _static("The checkpoint was not written by torch.save, or is broken.")
ENTRY_AFTER_RUN = _static("The entry file reads metrics or cancels after run().")
ENTRY_DEFINES = _static("The entry file defines classes that the workers need.")
ENTRY_IMPORT = _static("A module of the project imports a package that is not installed.")
ENTRY_MODEL = _static("The model is loaded while the pipeline is built.")
ENTRY_NEVER_RUNS = _static("The entry file defines a pipeline and never runs it.")
ENTRY_OPTIONS = _static("The code sets an option that the launcher owns.")
ENTRY_PARSE_ARGS = _static("The entry file refuses the launcher's flags.")
ENTRY_POISON = _static("RunInference without exception handling.")
ENTRY_SILENT_CPU = _static("A model handler that falls back from the GPU to the CPU.")
ENTRY_STREAM_BATCHES = _static("Streaming inference whose batches do not wait to fill up.")
ENTRY_SWALLOWS = _static("The entry file keeps a flag of the launcher from Beam.")
ENTRY_SYNTAX = _static("A file is not Python.")
ENTRY_WAITS = _static("The launcher waits for a job that it only stages.")
FILE_ENCODING = _static("A file in an encoding that its readers do not support.")
GPU_CAPABILITY = _static("The image's torch has no kernels for the GPU.")
GPU_DISK = _static("The workers' disk is too small for a CUDA image.")
GPU_DRIVER = _static("The NVIDIA driver is missing, or too old for the image's CUDA.")
GPU_FLEXRS = _static("FlexRS takes no GPUs.")
GPU_IDLE = _static("Several GPUs for one process, which may leave some idle.")
GPU_MACHINE = _static("The machine type does not fit the accelerator.")
GPU_MISSING = _static("The job predicts on a GPU but requests none.")
GPU_MPS = _static("MPS with a single process.")
GPU_NOT_ASKED = _static("A machine type with GPUs, but no accelerator is requested.")
GPU_PLACEMENT = _static("The accelerator is given in a place that a Flex Template might not read.")
GPU_PRECISION = _static("The GPU does not support the precision.")
GPU_PROCESSES = _static("Several SDK processes, each with a model on every GPU.")
GPU_SECURE_BOOT = _static("Secure Boot may keep the NVIDIA driver from loading.")
GPU_SYNTAX = _static("A worker_accelerator that cannot be read.")
GPU_TORCH_CPU = _static("GPUs with a torch that lacks CUDA.")
GPU_TWICE = _static("The accelerator is requested twice.")
GPU_TYPE = _static("Dataflow lacks the GPU, or this number of them on a worker.")
GPU_UNUSED = _static("GPUs are requested, but the prediction runs on the CPU.")
GPU_ZONE = _static("A pinned zone, which may have no GPU left.")
IMAGE_BOOT = _static("The image holds no boot program for workers.")
IMAGE_DRIVER_PATH = _static("The image does not look for the driver at its mount point.")
IMAGE_ENTRY_FILE = _static("The image does not name its entry file, or does not hold it.")
IMAGE_ENTRYPOINT = _static("The image starts the wrong program as a worker.")
IMAGE_ENVIRONMENT = _static("Packages in a place that Beam's boot program does not see.")
IMAGE_LAUNCH_INSTALLS = _static("Packages are downloaded again at every launch.")
IMAGE_LAUNCHER = _static("The image holds no launcher program.")
IMAGE_LOCAL_ADDRESS = _static("The image refers to an address on a developer's machine.")
IMAGE_PLATFORM = _static("The image is built for another processor.")
IMAGE_REGISTRY = _static("Workers cannot pull from the image's registry.")
IMAGE_ROLE = _static("The assumed role of the image: launcher, workers or both.")
IMAGE_SIZE = _static("The image holds gigabytes that no worker needs.")
IMAGE_TAG = _static("A reference to an image that may move.")
IMAGE_VERSIONS = _static("The parts of the image have different versions of Beam or Python.")
IMAGE_WEIGHTS = _static("Weights inside the image.")
JOB_NAME = _static("A job name that is too long for other tools.")
LAUNCHER_SMALL = _static("The launcher VM has too little memory.")
LOCAL_ADDRESS = _static("A parameter refers to an address on this machine.")
LOCK_ADVISORY = _static("A version of a package that is known to be bad.")
LOCK_CONFLICT = _static("Pinned versions that are incompatible.")
LOCK_STALE = _static("Requirements that differ from their lock.")
LOCK_UNPINNED = _static("Packages without a pinned version.")
METADATA_DEFAULT = _static("A default that its own declaration refuses.")
METADATA_DUPLICATE = _static("A parameter declared twice.")
METADATA_EMPTY = _static("A field that must not be empty.")
METADATA_CHILD = _static("A required parameter that the Console hides.")
METADATA_ENUM = _static("An ENUM without options, or with one twice.")
METADATA_GROUP = _static("A groupName or a trigger without effect.")
METADATA_PARENT = _static("A parent that is not a parameter, or never shows its child.")
METADATA_REGEX = _static("A regular expression that cannot be read.")
METADATA_REGEX_ANCHOR = _static("A regular expression that is not anchored.")
METADATA_REGEX_DIALECT = _static("A regular expression that egrep reads differently.")
METADATA_RESERVED = _static("A parameter that the service passes itself.")
METADATA_STREAMING = _static("A streaming mode that the template does not support.")
METADATA_TYPE = _static("A paramType that does not exist.")
METADATA_UNREADABLE = _static("A metadata file that is not a JSON object.")
METADATA_WRAPPED = _static("Metadata inside another object.")
MODEL_BFLOAT16 = _static("bfloat16 weights on a GPU that does not support bfloat16.")
MODEL_GPU_MEMORY = _static("The models of all processes do not fit the GPU.")
MODEL_LOAD = _static("Every process of a worker loads a large model.")
MODEL_MEMORY = _static("The models of all processes do not fit the worker.")
NETWORK_PRIVATE = _static("Private addresses on a network that may not reach Google.")
NETWORK_SUBNETWORK = _static("A subnetwork in another form or region.")
OBJECT_MISSING = _static("A file to read does not exist.")
OPTIONS_COMMA = _static("A pipeline option after a comma in another's value.")
OPTIONS_RESERVED = _static("A pipeline option that the launcher sets itself.")
OPTIONS_UNASKED = _static("The pipeline options could not be checked.")
OPTIONS_UNKNOWN = _static("A pipeline option that Beam does not know.")
PARAMETER_COMMA = _static("A parameter after a comma in another's value.")
PARAMETER_ENUM = _static("A value that is not one of the parameter's options.")
PARAMETER_LOCAL_PATH = _static("Results would be written to the disks of the workers.")
PARAMETER_MISSING = _static("A required parameter is missing.")
PARAMETER_REGEX = _static("A value that does not match the parameter's regex.")
PARAMETER_REGEX_UNREADABLE = _static("A value that could not be matched.")
PARAMETER_RUNTIME = _static("A job option that is given as a parameter.")
PARAMETER_TWICE = _static("A value given both as a parameter and in the environment.")
PARAMETER_UNKNOWN = _static("A parameter that the template does not have.")
REGION_UNKNOWN = _static("A region that does not exist.")
SPEC_FIELD_UNKNOWN = _static("A field of the spec that no program reads.")
SPEC_SDK = _static("The spec does not name its SDK's language.")
SPEC_SNAKE_CASE = _static("A field in snake_case.")
SPEC_TYPE = _static("A value whose type differs from the REST API's.")
WORKERS_IMAGE = _static("The workers would run Beam's stock image.")
WORKERS_IMAGE_DIFFERS = _static("Launcher and workers run different images.")

IMAGE_ADDRESS = _image("The image contains an address from the machine that built it.")
IMAGE_CODE = _image("A module in the image cannot be imported.")
IMAGE_EXAMPLE = _image("The example model cannot be used in the image.")
IMAGE_LABEL = _image("A label states versions other than those in the image.")
IMAGE_LAUNCH = _image("The entry file stages no job.")
IMAGE_MODEL = _image("The model cannot be used in the image.")
IMAGE_PACKAGES = _image("Packages in the image are incompatible, or cannot be imported.")
IMAGE_PREDICTION = _image("A worker of the image predicts differently from torch.")

REHEARSAL_DEAD_LETTERS = _rehearsal("Rows of the sample could not be predicted.")
REHEARSAL_GRAPH = _rehearsal("The job's graph is too large.")
REHEARSAL_LAUNCH = _rehearsal("The launcher fails, or does not end in time.")
REHEARSAL_NETWORK = _rehearsal("Launcher or workers need the network, which may be absent.")
REHEARSAL_RUN = _rehearsal("The pipeline fails on a sample of the input.")
REHEARSAL_SAMPLE = _rehearsal("No sample of the input is available.")
REHEARSAL_SLOW = _rehearsal("The launcher is slow.")
REHEARSAL_STEP = _rehearsal("A step carries a lot of data.")

API_DISABLED = _live("An API that the job needs is not enabled.")
BUCKET_REGION = _live("A bucket is far from the workers.")
IMAGE_ARCHITECTURE = _live("The image is for another processor.")
IMAGE_MISSING = _live("The image is not in its registry.")
IMAGE_UNPACKED = _live("The image does not fit the workers' disks.")
LIVE_UNASKED = _live("A query to the project was not answered.")
NETWORK_CUSTOM = _live("A network that creates no subnetworks, although none is named.")
NETWORK_MISSING = _live("A network or subnetwork does not exist.")
NETWORK_PRIVATE_ACCESS = _live("Private addresses without Private Google Access.")
OUTPUT_EXISTS = _live("Files of an earlier run would remain among the job's results.")
PERMISSION_MISSING = _live("The caller lacks a permission.")
PUBSUB_MISSING = _live("A topic or subscription does not exist.")
QUOTA_SHORT = _live("A quota is too small for all workers.")
WORKER_PERMISSION = _live("The workers' service account lacks a permission on a resource.")
WORKER_ROLE = _live("The workers' service account lacks its role.")

JOB_ACCELERATOR = _verify("The job lacks the accelerator that was requested.")
JOB_DISK = _verify("The workers' disks do not have the requested size.")
JOB_IMAGE = _verify("The workers run an image other than the requested one.")
JOB_MACHINE = _verify("The workers' machine type differs from the requested one.")

_NAMES = {
    each: name.lower().replace("_", "-")
    for name, each in [*globals().items()]
    if isinstance(each, Code)
}
CODES = tuple(_NAMES)
