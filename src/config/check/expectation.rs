//! What `sluice test` tries.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::super::checked::expectation::{Caller, Expectation, Expected};
use super::super::model::expectation as written;
use super::super::model::{At, List, Text};
use super::super::report::{Code, Diagnostic};
use super::super::yaml::{Reader, did_you_mean};
use super::callers::Callers;
use super::{count, headers, scopes};
use crate::base::reason::Reason;

/// More show nothing that fewer do not.
const MOST_REPEATS: u64 = 1_000_000;
const EXPECTED: [&str; 5] = ["status", "reason", "upstream", "path", "route"];

/// What tests may name.
pub(super) struct Names<'a> {
    pub(super) routes: BTreeSet<&'a str>,
    pub(super) upstreams: BTreeSet<&'a str>,
    pub(super) callers: &'a Callers<'a>,
}

/// All tests of a route; those with mistakes are left out.
pub(super) fn check(list: &At<List<written::Test>>, names: &Names<'_>, reader: &mut Reader<'_>) -> Vec<Expectation> {
    let mut tests = Vec::new();
    for test in &list.value.0 {
        let (checked, faults) = reader.guard(|reader| self::test(test, names, reader));
        tests.extend(checked.filter(|_| faults.is_empty()));
    }
    tests
}

fn test(written: &At<written::Test>, names: &Names<'_>, reader: &mut Reader<'_>) -> Option<Expectation> {
    let test = &written.value;
    let request = test.request.as_ref().and_then(|request| self::request(request, reader));
    let expected = test.expect.as_ref().and_then(|expect| self::expected(expect, names, reader));
    let caller = test.r#as.as_ref().map(|caller| self::caller(&caller.value, names, reader));
    let mut fields: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (name, value) in test.headers.iter().flat_map(|named| &named.value.0) {
        let name = headers::name(&name.value, name.span, reader);
        let value = headers::value(&value.value.0, value.span, reader);
        fields.extend(name.zip(value));
    }
    let repeat = count(test.repeat.as_ref(), 1, 1..=MOST_REPEATS, reader);
    let (method, url) = request?;
    let name = test.name.as_ref().map_or_else(|| format!("{method} {url}").into(), |name| Arc::from(&*name.value.0));
    Some(Expectation {
        name,
        method,
        url,
        headers: fields,
        caller,
        client: test.client.as_ref().map(|client| client.value.0),
        repeat: u32::try_from(repeat).ok()?,
        expected: expected?,
        at: reader.location(written.span),
    })
}

fn request(written: &At<Text>, reader: &mut Reader<'_>) -> Option<(Method, Arc<str>)> {
    let text = &*written.value.0;
    let parsed = text.split_once(' ').and_then(|(method, url)| {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let is_url = ["/", "http://", "https://"].iter().any(|start| url.starts_with(start));
        (is_url && url.bytes().all(|byte| byte.is_ascii_graphic())).then(|| (method, Arc::from(url)))
    });
    if parsed.is_none() {
        let message = format!("`{text}` is not a request");
        let mistake = Diagnostic::new(Code::Request, written.span, message);
        reader.note(mistake.help("write a method, one space and a path or a URL, such as `GET /api/orders?x=1`"));
    }
    parsed
}

fn caller(written: &written::Caller, names: &Names<'_>, reader: &mut Reader<'_>) -> Caller {
    let partner = written.partner.as_ref().filter(|name| names.callers.knows_partner(&name.value.0, name.span, reader));
    Caller {
        partner: partner.map(|name| Arc::from(&*name.value.0)),
        subject: written.subject.as_ref().map(|subject| Arc::from(&*subject.value.0)),
        scopes: scopes(written.scopes.as_ref(), "`scopes`", reader),
        claims: written.claims.as_ref().map(|claims| claims.value.0.clone()).unwrap_or_default(),
    }
}

fn expected(written: &At<written::Expected>, names: &Names<'_>, reader: &mut Reader<'_>) -> Option<Expected> {
    let expect = &written.value;
    if !EXPECTED.iter().any(|key| expect.keys.is_meant(key)) {
        reader.note(Diagnostic::new(Code::MissingKey, written.span, "this test expects nothing"));
    }
    let status = expect.status.as_ref().and_then(|status| {
        let code = u16::try_from(status.value.0).ok().and_then(|code| StatusCode::from_u16(code).ok());
        let sound = code.filter(|code| (200..=599).contains(&code.as_u16()));
        if sound.is_none() {
            let message = format!("status {} is none that an answer has", status.value.0);
            reader.note(Diagnostic::new(Code::Status, status.span, message).label("from 200 to 599"));
        }
        sound
    });
    let reason = expect.reason.as_ref().and_then(|reason| self::reason(reason, reader));
    if let Some(name) = &expect.upstream {
        known(name, &names.upstreams, Code::UnknownUpstream, "upstream", reader);
    }
    if let Some(name) = &expect.route {
        known(name, &names.routes, Code::UnknownRoute, "route", reader);
    }
    let text = |written: &Option<At<Text>>| written.as_ref().map(|text| Arc::from(&*text.value.0));
    Some(Expected {
        status,
        reason,
        upstream: text(&expect.upstream),
        path: text(&expect.path),
        route: text(&expect.route),
    })
}

fn known(written: &At<Text>, names: &BTreeSet<&str>, code: Code, what: &str, reader: &mut Reader<'_>) {
    let name = &*written.value.0;
    if names.contains(name) {
        return;
    }
    let mut mistake = Diagnostic::new(code, written.span, format!("there is no {what} `{name}`"));
    if let Some(meant) = reader.suggest(name, names.iter().copied()) {
        mistake = mistake.label(format!("did you mean `{meant}`?"));
    }
    reader.note(mistake);
}

fn reason(written: &At<Text>, reader: &mut Reader<'_>) -> Option<Reason> {
    let text = &*written.value.0;
    let found = Reason::ALL.iter().find(|reason| reason.as_str() == text).copied();
    if found.is_none() {
        let mut mistake = Diagnostic::new(Code::Choice, written.span, format!("`{text}` is not a reason"));
        if let Some(meant) = did_you_mean(text, Reason::ALL.iter().map(|reason| reason.as_str())) {
            mistake = mistake.label(format!("did you mean `{meant}`?"));
        }
        reader.note(mistake);
    }
    found
}
