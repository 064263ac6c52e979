use super::*;

fn got(status: Option<u16>, reason: Option<Reason>, upstream: Option<&str>) -> Got {
    let path = upstream.map(|_| "/a?b".to_owned());
    Got { route: Some(Arc::from("own")), status, reason, upstream: upstream.map(Arc::from), path }
}

#[test]
fn all_of_what_is_written_has_to_be_so() {
    let refused = got(Some(403), Some(Reason::ScopeMissing), None);
    let forwarded = got(None, None, Some("app"));
    let expected =
        |status: Option<u16>, reason, upstream: Option<&str>, path: Option<&str>, route: Option<&str>| Expected {
            status: status.map(|status| http::StatusCode::from_u16(status).unwrap()),
            reason,
            upstream: upstream.map(Arc::from),
            path: path.map(Arc::from),
            route: route.map(Arc::from),
        };
    for (wanted, got) in [
        (expected(None, None, None, None, None), &refused),
        (expected(Some(403), Some(Reason::ScopeMissing), None, None, Some("own")), &refused),
        (expected(None, None, Some("app"), Some("/a?b"), None), &forwarded),
    ] {
        assert_eq!(differences(&wanted, "own", got), Vec::<String>::new());
    }
    for (wanted, got, told) in [
        (expected(Some(200), None, None, None, None), &refused, "expected status 200, got 403 SCOPE_MISSING"),
        (
            expected(None, Some(Reason::RateLimited), None, None, None),
            &refused,
            "expected reason RATE_LIMITED, got 403 SCOPE_MISSING",
        ),
        (
            expected(None, None, Some("app"), None, None),
            &refused,
            "expected to be forwarded to `app`, got 403 SCOPE_MISSING",
        ),
        (expected(None, None, None, Some("/x"), None), &forwarded, "expected path /x, got /a?b"),
        (expected(None, None, None, Some("/x"), None), &refused, "expected path /x, got 403 SCOPE_MISSING"),
        (expected(Some(200), None, None, None, None), &forwarded, "expected status 200, got forwarded to `app`"),
        (expected(None, None, None, None, Some("other")), &refused, "expected route `other`, got route `own`"),
    ] {
        assert_eq!(differences(&wanted, "own", got), [told]);
    }
    assert_eq!(differences(&Expected::default(), "mine", &Got::default()), ["expected route `mine`, got no route"]);
}
