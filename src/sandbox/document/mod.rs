//! What the sandbox knows of an OpenAPI 3.0 or 3.1 document, resolved and checked once.

use std::fmt;
use std::path::{Path, PathBuf};

use http::{HeaderName, Method, StatusCode};
use serde_json::Value;

mod operation;
mod reader;
mod schema;
#[cfg(test)]
mod tests;

pub(super) use operation::{essence, is_json};
pub(super) use schema::{Additional, Kind, Schema, SchemaId, Schemas, number};

/// The largest document that is read.
const MAX_BYTES: u64 = 4 << 20;

/// An API description, ready to be served.
#[derive(Debug)]
pub struct Document {
    title: String,
    version: String,
    source: Value,
    /// Concrete before templated (OpenAPI 3.1.1 section 4.8.8).
    paths: Vec<PathItem>,
    schemas: Schemas,
}

/// Why a document cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: larger than {}", .0.display(), crate::base::byte_size::format(MAX_BYTES))]
    TooLarge(PathBuf),
    #[error("{file}: not YAML or JSON: {message}")]
    Syntax { file: String, message: String },
    #[error("{}", list(.file, .faults))]
    Faults { file: String, faults: Vec<Fault> },
}

/// One thing that is wrong with a document, or that the sandbox cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a JSON pointer in URI fragment form (RFC 6901 section 6).
    pub pointer: String,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

fn list(file: &str, faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{file}{fault}")).collect::<Vec<_>>().join("\n")
}

impl Document {
    /// The partner API that ships with the gateway.
    pub fn embedded() -> Result<Self, Error> {
        const FILE: &str = "config/openapi/partner-api.yaml";
        Self::parse(FILE, include_str!("../../../config/openapi/partner-api.yaml"))
    }

    /// Reads a file of YAML or JSON.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
            return Err(Error::TooLarge(path.to_owned()));
        }
        Self::parse(&path.display().to_string(), &std::fs::read_to_string(path).map_err(failed)?)
    }

    /// Reads text of YAML or JSON; `file` is for messages. All faults are found at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let syntax = |error: &dyn fmt::Display| Error::Syntax { file: file.to_owned(), message: error.to_string() };
        // By way of YAML's own value, because only that refuses a key written twice.
        let mut yaml: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| syntax(&error))?;
        yaml.apply_merge().map_err(|error| syntax(&error))?;
        let source = serde_json::to_value(yaml).map_err(|error| syntax(&error))?;
        reader::read(source).map_err(|faults| Error::Faults { file: file.to_owned(), faults })
    }

    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The document as it was written, with references unresolved.
    #[must_use]
    pub fn source(&self) -> &Value {
        &self.source
    }

    pub(super) fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    pub(super) fn paths(&self) -> &[PathItem] {
        &self.paths
    }

    /// The path that these decoded segments are meant by.
    pub(super) fn find(&self, segments: &[String]) -> Option<&PathItem> {
        self.paths.iter().find(|path| {
            path.segments.len() == segments.len() && path.segments.iter().zip(segments).all(|(own, is)| own.matches(is))
        })
    }

    /// The parameter by which entries of a list path are named: `id` when there is `{list}/{id}`, at any depth.
    pub(super) fn entry_parameter(&self, list: &PathItem) -> Option<&str> {
        self.paths.iter().find_map(|path| match path.segments.strip_prefix(&*list.segments)?.first()? {
            Segment::Parameter(name) => Some(&**name),
            Segment::Literal(_) => None,
        })
    }
}

#[derive(Debug)]
pub(super) struct PathItem {
    pub(super) template: String,
    pub(super) segments: Vec<Segment>,
    pub(super) operations: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    Literal(Box<str>),
    Parameter(Box<str>),
}

impl Segment {
    fn matches(&self, segment: &str) -> bool {
        match self {
            Self::Literal(text) => **text == *segment,
            Self::Parameter(_) => !segment.is_empty(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// `operationId`, for people.
    pub(super) id: Option<String>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) responses: Vec<Response>,
    /// Entries of the list that this operation answers, if it answers one.
    pub(super) total: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) location: ParameterLocation,
    pub(super) required: bool,
    pub(super) schema: SchemaId,
    /// The member of the answer that a path parameter names, when it is not called like it.
    pub(super) property: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterLocation {
    Path,
    Query,
    Header,
    Cookie,
}

#[derive(Debug)]
pub(super) struct RequestBody {
    pub(super) required: bool,
    /// Media type without parameters (or a range such as `text/*`), and the schema when it is JSON.
    pub(super) content: Vec<(String, Option<SchemaId>)>,
}

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusPattern,
    pub(super) headers: Vec<(HeaderName, SchemaId)>,
    pub(super) content: Option<Content>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StatusPattern {
    Exact(StatusCode),
    /// `4XX`, by its first digit.
    Class(u16),
    Default,
}

impl StatusPattern {
    pub(super) fn matches(self, status: StatusCode) -> bool {
        match self {
            Self::Exact(own) => own == status,
            Self::Class(class) => status.as_u16() / 100 == class,
            Self::Default => true,
        }
    }
}

/// The representation that is served: JSON where there is a choice.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) media_type: http::HeaderValue,
    pub(super) schema: Option<SchemaId>,
    pub(super) example: Option<Value>,
}

impl Operation {
    /// What is answered when all is well: the lowest 2xx, else the lowest status that is written.
    pub(super) fn success(&self) -> Option<(StatusCode, &Response)> {
        let exact = |response: &Response| match response.status {
            StatusPattern::Exact(status) => Some(status),
            StatusPattern::Class(2) | StatusPattern::Default => Some(StatusCode::OK),
            StatusPattern::Class(_) => None,
        };
        let known = || self.responses.iter().filter_map(|response| Some((exact(response)?, response)));
        known().find(|(status, _)| status.is_success()).or_else(|| known().next())
    }

    /// The response that describes a status, the most exact first.
    pub(super) fn response(&self, status: StatusCode) -> Option<&Response> {
        self.responses.iter().find(|response| response.status.matches(status))
    }
}
