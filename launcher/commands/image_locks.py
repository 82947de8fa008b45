"""``flexpack image lock`` and ``bases``: pin an image's packages and bases."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from launcher.commands.parser import Items, add_verb
from launcher.errors import InputError
from launcher.image.bases import PINS, find_digest, read_bases, write_pins
from launcher.image.flavours import default_flavour, find_flavour, load_flavours
from launcher.image.projects import read_projects
from launcher.image.resolve import LockResult, write_locks
from launcher.image.resolve_project import write_project_lock
from launcher.image.uv import read_pip_conf
from launcher.kit import find_kit, is_from_wheel

_ROOT = Path()


def add_lock_verbs(verbs: Any) -> None:
    """Add the verbs with their flags."""
    bases = add_verb(verbs, "bases", "show the base images and their digests", _bases)
    bases.add_argument(
        "--move", action="store_true", help="record the digests that their tags have now"
    )
    lock = add_verb(verbs, "lock", "pin the image's packages again", _lock)
    lock.add_argument(
        "--pip-conf",
        metavar="FILE",
        help="your own package indexes, as for a build",
    )
    lock.add_argument("--ca-bundle", metavar="FILE", help="certificates of these indexes")
    lock.add_argument("flavours", nargs="*", metavar="FLAVOUR", help="default: all")
    lock.add_argument(
        "--code",
        action=Items,
        default=(),
        metavar="DIR",
        help="lock this project instead, for one flavour (default: cu130); repeatable",
    )


def _lock(args: Namespace) -> int:
    """Pin the packages of the image again, and print what changed."""
    kit = find_kit(_ROOT)
    flavours = [find_flavour(name) for name in args.flavours]
    environ = dict(os.environ)
    if args.pip_conf:
        environ |= read_pip_conf(Path(args.pip_conf))
    if args.ca_bundle:
        environ["SSL_CERT_FILE"] = args.ca_bundle
    if args.code:
        if len(flavours) > 1:
            given = ", ".join(args.flavours)
            raise InputError(f"--code: is locked for a single flavour, not {given}")
        flavour = flavours[0] if flavours else find_flavour(default_flavour())
        projects = read_projects([Path(folder) for folder in args.code])
        results = [
            write_project_lock(kit, project, flavour, environ=environ) for project in projects
        ]
    elif is_from_wheel(kit):
        raise InputError(
            "image lock: this kit was installed from a wheel, and its locks are part of that; name "
            "your project with --code, or run the command in a checkout of flexpack"
        )
    else:
        results = write_locks(kit, flavours or load_flavours(), environ=environ)
    for result in results:
        _print_lock(result)
    return 1 if args.flavours and any(result.problem for result in results) else 0


def _bases(args: Namespace) -> int:
    """Show the base images and their tags' digests; with ``--move``, record the digests."""
    kit = find_kit(_ROOT)
    if args.move and is_from_wheel(kit):
        raise InputError(
            "--move: this kit was installed from a wheel, and its bases are part of that"
        )
    now = {}
    for base in read_bases(kit):
        now[base.tag] = find_digest(base)
        written = base.digest or "no digest recorded, built by tag"
        print(f"{base.argument}: {base.tag}\n  {written}")
        if now[base.tag] != base.digest:
            print(f"  {now[base.tag]} is the digest of the tag now")
    if args.move:
        write_pins(kit, now)
        print(f"Wrote {PINS}. Build and test the image:  make image image-test")
    return 0


def _print_lock(result: LockResult) -> None:
    """Print how a flavour's lock changed, and warn about changes that may be mistakes."""
    if result.problem:
        print(f"{result.place}: not changed. {result.problem}")
        return
    print(f"{result.place}: {'written' if result.changed else 'up to date'}")
    for change in result.changes:
        print(f"  {change}")
    for warning in result.warnings:
        print(f"flexpack: warning: {warning}", file=sys.stderr)
