"""Tables of medians, in Markdown. Ratios are taken round by round against nginx of the same round."""

from statistics import median

# Share of a core that others may use in a round before it is marked.
QUIET = 0.10


def noisy(sample):
    return max(sample.get("foreign", [0.0])) > QUIET


def traffic(rows):
    return _cost(rows, "CPU µs/request", lambda sample: sample["cpu_us"])


def large(rows):
    return _cost(rows, "CPU s/GiB", lambda sample: sample["cpu_s_per_gib"])


def _cost(rows, title, value):
    yield ["proxy", f"{title} (min..max)", "× nginx", "user", "requests/s",
           "proxy core busy", "foreign load (proxy, load core)", "noisy rounds"]
    for name, samples in rows.items():
        yield [
            name,
            _spread([value(sample) for sample in samples]),
            _ratio(rows, samples, value),
            f"{median(sample['user_share'] for sample in samples):.0%}",
            f"{median(sample['requests_per_second'] for sample in samples):.0f}",
            f"{median(sample['proxy_core'] for sample in samples):.0%}",
            *_quiet(samples),
        ]


def routes(rows):
    return _variants(rows, ["10 routes: CPU µs/request", "10,000 routes", "ratio (min..max)"], lambda ratio: ratio)


def anomaly(rows):
    return _variants(rows, ["nothing scored: CPU µs/request", "every request", "ratio (min..max)"], lambda ratio: ratio)


def cores(rows):
    return _variants(rows, ["one worker: CPU µs/request", "two workers", "speed-up that leaves (min..max)"],
                     lambda ratio: 2 / ratio)


def _variants(rows, titles, figure):
    yield ["proxy", *titles, "requests/s", "foreign load", "noisy rounds"]
    for name, samples in rows.items():
        yield [
            name,
            *(_figure(median(sample["variants_cpu_us"][which] for sample in samples)) for which in (0, 1)),
            _spread([figure(sample["ratio"]) for sample in samples], 3),
            ", ".join(f"{median(sample['variants_requests_per_second'][which] for sample in samples):.0f}"
                      for which in (0, 1)),
            *_quiet(samples),
        ]


def latency(rows):
    yield ["proxy", "added µs: p50 (min..max)", "p99 (min..max)", "p99.9", "through it: p50, p99", "direct: p50, p99",
           "foreign load (proxy core)", "noisy rounds"]
    for name, samples in rows.items():
        def middle(kind, point, samples=samples):
            return f"{median(sample[kind][point] for sample in samples):.0f}"

        yield [
            name,
            *(_spread([sample["added_us"][point] for sample in samples], 0) for point in ("p50", "p99")),
            middle("added_us", "p99.9"),
            *(f"{middle(kind, 'p50')}, {middle(kind, 'p99')}" for kind in ("through_us", "direct_us")),
            *_quiet(samples),
        ]


def fairness(rows):
    yield ["proxy", "quiet partners lost (each round)", "of", "p50 µs beside the noise", "alone", "ratio (min..max)",
           "p99 µs beside the noise", "alone", "ratio (min..max)", "noise passed/s", "refused/s", "foreign load (proxy core)",
           "noisy rounds"]
    for name, samples in rows.items():
        yield [
            name,
            ", ".join(str(sample["failed"]) for sample in samples),
            f"{median(sample['answered'] for sample in samples):.0f}",
            *(cell for point in ("p50", "p99") for cell in (
                *(f"{median(sample[kind][point] for sample in samples):.0f}" for kind in ("quiet_us", "alone_us")),
                _spread([sample[f"{point}_ratio"] for sample in samples]))),
            *(f"{median(sample[key] for sample in samples):.0f}" for key in ("noise_passed", "noise_refused")),
            *_quiet(samples),
        ]


def idle(rows):
    yield ["proxy", "connections", "plain KiB each", "× nginx", "TLS KiB each", "× nginx",
           "base MiB", "MiB after close (TLS)"]
    for name, samples in rows.items():
        yield [
            name,
            str(samples[0]["connections"]),
            *(cell for kind in ("plain", "tls") for cell in (
                f"{median(sample[kind]['kib_per_connection'] for sample in samples):.2f}",
                _ratio(rows, samples, lambda sample, kind=kind: sample[kind]["kib_per_connection"]))),
            f"{median(sample['plain']['base_kib'] for sample in samples) / 1024:.1f}",
            f"{median(sample['tls']['after_close_kib'] for sample in samples) / 1024:.1f}",
        ]


def reload(rows):
    yield ["proxy", "reloads live", "lost requests (each round)", "of", "dropped connections (each round)", "of",
           "p99 ms", "steady", "ratio", "longest ms", "live after ms (max)", "foreign load (load core)", "noisy rounds"]
    for name, samples in rows.items():
        live = [took for sample in samples for took in sample["live_after_ms"]]
        yield [
            name,
            ", ".join(str(sample["reloads_live"]) for sample in samples),
            ", ".join(str(sample["failed"]) for sample in samples),
            f"{median(sample['requests'] for sample in samples):.0f}",
            ", ".join(f"{sample['dropped']} ({sample['dropped_idle']} idle)" for sample in samples),
            str(samples[0]["connections"]),
            *(f"{median(sample[key] for sample in samples):.2f}" for key in ("p99_ms", "steady_p99_ms", "p99_ratio")),
            f"{max(sample['max_ms'] for sample in samples):.0f}",
            f"{median(live):.0f} ({max(live):.0f})" if live else "never",
            *_quiet(samples),
        ]


def markdown(lines):
    header, *rows = lines
    yield "| " + " | ".join(header) + " |"
    yield "|---" + "|---:" * (len(header) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _figure(value, digits=None):
    if digits is None:
        digits = 2 if value < 100 else 0
    return f"{value:.{digits}f}"


def _spread(values, digits=None):
    middle, least, most = (_figure(value, digits) for value in (median(values), min(values), max(values)))
    return f"{middle} ({least}..{most})"


def _quiet(samples):
    """The last two columns: the most that others took of each watched core, and in how many rounds it was too much."""
    cores = range(len(samples[0]["foreign"]))
    yield ", ".join(f"{max(sample['foreign'][core] for sample in samples):.2f}" for core in cores)
    yield f"{sum(map(noisy, samples))} of {len(samples)}"


def _ratio(rows, samples, value):
    """Median of the ratios of the rounds that both have."""
    by_round = {sample["round"]: value(sample) for sample in rows.get("nginx", [])}
    ratios = [value(sample) / by_round[sample["round"]] for sample in samples if by_round.get(sample["round"])]
    return f"{median(ratios):.2f}" if ratios else "-"
