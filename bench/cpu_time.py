"""CPU time that processes have used, in seconds, user and system together: Linux only.

A process's CPU clock, in nanoseconds, is clock_getcpuclockid(3)'s, whose number the kernel makes of the pid
(CPUCLOCK_SCHED in include/linux/posix-timers_types.h); /proc knows ticks of 10 ms only.
Fields of /proc/<pid>/stat: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

import os
import time
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2
_PPID, _CUTIME, _CSTIME = 1, 13, 14
"""Counted from the field after the command's name, which may hold spaces."""


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def parent_of(pid: int) -> int:
    return int(_fields(pid)[_PPID])


def cpu_of(pid: int) -> float:
    """CPU time of the process with all its threads, without its children. Raises OSError when it has ended."""
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def cpu_of_family(pid: int) -> float:
    """CPU time of the process and its children, including children that have ended."""
    fields = _fields(pid)
    total = cpu_of(pid) + (int(fields[_CUTIME]) + int(fields[_CSTIME])) / _TICKS
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # ended meanwhile
                if parent_of(int(entry.name)) == pid:
                    total += cpu_of(int(entry.name))
    return total
