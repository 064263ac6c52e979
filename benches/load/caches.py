"""A cache in memory before the upstream, the same for every proxy, in its own words.

What the upstream says (`Cache-Control: max-age=600`) is what each of them goes by; where one has to be told a lifetime as well, it
is a minute.
"""

import json

# How many answers are asked for in turn: their paths end in a number.
ANSWERS = 100

# Room for all of them, several times over.
MEBIBYTES = 64


def sluice(cache):
    """What each route has. As of all these, `cache` is the size of the answers, or nothing."""
    return ", cache: {ttl: 60s}" if cache else ""


def nginx(cache, folder):
    """Lines of `http`. Files stay open, and are in memory as every file that was just written.

    Each size in the way that was the cheapest of three: small answers read and written with their head, long ones by sendfile; corking
    both together (`tcp_nopush`) cost more for either.
    """
    if not cache:
        return ""
    return "\n    ".join([
        f"proxy_cache_path {folder}/cache levels=1:2 keys_zone=answers:10m max_size={MEBIBYTES}m inactive=10m use_temp_path=off;",
        "proxy_cache answers;",
        "proxy_cache_valid 200 60s;",
        "open_file_cache max=1000 inactive=10m;",
        "open_file_cache_valid 10m;",
        f"sendfile {'on' if cache == '64k' else 'off'};",
    ])


def haproxy(cache):
    """Lines of the frontend, and the section of the cache."""
    if not cache:
        return "", ""
    frontend = "http-request cache-use answers\n    http-response cache-store answers"
    return frontend, "\n".join([
        "cache answers",
        f"    total-max-size {MEBIBYTES}",
        "    max-object-size 1048576",
        "    max-age 600",
    ])


def envoy(cache):
    """The last filter before the router, so that a hit has passed every other one."""
    if not cache:
        return ""
    extensions = "type.googleapis.com/envoy.extensions"
    return "                  - " + json.dumps({"name": "envoy.filters.http.cache", "typed_config": {
        "@type": f"{extensions}.filters.http.cache.v3.CacheConfig",
        "typed_config": {"@type": f"{extensions}.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"},
    }})
