"""Every template parameter, declared once.

The Beam options (``template.options``), the metadata JSON (``launcher.package.metadata``)
and the parameter table of the README are derived from these records. Standard library only,
because the launcher imports this module and must answer without Beam or torch.
"""

from __future__ import annotations

from template.parameter_records import (
    EnumOption,
    Parameter,
    ParameterError,
    ParamType,
    Template,
    did_you_mean,
)
from template.shared_parameters import (
    BATCH_SIZE,
    DEVICE,
    KEY_COLUMN,
    LARGEST_IMAGE,
    MAX_IMAGE_PIXELS,
    MODEL_CLASS,
    MODEL_LABEL,
    MODEL_OPTS,
    MODEL_PATH,
    PASSTHROUGH_COLUMNS,
    PATH,
    POSITIVE,
    PRECISION,
    PREDICT_TIMEOUT_SEC,
)

__all__ = [
    "BATCH",
    "MAX_IMAGE_PIXELS",
    "MODEL_LABEL",
    "STREAMING",
    "TEMPLATES",
    "EnumOption",
    "ParamType",
    "Parameter",
    "ParameterError",
    "Template",
    "did_you_mean",
]

# Pub/Sub names have three characters or more; a project may be scoped by a domain.
_PUBSUB = r"^projects/[a-z][-a-z0-9:.]{{4,61}}[a-z0-9]/{}/[A-Za-z][-_.~+%A-Za-z0-9]{{2,254}}$"
_TOPIC = _PUBSUB.format("topics")
_SUBSCRIPTION = _PUBSUB.format("subscriptions")

_PREDICTION_ACCELERATOR = Parameter(
    name="prediction_accelerator",
    label="GPU of the prediction step",
    help_text=(
        "Gives a GPU only to the prediction step; the other steps run on workers without one. It "
        "cannot be combined with an accelerator for all workers. "
        "Example: type:nvidia-l4;count:1;install-nvidia-driver:latest"
    ),
    param_type=ParamType.TEXT,
    group="Model",
    is_optional=True,
    regex=r"^type:[a-z0-9-]+;count:[1-9][0-9]*(;[a-z0-9_:.-]+)*$",
)

BATCH = Template(
    name="batch",
    title="Batch predictions with PyTorch",
    description=(
        "Reads tables, texts or images from files, predicts every row with a model on GPU or "
        "CPU workers, and writes predictions and dead letters to files."
    ),
    streaming=False,
    parameters=(
        Parameter(
            name="input",
            label="Input files",
            help_text=(
                "File or file pattern to predict, in Cloud Storage or on a file system that the "
                "workers see. Example: gs://my-bucket/images/*-idx3-ubyte.gz"
            ),
            param_type=ParamType.GCS_READ_FILE,
            group="Input",
            regex=PATH,
        ),
        Parameter(
            name="input_format",
            label="Input format",
            help_text="Format of the input files; auto decides by the file name. Example: csv",
            param_type=ParamType.ENUM,
            group="Input",
            is_optional=True,
            default="auto",
            enum_options=(
                EnumOption(value="auto", label="By file name", description="*.csv is CSV, etc."),
                EnumOption(
                    value="idx",
                    label="IDX",
                    description="Image arrays as in MNIST: *-idx3-ubyte, also gzipped.",
                ),
                EnumOption(
                    value="images",
                    label="Images",
                    description="*.png, *.jpg, *.webp, *.bmp, *.gif, *.tif.",
                ),
                EnumOption(value="csv", label="CSV", description="*.csv, with a header line."),
                EnumOption(
                    value="jsonl", label="JSON Lines", description="*.jsonl: an object a line."
                ),
                EnumOption(value="parquet", label="Parquet", description="*.parquet."),
            ),
        ),
        Parameter(
            name="csv_delimiter",
            label="CSV delimiter",
            help_text=(
                "Separator of CSV fields; auto decides by each file's first records, or by Excel's "
                "line sep=;. Example: semicolon"
            ),
            param_type=ParamType.ENUM,
            group="Input",
            is_optional=True,
            default="auto",
            enum_options=(
                EnumOption(value="auto", label="Automatic", description="By the first records."),
                EnumOption(value="comma", label="Comma", description="a,b"),
                EnumOption(value="semicolon", label="Semicolon", description="a;b"),
                EnumOption(value="tab", label="Tab", description="Tab-separated values."),
                EnumOption(value="pipe", label="Pipe", description="a|b"),
            ),
        ),
        Parameter(
            name="column_types",
            label="Types of CSV columns",
            help_text=(
                "Types of CSV columns, text or number, as name:type, separated by commas; they "
                "override what the first thousand values suggest. A column from folders day=... is "
                "text unless it is listed. Example: zip:text,age:number"
            ),
            param_type=ParamType.TEXT,
            group="Input",
            is_optional=True,
        ),
        KEY_COLUMN,
        PASSTHROUGH_COLUMNS,
        LARGEST_IMAGE,
        Parameter(
            name="output",
            label="Output prefix",
            help_text=(
                "Prefix of the prediction files; dead letters go to the same prefix followed by "
                "-errors, and the record of the run goes to <output>-run.json. "
                "Example: gs://my-bucket/predictions/2026-11-22/fashion"
            ),
            param_type=ParamType.GCS_WRITE_FILE,
            group="Output",
            regex=PATH,
        ),
        Parameter(
            name="output_format",
            label="Output format",
            help_text="Format of the prediction files. Example: parquet",
            param_type=ParamType.ENUM,
            group="Output",
            is_optional=True,
            default="jsonl",
            enum_options=(
                EnumOption(value="jsonl", label="JSON Lines", description="An object a line."),
                EnumOption(value="csv", label="CSV", description="With a header line."),
                EnumOption(value="parquet", label="Parquet", description="Columnar."),
            ),
        ),
        Parameter(
            name="max_dead_letter_share",
            label="Largest share of dead letters",
            help_text=(
                "Share of the rows read, from 0 to 1, that may be dead letters; with a larger "
                "share, the job fails after it has written everything. By default the job fails if "
                "it predicts none of its rows; with 1 it never fails because of dead letters. "
                "Example: 0.01"
            ),
            param_type=ParamType.NUMBER,
            group="Output",
            is_optional=True,
            regex=r"^(0|1|0?\.[0-9]+|1\.0+)$",
        ),
        MODEL_PATH,
        MODEL_CLASS,
        MODEL_OPTS,
        BATCH_SIZE,
        PREDICT_TIMEOUT_SEC,
        DEVICE,
        PRECISION,
        _PREDICTION_ACCELERATOR,
    ),
)

