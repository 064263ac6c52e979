//! Who gets what is kept, and what it looks like then: RFC 9111 section 4, and sections 13 and 14 of RFC 9110 as far as they are for caches.

mod conditional;
mod connections;
mod head;
mod invalidating;
mod keys;
mod ranges;
mod selecting;
mod updating;
mod validating;
mod vary;

use http::{Method, Request};

use super::support::{Scene, answer, assert_hit, lines};
use crate::identity::scene::{self, Version};
use crate::support::client::Response;

/// Fresh for a minute.
const FRESH: &str = "Cache-Control: max-age=60";

/// Too old when it comes, and to be asked for again by its tag.
const STALE: &str = "Cache-Control: max-age=60\nAge: 100\nETag: \"v1\"";

/// A request on a connection of its own; `fields` are lines with `\n` between them.
async fn ask(scene: &Scene, version: Version, method: &str, target: &str, fields: &str) -> Response {
    if version == Version::One {
        return scene.send(method, target, fields).await;
    }
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = Request::builder().method(method).uri(format!("http://api.test{target}"));
    for line in fields.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        request = request.header(name, value.trim());
    }
    scene::response(scene.h2().await.send(request.body(()).unwrap(), &[]).await)
}

/// A fresh answer is stored for this target, and given from memory.
async fn store(scene: &Scene, target: &str, says: impl Into<Vec<u8>>) {
    scene.origin.says(says.into());
    let asked = scene.origin.count();
    scene.get(target, "").await;
    assert_hit(&scene.get(target, "").await, target);
    assert_eq!(scene.origin.count(), asked + 1, "{target} is stored");
}

/// A 200 with these fields and this body.
fn page(fields: &str, body: &str) -> String {
    answer("200 OK", fields, body)
}

/// The 200 that a HEAD gets for a body of so many bytes.
fn head_of(fields: &str, length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\n{}Content-Length: {length}\r\n\r\n", lines(fields))
}

fn not_modified(fields: &str) -> String {
    answer("304 Not Modified", fields, "")
}
