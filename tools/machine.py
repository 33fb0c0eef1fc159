"""What figures were measured on."""

import os
import platform
import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def processor():
    """The processor's name, such as "AMD EPYC 9R45"; its kind where the system has no name."""
    if _CPUINFO.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def hardware():
    """The processor and how many of its cores there are, in words."""
    return f"{processor()}, {os.cpu_count()} CPU cores"


def kind():
    """`hardware` as a part of a file's name: figures of two kinds of machine are never mixed."""
    return re.sub(r"[^a-z0-9]+", "-", hardware().lower()).strip("-")
