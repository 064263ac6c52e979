"""What all measurements of a run share: folder, certificate, upstream, cores."""

import contextlib
import os
import pwd
import re
import socket
import subprocess
import time
from pathlib import Path

import checks
import processes
import tokens
from checks import PATH

HERE = Path(__file__).resolve().parent


class Setting:
    """What one run shares: folder, certificate, upstream, cores, and where the binaries are."""

    def __init__(self, folder, proxy_core, load_core, sluice, envoy, open_files):
        self.folder, self.proxy_cores, self.load_cores = folder, {proxy_core}, {load_core}
        self.sluice, self.envoy = sluice, envoy
        # Two descriptors for each, and a few to spare: HAProxy refuses to start with fewer.
        self.connections = min(16384, open_files * 10 // 26)
        self.certificate, self.key, self.combined = (folder / name for name in ("cert.pem", "key.pem", "both.pem"))
        self.client_tls = folder / "client.cnf"
        self.body = checks.json_body(1024)
        # By the name that their paths have.
        self.cached = {"1k": self.body, "64k": os.urandom(64 << 10)}
        # 10 MiB that the upstream serves, and wrk's script that sends as many.
        self.large, self.upload_script = folder / "upstream" / "10m", folder / "upstream" / "upload.lua"
        self.upstream_port, self.status_port = free_ports(2)
        self._make_certificate()
        self.upstream = None
        self._issuers = {}

    def _make_certificate(self):
        subprocess.run(
            [processes.find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", self.key, "-out", self.certificate],
            check=True, capture_output=True)
        self.combined.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        # The same cipher and key exchange with every proxy; left to themselves they choose differently.
        self.client_tls.write_text(
            "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\n"
            "MinProtocol = TLSv1.3\nCiphersuites = TLS_AES_256_GCM_SHA384\nGroups = X25519\n", encoding="ascii")

    def issuer(self, algorithm, which="issuer"):
        """One for the run, made when it is first asked for; another `which` has another key."""
        name = f"{which}-{algorithm}"
        if name not in self._issuers:
            self._issuers[name] = tokens.Issuer(self.folder / name, algorithm)
        return self._issuers[name]

    def start_upstream(self):
        folder = self.folder / "upstream"
        folder.mkdir()
        self.large.write_bytes(os.urandom(10 << 20))
        (folder / "64k").write_bytes(self.cached["64k"])
        self.upload_script.write_text('wrk.method = "POST"\nwrk.body = string.rep("0123456789abcdef", 10 * 2^20 / 16)\n')
        config = render("upstream.conf", folder, {
            "UPSTREAM_PORT": self.upstream_port, "STATUS_PORT": self.status_port, "BODY": self.body.decode()})
        self.upstream = processes.Process(
            "upstream", [processes.find("nginx"), "-p", folder, "-c", config], self.load_cores, folder)
        wait_until("upstream", self.upstream, lambda: checks.get(self.upstream_port, PATH, None) == (200, self.body))

    @contextlib.contextmanager
    def spread(self):
        """Everybody may run on every core for a while: proxies, load generators, upstream."""
        apart = self.proxy_cores, self.load_cores
        self.proxy_cores = self.load_cores = apart[0] | apart[1]
        self._move_upstream()
        try:
            yield
        finally:
            self.proxy_cores, self.load_cores = apart
            self._move_upstream()

    def _move_upstream(self):
        for pid in self.upstream.tree():
            os.sched_setaffinity(pid, self.load_cores)


def render(template, folder, values):
    """Fills the `@NAME@` places of a template and writes it into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"DIR": folder, "USER": pwd.getpwuid(os.getuid()).pw_name, **values}
    source = (HERE / template).read_text(encoding="utf-8")
    text = re.sub(r"@([A-Z][A-Z_]*)@", lambda place: str(values[place[1]]), source)
    path = folder / template
    path.write_text(text, encoding="utf-8")
    return path


def free_ports(count):
    """Ports below the ephemeral range that nobody listens on, not even with SO_REUSEPORT."""
    found = []
    for port in range(18000 + (os.getpid() * 37 + time.monotonic_ns() // 1000) % 10000, 32768):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise SystemExit("no free ports")


def wait_until(name, process, ready, seconds=15):
    """Tries until `ready` no longer fails to connect and returns something true."""
    deadline = time.monotonic() + seconds
    problem = None
    while time.monotonic() < deadline:
        if process.ended():
            raise SystemExit(f"{name} ended while starting:\n{process.last_words()}")
        try:
            if ready():
                return
        except OSError as error:
            problem = error
        time.sleep(0.02)
    raise SystemExit(f"{name} was not ready after {seconds} s ({problem}):\n{process.last_words()}")


def first_line(argv):
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return next(line for line in done.stdout.decode().splitlines() if line.strip()).strip()
