"""The proxies: how each is configured, started, reloaded."""

import contextlib
import os
import re
import signal

import caches
import checks
import guards
import processes
from checks import PATH
from setting import first_line, free_ports, render, wait_until

# Instead of a list of routes: one route for every path.
CATCH_ALL = None


class Proxy:
    """One started proxy. `routes` is a list of exact paths, or CATCH_ALL; `workers` are its threads or processes; `guard` is what
    every request has to get past; with `cache` it keeps answers of that size in memory; with `anomaly` it scores requests.
    """

    name = "?"
    stop_signal = signal.SIGTERM
    verifies_tokens = True
    # Keeps a TLS connection on which it has refused a signature.
    refuses_over_tls = True
    # Is a cache and nothing else: plain HTTP, every path, no guard.
    only_caches = False

    def __init__(self, setting, folder, routes=CATCH_ALL, workers=1, guard=None, cache=None,
                 anomaly=False):
        self.setting, self.folder, self.routes, self.workers = setting, folder, routes, workers
        self.guard, self.cache, self.anomaly = guard, cache, anomaly
        folder.mkdir(parents=True)
        self.http, self.https, self.admin = free_ports(3)
        self.config = self.configure(routes)
        self.write_routes(routes)
        self.process = processes.Process(self.name, self.command(), setting.proxy_cores, folder)

    def wait_ready(self):
        # The guard may know nobody without a token, or have had enough already.
        expected = (200,) if self.guard is None else (200, 401, 429)
        listeners = [(self.http, None)] if self.only_caches else [(self.http, None), (self.https, self.setting)]
        wait_until(self.name, self.process, lambda: all(
            checks.get(port, PATH, tls)[0] in expected for port, tls in listeners))

    @contextlib.contextmanager
    def beside(self, name, **changes):
        """A second one like it but for these changes, for a while."""
        same = {"routes": self.routes, "workers": self.workers, "guard": self.guard, "cache": self.cache,
                "anomaly": self.anomaly}
        fresh = type(self)(self.setting, self.folder / name, **{**same, **changes})
        try:
            fresh.wait_ready()
            yield fresh
        finally:
            fresh.stop()

    def stop(self):
        self.process.stop(self.stop_signal)

    def render(self, template, **more):
        setting = self.setting
        return render(template, self.folder, {
            "HTTP_PORT": self.http, "HTTPS_PORT": self.https, "ADMIN_PORT": self.admin,
            "UPSTREAM_PORT": setting.upstream_port, "CERTIFICATE": setting.certificate, "KEY": setting.key,
            "COMBINED": setting.combined, "CONNECTIONS": setting.connections, "WORKERS": self.workers, **more})

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
    # auth_jwt is not in the open-source one.
    verifies_tokens = False

    def configure(self, routes):
        # With a socket for each worker a reload may lose connections; with one for all, one worker may get most of them.
        return self.render(
            "nginx.conf", LISTEN="reuseport" if self.workers > 1 else "", GUARD=guards.nginx(self.guard),
            CACHE=caches.nginx(self.cache, self.folder))

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
    # 2.6.12 leaves the failure in OpenSSL's error queue, where the next read finds it and ends the connection (its issue 2643).
    refuses_over_tls = False

    def configure(self, routes):
        if routes is CATCH_ALL:
            routing = "default_backend origin"
        else:
            routing = f"use_backend %[path,map_str({self.folder}/routes.map,nowhere)]"
        guard, table = guards.haproxy(self.guard, self.setting)
        cache, store = caches.haproxy(self.cache)
        return self.render("haproxy.cfg", ROUTING=routing, GUARD=guard, TABLE=table, CACHE=cache, STORE=store)

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
        return self.render("envoy.yaml", GUARD=guards.envoy(self.guard, self.setting), CACHE=caches.envoy(self.cache))

    def command(self):
        return [self.setting.envoy, "-c", self.config, "--concurrency", str(self.workers), "--disable-hot-restart",
                "--log-level", "error"]

    def write_routes(self, routes):
        lines = [
            "resources:",
            '  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
            "    name: routes",
            "    virtual_hosts:",
            "      - name: all",
            '        domains: ["*"]',
        ]
        if routes is CATCH_ALL:
            lines += ["        routes:", '          - {match: {prefix: "/"}, route: {cluster: origin}}']
        else:
            # A list of routes would be tried one by one.
            lines += [
                "        matcher:",
                "          matcher_tree:",
                "            input:",
                "              name: path",
                "              typed_config:",
                '                "@type": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput',
                '                header_name: ":path"',
                "            exact_match_map:",
                "              map:",
            ]
            action = ('{action: {name: route, typed_config: {"@type": '
                      'type.googleapis.com/envoy.config.route.v3.Route, match: {prefix: "/"}, route: {cluster: origin}}}}')
            lines += [f'                "{path}": {action}' for path in routes]
        self.replace("routes-rds.yaml", "\n".join(lines) + "\n")

    def reload(self, routes):
        self.write_routes(routes)

    @staticmethod
    def version(setting):
        return "Envoy " + re.search(r"version: \w+/([^/]+)", first_line([setting.envoy, "--version"]))[1]


