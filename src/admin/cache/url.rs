//! A URL as a client would ask for it, and the part of the cache's keys that it stands for.

use crate::base::authority;
use crate::base::query::decoded;
use crate::cache::key::{self, Resource};
use crate::cache::purge::Purge;
use crate::route;

/// Bytes.
const MAX_URL: usize = 64 * 1024;

/// In the form that requests have when they are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    scheme: &'static str,
    host: String,
    path: String,
    /// As it is written; `None` stands for every query.
    query: Option<String>,
}

impl Url {
    /// # Errors
    ///
    /// What is wrong with it, as a sentence.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let whole = "Write the whole URL, such as https://api.example.com/orders/1.";
        if text.len() > MAX_URL {
            return Err(format!("The URL is longer than {MAX_URL} bytes."));
        }
        let (scheme, rest) = text.split_once("://").ok_or(whole)?;
        let scheme = ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme)).ok_or(whole)?;
        if rest.contains('#') {
            return Err("Leave the fragment (`#…`) out: clients do not send it.".to_owned());
        }
        let (authority, path) = rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).ok_or(whole)?;
        let host = authority::normal(scheme, authority)
            .ok_or_else(|| format!("{authority:?} is not a host, with a port or without."))?
            .into_owned();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        let path = route::normalise_text(path).map_err(|error| error.detail().to_owned())?.into_cow().into_owned();
        if query.is_some_and(|query| !query.bytes().all(|byte| byte > b' ' && byte != 0x7f)) {
            return Err("The query contains a space or a control character.".to_owned());
        }
        Ok(Self { scheme, host, path, query: query.map(str::to_owned) })
    }

    /// What keys begin with that are for this URL.
    pub(super) fn beginnings(&self) -> Vec<Vec<u8>> {
        let bytes = |query: Option<&str>| {
            let resource = Resource { scheme: self.scheme, host: &self.host, path: &self.path, query };
            let mut bytes = Vec::new();
            match query {
                Some(_) => key::push_resource(&resource, &mut bytes),
                None => key::push_path(resource.scheme, resource.host, resource.path, &mut bytes),
            }
            bytes
        };
        self.queries().iter().map(|query| bytes(query.as_deref())).collect()
    }

    /// What to purge so that nothing for this URL is given again.
    pub(super) fn purges(&self) -> impl Iterator<Item = Purge> {
        let whole_path = self.query.is_none();
        let purge = move |bytes: Vec<u8>| {
            if whole_path { Purge::Path(bytes.into()) } else { Purge::Resource(bytes.into()) }
        };
        self.beginnings().into_iter().map(purge)
    }

    pub(super) fn without_query(&self) -> String {
        format!("{}://{}{}", self.scheme, self.host, self.path)
    }

    /// The query as it is written and, for routes on which the order of parameters does not matter, in the order of their names.
    fn queries(&self) -> Vec<Option<String>> {
        let Some(written) = &self.query else { return vec![None] };
        let mut parameters: Vec<&str> = written.split('&').filter(|parameter| !parameter.is_empty()).collect();
        parameters.sort_by_cached_key(|parameter| {
            let name = parameter.split_once('=').map_or(*parameter, |(name, _)| name);
            decoded(name.as_bytes()).collect::<Vec<u8>>()
        });
        let sorted = parameters.join("&");
        let is_other = sorted != *written;
        [Some(written.clone()), is_other.then_some(sorted)].into_iter().flatten().map(Some).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(scheme: &'static str, host: &str, path: &str, query: Option<&str>) -> Url {
        Url { scheme, host: host.to_owned(), path: path.to_owned(), query: query.map(str::to_owned) }
    }

    #[test]
    fn it_is_read_as_requests_are() {
        for (text, expected) in [
            ("https://api.example.com/orders/1", url("https", "api.example.com", "/orders/1", None)),
            ("HTTPS://API.example.com:443", url("https", "api.example.com", "/", None)),
            ("http://127.0.0.1:8080//a/./b/%7Ec?x=1&x=2", url("http", "127.0.0.1:8080", "/a/b/~c", Some("x=1&x=2"))),
            ("http://[::0:1]?", url("http", "[::1]", "/", Some(""))),
        ] {
            assert_eq!(Url::read(text), Ok(expected), "{text}");
        }
        for (text, said) in [
            ("/orders/1", "whole URL"),
            ("ftp://a.test/", "whole URL"),
            ("https:///orders", "is not a host"),
            ("https://me@a.test/", "is not a host"),
            ("https://a.test/../..", "climbs above"),
            ("https://a.test/#top", "fragment"),
            ("https://a.test/?a b", "a space"),
            (&format!("https://a.test/{}", "a".repeat(MAX_URL)), "longer than"),
        ] {
            let error = Url::read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn without_a_query_it_is_all_of_them_and_with_one_its_order_does_not_matter() {
        let queries = |text: &str| Url::read(text).unwrap().queries();
        assert_eq!(queries("https://a.test/"), [None]);
        assert_eq!(queries("https://a.test/?a=1&b=2"), [Some("a=1&b=2".to_owned())]);
        assert_eq!(queries("https://a.test/?b=2&a=1"), ["b=2&a=1", "a=1&b=2"].map(|query| Some(query.to_owned())));
        assert_eq!(
            queries("https://a.test/?a-b=1&a=2"),
            ["a-b=1&a=2", "a=2&a-b=1"].map(|query| Some(query.to_owned()))
        );
        assert_eq!(queries("https://a.test/?a=2&%61=1"), [Some("a=2&%61=1".to_owned())]);
        assert_eq!(queries("https://a.test/?b&a=2&%61=1").last(), Some(&Some("a=2&%61=1&b".to_owned())));
        for (text, number) in [("https://a.test/", 1), ("https://a.test/?", 1), ("https://a.test/?b&a", 2)] {
            assert_eq!(Url::read(text).unwrap().purges().count(), number, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_reads_the_same_once_it_is_written(
            text in "\\PC{0,60}|https?://[a-zA-Z.:0-9@\\[\\]]{0,12}(/[a-z%0-9./;]{0,12})?(\\?[a-z=&%+]{0,12})?",
        ) {
            if let Ok(Url { scheme, host, path, query }) = Url::read(&text) {
                let query_text = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
                let again = Url::read(&format!("{scheme}://{host}{path}{query_text}"));
                prop_assert_eq!(again, Ok(Url { scheme, host, path, query }));
            }
        }
    }
}
