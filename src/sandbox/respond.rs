//! From a request to its answer, by the document.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::document::{
    Document, Operation, ParameterLocation, PathItem, Response, SchemaId, Schemas, Segment, essence, is_json,
};
use super::example::Generator;
use super::list::List;
use super::problem::{invalid, problem};
use super::{percent, seed, validate};

/// A request with its body read.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// As sent, without the query.
    pub(super) path: &'a str,
    /// As sent; empty when there is none.
    pub(super) query: &'a str,
    pub(super) parameters: &'a [(String, String)],
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
    /// The path of the document that is meant, once known.
    pub(super) item: Option<&'a PathItem>,
}

impl Request<'_> {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters(name).next()
    }

    pub(super) fn parameters(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// An answer, before it is made late, slow or broken.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
}

#[derive(Clone, Debug)]
pub(super) enum Payload {
    Empty,
    Bytes(Bytes),
    /// So many bytes of a fixed pattern.
    Filler(u64),
}

impl Answer {
    pub(super) fn new(status: StatusCode, payload: Payload) -> Self {
        Self { status, headers: HeaderMap::new(), payload }
    }

    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        let mut answer = Self::new(status, Payload::Bytes(body.to_string().into()));
        answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer
    }
}

/// Answers a request; `forced` is a status that was asked for.
pub(super) fn answer<'a>(document: &'a Document, mut request: Request<'a>, forced: Option<StatusCode>) -> Answer {
    let segments = request.path.strip_prefix('/').unwrap_or_default().split('/').map(percent::decode);
    let Some(segments) = segments.collect::<Option<Vec<_>>>() else {
        return problem(StatusCode::BAD_REQUEST, "The path has a broken percent-escape.");
    };
    let item = document.find(&segments);
    let operation = item.and_then(|item| find_operation(item, request.method));
    if let Some(status) = forced {
        return self::forced(document, operation, status, &request);
    }
    let Some(item) = item else {
        let detail = format!("The document has no path that `{}` fits; GET /sandbox lists them.", request.path);
        return problem(StatusCode::NOT_FOUND, &detail);
    };
    request.item = Some(item);
    let Some(operation) = operation else { return other_method(item, request.method) };
    let call = Call { document, item, operation, segments: &segments, request: &request };
    call.answer().unwrap_or_else(|refused| *refused)
}

/// HEAD is GET without the body (RFC 9110 section 9.3.2).
fn find_operation<'a>(item: &'a PathItem, method: &Method) -> Option<&'a Operation> {
    let find = |method: &Method| item.operations.iter().find(|operation| operation.method == *method);
    find(method).or_else(|| if *method == Method::HEAD { find(&Method::GET) } else { None })
}

fn other_method(item: &PathItem, method: &Method) -> Answer {
    let mut allowed: Vec<&str> = item.operations.iter().map(|operation| operation.method.as_str()).collect();
    if allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
        allowed.push("HEAD");
    }
    if !allowed.contains(&"OPTIONS") {
        allowed.push("OPTIONS");
    }
    let mut answer = if *method == Method::OPTIONS {
        Answer::new(StatusCode::NO_CONTENT, Payload::Empty)
    } else {
        let detail = format!("`{}` takes {}, not {method}.", item.template, allowed.join(", "));
        problem(StatusCode::METHOD_NOT_ALLOWED, &detail)
    };
    if let Ok(allow) = HeaderValue::try_from(allowed.join(", ")) {
        answer.headers.insert(header::ALLOW, allow);
    }
    answer
}

/// The answer with a status that the client chose, as the document describes it where it does.
fn forced(document: &Document, operation: Option<&Operation>, status: StatusCode, request: &Request<'_>) -> Answer {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED) {
        return Answer::new(status, Payload::Empty);
    }
    let schemas = document.schemas();
    let seed = seed::hash(&[request.method.as_str(), request.path, status.as_str()]);
    let response = operation.and_then(|operation| operation.response(status));
    let mut answer = match response.and_then(|response| response.content.as_ref()) {
        Some(content) => {
            let generate = |schema| Generator::new(schemas, seed).required_only().value(schema);
            let body = content.example.clone().or_else(|| content.schema.map(generate)).unwrap_or_default();
            represent(status, content.media_type.clone(), describe(body, content.schema, schemas, status))
        }
        None if status.is_client_error() || status.is_server_error() => problem(status, ASKED_FOR),
        None => Answer::json(status, &json!({ "status": status.as_u16() })),
    };
    if let Some(response) = response {
        fields(&mut answer, schemas, response, seed);
    }
    if status.is_redirection() && !answer.headers.contains_key(header::LOCATION) {
        answer.headers.insert(header::LOCATION, HeaderValue::from_static("/sandbox/echo"));
    }
    answer
}

