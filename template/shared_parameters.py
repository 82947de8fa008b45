"""The parameters of both templates; ``template.parameters`` assembles the templates."""

from __future__ import annotations

from template.parameter_records import EnumOption, Parameter, ParamType

PATH = r"^(gs://[a-z0-9][-_.a-z0-9]+/.+|[^:]+)$"
POSITIVE = r"^[1-9][0-9]*$"

KEY_COLUMN = Parameter(
    name="key_column",
    label="Key column",
    help_text=(
        "Column of a table, field of a JSON message or attribute of another message that "
        "identifies a row; it becomes the key of the prediction. Without it the key is the file "
        "name and the row number, or the message's id. Example: customer_id"
    ),
    param_type=ParamType.TEXT,
    group="Input",
    is_optional=True,
)
PASSTHROUGH_COLUMNS = Parameter(
    name="passthrough_columns",
    label="Columns to pass through",
    help_text=(
        "Input columns, separated by commas, that are written beside the prediction as they were "
        "read: columns of a table, fields of a JSON object, attributes of another message. "
        "Example: zip,customer_id"
    ),
    param_type=ParamType.TEXT,
    group="Input",
    is_optional=True,
)
MODEL_PATH = Parameter(
    name="model_path",
    label="Model file",
    help_text=(
        "File or folder that holds the model or its weights. "
        "Example: gs://my-bucket/models/fashion.pth"
    ),
    param_type=ParamType.GCS_READ_FILE,
    group="Model",
    regex=PATH,
)
MODEL_LABEL = "flexpack-model"
"""Label of the jobs of a template for one model."""
MODEL_CLASS = Parameter(
    name="model_class",
    label="Model class",
    help_text=(
        "The model as module:Class, a template.model.BaseModel that the image can import. "
        "Without it, the model file's content decides. Example: my_package.churn:ChurnModel"
    ),
    param_type=ParamType.TEXT,
    group="Model",
    is_optional=True,
    regex=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$",
)
MODEL_OPTS = Parameter(
    name="model_opts",
    label="Options of the model",
    help_text=(
        "Values for the model class, as a JSON object: options that it declares, or arguments of "
        'its load_model. Example: {"threshold": 0.7}'
    ),
    param_type=ParamType.TEXT,
    group="Model",
    is_optional=True,
)
MAX_IMAGE_PIXELS = 178_956_970
"""Pillow refuses to decode larger images by default."""
LARGEST_IMAGE = Parameter(
    name="max_image_pixels",
    label="Largest image",
    help_text=(
        "Width times height, in pixels, beyond which an image is a dead letter and not decoded: a "
        "small file may hold an image that fills a worker's memory. Example: 25000000"
    ),
    param_type=ParamType.NUMBER,
    group="Input",
    is_optional=True,
    default=MAX_IMAGE_PIXELS,
    regex=POSITIVE,
)
BATCH_SIZE = Parameter(
    name="batch_size",
    label="Batch size",
    help_text="Largest number of rows handed to one call of the model's predict. Example: 1024",
    param_type=ParamType.NUMBER,
    group="Model",
    is_optional=True,
    default=1024,
    regex=POSITIVE,
)
DEVICE = Parameter(
    name="device",
    label="Device",
    help_text="Where the model runs. A job that requests cuda fails if no GPU is usable.",
    param_type=ParamType.ENUM,
    group="Model",
    is_optional=True,
    default="auto",
    enum_options=(
        EnumOption(value="auto", label="Automatic", description="The GPU, if there is one."),
        EnumOption(value="cuda", label="GPU", description="A GPU; without one the job fails."),
        EnumOption(value="cpu", label="CPU", description="The CPU, even if there is a GPU."),
    ),
)
PREDICT_TIMEOUT_SEC = Parameter(
    name="predict_timeout_sec",
    label="Time limit of the model",
    help_text=(
        "Time limit in seconds for loading the model and for each call of its predict. When it is "
        "exceeded, the worker process logs the stacks of all its threads and ends; the work is "
        "tried again. Without it, a model that hangs is never stopped. Example: 600"
    ),
    param_type=ParamType.NUMBER,
    group="Model",
    is_optional=True,
    regex=POSITIVE,
)
PRECISION = Parameter(
    name="precision",
    label="Precision",
    help_text=(
        "Precision of the computation: stored is the type of the weights; bfloat16 and float16 run "
        "predict under torch's autocast, trading accuracy for speed. If a GPU cannot "
        "compute in it, the job fails. Example: bfloat16"
    ),
    param_type=ParamType.ENUM,
    group="Model",
    is_optional=True,
    default="stored",
    enum_options=(
        EnumOption(value="stored", label="As stored", description="No autocast."),
        EnumOption(
            value="bfloat16", label="bfloat16", description="GPUs from A100 and L4 on; CPUs."
        ),
        EnumOption(value="float16", label="float16", description="Older GPUs as well; CPUs."),
    ),
)
