"""What a measurement was not alone with: how much of the machine other processes and the host took meanwhile."""

import os
import resource
import time
from pathlib import Path


def _ticks():
    """CPU ticks of the whole machine since it started: in processes and the kernel, and kept by the host for others."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return user + nice + system + irq + softirq, steal


def _own_s():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Noise:
    """Counts from its making on. Only children that have been waited for count as our own."""

    def __init__(self):
        self.begin, self.own_s, self.load, (self.busy, self.stolen) = (
            time.monotonic(),
            _own_s(),
            os.getloadavg()[0],
            _ticks(),
        )

    def told(self, unwaited_cpu_s=0.0):
        """Shares of the machine's time in percent; `unwaited_cpu_s` is the CPU time of ours that no wait told of."""
        seconds, (busy, stolen), hz = time.monotonic() - self.begin, _ticks(), os.sysconf("SC_CLK_TCK")
        machine_s = max(1e-9, seconds * (os.cpu_count() or 1))
        others_s = (busy - self.busy) / hz - (_own_s() - self.own_s) - unwaited_cpu_s
        return {
            "seconds": seconds,
            "load_before": self.load,
            "others_percent": max(0.0, 100 * others_s / machine_s),
            "stolen_percent": 100 * (stolen - self.stolen) / hz / machine_s,
        }
