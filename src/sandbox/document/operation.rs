//! Paths, operations, parameters, bodies and responses.

use std::collections::HashSet;

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::reader::{Place, Reader};
use super::schema::{Additional, Kind, SchemaId, Schemas};
use super::{
    Content, Operation, Parameter, ParameterLocation, PathItem, RequestBody, Response, Segment, StatusPattern,
};
use crate::sandbox::percent;

/// Entries of a list whose document does not say.
const DEFAULT_TOTAL: usize = 42;
const MAX_TOTAL: u64 = 10_000;

const METHODS: [(&str, Method); 7] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("patch", Method::PATCH),
    ("head", Method::HEAD),
    ("options", Method::OPTIONS),
];

pub(super) fn paths<'a>(reader: &mut Reader<'a>, root: &Place<'a>) -> Vec<PathItem> {
    let base = base_path(reader, root);
    let Some(place) = root.child("paths") else {
        reader.fault("#", "must have `paths`");
        return Vec::new();
    };
    let mut paths: Vec<PathItem> = Vec::new();
    for (template, item) in reader.entries(&place) {
        if template.starts_with("x-") {
            continue;
        }
        let Some(mut segments) = segments(reader, template, &item.pointer) else { continue };
        segments.splice(0..0, base.iter().cloned());
        let pointer = item.pointer.clone();
        let Some(item) = reader.resolve(item) else { continue };
        let operations = path_item(reader, &item, &segments);
        let shape = |segments: &[Segment]| -> Vec<Option<Segment>> {
            segments.iter().map(|segment| matches!(segment, Segment::Literal(_)).then(|| segment.clone())).collect()
        };
        if let Some(twin) = paths.iter().find(|other| shape(&other.segments) == shape(&segments)) {
            reader.fault(&pointer, format!("means the same paths as `{}`", twin.template));
        }
        paths.push(PathItem { template: template.to_owned(), segments, operations });
    }
    // `Literal` sorts before `Parameter`, segment by segment; the order among literals does not matter.
    paths.sort_by(|a, b| a.segments.cmp(&b.segments));
    paths
}

/// The path of the first server, with the defaults of its variables.
fn base_path<'a>(reader: &mut Reader<'a>, root: &Place<'a>) -> Vec<Segment> {
    let Some(servers) = root.child("servers") else { return Vec::new() };
    let Some(server) = reader.items(&servers).into_iter().next() else { return Vec::new() };
    let Some(url) = server.text("url") else {
        reader.fault(&server.pointer, "must have `url`");
        return Vec::new();
    };
    let mut url = url.to_owned();
    if let Some(variables) = server.child("variables") {
        for (name, variable) in reader.entries(&variables) {
            url = url.replace(&format!("{{{name}}}"), variable.text("default").unwrap_or_default());
        }
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map(|(_, path)| path).unwrap_or_default(),
        None => url.as_str(),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.split('/').filter(|segment| !segment.is_empty()).map(|segment| Segment::Literal(segment.into())).collect()
}

fn segments(reader: &mut Reader<'_>, template: &str, pointer: &str) -> Option<Vec<Segment>> {
    let Some(path) = template.strip_prefix('/') else {
        reader.fault(pointer, "a path begins with `/`");
        return None;
    };
    let mut segments = Vec::new();
    for text in path.split('/') {
        let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match name {
            Some(name) if !name.is_empty() && !name.contains(['{', '}']) => {
                segments.push(Segment::Parameter(name.into()));
            }
            _ if text.contains(['{', '}']) => {
                reader.fault(pointer, format!("`{text}`: a parameter must be a whole segment, such as `{{id}}`"));
                return None;
            }
            _ => match percent::decode(text) {
                Some(text) => segments.push(Segment::Literal(text.into())),
                None => {
                    reader.fault(pointer, format!("`{text}` has a broken percent-escape"));
                    return None;
                }
            },
        }
    }
    Some(segments)
}

