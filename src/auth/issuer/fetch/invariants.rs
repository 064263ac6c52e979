//! What holds for whatever a server says about its answer; shared by property tests and fuzzing.

use http::{HeaderMap, HeaderValue, Uri, header};

use super::{freshness, redirect};

/// A redirect stays on the server, and nothing is fresher for its age.
pub fn answer(bytes: &[u8]) {
    let base = Uri::from_static("https://issuer.test:8443/keys?x=1");
    if let Ok(followed) = redirect::follow(&base, bytes) {
        assert_eq!((followed.scheme(), followed.authority()), (base.scheme(), base.authority()), "{followed}");
        assert!(followed.path().starts_with('/'), "{followed}");
    }
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let mut fields = HeaderMap::new();
    for name in [header::CACHE_CONTROL, header::CACHE_CONTROL, header::AGE] {
        if let Some(Ok(value)) = parts.next().map(HeaderValue::from_bytes) {
            fields.append(name, value);
        }
    }
    let fresh = freshness::of(&fields);
    let age = fields.remove(header::AGE);
    let without_age = freshness::of(&fields);
    assert!(fresh <= without_age && (fresh == without_age || age.is_some()));
    assert_eq!(fresh.is_some(), without_age.is_some());
}
