"""The processes below one, and the sockets on which they listen, as Linux reports them."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import sys
from pathlib import Path

_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def find_descendants(pid: int) -> dict[int, str]:
    """Return the command lines of all living processes below one, by process id."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(process.name)] = int(parent)
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                commands[int(process.name)] = command.decode().strip()
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: commands[child] for child in found - {pid}}


def find_listeners(pids: set[int]) -> dict[str, int]:
    """Return the addresses, ``host:port``, on which processes listen, and which process does."""
    owners = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    match = _SOCKET.fullmatch(str(descriptor.readlink()))
                    if match:
                        owners[match[1]] = pid
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and fields[9] in owners:
                host, _, port = fields[1].partition(":")
                found[f"{_parse_host(host)}:{int(port, 16)}"] = owners[fields[9]]
    return found


def is_loopback(address: str) -> bool:
    host = ipaddress.ip_address(address.rpartition(":")[0])
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped:
        host = host.ipv4_mapped
    return host.is_loopback


def _parse_host(text: str) -> str:
    # The kernel writes each four-byte word in its own byte order.
    raw = bytes.fromhex(text)
    words = [raw[start : start + 4] for start in range(0, len(raw), 4)]
    ordered = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(ordered))
