//! Lists, a page at a time: by cursor, page number or offset, whichever parameter the document has.

use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::document::{Document, Kind, Operation, ParameterLocation, SchemaId, Schemas};
use super::example::Generator;
use super::problem::problem;
use super::respond::{Answer, Request, resource};
use super::{seed, validate};

const SIZE_PARAMETERS: [&str; 3] = ["limit", "page_size", "per_page"];
const DEFAULT_SIZE: usize = 20;
const MAX_SIZE: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Cursor,
    Page,
    Offset,
}

impl Style {
    const ALL: [Self; 3] = [Self::Cursor, Self::Page, Self::Offset];

    fn parameter(self) -> &'static str {
        match self {
            Self::Cursor => "cursor",
            Self::Page => "page",
            Self::Offset => "offset",
        }
    }
}

/// How an operation answers a list.
pub(super) struct List {
    item: SchemaId,
    /// The member that holds the entries; none when the answer is the list itself.
    member: Option<String>,
    size: Option<(&'static str, usize)>,
    style: Option<Style>,
}

/// One page, and the `Link` field that leads to its neighbours.
pub(super) struct Page {
    pub(super) body: Value,
    pub(super) link: Option<HeaderValue>,
}

impl List {
    /// A list has entries and a parameter that pages it.
    pub(super) fn of(schemas: &Schemas, operation: &Operation, answer: SchemaId) -> Option<Self> {
        let query = |name: &str| {
            operation.parameters.iter().find(|own| own.location == ParameterLocation::Query && own.name == name)
        };
        let size = SIZE_PARAMETERS.iter().find_map(|name| {
            let default = schemas.get(query(name)?.schema).default.as_ref().and_then(Value::as_u64);
            Some((*name, default.and_then(|size| usize::try_from(size).ok()).unwrap_or(DEFAULT_SIZE)))
        });
        let style = Style::ALL.into_iter().find(|style| query(style.parameter()).is_some());
        if size.is_none() && style.is_none() {
            return None;
        }
        let schema = schemas.get(answer);
        let entries = |id: SchemaId| schemas.get(id).items.filter(|_| schemas.get(id).kind() == Some(Kind::Array));
        match entries(answer) {
            Some(item) => Some(Self { item, member: None, size, style }),
            None => schema
                .properties
                .iter()
                .find_map(|(name, id)| Some(Self { item: entries(*id)?, member: Some(name.clone()), size, style })),
        }
    }

    /// The page that a request asks for; its parameters have been checked.
    pub(super) fn page(
        &self,
        document: &Document,
        operation: &Operation,
        answer: SchemaId,
        request: &Request<'_>,
    ) -> Result<Page, Box<Answer>> {
        let (name, default) = self.size.unwrap_or(("limit", DEFAULT_SIZE));
        let size = number(request, name).unwrap_or(default).clamp(1, MAX_SIZE);
        let start = self.start(request, size)?;
        let all = self.entries(document, operation, request);
        let total = all.len();
        let items = all.slice(start, size);
        let next = Some(start.saturating_add(size)).filter(|next| *next < total);
        let previous = (start > 0).then(|| start.saturating_sub(size).min(total));
        let body = match &self.member {
            None => Value::Array(items),
            Some(member) => {
                let schemas = document.schemas();
                let mut body = Generator::new(schemas, seed::hash(&[request.path, "page"])).value(answer);
                if let Value::Object(members) = &mut body {
                    let position = |start: usize| self.position(request, start, size);
                    let facts = [
                        (&["next_cursor", "next"][..], next.map_or(Value::Null, position)),
                        (&["prev_cursor", "previous_cursor", "previous"], previous.map_or(Value::Null, position)),
                        (&["total", "total_count"], Value::from(total)),
                        (&SIZE_PARAMETERS, Value::from(size)),
                        (&["offset"], Value::from(start)),
                        (&["page", "page_number"], Value::from(start / size + 1)),
                        (&["has_more"], Value::Bool(next.is_some())),
                    ];
                    members.insert(member.clone(), Value::Array(items));
                    fill(members, member, &facts);
                }
                body
            }
        };
        let links = [(next, "next"), (previous, "prev")];
        let links: Vec<_> = links
            .into_iter()
            .filter_map(|(start, relation)| {
                Some(format!("<{}>; rel=\"{relation}\"", self.target(request, start?, size)?))
            })
            .collect();
        let link = Some(links.join(", ")).filter(|link| !link.is_empty());
        Ok(Page { body, link: link.and_then(|link| HeaderValue::try_from(link).ok()) })
    }

