#!/bin/sh
# Instructions per look-up, per normalised path, per token and per finished request, counted by callgrind; needs valgrind.
# What it costs to set up is taken off by subtracting a run without any.
set -eu
cd "$(dirname "$0")/.."

# How many rounds are counted, and with which profile; for a quick try, fewer and `dev`.
ROUNDS=${ROUNDS:-100}
PROFILE=${PROFILE:-bench}
SAMPLES=64

bench=$(cargo bench --profile "$PROFILE" --bench instructions --no-run 2>&1 | sed -n 's/.*(\(.*\/instructions-[^)]*\)).*/\1/p')
[ -x "$bench" ] || { echo "the bench was not built; try: cargo bench --bench instructions --no-run" >&2; exit 1; }

# Prints the instructions that one run executes. Fair: or else the thread that writes the access log would never come.
count() {
    valgrind --tool=callgrind --fair-sched=try --callgrind-out-file=/dev/null "$bench" "$@" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

# report NAME ARGUMENTS...: the rounds are added as the last argument.
report() {
    name=$1
    shift
    difference "$name" "$(count "$@" 0)" "$(count "$@" $ROUNDS)"
}

# difference NAME IDLE BUSY
difference() {
    printf '%-28s %8d instructions\n' "$1" $((($3 - $2) / (ROUNDS * SAMPLES)))
}

report "find, 10 routes" find 10
report "find, 1000 routes" find 1000
report "find, 50000 routes" find 50000
report "find, 10 tenants" tenants 10
report "find, 10000 tenants" tenants 10000
report "normalise, already normal" normal
report "normalise, dirty" dirty
records=$(count records $ROUNDS)
difference "log line of a request" "$records" "$(count log $ROUNDS)"
difference "metrics of a request" "$records" "$(count metrics $ROUNDS)"
difference "log line and metrics" "$records" "$(count finish $ROUNDS)"
report "head of a GET, decided" get
report "head of a small POST, decided" post
for algorithm in RS256 ES256 EdDSA HS256; do
    report "new token, $algorithm" verify $algorithm
    report "forged token, $algorithm" forge $algorithm
done
report "known token" hit RS256
report "token known to be forged" refuse RS256
report "limits: rate of a plan" limits plan
report "limits: rate by address" limits address
report "limits: by partner and field" limits combined
report "limits: rate, quota, in flight" limits whole
report "limits: the same, and told" limits told
report "cache key" key
report "cache look-up, 1000 stored" stored 1000
report "cache look-up, 100000 stored" stored 100000
"$bench" build 50000
"$bench" partners 10000
"$bench" fill 100000

# Prints the allocations of one run.
allocations() {
    valgrind --tool=dhat --dhat-out-file=/dev/null "$bench" "$@" 2>&1 | sed -n 's/.*Total: .* in \([0-9,]*\) blocks.*/\1/p' | tr -d ,
}

# none NAME ARGUMENTS...: what makes no allocation.
none() {
    name=$1
    shift
    made=$(($(allocations "$@" $ROUNDS) - $(allocations "$@" 0)))
    printf '%-28s %8d allocations in %d requests\n' "$name" $made $((ROUNDS * SAMPLES))
    [ $made -eq 0 ] || exit 1
}

none "head of a get, decided" get
none "head of a post, decided" post
none "known token" hit RS256
none "token known to be forged" refuse RS256
none "limits: by partner and field" limits combined
none "limits: the same, and told" limits told
