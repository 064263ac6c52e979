//! The request that is asked about, as it would arrive.

use std::net::IpAddr;

use clap::Args;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method};

#[derive(Args)]
pub(crate) struct Request {
    /// Such as GET
    pub(crate) method: Method,
    /// Such as https://api.example.com/api/orders/7, or a path alone, which is asked of http://localhost
    #[arg(value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Request field; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Bytes of request body
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) body: u64,
    /// Who connects
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) client: IpAddr,
}

/// Split, but not read: what is wrong with it is for the gateway to say.
#[derive(Clone)]
pub(crate) struct Url {
    pub(crate) https: bool,
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
}

impl Url {
    /// Whatever begins with `http://`, `https://` or a slash.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            return Err(
                "an URL has neither spaces nor characters beyond ASCII; write them as %20 and the like".to_owned()
            );
        }
        // What follows `#` never leaves a client.
        let text = text.split('#').next().unwrap_or_default();
        let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ if text.starts_with('/') => {
                return Ok(Self { https: false, authority: "localhost".to_owned(), target: text.to_owned() });
            }
            _ => {
                return Err(
                    "write a URL such as https://api.example.com/api/orders, or a path such as /api/orders".to_owned()
                );
            }
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { https, authority: authority.to_owned(), target: format!("{slash}{target}") })
    }
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is not a field name"))?;
    let value = value.trim().parse().map_err(|_| format!("`{value}` is not a field value"))?;
    Ok((name, value))
}

impl Request {
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(sent, _)| sent == name)
    }

    /// As HTTP/1.1 sends it (RFC 9112 §3).
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.url.target).into_bytes();
        let mut line = |name: &HeaderName, value: &[u8]| {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        };
        if !self.has(&HOST) {
            line(&HOST, self.url.authority.as_bytes());
        }
        for (name, value) in &self.headers {
            line(name, value.as_bytes());
        }
        if self.body > 0 && !self.has(&CONTENT_LENGTH) && !self.has(&TRANSFER_ENCODING) {
            line(&CONTENT_LENGTH, self.body.to_string().as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.url.https { "https" } else { "http" }
    }

    /// The Host field as sent.
    pub(crate) fn authority(&self) -> String {
        let named = self.headers.iter().find(|(name, _)| *name == HOST);
        named.map_or_else(
            || self.url.authority.clone(),
            |(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    }
}
