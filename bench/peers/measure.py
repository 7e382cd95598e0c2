"""Runs a command pinned to processors and measures it from outside.

    python measure.py OUT.json CPUS COMMAND...   CPUS: numbers with commas between
    python measure.py topology                   what may be used, as JSON

Standard library only. Deno reads nothing under /proc and cannot wait for a
child's usage, so this does both.
"""

import json
import os
import sys
import time


def siblings(cpu):
    """The processors that share a core with this one, as Linux writes the list."""
    path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        # Some virtual machines do not say.
        return str(cpu)


def topology():
    cpus = sorted(os.sched_getaffinity(0))
    print(json.dumps([{"cpu": cpu, "siblings": siblings(cpu)} for cpu in cpus]))


def measure(out, cpus, command):
    """Gives the command's exit code; OUT.json has what it took."""
    os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
    started = time.perf_counter()
    pid = os.spawnvp(os.P_NOWAIT, command[0], command)
    _, status, usage = os.wait4(pid, 0)
    taken = {
        "wallSeconds": time.perf_counter() - started,
        "cpuSeconds": usage.ru_utime + usage.ru_stime,
        # Of the largest process among the command and its children; KiB on Linux.
        "peakRssBytes": usage.ru_maxrss * 1024,
    }
    with open(out, "w", encoding="ascii") as file:
        json.dump(taken, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    if sys.argv[1:] == ["topology"]:
        topology()
    else:
        code = measure(sys.argv[1], sys.argv[2], sys.argv[3:])
        # A signal's number is negative.
        sys.exit(code if code >= 0 else 128 - code)
