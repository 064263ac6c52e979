//! What a request asks of the sandbox beside the answer itself: to be late, to fail, to trickle, to break off, to be large.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::base::{byte_size, duration};

const MAX_WAIT: Duration = Duration::from_secs(600);
const MAX_SIZE: u64 = 1 << 30;

/// Asked for by field (`X-Sandbox-Delay: 250ms`) or query parameter (`sandbox_delay=250ms`); the field wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Controls {
    /// Before the head of the answer.
    pub(super) delay: Option<Duration>,
    /// Instead of the status that the document says.
    pub(super) status: Option<StatusCode>,
    /// Between two pieces of the body.
    pub(super) trickle: Option<Duration>,
    /// Close the connection in the middle of the body.
    pub(super) abort: bool,
    /// Bytes of filler instead of the body.
    pub(super) size: Option<u64>,
}

/// Field, query parameter, what it takes; for the index page.
pub(super) const WORDS: [(&str, &str, &str); 5] = [
    ("X-Sandbox-Delay", "sandbox_delay", "a duration up to 10m, such as 250ms: wait before the head"),
    ("X-Sandbox-Status", "sandbox_status", "a status from 200 to 599: answer with it"),
    ("X-Sandbox-Trickle", "sandbox_trickle", "a duration up to 10m, such as 100ms: pause between pieces of the body"),
    ("X-Sandbox-Abort", "sandbox_abort", "1: close the connection in the middle of the body"),
    ("X-Sandbox-Size", "sandbox_size", "a size up to 1GiB, such as 10MiB: send a body of that many bytes"),
];

impl Controls {
    /// The error is a sentence for the client.
    pub(super) fn read(headers: &HeaderMap, query: &[(String, String)]) -> Result<Self, String> {
        let mut controls = Self::default();
        for (field, parameter, _) in WORDS {
            let text = match headers.get(field) {
                Some(value) => value.to_str().map_err(|_| format!("{field}: not text"))?,
                None => match query.iter().find(|(name, _)| name == parameter) {
                    Some((_, value)) => value,
                    None => continue,
                },
            };
            controls.set(field, text.trim()).map_err(|message| format!("{field} (or `{parameter}`): {message}"))?;
        }
        Ok(controls)
    }

    fn set(&mut self, field: &str, text: &str) -> Result<(), String> {
        match field {
            "X-Sandbox-Delay" => self.delay = Some(wait(text)?),
            "X-Sandbox-Trickle" => self.trickle = Some(wait(text)?),
            "X-Sandbox-Status" => {
                let status = text.parse().ok().filter(|code| (200..600).contains(code));
                let status = status.and_then(|code: u16| StatusCode::from_u16(code).ok());
                self.status = Some(status.ok_or_else(|| format!("`{text}` is not a status from 200 to 599"))?);
            }
            "X-Sandbox-Abort" => {
                self.abort = match text {
                    "1" | "true" => true,
                    "0" | "false" => false,
                    _ => return Err(format!("`{text}` is neither 1 nor 0")),
                }
            }
            _ => {
                let size = byte_size::parse(text)?;
                if size > MAX_SIZE {
                    return Err(format!("`{text}` is more than {}", byte_size::format(MAX_SIZE)));
                }
                self.size = Some(size);
            }
        }
        Ok(())
    }
}

fn wait(text: &str) -> Result<Duration, String> {
    let wait = duration::parse(text)?;
    if wait > MAX_WAIT {
        return Err(format!("`{text}` is more than {}", duration::format(MAX_WAIT)));
    }
    Ok(wait)
}
