"""``flexpack image``: the container image of the templates."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from launcher.commands.image_locks import add_lock_verbs
from launcher.commands.parser import CommandParser, Items, KeyValues, add_verb, add_verbs
from launcher.errors import InputError
from launcher.finding import Finding, format_findings, select_errors
from launcher.image.build import attach_records, attach_sbom, push_image, run_build
from launcher.image.engines import EMULATION, LocalEngine, choose_engine
from launcher.image.engines.cloud_build import CloudBuild
from launcher.image.flavours import default_flavour, find_flavour
from launcher.image.plan import PLATFORM, BuildPlan, ImageOptions, plan_build
from launcher.image.record import BuiltImage, find_last_image, remember_disk_size
from launcher.image.scan import find_scanner, scan
from launcher.image.size import ImageSize, check_size, name_layers
from launcher.image.testing import ImageReport, check_image, measure_image, prove_image
from launcher.image.trial import ModelTrial
from launcher.image_reference import LOCAL, build_artifact_registry_name, read_reference

_ROOT = Path()
_MODEL_HELP = "to import, also for the flags below; omit it if the model file needs no class"
_STEP_WIDTH = 60
_SMALL_BYTES = 10_000  # Smaller layers share one row.


def add_flags(parser: CommandParser) -> None:
    """Add the subcommands and their flags."""
    verbs = add_verbs(parser)
    tag = add_verb(verbs, "tag", "print the image's name and tag, inferred from git", _tag)
    build = add_verb(verbs, "build", "build the image with docker, buildah or Cloud Build", _build)
    for verb in (tag, build):
        verb.add_argument(
            "--project", help="with --region: of the Artifact Registry (default: a local image)"
        )
        verb.add_argument("--region", help="see --project")
        add_build_flags(verb, "name without tag; default: from project and region")
    build.add_argument("--push", action="store_true", help="push it, report its digest")
    add_gate_flags(build)
    test = add_verb(verbs, "test", "enter the image, and play launcher and worker", _test)
    test.add_argument("--image", metavar="IMAGE", help="default: the last one built")
    test.add_argument(
        "--engine", metavar="NAME", help="docker or buildah; default: the first that works"
    )
    test.add_argument("--no-size", action="store_true", help="omit the layers' sizes")
    test.add_argument(
        "--scan",
        action="store_true",
        help="look for known vulnerabilities in its bill of materials, with trivy or grype",
    )
    test.add_argument(
        "--attach",
        action="store_true",
        help="attach the bill of materials to the image in its registry (IMAGE by digest)",
    )
    _add_trial_flags(test)
    add_lock_verbs(verbs)


def add_build_flags(parser: CommandParser, image_help: str) -> None:
    """Add the flags of a build."""
    group = parser.add_argument_group("how the image is built")
    group.add_argument("--image", metavar="NAME", help=image_help)
    group.add_argument(
        "--repository", default="flexpack", help="in Artifact Registry (default: flexpack)"
    )
    group.add_argument("--tag", help="default: from git, TAG or TAG.devN-gHASH[-tTREE]")
    group.add_argument("--flavour", help="torch's build: cu130 (default), cu126, cpu, or no-torch")
    group.add_argument(
        "--engine",
        metavar="NAME",
        help="docker, buildah or cloudbuild; default: the first that works",
    )
    group.add_argument(
        "--platform",
        default=PLATFORM,
        metavar="OS/ARCH",
        help=f"{PLATFORM}, even on an ARM machine: no other is possible",
    )
    group.add_argument(
        "--code",
        action=Items,
        default=(),
        metavar="DIR",
        help="a project of your own: its packages and its locked requirements; repeatable",
    )
    group.add_argument(
        "--build-arg",
        action=KeyValues,
        default={},
        metavar="NAME=VALUE",
        help="an ARG of docker/Dockerfile, such as PYTHON_IMAGE; repeat the flag for each",
    )
    group.add_argument(
        "--base",
        metavar="IMAGE",
        help="a base of your own: Python 3.11 with pip on glibc 2.28 or newer (PYTHON_IMAGE)",
    )
    group.add_argument(
        "--no-cache", action="store_true", help="do not reuse layers of earlier builds"
    )
    group.add_argument("--verbose", action="store_true", help="show every line of the build")
    group.add_argument("--pip-conf", metavar="FILE", help="pip.conf for an index of your own")
    group.add_argument(
        "--pip-conf-secret", metavar="NAME", help="the same in Secret Manager, for Cloud Build"
    )
    group.add_argument("--ca-bundle", metavar="FILE", help="certificates that pip.conf refers to")
    group.add_argument(
        "--volume",
        action=Items,
        default=(),
        metavar="FOLDER",
        help="a folder of wheels that the build may read (buildah)",
    )


def add_gate_flags(parser: CommandParser, model_help: str = _MODEL_HELP) -> None:
    """Add the flags of the test before a push; ``model_help`` may say more."""
    parser.add_argument(
        "--no-test", action="store_true", help="push without testing the image first"
    )
    _add_trial_flags(parser, model_help)


def _add_trial_flags(parser: CommandParser, model_help: str = _MODEL_HELP) -> None:
    group = parser.add_argument_group("your model, to try in the image")
    group.add_argument("--model-class", metavar="MODULE:CLASS", help=model_help)
    group.add_argument(
        "--model-path", metavar="PATH", help="the model to load: its file or folder, local or gs://"
    )
    group.add_argument("--input", metavar="PATH", help="a sample to predict, local or gs://")
    group.add_argument(
        "--parameters",
        action=KeyValues,
        default={},
        metavar="NAME=VALUE",
        help="more parameters of the batch template; repeat the flag for each",
    )


def _tag(args: Namespace) -> int:
    """Print the image's name and tag."""
    print(plan_image(read_image_options(args), push=False).reference)
    return 0