class Varnish(Proxy):
    """A manager and its child, which serves; both count."""

    name = "varnish"
    verifies_tokens = False
    only_caches = True

    def configure(self, routes):
        return self.render("varnish.vcl")

    def command(self):
        parameters = {
            # One for each core is what its manual advises.
            "thread_pools": self.workers,
            # As with the others, connections stay.
            "timeout_idle": 600,
        }
        return [processes.find("varnishd"), "-F", "-j", "none", "-n", self.folder / "work", "-f", self.config,
                "-a", f"127.0.0.1:{self.http}", "-T", "none", "-s", f"malloc,{caches.MEBIBYTES}m",
                *(word for name, value in parameters.items() for word in ("-p", f"{name}={value}"))]

    def write_routes(self, routes):
        if routes is not CATCH_ALL:
            raise ValueError("varnish has a part in works without routes only")

    @staticmethod
    def version(setting):
        return "Varnish " + re.search(r"varnish-([\d.]+)", first_line([processes.find("varnishd"), "-V"]))[1]


class Sluice(Proxy):
    name = "sluice"
    # SIGTERM would go on serving for a while, so that load balancers notice.
    stop_signal = signal.SIGINT

    def configure(self, routes):
        (self.folder / "logs").mkdir()
        return self.render("gateway.yaml")

    def command(self):
        return [self.setting.sluice, "run", "--config", self.config]

    def write_routes(self, routes):
        named = [("all", "/{rest...}")]
        if routes is not CATCH_ALL:
            named = [(re.sub(r"[^a-z0-9]+", "-", path[1:]), path) for path in routes]
        guard, each = guards.sluice(self.guard, self.setting)
        each += caches.sluice(self.cache) + (", anomaly: observe" if self.anomaly else "")
        lines = "\n".join(
            f'  - {{name: {name}, match: {{path: "{path}"}}, {each}, upstream: origin}}' for name, path in named)
        rendered = self.render("routes.yaml", GUARD=guard, ROUTES=lines)
        self.replace("routes.yaml", rendered.read_text(encoding="ascii"))

    def reload(self, routes):
        self.write_routes(routes)

    def render(self, template, **more):
        # The routes file is watched: it must only ever appear whole, by `replace`.
        return render(template, self.folder / "rendered", {
            "HTTP_PORT": self.http, "HTTPS_PORT": self.https, "ADMIN_PORT": self.admin, "DIR": self.folder,
            "UPSTREAM_PORT": self.setting.upstream_port, "CERTIFICATE": self.setting.certificate,
            "KEY": self.setting.key, "WORKERS": self.workers, **more})

    @staticmethod
    def version(setting):
        return first_line([setting.sluice, "--version"])


# In the order of a round; nginx first, it is what the others are compared with.
PROXIES = {proxy.name: proxy for proxy in (Nginx, Haproxy, Envoy, Varnish, Sluice)}
