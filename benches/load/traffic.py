"""CPU of a proxy for each request under full load."""

import os
import time

import checks
import meter
import processes

# Connecting, handshakes and first requests stay outside the window that is measured.
WARM_UP = 0.6
TAIL = 0.4


def traffic(generator, whole_run=False, mib=None):
    """CPU per request under full load.

    Requests are counted by the upstream inside the window, so that what never reached it is not counted.
    `whole_run` takes the generator's count and the whole run instead: for messages so large that a window
    cuts through many of them; `mib` is their size.
    """
    def measure(proxy, options):
        setting = proxy.setting
        seconds = options.seconds + (0 if whole_run else 1)
        count = checks.UpstreamCount(setting.status_port)
        pids = proxy.process.tree()
        first = before = count.read()
        load = _start(generator, proxy, seconds)
        if not whole_run:
            time.sleep(WARM_UP)
            before = count.read()
        window = _window(pids, load, setting)
        if whole_run:
            load.wait_end(seconds + 30)
        else:
            time.sleep(seconds - WARM_UP - TAIL)
        sample = window.close()
        after = count.read()
        load.wait_end(seconds + 30)
        text = load.output_text()
        all_requests = count.read()[1] - first[1]
        count.close()
        completed = generator.completed(text)
        requests = completed if whole_run else after[1] - before[1]
        if requests <= 0:
            raise checks.WrongAnswer(f"{proxy.name}: no request completed under load:\n{text}")
        upstream_connections, failed = after[0] - before[0], generator.failed(text)
        complaints = list(generator.complaints(text))
        if failed:
            complaints.append(f"{failed} failed requests")
        if upstream_connections > max(64, requests // 100):
            complaints.append(f"{upstream_connections} new upstream connections for {requests} requests")
        # Only what was in flight at the end may differ.
        if abs(all_requests - completed) > 128:
            complaints.append(f"{completed} answers to the client, {all_requests} from the upstream")
        if mib:
            sample["cpu_s_per_gib"] = sample["proxy_cpu_ns"] / 1e9 / (requests * mib / 1024)
        return _sample(sample, requests, failed, complaints) | {"upstream_connections": upstream_connections}

    return measure


def refusals(generator, status, passed=0):
    """CPU for each request that the proxy refuses itself, with that status.

    The generator counts the answers as they come. No more than `passed` requests may reach the upstream.
    """
    def measure(proxy, options):
        sample, requests, forwarded, text = _by_itself(
            generator, lambda: generator.statuses(proxy)[status], proxy, options)
        answers = generator.statuses(proxy)
        others = {each: number for each, number in enumerate(answers) if number and each != status}
        failed = generator.failed(text) + sum(others.values()) - min(passed, others.get(200, 0))
        complaints = []
        if failed:
            complaints.append(f"{failed} requests without status {status}; others: {others}")
        if forwarded > passed:
            complaints.append(f"{forwarded} requests reached the upstream")
        return _sample(sample, requests, failed, complaints)

    return measure


def hits(generator):
    """CPU for each request that the proxy answers from memory: none may reach the upstream.

    The generator counts what it sends; that differs from what is answered by what is on its way, 64 at the most.
    """
    def measure(proxy, options):
        sample, requests, forwarded, text = _by_itself(generator, lambda: generator.sent(proxy), proxy, options)
        failed, complaints = generator.failed(text), []
        if failed:
            complaints.append(f"{failed} failed requests")
        if forwarded:
            complaints.append(f"{forwarded} requests reached the upstream")
        return _sample(sample, requests, failed, complaints)

    return measure


def _by_itself(generator, count_now, proxy, options):
    """A window in which the proxy answers by itself: the sample, requests in it by that count, how many reached the upstream in all, and
    what the generator printed.
    """
    setting = proxy.setting
    seconds = options.seconds + 1
    count = checks.UpstreamCount(setting.status_port)
    forwarded = count.read()[1]
    pids = proxy.process.tree()
    load = _start(generator, proxy, seconds)
    time.sleep(WARM_UP)
    before = count_now()
    window = _window(pids, load, setting)
    time.sleep(seconds - WARM_UP - TAIL)
    sample = window.close()
    requests = count_now() - before
    load.wait_end(seconds + 30)
    text = load.output_text()
    forwarded = count.read()[1] - forwarded
    count.close()
    if requests <= 0:
        raise checks.WrongAnswer(f"{proxy.name}: no request of the kind that is counted under load:\n{text}")
    return sample, requests, forwarded, text


def _start(generator, proxy, seconds):
    return processes.Process(
        generator.command, [processes.find(generator.command), *generator.argv(proxy, seconds)],
        proxy.setting.load_cores, proxy.folder, {"OPENSSL_CONF": str(proxy.setting.client_tls)})


def _window(pids, load, setting):
    return meter.Window(pids, [*setting.upstream.tree(), load.pid, os.getpid()], setting)


def _sample(sample, requests, failed, complaints):
    return sample | {
        "requests": requests,
        "cpu_us": sample["proxy_cpu_ns"] / 1000 / requests,
        "requests_per_second": requests / sample["seconds"],
        "failed": failed,
        "complaints": complaints,
    }
