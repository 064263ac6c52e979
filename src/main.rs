//! Allocator, crypto provider, command line, exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn main() -> ExitCode {
    // First of all: whoever builds a TLS configuration later takes the provider that is installed then.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("sluice: a crypto provider was installed before main");
    }
    sluice::cli::main()
}