const ASKED_FOR: &str = "The request asked the sandbox for this status.";

/// Makes a generated problem document speak of the status it comes with.
fn describe(mut body: Value, schema: Option<SchemaId>, schemas: &Schemas, status: StatusCode) -> Value {
    let known = |name: &str| schema.is_some_and(|id| schemas.get(id).property(name).is_some());
    let error = status.is_client_error() || status.is_server_error();
    if let (true, true, Value::Object(members)) = (error, known("title") && known("status"), &mut body) {
        members.insert("title".into(), status.canonical_reason().unwrap_or("Error").into());
        members.insert("status".into(), status.as_u16().into());
        if known("detail") {
            members.insert("detail".into(), ASKED_FOR.into());
        }
    }
    body
}

/// A value for a place in an API: by its identity where it has one, so that lists and single reads agree.
pub(super) fn resource(schemas: &Schemas, schema: SchemaId, identity: Option<(&str, Value)>, seed: u64) -> Value {
    let Some((name, id)) = identity else { return Generator::new(schemas, seed).value(schema) };
    let seed = seed::hash(&[&schemas.get(schema).pointer, &plain(&id)]);
    let mut value = Generator::new(schemas, seed).value(schema);
    if let Value::Object(members) = &mut value {
        members.insert(name.to_owned(), id);
    }
    value
}

/// A request whose operation is known.
struct Call<'a> {
    document: &'a Document,
    item: &'a PathItem,
    operation: &'a Operation,
    segments: &'a [String],
    request: &'a Request<'a>,
}

