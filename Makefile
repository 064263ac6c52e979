.PHONY: run test check bench fuzz setup

# A development build: ready in a minute or two, and `make test` shares it. To measure or to ship: `cargo build --release`.
run: setup
	cargo run --locked -- run

# Unit, integration and documentation tests; then, with the other engine, all that may depend on who forwards.
test: setup
	cargo test --locked
	SLUICE_TEST_ENGINE=pingora cargo test --locked --test it -- --skip architecture:: --skip cli:: --skip config:: --skip differential::

check: setup
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

# Instructions of the engines and of whole requests, then the same load through Sluice, nginx, HAProxy, Envoy and Varnish (about half an hour), into
# benches/results. Only on a machine that has nothing else to do.
bench:
	.ci/setup valgrind python3 openssl
	benches/instructions.sh
	benches/load/setup.sh
	cargo build --release --locked
	benches/requests/run.py
	benches/load/run.py --all

# Every target for a minute.
fuzz:
	.ci/setup c++
	tests/fuzz/run

setup:
	@.ci/setup
