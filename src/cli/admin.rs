//! Commands that ask a gateway that runs, through its admin API.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::run::reachable;
use super::{Common, FOUND_ERRORS, Failure};

/// For a connection on this machine or nearby.
const CONNECT: Duration = Duration::from_secs(3);
/// Longer than a store may keep the gateway waiting.
const ANSWER: Duration = Duration::from_secs(20);
/// Far above a page of revocations, or of stored answers.
const MAX_ANSWER: u64 = 64 << 20;

/// Where it is.
#[derive(Args)]
pub(super) struct At {
    /// The admin API of the gateway [default: what the bootstrap file says]
    #[arg(long, env = "SLUICE_ADMIN", value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

impl At {
    pub(super) fn admin(&self, common: &Common) -> Result<Admin, Failure> {
        let address = match self.admin {
            Some(address) => address,
            None => common.bootstrap(FOUND_ERRORS)?.admin.ok_or_else(|| {
                Failure::found("the bootstrap file has no admin API (`admin: off`), through which this command works")
            })?,
        };
        Ok(Admin(reachable(address)))
    }
}

/// The admin API of a gateway.
pub(super) struct Admin(SocketAddr);

impl Admin {
    /// Asks, and reads the answer.
    ///
    /// # Errors
    ///
    /// A gateway that does not answer, or refuses.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let fields = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            self.0,
            body.len()
        );
        let failed = |error: io::Error| Failure::found(format!("the admin API at http://{}: {error}", self.0));
        let answer = self.exchange(&request).map_err(failed)?;
        let (status, body) = read(&answer).map_err(failed)?;
        let problem = |value: &Value| {
            let errors = value["errors"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join("; ");
            format!("{status}: {} {errors}", text(&value["detail"]))
        };
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if (200..300).contains(&status) => Ok(value),
            Ok(value) => Err(Failure::found(problem(&value).trim_end())),
            Err(_) => Err(Failure::found(format!("the admin API at http://{} answered {status}, and no JSON", self.0))),
        }
    }

    fn exchange(&self, request: &str) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.0, CONNECT)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Status and body of an answer that ends with its connection.
fn read(answer: &[u8]) -> io::Result<(u16, &[u8])> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP, or was cut");
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = head.parse(answer) else { return Err(invalid()) };
    let body = answer.get(length..).unwrap_or_default();
    let announced = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let announced = announced.and_then(|field| str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    match (head.code, announced) {
        (Some(status), Some(length)) if length == body.len() => Ok((status, body)),
        _ => Err(invalid()),
    }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