impl Call<'_> {
    fn answer(&self) -> Result<Answer, Box<Answer>> {
        let schemas = self.document.schemas();
        self.check_parameters()?;
        let sent = self.check_body()?;
        let Some((status, response)) = self.operation.success() else {
            return Err(Box::new(problem(StatusCode::NOT_IMPLEMENTED, "The document names no status to answer with.")));
        };
        let text = sent.as_ref().map(Value::to_string).unwrap_or_default();
        let seed = seed::hash(&[self.operation.method.as_str(), self.request.path, &text]);
        let mut location = None;
        let mut link = None;
        let mut answer = match &response.content {
            None => Answer::new(status, Payload::Empty),
            Some(content) => {
                let list = content.schema.and_then(|schema| List::of(schemas, self.operation, schema));
                let body = match (list, content.schema, &content.example) {
                    (Some(list), Some(schema), _) if self.operation.method == Method::GET => {
                        let page = list.page(self.document, self.operation, schema, self.request)?;
                        link = page.link;
                        page.body
                    }
                    (_, Some(schema), None) => {
                        self.bind(resource(schemas, schema, self.identity(schema), seed), schema, sent)
                    }
                    (_, Some(schema), Some(example)) => self.bind(example.clone(), schema, sent),
                    (_, None, example) => example.clone().unwrap_or_default(),
                };
                location = self.location(&body);
                represent(status, content.media_type.clone(), body)
            }
        };
        fields(&mut answer, schemas, response, seed);
        let declared = response.headers.iter().any(|(name, _)| *name == header::LOCATION);
        if let Some(location) = location.filter(|_| declared) {
            answer.headers.insert(header::LOCATION, location);
        }
        if let Some(link) = link {
            answer.headers.insert(header::LINK, link);
        }
        Ok(answer)
    }

    fn check_parameters(&self) -> Result<(), Box<Answer>> {
        let mut violations = Vec::new();
        for parameter in &self.operation.parameters {
            let name = parameter.name.as_str();
            let texts: Vec<&str> = match parameter.location {
                ParameterLocation::Path => self.segment(name).into_iter().collect(),
                ParameterLocation::Query => self.request.parameters(name).collect(),
                ParameterLocation::Header => {
                    self.request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
                }
                ParameterLocation::Cookie => self.cookies(name).collect(),
            };
            if texts.is_empty() {
                // The gateway, not the sandbox, decides about these three (OpenAPI 3.1.1 section 4.8.12).
                let ignored =
                    ["accept", "content-type", "authorization"].iter().any(|own| name.eq_ignore_ascii_case(own));
                if parameter.required && !ignored {
                    violations.push(validate::Violation { pointer: name.to_owned(), detail: "is missing".to_owned() });
                }
            } else {
                violations.extend(validate::parameter(self.document.schemas(), parameter.schema, name, &texts));
            }
        }
        if violations.is_empty() { Ok(()) } else { Err(Box::new(invalid("A parameter", &violations))) }
    }

    fn cookies<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        let fields = self.request.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        fields
            .flat_map(|field| field.split(';'))
            .filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
    }

    fn segment(&self, name: &str) -> Option<&str> {
        let index =
            self.item.segments.iter().position(|own| matches!(own, Segment::Parameter(own) if **own == *name))?;
        self.segments.get(index).map(String::as_str)
    }

    /// The body, if it is JSON and the document has a schema for it.
    fn check_body(&self) -> Result<Option<Value>, Box<Answer>> {
        let Some(declared) = &self.operation.body else { return Ok(None) };
        if self.request.body.is_empty() {
            return if declared.required {
                Err(Box::new(problem(StatusCode::BAD_REQUEST, "The request body is missing.")))
            } else {
                Ok(None)
            };
        }
        let sent = self.request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(essence);
        let sent = sent.unwrap_or_default();
        let fits = |own: &str| {
            own == sent || own == "*/*" || own.strip_suffix('*').is_some_and(|range| sent.starts_with(range))
        };
        let Some((_, schema)) = declared.content.iter().find(|(own, _)| fits(own)) else {
            let known: Vec<_> = declared.content.iter().map(|(own, _)| own.as_str()).collect();
            let detail = format!("The request body must be {}; set Content-Type.", known.join(" or "));
            return Err(Box::new(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &detail)));
        };
        if !is_json(&sent) {
            return Ok(None);
        }
        let value: Value = serde_json::from_slice(self.request.body)
            .map_err(|error| problem(StatusCode::BAD_REQUEST, &format!("The request body is not JSON: {error}.")))?;
        if let Some(schema) = schema {
            let violations = validate::body(self.document.schemas(), *schema, &value);
            if !violations.is_empty() {
                return Err(Box::new(invalid("The request body", &violations)));
            }
        }
        Ok(Some(value))
    }

    /// What the last segment of the path names, if it names something of the answer.
    fn identity(&self, schema: SchemaId) -> Option<(&str, Value)> {
        let Some(Segment::Parameter(name)) = self.item.segments.last() else { return None };
        self.bound(schema).into_iter().find(|(parameter, ..)| *parameter == &**name).map(|(_, member, id)| (member, id))
    }

    /// Path parameters that are members of the answer: parameter, member, value.
    fn bound(&self, schema: SchemaId) -> Vec<(&str, &str, Value)> {
        let schemas = self.document.schemas();
        let last = self.item.segments.last();
        let paths = self.operation.parameters.iter().filter(|own| own.location == ParameterLocation::Path);
        let bound = paths.filter_map(|own| {
            let is_last = matches!(last, Some(Segment::Parameter(name)) if **name == *own.name);
            let member = own.property.as_deref().or_else(|| is_last.then_some(own.name.as_str()))?;
            let property = schemas.get(schemas.get(schema).property(member)?);
            Some((own.name.as_str(), member, validate::scalar(property, self.segment(&own.name)?)))
        });
        bound.collect()
    }

    /// Puts into an answer what the request said: members that were sent, then what the path names.
    fn bind(&self, mut value: Value, schema: SchemaId, sent: Option<Value>) -> Value {
        let schemas = self.document.schemas();
        let Value::Object(members) = &mut value else { return value };
        if let Some(Value::Object(mut sent)) = sent {
            for (name, id) in &schemas.get(schema).properties {
                let own = schemas.get(*id);
                if !own.read_only
                    && !own.write_only
                    && let Some(value) = sent.remove(name)
                {
                    members.insert(name.clone(), value);
                }
            }
        }
        for (_, member, value) in self.bound(schema) {
            members.insert(member.to_owned(), value);
        }
        value
    }

    /// Where a created resource is found.
    fn location(&self, body: &Value) -> Option<HeaderValue> {
        let id = body.get(self.document.entry_parameter(self.item).unwrap_or("id"))?;
        HeaderValue::try_from(format!("{}/{}", self.request.path.trim_end_matches('/'), plain(id))).ok()
    }
}

/// Adds the fields that the document says, where nothing has set them.
fn fields(answer: &mut Answer, schemas: &Schemas, response: &Response, seed: u64) {
    for (index, (name, schema)) in response.headers.iter().enumerate() {
        if [header::LINK, header::LOCATION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
            continue;
        }
        let value = Generator::new(schemas, seed.wrapping_add(index as u64)).value(*schema);
        if let Ok(value) = HeaderValue::try_from(plain(&value)) {
            answer.headers.insert(name.clone(), value);
        }
    }
}

fn represent(status: StatusCode, media_type: HeaderValue, body: Value) -> Answer {
    let json = media_type.to_str().is_ok_and(|text| is_json(&essence(text)));
    let text = if json { body.to_string() } else { plain(&body) };
    let mut answer = Answer::new(status, Payload::Bytes(text.into()));
    answer.headers.insert(header::CONTENT_TYPE, media_type);
    answer
}

/// A value as text: a string without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