    fn start(&self, request: &Request<'_>, size: usize) -> Result<usize, Box<Answer>> {
        match self.style {
            Some(Style::Cursor) => match request.parameter("cursor") {
                None => Ok(0),
                Some(cursor) => index_of(request.path, cursor).ok_or_else(|| {
                    Box::new(problem(StatusCode::BAD_REQUEST, "The cursor is not one that this list gave out."))
                }),
            },
            Some(Style::Page) => Ok(number(request, "page").unwrap_or(1).saturating_sub(1).saturating_mul(size)),
            Some(Style::Offset) => Ok(number(request, "offset").unwrap_or(0)),
            None => Ok(0),
        }
    }

    /// What to pass on to reach an entry.
    fn position(&self, request: &Request<'_>, start: usize, size: usize) -> Value {
        match self.style {
            Some(Style::Cursor) => Value::String(cursor(request.path, start)),
            Some(Style::Page) => Value::String((start / size + 1).to_string()),
            Some(Style::Offset) => Value::String(start.to_string()),
            None => Value::Null,
        }
    }

    /// A reference of nothing but a query, so that it holds whatever the gateway did to host and path.
    fn target(&self, request: &Request<'_>, start: usize, size: usize) -> Option<String> {
        let style = self.style?;
        let name = style.parameter();
        let kept = request.query.split('&').filter(|pair| !pair.is_empty() && pair.split('=').next() != Some(name));
        let position = self.position(request, start, size);
        let last = format!("{name}={}", position.as_str()?);
        Some(format!("?{}", kept.chain([last.as_str()]).collect::<Vec<_>>().join("&")))
    }

    fn entries<'d>(
        &'d self,
        document: &'d Document,
        operation: &'d Operation,
        request: &'d Request<'_>,
    ) -> Entries<'d> {
        let schemas = document.schemas();
        let item = schemas.get(self.item);
        let filters: Vec<_> = operation
            .parameters
            .iter()
            .filter(|own| own.location == ParameterLocation::Query)
            .filter(|own| !SIZE_PARAMETERS.contains(&own.name.as_str()))
            .filter(|own| !Style::ALL.iter().any(|style| style.parameter() == own.name))
            .filter_map(|own| {
                let property = schemas.get(item.property(&own.name)?);
                let wanted: Vec<_> =
                    request.parameters(&own.name).map(|text| validate::scalar(property, text)).collect();
                (!wanted.is_empty()).then_some((own.name.as_str(), wanted))
            })
            .collect();
        let name = request.item.and_then(|path| document.entry_parameter(path)).unwrap_or("id");
        let entry = move |index: usize| {
            let seed = seed::hash(&[request.path, &index.to_string()]);
            let identity =
                item.property(name).map(|property| (name, Generator::new(schemas, seed).identifier(property, index)));
            resource(schemas, self.item, identity, seed)
        };
        if filters.is_empty() {
            return Entries::Made(operation.total, Box::new(entry));
        }
        let fits =
            |entry: &Value| filters.iter().all(|(name, wanted)| entry.get(name).is_some_and(|is| wanted.contains(is)));
        Entries::Filtered((0..operation.total).map(entry).filter(fits).collect())
    }
}

/// All entries of a list, made only as far as they are needed.
enum Entries<'d> {
    Made(usize, Box<dyn Fn(usize) -> Value + 'd>),
    Filtered(Vec<Value>),
}

impl Entries<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Made(total, _) => *total,
            Self::Filtered(entries) => entries.len(),
        }
    }

    fn slice(self, start: usize, size: usize) -> Vec<Value> {
        match self {
            Self::Made(total, make) => (start..total).take(size).map(make).collect(),
            Self::Filtered(entries) => entries.into_iter().skip(start).take(size).collect(),
        }
    }
}

/// Writes facts over the members that are called so, here and one object deeper, entries excepted.
fn fill(members: &mut Map<String, Value>, entries: &str, facts: &[(&[&str], Value)]) {
    for (name, value) in members.iter_mut().filter(|(name, _)| *name != entries) {
        match value {
            Value::Object(inner) => fill(inner, "", facts),
            _ => {
                if let Some((_, fact)) = facts.iter().find(|(names, _)| names.contains(&name.as_str())) {
                    value.clone_from(fact);
                }
            }
        }
    }
}

fn number(request: &Request<'_>, name: &str) -> Option<usize> {
    request.parameter(name)?.parse().ok()
}

/// Opaque, and bound to its list: a cursor of another list is refused.
fn cursor(path: &str, index: usize) -> String {
    format!("{index:x}-{:04x}", seed::hash(&["cursor", path, &index.to_string()]) & 0xffff)
}

fn index_of(path: &str, text: &str) -> Option<usize> {
    let index = usize::from_str_radix(text.split_once('-')?.0, 16).ok()?;
    (cursor(path, index) == text).then_some(index)
}
