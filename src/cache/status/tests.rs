use proptest::prelude::*;

use super::{Kind, NotStored, Outcome};

fn written(outcome: Outcome, ttl: Option<i64>) -> String {
    let mut out = Vec::new();
    outcome.write(ttl, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn rfc_9211_2_what_the_cache_did() {
    let new = Outcome::new;
    for (outcome, ttl, expected) in [
        (new(Kind::Hit), Some(30), "sluice; hit; ttl=30"),
        (new(Kind::Hit), None, "sluice; hit"),
        (new(Kind::Stale), Some(-412), "sluice; hit; ttl=-412"),
        (
            Outcome { upstream: Some(200), stored: Some(Ok(())), ..new(Kind::Miss) },
            Some(60),
            "sluice; fwd=uri-miss; fwd-status=200; stored; ttl=60",
        ),
        (
            Outcome { upstream: Some(200), stored: Some(Ok(())), collapsed: true, ..new(Kind::Miss) },
            None,
            "sluice; fwd=uri-miss; fwd-status=200; stored; collapsed",
        ),
        (
            Outcome { upstream: Some(304), ..new(Kind::Revalidated) },
            Some(0),
            "sluice; fwd=stale; fwd-status=304; ttl=0",
        ),
        (
            Outcome { upstream: Some(200), stored: Some(Err(NotStored::NoStore)), ..new(Kind::Expired) },
            None,
            "sluice; fwd=stale; fwd-status=200; detail=no_store",
        ),
        (
            Outcome { upstream: Some(503), ..new(Kind::StaleError) },
            Some(-5),
            "sluice; fwd=stale; fwd-status=503; ttl=-5; detail=stale_if_error",
        ),
        (new(Kind::StaleError), Some(-5), "sluice; fwd=stale; ttl=-5; detail=stale_if_error"),
        (new(Kind::VaryMiss), None, "sluice; fwd=vary-miss"),
        (new(Kind::Refetch), None, "sluice; fwd=request"),
        (new(Kind::Bypass), None, "sluice; fwd=bypass"),
        (new(Kind::Method), None, "sluice; fwd=method"),
    ] {
        assert_eq!(written(outcome, ttl), expected);
    }
}

#[test]
fn rfc_9211_2_1_what_was_not_forwarded_says_nothing_of_an_upstream() {
    let outcome = |kind| Outcome { kind, collapsed: true, stored: Some(Err(NotStored::Vary)), upstream: Some(200) };
    assert_eq!(written(outcome(Kind::Hit), Some(1)), "sluice; hit; ttl=1");
    for kind in Kind::ALL {
        let text = written(outcome(kind), None);
        assert_ne!(text.contains("; hit"), text.contains("; fwd="), "{text}");
    }
}

#[test]
fn rfc_8941_3_3_1_a_number_has_fifteen_digits_at_most() {
    assert_eq!(written(Outcome::new(Kind::Hit), Some(i64::MAX)), "sluice; hit; ttl=999999999999999");
    assert_eq!(written(Outcome::new(Kind::Stale), Some(i64::MIN)), "sluice; hit; ttl=-999999999999999");
}

proptest! {
    #[test]
    fn numbers_are_written_in_decimal(ttl in -999_999_999_999_999_i64..=999_999_999_999_999) {
        prop_assert_eq!(written(Outcome::new(Kind::Hit), Some(ttl)), format!("sluice; hit; ttl={ttl}"));
    }
}
