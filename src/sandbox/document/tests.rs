use super::*;

/// A document with one operation and these components.
fn document(version: &str, components: &str) -> Result<Document, Error> {
    let text = format!(
        "openapi: {version}\ninfo: {{title: t, version: '1'}}\npaths:\n  /things/{{id}}:\n    get:\n      responses:\n        200:\n          description: ok\n          content: {{application/json: {{schema: {{$ref: '#/components/schemas/Thing'}}}}}}\ncomponents:\n  schemas:\n{components}"
    );
    Document::parse("test.yaml", &text)
}

fn thing(document: &Document) -> &Schema {
    let content = document.paths[0].operations[0].responses[0].content.as_ref().unwrap();
    document.schemas.get(content.schema.unwrap())
}

fn faults(result: Result<Document, Error>) -> Vec<String> {
    let Err(Error::Faults { faults, .. }) = result else { panic!("{result:?}") };
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_embedded_document_has_the_partner_api() {
    let document = Document::embedded().unwrap();
    let mut operations: Vec<_> = document
        .paths()
        .iter()
        .flat_map(|path| path.operations.iter().map(|own| format!("{} {}", own.method, path.template)))
        .collect();
    operations.sort();
    assert_eq!(
        operations,
        [
            "DELETE /api/orders/{id}",
            "GET /api/analytics/reports",
            "GET /api/inventory",
            "GET /api/orders",
            "GET /api/orders/{id}",
            "GET /api/users/{id}",
            "GET /v1/integrations",
            "POST /api/orders",
            "POST /api/payments/webhook",
            "POST /v1/integrations/{id}/authorize",
            "PUT /api/orders/{id}",
        ]
    );
}

#[test]
fn literal_segments_come_before_parameters() {
    let text = "{openapi: 3.1.0, info: {title: t, version: '1'}, servers: [{url: 'https://{host}/base', variables: {host: {default: x}}}], paths: {
        '/a/{x}': {get: {responses: {'204': {description: d}}}},
        '/a/b': {get: {responses: {'204': {description: d}}}}}}";
    let document = Document::parse("test.yaml", text).unwrap();
    let find = |path: &str| {
        let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
        document.find(&segments).map(|path| path.template.as_str())
    };
    assert_eq!(find("base/a/b"), Some("/a/b"));
    assert_eq!(find("base/a/c"), Some("/a/{x}"));
    assert_eq!(find("base/a/"), None);
    assert_eq!(find("a/b"), None);
}

#[test]
fn all_of_is_folded_in_with_the_nearest_winning() {
    let document = document(
        "3.1.0",
        "    Base: {type: object, required: [id], properties: {id: {type: string}, size: {type: integer, maximum: 9}}}
    Thing:
      allOf: [{$ref: '#/components/schemas/Base'}]
      required: [name]
      properties: {name: {type: string}, size: {type: string}}\n",
    )
    .unwrap();
    let thing = thing(&document);
    assert_eq!(thing.properties.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["id", "name", "size"]);
    assert_eq!(document.schemas.get(thing.property("size").unwrap()).kinds, [Kind::String]);
    assert_eq!(thing.required, ["name", "id"]);
}

#[test]
fn version_3_0_has_flags_where_3_1_has_values() {
    let components = "    Thing: {type: integer, nullable: true, minimum: 1, exclusiveMinimum: true}\n";
    let old = document("3.0.3", components).unwrap();
    assert_eq!(thing(&old).kinds, [Kind::Integer, Kind::Null]);
    assert_eq!((thing(&old).minimum, thing(&old).exclusive_minimum), (None, Some(1.0)));
}

#[test]
fn a_schema_may_hold_itself() {
    let components = "    Thing: {type: object, properties: {children: {type: array, items: {$ref: '#/components/schemas/Thing'}}}}\n";
    document("3.1.0", components).unwrap();
}

