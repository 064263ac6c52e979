use super::super::tests::{get, rule, with_header, with_query};
use super::super::{Example, RouteMatch};
use super::*;

fn table(rules: &[RouteMatch]) -> Table {
    Table::build(&rules.iter().collect::<Vec<_>>())
}

fn winner(table: &Table, request: &Example) -> Option<usize> {
    match table.find(request) {
        Lookup::Found(found) => Some(found.index),
        Lookup::MethodNotAllowed(_) | Lookup::NotFound => None,
    }
}

#[test]
fn the_more_specific_host_wins_and_leaves_what_it_does_not_want() {
    let table = table(&[
        rule("*", "/a", ""),
        rule("*.example.com", "/a", ""),
        rule("*.b.example.com", "/a", ""),
        rule("a.b.example.com", "/a", ""),
        rule("*", "/only-here", ""),
    ]);
    for (host, want) in [
        ("a.b.example.com", 3),
        ("x.b.example.com", 2),
        ("b.example.com", 1),
        ("x.y.example.com", 1),
        ("example.com", 0),
        (".example.com", 0),
        ("[::1]", 0),
        ("", 0),
    ] {
        assert_eq!(winner(&table, &get(host, "/a")), Some(want), "{host}");
    }
    assert_eq!(winner(&table, &get("a.b.example.com", "/only-here")), Some(4));
}

#[test]
fn the_more_specific_path_wins_from_the_left() {
    let table = table(&[
        rule("*", "/{rest...}", ""),
        rule("*", "/a/{x}/c", ""),
        rule("*", "/a/b/{rest...}", ""),
        rule("*", "/{x}/b/c", ""),
        rule("*", "/a", ""),
        rule("*", "/a/", ""),
        rule("*", "/a/{rest...}", ""),
        rule("*", "/", ""),
    ]);
    for (path, want) in [
        ("/", 7),
        ("/x", 0),
        ("/a", 4),
        ("/a/", 5),
        ("/a/b", 2),
        ("/a/b/", 2),
        ("/a/b/c", 2),
        ("/a/x/c", 1),
        ("/a/x/d", 6),
        ("/x/b/c", 3),
        ("/x/b/d", 0),
    ] {
        assert_eq!(winner(&table, &get("h", path)), Some(want), "{path}");
    }
    for path in ["", "*", "a"] {
        assert_eq!(table.find(&get("h", path)), Lookup::NotFound, "{path}");
    }
}

#[test]
fn parameters_are_read_by_position_and_by_name() {
    let table = table(&[rule("*", "/{a}/x/{b}/{rest...}", "POST"), rule("*", "/{c}/{d}/{e}", "GET")]);
    let request = get("h", "/1/x/22");
    let Lookup::Found(found) = table.find(&request) else { panic!("not found") };
    assert_eq!(found.params.len(), 3, "what the losing way took is forgotten");
    assert_eq!((found.param("/1/x/22", "d"), found.params.get("/1/x/22", 2)), (Some("x"), Some("22")));
    assert_eq!(found.param("/1/x/22", "a"), None);
    let post = Example { method: Method::POST, ..get("h", "/1/x/22/3/4/") };
    let Lookup::Found(found) = table.find(&post) else { panic!("not found") };
    assert_eq!((found.param(&post.path, "b"), found.param(&post.path, "rest")), (Some("22"), Some("3/4/")));
    assert_eq!(table.param_names(found.index).len(), 3);
}

#[test]
fn head_is_served_by_get_unless_somebody_lists_it() {
    let head = |path| Example { method: Method::HEAD, ..get("h", path) };
    let table = table(&[
        with_header(rule("*", "/a", "GET"), "x-a", None),
        rule("*", "/a", "GET"),
        rule("*", "/a", ""),
        rule("*", "/b", "GET"),
        rule("*", "/b", "HEAD"),
    ]);
    assert_eq!(winner(&table, &head("/a")), Some(1));
    assert_eq!(winner(&table, &head("/b")), Some(4));
}

