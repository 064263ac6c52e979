//! Whether one request has what one route asks for besides host and path; shared by table, conflicts and explanation.

use http::{HeaderName, Method};

use super::query::parameter;
use super::{Field, FieldMatch, Request, ValueMatch};
use crate::base::query::decoded;

/// How a route takes a method; the lesser is the more specific.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MethodFit {
    Listed,
    HeadByGet,
    Every,
}

/// `None` when the route does not take the method.
pub(super) fn method_fit(methods: &[Method], method: &Method) -> Option<MethodFit> {
    if methods.is_empty() {
        Some(MethodFit::Every)
    } else if methods.contains(method) {
        Some(MethodFit::Listed)
    } else {
        (*method == Method::HEAD && methods.contains(&Method::GET)).then_some(MethodFit::HeadByGet)
    }
}

/// Something a request has under a name.
pub(super) trait Name {
    fn field<'r, R: Request + ?Sized>(&self, request: &'r R) -> Field<'r>;

    /// The value as it is compared.
    fn bytes(raw: &[u8]) -> impl Iterator<Item = u8>;
}

impl Name for HeaderName {
    fn field<'r, R: Request + ?Sized>(&self, request: &'r R) -> Field<'r> {
        request.header(self)
    }

    fn bytes(raw: &[u8]) -> impl Iterator<Item = u8> {
        raw.iter().copied()
    }
}

impl Name for Box<str> {
    fn field<'r, R: Request + ?Sized>(&self, request: &'r R) -> Field<'r> {
        parameter(request.query(), self)
    }

    fn bytes(raw: &[u8]) -> impl Iterator<Item = u8> {
        decoded(raw)
    }
}

pub(super) fn is_present<N: Name, R: Request + ?Sized>(name: &N, request: &R) -> bool {
    name.field(request) != Field::Absent
}

pub(super) fn has_value<N: Name, R: Request + ?Sized>(name: &N, value: &str, request: &R) -> bool {
    matches!(name.field(request), Field::Once(raw) if N::bytes(raw).eq(value.bytes()))
}

pub(super) fn holds<N: Name, R: Request + ?Sized>(condition: &FieldMatch<N>, request: &R) -> bool {
    match &condition.value {
        ValueMatch::Present => is_present(&condition.name, request),
        ValueMatch::Exact(value) => has_value(&condition.name, value, request),
    }
}
