"""What the operating system says about a group of processes: CPU time, memory, and who else was running."""

import os
import time

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def tree(root):
    """The process and all its descendants, by id."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields is not None:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue.extend(children.get(pid, []))
    return found


def cpu_ns(pids):
    """Nanoseconds on a CPU since their start, all threads, ended threads included.

    The scheduler's own run time (the first field of schedstat), read through each process's CPU clock:
    exact to the nanosecond where utime and stime count in ticks of 10 ms. System calls and the
    network work done inside them are in it.
    """
    # The kernel's number for "CPU clock of that process" (CPUCLOCK_SCHED); see clock_getcpuclockid(3).
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def user_system_ns(pids):
    """The split that the CPU clock lacks: utime and stime, in steps of 10 ms."""
    user = system = 0
    for pid in pids:
        fields = _stat(pid)
        if fields is not None:
            user += int(fields[11]) * TICK
            system += int(fields[12]) * TICK
    return user, system


def pss_kib(pids):
    """Resident memory, shared pages divided among their users. The kernel's socket memory is not in it."""
    return _rollup(pids, "Pss:")


def rss_kib(pids):
    """Resident memory, shared pages counted whole."""
    return _rollup(pids, "Rss:")


def _rollup(pids, field):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
            total += next(int(line.split()[1]) for line in lines if line.startswith(field))
    return total


def busy_ns(core):
    """Nanoseconds in which the core was not idle, whoever had it (the hypervisor included)."""
    with open("/proc/stat", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(f"cpu{core} "):
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
                return (user + nice + system + irq + softirq + steal) * TICK
    raise SystemExit(f"no core {core} here")


class Window:
    """One stretch of time: what the proxy used, and what others took from the cores meanwhile."""

    def __init__(self, proxy, load, setting):
        self._proxy, self._load = proxy, load
        self._cores = (setting.proxy_cores, setting.load_cores)
        self._start = self._read()

    def _read(self):
        return {
            "time": time.monotonic_ns(),
            "proxy": cpu_ns(self._proxy),
            "load": cpu_ns(self._load),
            "split": user_system_ns(self._proxy),
            "busy": [sum(map(busy_ns, cores)) for cores in self._cores],
        }

    def close(self):
        start, end = self._start, self._read()
        wall = end["time"] - start["time"]
        proxy = end["proxy"] - start["proxy"]
        load = end["load"] - start["load"]
        user, system = (after - before for after, before in zip(end["split"], start["split"]))
        busy = [after - before for after, before in zip(end["busy"], start["busy"])]
        ours = [proxy, load] if self._cores[0].isdisjoint(self._cores[1]) else [proxy + load] * 2
        return {
            "seconds": wall / 1e9,
            "proxy_cpu_ns": proxy,
            "user_share": user / (user + system) if user + system else 0.0,
            "proxy_core": proxy / wall,
            "load_core": load / wall,
            # Ticks against nanoseconds: a little below zero is rounding.
            "foreign": [max(0.0, (taken - own) / wall) for taken, own in zip(busy, ours)],
        }


def _stat(pid):
    """The fields after the command name: state, parent, … (proc(5), from the third on); None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
