use proptest::prelude::*;

use super::*;
use crate::config::checked::{Template, TemplatePart};

fn text(text: &str) -> TemplatePart {
    TemplatePart::Text(text.into())
}

fn param(name: &str) -> TemplatePart {
    TemplatePart::Param(name.into())
}

fn applied(rewrite: &Rewrite, path: &str, query: Option<&str>, params: &[(&str, &'static str)]) -> String {
    let names: Vec<_> = params.iter().map(|(name, _)| *name).collect();
    let mut out = String::new();
    CompiledRewrite::compile(rewrite, &names).unwrap().apply(path, query, |at| params[at].1, &mut out);
    out
}

fn path_of(parts: Vec<TemplatePart>, query: Option<&str>, params: &[(&str, &'static str)]) -> String {
    applied(&Rewrite::Path(Template(parts)), "/ignored", query, params)
}

fn location_of(parts: Vec<TemplatePart>, query: Option<&str>, params: &[(&str, &'static str)]) -> String {
    let names: Vec<_> = params.iter().map(|(name, _)| *name).collect();
    let mut out = String::new();
    CompiledTemplate::location(&Template(parts), &names).unwrap().render(|at| params[at].1, query, &mut out);
    out
}

#[test]
fn a_prefix_comes_off_at_a_segment_boundary_only() {
    for (prefix, path, expected) in [
        ("/api", "/api/orders", "/orders"),
        ("/api", "/api", "/"),
        ("/api", "/api/", "/"),
        ("/api", "/apis/orders", "/apis/orders"),
        ("/api", "/API/orders", "/API/orders"),
        ("/api", "/v1/api", "/v1/api"),
        ("/api/v1", "/api/v1/orders", "/orders"),
        ("/api/", "/api/orders", "/orders"),
        ("/", "/orders", "/orders"),
        ("", "/orders", "/orders"),
    ] {
        assert_eq!(applied(&Rewrite::StripPrefix(prefix.into()), path, None, &[]), expected, "{prefix} off {path}");
    }
}

#[test]
fn the_query_is_kept() {
    let strip = Rewrite::StripPrefix("/api".into());
    assert_eq!(applied(&strip, "/api/a", Some("x=1&y"), &[]), "/a?x=1&y");
    assert_eq!(applied(&strip, "/api", Some(""), &[]), "/?");
    assert_eq!(path_of(vec![text("/b")], Some("x=1"), &[]), "/b?x=1");
    assert_eq!(path_of(vec![text("/b?from=edge")], Some("x=1"), &[]), "/b?from=edge&x=1");
    assert_eq!(path_of(vec![text("/b?from=edge")], Some(""), &[]), "/b?from=edge");
    assert_eq!(path_of(vec![text("/b"), TemplatePart::Query], Some("x=1"), &[]), "/b?x=1");
    assert_eq!(path_of(vec![text("/b?c"), TemplatePart::Query, text("&d")], Some("x=1"), &[]), "/b?c&x=1&d");
}

#[test]
fn parameters_are_found_by_name_and_written_as_they_are() {
    let params = [("tenant", "acme"), ("id", "%2F;v=1&a"), ("rest", "x/y%20z/")];
    let parts = vec![text("/t/"), param("tenant"), text("/o-"), param("id"), text("/"), param("rest")];
    assert_eq!(path_of(parts, None, &params), "/t/acme/o-%2F;v=1&a/x/y%20z/");
    assert_eq!(path_of(vec![text("/"), param("rest..."), text("/end")], None, &params), "/x/y%20z/end");
    assert_eq!(path_of(vec![text("/a/"), param("rest"), text("/end")], None, &[("rest", "")]), "/a/end");
    assert_eq!(path_of(vec![text("/a?id="), param("id")], None, &params), "/a?id=%2F%3Bv%3D1%26a");
}

#[test]
fn a_location_keeps_its_host_whatever_is_asked_for() {
    let rest = [("rest", "evil.example/@x")];
    assert_eq!(
        location_of(vec![text("https://a.example/"), param("rest")], None, &rest),
        "https://a.example/evil.example/@x"
    );
    assert_eq!(location_of(vec![text("/"), param("rest"), text("/x.example/")], None, &[("rest", "")]), "/x.example/");
    let whole = vec![text("https://a.example/old"), TemplatePart::Query];
    assert_eq!(location_of(whole.clone(), Some("a=b"), &[]), "https://a.example/old?a=b");
    assert_eq!(location_of(whole, None, &[]), "https://a.example/old");
    let refused = |parts: Vec<TemplatePart>| CompiledTemplate::location(&Template(parts), &["rest"]).unwrap_err();
    assert_eq!(refused(vec![text("https://a.example"), param("rest")]), TemplateError::ParamInHost);
    assert_eq!(refused(vec![text("//a.example"), param("rest")]), TemplateError::ParamInHost);
    assert_eq!(refused(vec![text("https://"), param("rest")]), TemplateError::NotALocation);
    assert_eq!(refused(vec![text("//"), param("rest")]), TemplateError::NotALocation);
    assert_eq!(refused(vec![param("rest")]), TemplateError::NotALocation);
    assert_eq!(refused(vec![text("orders/"), param("rest")]), TemplateError::NotALocation);
    assert_eq!(refused(vec![text("java script://x/")]), TemplateError::Character(' '));
    assert_eq!(refused(vec![]), TemplateError::NotALocation);
}

#[test]
fn refuses_what_is_not_a_path() {
    let refused = |parts: Vec<TemplatePart>| CompiledTemplate::path(&Template(parts), &["id"]).unwrap_err();
    assert_eq!(refused(vec![]), TemplateError::NotAPath);
    assert_eq!(refused(vec![text("a")]), TemplateError::NotAPath);
    assert_eq!(refused(vec![text("//a")]), TemplateError::NotAPath);
    assert_eq!(refused(vec![param("id")]), TemplateError::NotAPath);
    assert_eq!(refused(vec![text("/a#b")]), TemplateError::Character('#'));
    assert_eq!(refused(vec![text("/a\r\nb")]), TemplateError::Character('\r'));
    assert_eq!(refused(vec![text("/%2"), param("id")]), TemplateError::BrokenEncoding);
    assert_eq!(refused(vec![text("/a/.."), param("id")]), TemplateError::DotSegment);
    assert_eq!(refused(vec![text("/a/%2e%2E;x")]), TemplateError::DotSegment);
    assert_eq!(refused(vec![text("/"), param("other")]), TemplateError::UnknownParam("other".into()));
}

/// One segment as the path normalisation lets it through.
fn segment() -> impl Strategy<Value = String> {
    "([A-Za-z0-9._~!$&'()*+,;=:@-]|%2[0-9A-C]|%[A-F][0-9A-F]){1,8}"
        .prop_filter("no dot segment", |s| s != "." && s != "..")
}

fn parts() -> impl Strategy<Value = Vec<TemplatePart>> {
    let piece = prop_oneof!["[a-z0-9]{1,4}".prop_map(|s| text(&s)), Just(param("a")), Just(param("b"))];
    prop::collection::vec(prop::collection::vec(piece, 1..3), 1..6).prop_map(|segments| {
        let mut parts = Vec::new();
        for pieces in segments {
            parts.push(text("/"));
            parts.extend(pieces);
        }
        parts
    })
}

proptest! {
    #[test]
    fn no_parameter_changes_the_structure_of_a_path(parts in parts(), a in segment(), b in segment()) {
        let slashes = parts.iter().filter(|part| **part == text("/")).count();
        let template = CompiledTemplate::path(&Template(parts), &["a", "b"]).unwrap();
        let mut out = String::new();
        template.render(|at| if at == 0 { &a } else { &b }, None, &mut out);
        prop_assert!(out.starts_with('/') && !out.starts_with("//"));
        prop_assert_eq!(out.matches('/').count(), slashes);
        prop_assert!(out.split('/').skip(1).all(|s| !s.is_empty() && s != "." && s != ".."));
        prop_assert!(!out.contains(['?', '#', '\r', '\n', ' ']));
    }

    #[test]
    fn a_rest_brings_its_own_segments_only(rest in prop::collection::vec(segment(), 0..5)) {
        let template = CompiledTemplate::path(&Template(vec![text("/x/"), param("rest"), text("/y")]), &["rest"]).unwrap();
        let (mut out, joined) = (String::new(), rest.join("/"));
        template.render(|_| &joined, None, &mut out);
        prop_assert_eq!(out.split('/').skip(1).count(), rest.len() + 2);
        prop_assert!(!out.contains("//") && !out.contains(['?', '#']));
    }

    #[test]
    fn what_is_left_of_a_path_begins_with_a_slash(path in "(/[a-c]{1,2}){0,4}/?", prefix in "(/[a-c]{1,2}){0,3}") {
        prop_assume!(!path.is_empty());
        let left = strip(&path, &prefix);
        prop_assert!(left.starts_with('/'));
        let whole = [prefix.as_str(), left].concat();
        prop_assert!(left == path || left == "/" && path == prefix || whole == path);
    }

    #[test]
    fn a_parameter_stays_one_value_of_a_query(value in segment()) {
        let template = CompiledTemplate::location(&Template(vec![text("/x?id="), param("id")]), &["id"]).unwrap();
        let mut out = String::new();
        template.render(|_| &value, None, &mut out);
        prop_assert!(!out["/x?id=".len()..].contains(['&', '=', '+', ';', '?', '#']));
    }

    #[test]
    fn no_template_text_makes_compiling_panic(texts in prop::collection::vec("\\PC{0,12}", 0..4)) {
        let parts = Template(texts.iter().map(|t| text(t)).collect());
        let _ = (CompiledTemplate::path(&parts, &[]), CompiledTemplate::location(&parts, &[]));
    }
}