fn path_item<'a>(reader: &mut Reader<'a>, item: &Place<'a>, segments: &[Segment]) -> Vec<Operation> {
    const REMARKS: [&str; 4] = ["summary", "description", "parameters", "$ref"];
    let shared = item.child("parameters").map(|place| parameters(reader, &place)).unwrap_or_default();
    let mut operations = Vec::new();
    for (key, place) in reader.entries(item) {
        if let Some((_, method)) = METHODS.iter().find(|(name, _)| *name == key) {
            operations.push(operation(reader, &place, method.clone(), &shared, segments));
        } else if !key.starts_with("x-") && !REMARKS.contains(&key) {
            reader.fault(&place.pointer, format!("`{key}` is not supported by the sandbox"));
        }
    }
    operations
}

fn operation<'a>(
    reader: &mut Reader<'a>,
    place: &Place<'a>,
    method: Method,
    shared: &[Parameter],
    segments: &[Segment],
) -> Operation {
    let mut all = place.child("parameters").map(|place| parameters(reader, &place)).unwrap_or_default();
    for parameter in shared {
        if !all.iter().any(|own| own.name == parameter.name && own.location == parameter.location) {
            all.push(parameter.clone());
        }
    }
    for parameter in all.iter().filter(|parameter| parameter.location == ParameterLocation::Path) {
        if !segments.iter().any(|segment| *segment == Segment::Parameter(parameter.name.as_str().into())) {
            reader.fault(&place.pointer, format!("the path has no `{{{}}}`", parameter.name));
        }
    }
    let total = match place.child("x-sandbox-total") {
        None => DEFAULT_TOTAL,
        Some(written) => {
            let total = written.value.as_u64().filter(|total| *total <= MAX_TOTAL);
            if total.is_none() {
                reader.fault(&written.pointer, format!("must be a whole number up to {MAX_TOTAL}"));
            }
            total.and_then(|total| usize::try_from(total).ok()).unwrap_or_default()
        }
    };
    let body = place.child("requestBody").and_then(|body| request_body(reader, body));
    let mut responses = Vec::new();
    match place.child("responses") {
        Some(written) => {
            for (status, response) in reader.entries(&written) {
                if !status.starts_with("x-") {
                    responses.extend(self::response(reader, status, response));
                }
            }
        }
        None => reader.fault(&place.pointer, "must have `responses`"),
    }
    responses.sort_by_key(|response| response.status);
    if responses.is_empty() {
        reader.fault(&format!("{}/responses", place.pointer), "must have at least one response");
    }
    Operation { method, id: place.text("operationId").map(str::to_owned), parameters: all, body, responses, total }
}

fn parameters<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Vec<Parameter> {
    reader.items(place).into_iter().filter_map(|item| parameter(reader, item)).collect()
}

fn parameter<'a>(reader: &mut Reader<'a>, place: Place<'a>) -> Option<Parameter> {
    let place = reader.resolve(place)?;
    let (location, style) = match place.text("in") {
        Some("path") => (ParameterLocation::Path, "simple"),
        Some("query") => (ParameterLocation::Query, "form"),
        Some("header") => (ParameterLocation::Header, "simple"),
        Some("cookie") => (ParameterLocation::Cookie, "form"),
        _ => {
            reader.fault(&format!("{}/in", place.pointer), "must be `path`, `query`, `header` or `cookie`");
            return None;
        }
    };
    let Some(name) = place.text("name") else {
        reader.fault(&place.pointer, "must have `name`");
        return None;
    };
    if place.text("style").is_some_and(|written| written != style) {
        reader.fault(&format!("{}/style", place.pointer), format!("only `{style}` is supported here"));
    }
    let Some(schema) = place.child("schema") else {
        reader.fault(&place.pointer, "must have `schema` (`content` is not supported for parameters)");
        return None;
    };
    let required = place.flag("required");
    if location == ParameterLocation::Path && !required {
        reader.fault(&place.pointer, "a path parameter must say `required: true`");
    }
    Some(Parameter {
        name: name.to_owned(),
        location,
        required,
        schema: reader.schema(schema),
        property: place.text("x-sandbox-property").map(str::to_owned),
    })
}

fn request_body<'a>(reader: &mut Reader<'a>, place: Place<'a>) -> Option<RequestBody> {
    let place = reader.resolve(place)?;
    let Some(written) = place.child("content") else {
        reader.fault(&place.pointer, "must have `content`");
        return None;
    };
    let mut content = Vec::new();
    for (name, media) in reader.entries(&written) {
        let name = essence(name);
        let schema = media.child("schema").filter(|_| is_json(&name)).map(|schema| reader.schema(schema));
        content.push((name, schema));
    }
    Some(RequestBody { required: place.flag("required"), content })
}