def _build(args: Namespace) -> int:
    """Build the image, and with ``--push`` test and push it."""
    image = make_image(
        plan_image(read_image_options(args), push=args.push),
        engine=args.engine,
        push=args.push,
        test=not args.no_test,
        trial=read_trial(args),
    )
    if image.pinned:
        print(f"Pushed {image.reference}\n  by digest   {image.pinned}")
        print(f"Make the templates:  make template IMAGE={image.pinned} ...")
    else:
        print(f"Built {image.reference}.")
        print("Test it:  make image-test")
    return 0


def plan_image(options: ImageOptions, *, push: bool) -> BuildPlan:
    """Return the plan of a build, and print warnings.

    Raises:
        InputError: an option or a project is wrong.
    """

    def warn(warning: str) -> None:
        print(f"flexpack: warning: {warning}", file=sys.stderr, flush=True)

    return plan_build(_ROOT, options, push=push, report=warn)


def make_image(
    plan: BuildPlan,
    *,
    engine: str | None,
    push: bool,
    test: bool = True,
    trial: ModelTrial | None = None,
) -> BuiltImage:
    """Build an image and print each step; test it before a push.

    Raises:
        ImageError: the build, the test or the push failed.
    """
    choice = choose_engine(engine, local=not push)
    builder = choice.engine
    flavour = plan.build_args["FLAVOUR"]
    print(f"Building {plan.reference} ({flavour}) with {choice}.", flush=True)
    image = run_build(_ROOT, plan, builder, lambda step: print(f"  {step}", flush=True))
    if not push:
        return image
    if isinstance(builder, CloudBuild):
        image = push_image(_ROOT, image, builder)
        print(
            "Cloud Build has pushed it, and nothing has tested it yet. Where there is docker or "
            f"buildah:  flexpack image test --attach --image {image.pinned}"
        )
        return image
    sbom = None
    if not test:
        print("Not tested, because of --no-test.")
    else:
        print(f"Testing it with {builder.name}: launcher, then worker.", flush=True)
        report = prove_image(_ROOT, image.reference, builder, trial=trial)
        _print_success(report, trial)
        sbom = report.sbom
    print(f"Pushing {image.reference}.", flush=True)
    image = push_image(_ROOT, image, builder)
    attach_records(image, sbom, print)
    return image


def _test(args: Namespace) -> int:
    """Enter an image, import its code and play both of its roles; then measure it."""
    scanner = find_scanner() if args.scan else None
    if args.attach and (not args.image or read_reference(args.image).digest is None):
        raise InputError("--attach: needs --image NAME@sha256:DIGEST, an image in a registry")
    trial = read_trial(args)
    last = find_last_image(_ROOT, args.engine)
    if not args.image and last is None:
        built = f"nothing was built here with {args.engine}" if args.engine else "nothing was built"
        raise InputError(f"--image: missing, and {built}; run 'make image' first")
    reference = args.image or (last.reference if last else "")
    own = args.engine or (last.engine if last and not args.image else None)
    engine = choose_engine(own, local=True).engine
    if isinstance(engine, CloudBuild):
        raise InputError("--engine cloudbuild: leaves no image on this machine to test")
    print(f"Testing {reference} with {engine.name}: launcher, then worker.", flush=True)
    report = check_image(_ROOT, reference, engine, trial=trial)
    findings = list(report.findings)
    facts = report.facts
    print(
        f"  Python {facts.python_version}, Beam {facts.find_version('apache-beam')}, "
        f"torch {facts.find_version('torch') or 'none'}, CUDA {facts.cuda_version or 'none'}"
    )
    print(
        f"  {len(facts.packages)} Python and {len(facts.system_packages)} system packages: ", end=""
    )
    print(report.sbom)
    if not args.no_size:
        findings += _show_size(reference, engine, report.config.labels["flexpack.flavour"])
    if findings:
        print(format_findings(findings))
    if select_errors(findings):
        return 1
    _print_success(report, trial)
    if args.attach:
        attach_sbom(args.image, report.sbom)
        print("Attached its bill of materials to the image.")
    if scanner:
        print(f"Scanning its bill of materials with {scanner.name}.", flush=True)
        return scan(scanner, report.sbom)
    return 0


