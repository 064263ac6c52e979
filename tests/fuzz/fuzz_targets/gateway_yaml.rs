#![no_main]
//! Any bytes as a bootstrap file: no panic, and a file is refused only with a mistake that lies inside it.

use sluice::config;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let Err(report) = config::read_bootstrap(&text, "gateway.yaml") else { return };
    assert!(!report.is_ok(), "a file is refused without a word");
    for place in report.diagnostics().flat_map(|diagnostic| &diagnostic.places) {
        assert!(place.span.start <= place.span.end && place.span.end as usize <= text.len(), "{place:?}");
        assert!(text.is_char_boundary(place.span.start as usize), "{place:?}");
    }
    let _ = (report.render_text(true), report.to_json());
});
