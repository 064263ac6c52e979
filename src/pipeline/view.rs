//! The small view of a request that every phase works on, whatever carried it.

use http::{HeaderName, Method, Version};

use crate::base::field::Known;

/// What is known of the length of a request body before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    None,
    Known(u64),
    Unknown,
}

/// A request head that has been read and found well-formed.
pub trait RequestView {
    fn method(&self) -> &Method;

    /// The path as sent, without the query.
    fn path(&self) -> &str;

    /// The query as sent, without its `?`.
    fn query(&self) -> Option<&str>;

    /// Host and port as sent (`Host`, `:authority` or an absolute target), when there is one.
    fn authority(&self) -> Option<&str>;

    fn version(&self) -> Version;

    fn body(&self) -> BodyLength;

    /// The values of a field, in order.
    fn values<'v, 'n>(&'v self, name: &'n HeaderName) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, 'n, Self>;

    /// The values of a field that the gateway knows by name, in order.
    fn known<'v>(&'v self, field: Known) -> impl DoubleEndedIterator<Item = &'v [u8]> + use<'v, Self>;

    /// All fields in order, but those that are for this connection only.
    fn fields<'v>(&'v self) -> impl Iterator<Item = (&'v str, &'v [u8])> + use<'v, Self>;

    /// Whether `Connection` names fields that are for this connection only: they do not reach the upstream (RFC 9110 §7.6.1).
    fn nominates(&self) -> bool;
}