#[test]
fn faults_name_their_places_all_at_once() {
    let found = faults(document(
        "3.1.0",
        "    Thing: {type: object, properties: {a: {$ref: '#/components/schemas/Gone'}, b: {$ref: 'other.yaml#/X'}, c: {type: text}, d: {not: {}}, e: {type: string, pattern: '^x$'}, f/g: {minLength: -1}}}\n",
    ));
    let at = "#/components/schemas/Thing/properties";
    for expected in [
        format!("{at}/a/$ref: `#/components/schemas/Gone` is not found in this document"),
        format!("{at}/b/$ref: `other.yaml#/X` is outside this document; only `#/...` is followed"),
        format!("{at}/c/type: must be one of `string`, `integer`, `number`, `boolean`, `array`, `object`, `null`"),
        format!("{at}/d/not: `not` is not supported by the sandbox"),
        format!("{at}/e: `pattern` needs an `example` or `enum` beside it to be answered from"),
        format!("{at}/f~1g/minLength: must be a whole number, 0 or more"),
    ] {
        assert!(found.contains(&expected), "{expected}\nnot among\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 6);
}

#[test]
fn circles_are_found() {
    let reference = "{$ref: '#/components/schemas/Thing'}";
    let found = faults(document(
        "3.1.0",
        &format!("    Thing: {{$ref: '#/components/schemas/Other'}}\n    Other: {reference}\n"),
    ));
    assert!(found[0].contains("leads in a circle"), "{found:?}");
    let found = faults(document("3.1.0", &format!("    Thing: {{allOf: [{{type: object}}, {reference}]}}\n")));
    assert!(found[0].contains("leads in a circle"), "{found:?}");
}

#[test]
fn what_is_wrong_with_paths() {
    let text = "{openapi: 3.1.0, info: {title: t, version: '1'}, paths: {
        'a': {}, '/a.{b}': {}, '/x/{a}': {get: {responses: {'700': {}}}}, '/x/{b}': {servers: []},
        '/y': {get: {parameters: [{in: body, name: b}, {in: path, name: q, required: true, schema: {}}], responses: {default: {}}}}}}";
    let found = faults(Document::parse("test.yaml", text));
    for expected in [
        "#/paths/a: a path begins with `/`",
        "#/paths/~1a.{b}: `a.{b}`: a parameter must be a whole segment, such as `{id}`",
        "#/paths/~1x~1{a}/get/responses/700: must be a status from 200 to 599, a class such as `4XX`, or `default`",
        "#/paths/~1x~1{a}/get/responses: must have at least one response",
        "#/paths/~1x~1{b}: means the same paths as `/x/{a}`",
        "#/paths/~1x~1{b}/servers: `servers` is not supported by the sandbox",
        "#/paths/~1y/get/parameters/0/in: must be `path`, `query`, `header` or `cookie`",
        "#/paths/~1y/get: the path has no `{q}`",
    ] {
        assert!(found.iter().any(|fault| fault == expected), "{expected}\nnot among\n{}", found.join("\n"));
    }
}

#[test]
fn syntax_and_other_versions() {
    assert!(matches!(Document::parse("x", "a: [1"), Err(Error::Syntax { .. })));
    assert!(matches!(Document::parse("x", "a: 1\na: 2"), Err(Error::Syntax { .. })));
    assert_eq!(
        faults(Document::parse("x", "swagger: '2.0'")),
        ["#/openapi: must be a version 3.0 or 3.1 of OpenAPI, such as `openapi: 3.1.0`"]
    );
    assert!(faults(Document::parse("x", "openapi: 3.1.0")).len() > 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// No cut or exchanged byte of a document brings the reader down.
    #[test]
    fn never_panics(at in 0..28_000_usize, byte in "[- :{}#&*$/0a\\n\\[\\]]{0,3}", length in 0..40_usize) {
        let text = include_str!("../../../config/openapi/partner-api.yaml");
        let at = text.floor_char_boundary(at.min(text.len()));
        let end = text.floor_char_boundary((at + length).min(text.len()));
        let _ = Document::parse("x", &format!("{}{byte}{}", &text[..at], &text[end..]));
    }
}