def _print_success(report: ImageReport, trial: ModelTrial | None) -> None:
    """Print what an image's test has proven."""
    facts = report.facts
    print(
        "Both roles work: all code is imported, the entry file stages a job, and "
        f"{(facts.prediction.result or {}).get('rows')} predictions through Beam equal "
        f"{facts.reference}."
    )
    if trial and facts.trial and (run := facts.trial.result):
        if run.rows:
            done = f"predicted {run.rows} of {run.rows + run.failed} rows"
        elif run.loaded:
            done = "was loaded; with --input the test would also predict"
        else:
            done = "was imported; with --model-path it would be loaded, with --input predict too"
        print(f"{trial.name} {done}.")
    else:
        print("With --model-path and --input, and perhaps --model-class, it tests your own model.")


def read_trial(args: Namespace) -> ModelTrial | None:
    """Return the user's model that the flags name."""
    others = {"--input": args.input, "--parameters": args.parameters}
    if not args.model_class and not args.model_path:
        if given := [flag for flag, value in others.items() if value]:
            raise InputError(
                f"{given[0]}: needs --model-path FILE, or --model-class MODULE:CLASS, as well"
            )
        return None
    return ModelTrial(
        model_class=args.model_class,
        model_path=args.model_path,
        input=args.input,
        parameters=args.parameters,
    )


def _show_size(reference: str, engine: LocalEngine, flavour: str) -> list[Finding]:
    print("Measuring it, layer by layer.", flush=True)
    size = measure_image(reference, engine)
    _print_size(size)
    remember_disk_size(_ROOT, reference, size.disk_size_gb)
    return check_size(size, find_flavour(flavour))


def _print_size(size: ImageSize) -> None:
    """Print the layers of an image and what a worker needs for it."""
    print(f"  {'compressed':>12}  {'unpacked':>12}  layer")
    small = [layer for layer in size.layers if layer.compressed_bytes < _SMALL_BYTES]
    for layer, name in zip(size.layers, name_layers(size.layers), strict=True):
        if layer not in small:
            row = f"{_size(layer.compressed_bytes)}  {_size(layer.unpacked_bytes)}"
            print(f"  {row}  {name[:_STEP_WIDTH]}")
    compressed = sum(layer.compressed_bytes for layer in small)
    unpacked = sum(layer.unpacked_bytes for layer in small)
    print(f"  {_size(compressed)}  {_size(unpacked)}  {len(small)} small layers")
    about = "" if size.is_exact else ", about"
    print(f"  {_size(size.compressed_bytes)}  {_size(size.unpacked_bytes)}  in all{about}")
    print(f"  A worker needs --disk-size-gb {size.disk_size_gb} or more.")


def _size(count: int) -> str:
    return f"{count / 1e6:9,.1f} MB" if count >= 1e5 else f"{count / 1e3:9,.1f} KB"


def read_image_options(args: Namespace) -> ImageOptions:
    """Return the build that the flags describe."""
    if args.platform != PLATFORM:
        ways = "; ".join(f"{engine}: {way}" for engine, way in EMULATION.items())
        raise InputError(
            f"--platform {args.platform!r}: an image can only be for {PLATFORM}, as Dataflow's GPU "
            "machines are; its packages are locked for that. An ARM machine builds it too, without "
            f"this flag, once it emulates {PLATFORM} ({ways})"
        )
    name = args.image
    if not name and args.project and args.region:
        name = build_artifact_registry_name(args.region, args.project, args.repository)
    elif not name and (args.project or args.region):
        given, missing = ("--project", "--region") if args.project else ("--region", "--project")
        raise InputError(
            f"{missing}: missing. Give it together with {given} for an image in Artifact Registry, "
            "or omit both for an image on this machine"
        )
    return ImageOptions(
        name=name or LOCAL,
        flavour=args.flavour or default_flavour(),
        tag=args.tag,
        code=tuple(map(Path, args.code)),
        build_args=args.build_arg | ({"PYTHON_IMAGE": args.base} if args.base else {}),
        pip_conf=Path(args.pip_conf) if args.pip_conf else None,
        pip_conf_secret=args.pip_conf_secret,
        ca_bundle=Path(args.ca_bundle) if args.ca_bundle else None,
        volumes=tuple(Path(folder) for folder in args.volume),
        use_cache=not args.no_cache,
        is_verbose=args.verbose,
    )