#[test]
fn another_method_is_allowed_only_where_all_else_agrees() {
    let table = table(&[
        rule("*", "/a", "POST"),
        rule("h", "/{x}", "GET,PUT"),
        with_query(rule("*", "/a", "PATCH"), "v", Some("2")),
    ]);
    let delete = Example { method: Method::DELETE, ..get("h", "/a") };
    let allowed = [Method::GET, Method::HEAD, Method::POST, Method::PUT];
    assert_eq!(table.find(&delete), Lookup::MethodNotAllowed(allowed.to_vec()));
    assert_eq!(table.find(&Example { path: "/a/b".into(), ..delete.clone() }), Lookup::NotFound);
    let only_condition = table_of_condition();
    assert_eq!(only_condition.find(&delete), Lookup::NotFound);
}

fn table_of_condition() -> Table {
    table(&[with_header(rule("*", "/a", "GET"), "x-a", Some("1"))])
}

#[test]
fn many_tenants_are_told_apart_by_exact_values() {
    let mut rules: Vec<_> = (0..2_000)
        .map(|n| {
            let tenant = with_header(rule("*", "/a", "GET"), "x-tenant", Some(&format!("tenant {n}")));
            with_query(tenant, "v", Some(if n % 2 == 0 { "a b" } else { "ü" }))
        })
        .collect();
    rules.push(rule("*", "/a", "GET"));
    let table = table(&rules);
    let ask = |tenant: &str, query: &str| {
        let mut request = get("h", "/a");
        request.headers.push(("x-tenant".parse().unwrap(), tenant.into()));
        request.query = Some(query.into());
        winner(&table, &request)
    };
    assert_eq!(ask("tenant 1234", "v=a+b"), Some(1234));
    assert_eq!(ask("tenant 1235", "x=1&%76=%C3%BC"), Some(1235));
    assert_eq!(ask("tenant 1235", "v=a+b"), Some(2_000));
    assert_eq!(ask("tenant 1234", "v=a%20b&v=a%20b"), Some(2_000), "a repeated value equals nothing");
    assert_eq!(ask("nobody", "v=a+b"), Some(2_000));
}

#[test]
fn of_equals_the_first_written_wins() {
    let mut rules = vec![with_header(rule("*", "/a", ""), "x-b", None), with_header(rule("*", "/a", ""), "x-a", None)];
    rules.extend((0..9).map(|_| rule("*", "/b", "")));
    let table = table(&rules);
    let mut request = get("h", "/a");
    request.headers.extend(["x-a", "x-b"].map(|name| (name.parse().unwrap(), String::new())));
    assert_eq!(winner(&table, &request), Some(0));
    assert_eq!(winner(&table, &get("h", "/b")), Some(2));
}

/// Every combination of a literal and a parameter, so that each prefix can go on in two ways.
#[test]
fn going_back_is_bounded_by_the_table_however_the_request_is_made() {
    let depth = 10;
    let combinations = |n: u32| {
        let path: String =
            (0..depth).map(|at| if n >> at & 1 == 0 { "/a".to_owned() } else { format!("/{{p{at}}}") }).collect();
        with_header(rule("*,*.c,*.b.c", &path, "GET"), "x-a", Some("1"))
    };
    let rules: Vec<_> = (0..1 << depth).map(combinations).collect();
    let table = table(&rules);
    assert_eq!(table.worst_case(), 3 * ((1 << (depth + 1)) - 1), "two ways at every node, under three hosts");
    for segments in [1, 5, 10, 11, 10_000] {
        let request = get("a.b.c", &"/a".repeat(segments));
        let mut walk = Walk::new(&table, &request, |candidates| candidates.find(&request, &mut false));
        assert_eq!(walk.hosts("a.b.c"), None);
        assert!(walk.visited <= table.worst_case(), "{segments} segments: {} nodes", walk.visited);
    }
    let plain: Vec<_> = (0..1_000).map(|n| rule("*", &format!("/api/v{n}/things/{{id}}"), "GET")).collect();
    assert_eq!(self::table(&plain).worst_case(), 5, "without overlap it is the depth");
}
