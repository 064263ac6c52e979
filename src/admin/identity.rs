//! `/identity/keys`: what upstreams verify identity tokens with.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::problem::problem;

/// A JSON Web Key Set (RFC 7517 §5) with the public key that signs now.
pub(super) async fn keys(State(admin): State<Arc<Admin>>) -> Response {
    let snapshot = admin.reloader.snapshots.load();
    let Some(signer) = &snapshot.gate.identity.signer else {
        return problem(
            StatusCode::NOT_FOUND,
            "The routes that run have no identity.token, or its key cannot be read.",
        );
    };
    // RFC 7517 §8.5.2.
    ([(header::CONTENT_TYPE, "application/jwk-set+json")], format!("{:#}\n", signer.public_keys())).into_response()
}
