"""Processes that the comparison starts: pinned, and ended by their id whatever happens."""

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import meter

# What setup.sh builds and installs.
TOOLS = Path(__file__).resolve().parents[2] / "target/load"

_running = []


def find(command):
    """The path of a tool of ours, or of a system command; daemons often lie outside an ordinary PATH."""
    if (TOOLS / command).is_file():
        return str(TOOLS / command)
    path = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise SystemExit(f"{command} is not installed: run benches/load/setup.sh")
    return path


def allow_open_files():
    """Raises the soft limit to the hard one; children inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Process:
    """A started command on some cores. Its output goes to a file, which errors quote."""

    def __init__(self, name, argv, cores, folder, environment=None):
        self.name = name
        self.output = folder / f"{name}.out"
        with open(self.output, "wb") as output:
            # A session of its own: Ctrl-C reaches the runner only, which then ends its children in order.
            self._child = subprocess.Popen(
                [find("taskset"), "-c", ",".join(map(str, sorted(cores))), *argv],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )
        self.pid = self._child.pid
        _running.append(self)

    def tree(self):
        return meter.tree(self.pid)

    def ended(self):
        return self._child.poll() is not None

    def signal(self, number):
        os.kill(self.pid, number)

    def wait_end(self, seconds):
        """Waits for the command to end by itself. Its CPU clock can still be read until `output_text`."""
        deadline = time.monotonic() + seconds
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.name} did not end within {seconds} s")
            time.sleep(0.01)

    def output_text(self):
        """What the ended command printed; it must have succeeded."""
        code = self._child.wait()
        _running.remove(self)
        if code != 0:
            raise SystemExit(f"{self.name} ended with {code}:\n{self.last_words()}")
        return self.output.read_text(encoding="utf-8", errors="replace")

    def stop(self, asking):
        """Asks by that signal, waits up to five seconds, then kills what is left of it, each process by its id."""
        if self not in _running:
            return
        pids = self.tree()
        if not self.ended():
            self.signal(asking)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and (not self.ended() or any(map(_alive, pids[1:]))):
            time.sleep(0.02)
        for pid in pids[1:]:
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)
        if not self.ended():
            self._child.kill()
        self._child.wait()
        _running.remove(self)

    def last_words(self):
        return self.output.read_text(encoding="utf-8", errors="replace")[-2000:]


def stop_all():
    for process in reversed(list(_running)):
        process.stop(signal.SIGTERM)


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