STREAMING = Template(
    name="streaming",
    title="Streaming predictions with PyTorch",
    description=(
        "Reads rows, texts or images from a Pub/Sub subscription, predicts every message with a "
        "model on GPU or CPU workers, and publishes predictions and dead letters."
    ),
    streaming=True,
    supports_at_least_once=True,
    supports_exactly_once=True,
    # A prediction may be published twice. It names its message, so consumers can drop duplicates.
    default_streaming_mode="AT_LEAST_ONCE",
    parameters=(
        Parameter(
            name="input_subscription",
            label="Input subscription",
            help_text=(
                "Pub/Sub subscription whose messages are predicted. "
                "Example: projects/my-project/subscriptions/images"
            ),
            param_type=ParamType.PUBSUB_SUBSCRIPTION,
            group="Input",
            regex=_SUBSCRIPTION,
        ),
        Parameter(
            name="message_format",
            label="Message format",
            help_text=(
                "What a message holds; auto decides by its attribute content_type "
                "(application/json, image/png, application/octet-stream for raw pixels) "
                "or, without one, by its first bytes: JSON or an image file. Example: json"
            ),
            param_type=ParamType.ENUM,
            group="Input",
            is_optional=True,
            default="auto",
            enum_options=(
                EnumOption(
                    value="auto", label="By the message", description="Attribute or first bytes."
                ),
                EnumOption(
                    value="json",
                    label="JSON",
                    description=(
                        "An object: its fields are the columns. Field image is a list of pixels, "
                        "or base64 of an image file or of pixels."
                    ),
                ),
                EnumOption(value="image", label="Image file", description="PNG, JPEG, etc."),
                EnumOption(
                    value="pixels", label="Pixels", description="A byte for each grey value."
                ),
            ),
        ),
        KEY_COLUMN,
        PASSTHROUGH_COLUMNS,
        LARGEST_IMAGE,
        Parameter(
            name="output_topic",
            label="Output topic",
            help_text=(
                "Pub/Sub topic that gets the predictions, a JSON object for each message. "
                "Example: projects/my-project/topics/predictions"
            ),
            param_type=ParamType.PUBSUB_TOPIC,
            group="Output",
            regex=_TOPIC,
        ),
        Parameter(
            name="dead_letter_topic",
            label="Dead-letter topic",
            help_text=(
                "Pub/Sub topic that gets the messages that cannot be predicted, with the reason. "
                "Without it they go to files. Example: projects/my-project/topics/dead-letters"
            ),
            param_type=ParamType.PUBSUB_TOPIC,
            group="Output",
            is_optional=True,
            regex=_TOPIC,
        ),
        Parameter(
            name="dead_letter_output",
            label="Dead-letter file prefix",
            help_text=(
                "Prefix of the files of dead letters if there is no dead-letter topic. Without "
                "it they go to dead-letters under the temp location. "
                "Example: gs://my-bucket/dead-letters/fashion"
            ),
            param_type=ParamType.GCS_WRITE_FILE,
            group="Output",
            is_optional=True,
            regex=PATH,
        ),
        MODEL_PATH,
        Parameter(
            name="model_update_pattern",
            label="Model updates",
            help_text=(
                "File pattern that is watched while the job runs: the newest matching file "
                "becomes the model, if it is a model of the same kind. A file may be overwritten. "
                "Example: gs://my-bucket/models/fashion-*.pth"
            ),
            param_type=ParamType.TEXT,
            group="Model",
            is_optional=True,
            regex=PATH,
        ),
        MODEL_CLASS,
        MODEL_OPTS,
        BATCH_SIZE,
        Parameter(
            name="max_batch_duration_ms",
            label="Longest wait for a batch",
            help_text=(
                "Longest time, in milliseconds, that a message waits for others to fill its batch. "
                "Example: 200"
            ),
            param_type=ParamType.NUMBER,
            group="Model",
            is_optional=True,
            default=200,
            regex=POSITIVE,
        ),
        PREDICT_TIMEOUT_SEC,
        DEVICE,
        PRECISION,
    ),
)

TEMPLATES = (BATCH, STREAMING)