fn response<'a>(reader: &mut Reader<'a>, status: &str, place: Place<'a>) -> Option<Response> {
    let at = place.pointer.clone();
    let status = match status.as_bytes() {
        b"default" => StatusPattern::Default,
        [class @ b'1'..=b'5', b'X', b'X'] => StatusPattern::Class(u16::from(class - b'0')),
        _ => match status.parse::<u16>().ok().filter(|code| (200..600).contains(code)).map(StatusCode::from_u16) {
            Some(Ok(status)) => StatusPattern::Exact(status),
            _ => {
                reader.fault(&at, "must be a status from 200 to 599, a class such as `4XX`, or `default`");
                return None;
            }
        },
    };
    let place = reader.resolve(place)?;
    let mut headers = Vec::new();
    if let Some(written) = place.child("headers") {
        for (name, header) in reader.entries(&written) {
            let Some(header) = reader.resolve(header) else { continue };
            match (HeaderName::try_from(name), header.child("schema")) {
                (Ok(name), _) if name == http::header::CONTENT_TYPE => {}
                (Ok(name), Some(schema)) => headers.push((name, reader.schema(schema))),
                (Ok(_), None) => reader.fault(&header.pointer, "must have `schema`"),
                (Err(_), _) => reader.fault(&header.pointer, "is not a field name"),
            }
        }
    }
    let content = place.child("content").and_then(|written| content(reader, &written));
    Some(Response { status, headers, content })
}

fn content<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Content> {
    let entries = reader.entries(place);
    let (name, media) = entries
        .iter()
        .find(|(name, _)| essence(name) == "application/json")
        .or_else(|| entries.iter().find(|(name, _)| is_json(&essence(name))))
        .or_else(|| entries.first())?;
    let written = if name.contains('*') { "application/octet-stream" } else { name };
    let Ok(media_type) = HeaderValue::from_str(written) else {
        reader.fault(&media.pointer, "is not a media type");
        return None;
    };
    let example = match media.child("example") {
        Some(example) => Some(example.value.clone()),
        None => match media.child("examples") {
            Some(examples) => {
                let first = reader.entries(&examples).into_iter().next();
                first
                    .and_then(|(_, example)| reader.resolve(example))
                    .and_then(|example| example.value.get("value").cloned())
            }
            None => None,
        },
    };
    Some(Content { media_type, schema: media.child("schema").map(|schema| reader.schema(schema)), example })
}

/// A media type without parameters, in lower case.
pub(in crate::sandbox) fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(in crate::sandbox) fn is_json(essence: &str) -> bool {
    essence == "application/json" || essence.ends_with("+json")
}

/// Finds text that would have to be invented for a `pattern`: such a schema needs an example.
pub(super) fn check_examples(reader: &mut Reader<'_>, paths: &[PathItem], schemas: &Schemas) {
    let responses = paths.iter().flat_map(|path| &path.operations).flat_map(|operation| &operation.responses);
    let mut waiting: Vec<SchemaId> = responses
        .flat_map(|response| {
            let content = response.content.iter().filter(|content| content.example.is_none());
            content.filter_map(|content| content.schema).chain(response.headers.iter().map(|(_, id)| *id))
        })
        .collect();
    let mut seen = HashSet::new();
    while let Some(id) = waiting.pop() {
        let schema = schemas.get(id);
        if !seen.insert(id) || !schema.examples.is_empty() || !schema.values.is_empty() {
            continue;
        }
        if schema.pattern && schema.kind().is_none_or(|kind| kind == Kind::String) {
            reader.fault(&schema.pointer, "`pattern` needs an `example` or `enum` beside it to be answered from");
        }
        waiting.extend(schema.properties.iter().map(|(_, id)| *id));
        waiting.extend(schema.items.iter().chain(&schema.one_of).chain(&schema.any_of));
        if let Additional::Schema(id) = schema.additional {
            waiting.push(id);
        }
    }
}
