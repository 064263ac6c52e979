"""The four proxies: how each is configured, started, reloaded."""

import os
import pwd
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import checks
import processes

HERE = Path(__file__).resolve().parent
# Instead of a list of routes: one route for every path.
CATCH_ALL = None
# Answered by the upstream with the 1 KiB document, through every proxy, whatever else is routed.
PATH = "/orders.json"


class Setting:
    """What one run shares: folder, certificate, upstream, cores, and where the binaries are."""

    def __init__(self, folder, proxy_core, load_core, sluice, envoy, open_files):
        self.folder, self.proxy_core, self.load_core = folder, proxy_core, load_core
        self.sluice, self.envoy = sluice, envoy
        # Two descriptors for each, and a few to spare: HAProxy refuses to start with fewer.
        self.connections = min(16384, open_files * 10 // 26)
        self.certificate, self.key, self.combined = (folder / name for name in ("cert.pem", "key.pem", "both.pem"))
        self.client_tls = folder / "client.cnf"
        self.body = checks.json_body(1024)
        self.upstream_port, self.status_port = free_ports(2)
        self._make_certificate()
        self.upstream = None

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

    def start_upstream(self):
        folder = self.folder / "upstream"
        folder.mkdir()
        (folder / "10m").write_bytes(os.urandom(1 << 20) * 10)
        config = render("upstream.conf", folder, {
            "UPSTREAM_PORT": self.upstream_port, "STATUS_PORT": self.status_port, "BODY": self.body.decode()})
        self.upstream = processes.Process(
            "upstream", [processes.find("nginx"), "-p", folder, "-c", config], self.load_core, folder)
        wait_until("upstream", self.upstream, lambda: checks.get(self.upstream_port, PATH, None) == (200, self.body))


class Proxy:
    """One started proxy. `routes` is a list of exact paths, or CATCH_ALL."""

    name = "?"

    def __init__(self, setting, folder, routes=CATCH_ALL):
        self.setting, self.folder = setting, folder
        folder.mkdir(parents=True)
        self.http, self.https, self.admin = free_ports(3)
        self.config = self.configure(routes)
        self.write_routes(routes)
        self.process = processes.Process(self.name, self.command(), setting.proxy_core, folder)

    def wait_ready(self):
        wait_until(self.name, self.process, lambda: all(
            checks.get(port, PATH, tls)[0] == 200 for port, tls in ((self.http, None), (self.https, self.setting))))

    def stop(self):
        self.process.stop()

    def render(self, template, **more):
        setting = self.setting
        return render(template, self.folder, {
            "HTTP_PORT": self.http, "HTTPS_PORT": self.https, "ADMIN_PORT": self.admin,
            "UPSTREAM_PORT": setting.upstream_port, "CERTIFICATE": setting.certificate, "KEY": setting.key,
            "COMBINED": setting.combined, "CONNECTIONS": setting.connections, **more})

    def replace(self, name, text):
        """Writes beside and renames over it, so that nobody ever reads half a file."""
        beside = self.folder / f"{name}.new"
        beside.write_text(text, encoding="ascii")
        os.rename(beside, self.folder / name)

    # What differs from proxy to proxy:

    def configure(self, routes):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def write_routes(self, routes):
        raise NotImplementedError

    def reload(self, routes):
        """Makes another list of routes live, the way its operators do it."""
        raise NotImplementedError

    @staticmethod
    def version(setting):
        raise NotImplementedError


class Nginx(Proxy):
    name = "nginx"

    def configure(self, routes):
        return self.render("nginx.conf")

    def command(self):
        return [processes.find("nginx"), "-p", self.folder, "-c", self.config]

    def write_routes(self, routes):
        if routes is CATCH_ALL:
            text = "location / { proxy_pass http://origin; }\n"
        else:
            text = "".join(f"location = {path} {{ proxy_pass http://origin; }}\n" for path in routes)
            text += "location / { return 404; }\n"
        self.replace("routes.conf", text)

    def reload(self, routes):
        self.write_routes(routes)
        self.process.signal(signal.SIGHUP)

    @staticmethod
    def version(setting):
        return first_line([processes.find("nginx"), "-v"]).removeprefix("nginx version: ")


class Haproxy(Proxy):
    name = "haproxy"

    def configure(self, routes):
        if routes is CATCH_ALL:
            routing = "default_backend origin"
        else:
            routing = f"use_backend %[path,map_str({self.folder}/routes.map,nowhere)]"
        return self.render("haproxy.cfg", ROUTING=routing)

    def command(self):
        return [processes.find("haproxy"), "-W", "-db", "-f", self.config]

    def write_routes(self, routes):
        self.replace("routes.map", "".join(f"{path} origin\n" for path in routes or []))

    def reload(self, routes):
        self.write_routes(routes)
        self.process.signal(signal.SIGUSR2)

    @staticmethod
    def version(setting):
        return " ".join(first_line([processes.find("haproxy"), "-v"]).split()[:3])


class Envoy(Proxy):
    name = "envoy"

    def configure(self, routes):
        return self.render("envoy.yaml")

    def command(self):
        return [self.setting.envoy, "-c", self.config, "--concurrency", "1", "--disable-hot-restart",
                "--log-level", "error"]

    def write_routes(self, routes):
        lines = [
            "resources:",
            '  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
            "    name: routes",
            "    virtual_hosts:",
            "      - name: all",
            '        domains: ["*"]',
            "        routes:",
        ]
        matches = ['prefix: "/"'] if routes is CATCH_ALL else [f'path: "{path}"' for path in routes]
        lines += [f"          - {{match: {{{match}}}, route: {{cluster: origin}}}}" for match in matches]
        self.replace("routes-rds.yaml", "\n".join(lines) + "\n")

    def reload(self, routes):
        self.write_routes(routes)

    @staticmethod
    def version(setting):
        return "Envoy " + re.search(r"version: \w+/([^/]+)", first_line([setting.envoy, "--version"]))[1]


class Sluice(Proxy):
    name = "sluice"

    def configure(self, routes):
        return self.render("gateway.yaml")

    def command(self):
        return [self.setting.sluice, "run", "--config", self.config]

    def write_routes(self, routes):
        named = [("all", "/{rest...}")]
        if routes is not CATCH_ALL:
            named = [(re.sub(r"[^a-z0-9]+", "-", path[1:]), path) for path in routes]
        lines = "\n".join(
            f'  - {{name: {name}, match: {{path: "{path}"}}, auth: none, upstream: origin}}' for name, path in named)
        rendered = self.render("routes.yaml", ROUTES=lines)
        self.replace("routes.yaml", rendered.read_text(encoding="ascii"))

    def reload(self, routes):
        self.write_routes(routes)

    def render(self, template, **more):
        # The routes file is watched: it must only ever appear whole, by `replace`.
        return render(template, self.folder / "rendered", {
            "HTTP_PORT": self.http, "HTTPS_PORT": self.https, "ADMIN_PORT": self.admin, "DIR": self.folder,
            "UPSTREAM_PORT": self.setting.upstream_port, "CERTIFICATE": self.setting.certificate,
            "KEY": self.setting.key, **more})

    @staticmethod
    def version(setting):
        return first_line([setting.sluice, "--version"])


# In the order of a round; nginx first, it is what the others are compared with.
PROXIES = {proxy.name: proxy for proxy in (Nginx, Haproxy, Envoy, Sluice)}


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
