use http::header;
use proptest::prelude::*;

use super::*;

#[test]
fn a_body_keeps_no_more_than_its_bytes() {
    let mut buffer = BytesMut::with_capacity(1 << 20);
    buffer.put_slice(b"a small part of it");
    let read = buffer.split().freeze();
    let body = Body::new(vec![read.clone()]);
    assert_eq!(body.pieces(), [&read[..]]);
    let kept = body.pieces()[0].clone();
    drop(body);
    // Of one owner, so that its capacity can be seen.
    assert_eq!(kept.try_into_mut().unwrap().capacity(), read.len());
}

#[test]
fn a_name_weighs_when_it_is_not_standard() {
    assert_eq!(weight_of_name(&header::CONTENT_TYPE), 0);
    assert_eq!(weight_of_name(&HeaderName::from_static("x-tenant")), 16 + SHARED);
}

#[test]
fn sizes_are_rounded_as_the_allocator_does() {
    assert_eq!([0, 1, 16, 17, 128].map(allocated), [0, 16, 16, 32, 128]);
    assert_eq!([129, 256, 257, 1024, 1025, 1100].map(allocated), [160, 256, 320, 1024, 1280, 1280]);
}

proptest! {
    #[test]
    fn a_body_is_what_came(lengths in prop::collection::vec(0_usize..200_000, 0..8)) {
        let pieces: Vec<Bytes> =
            lengths.iter().zip(0_u8..).map(|(length, fill)| Bytes::from(vec![fill; *length])).collect();
        let body = Body::new(pieces.clone());
        prop_assert_eq!(body.len(), lengths.iter().sum::<usize>() as u64);
        prop_assert_eq!(body.pieces().concat(), pieces.concat());
        let (last, full) = body.pieces().split_last().map_or((0, &[][..]), |(last, full)| (last.len(), full));
        prop_assert!(last <= PIECE && full.iter().all(|piece| piece.len() == PIECE));
    }

    #[test]
    fn what_is_given_is_at_least_what_was_asked_for(bytes in 1_usize..100_000_000) {
        prop_assert!(allocated(bytes) >= bytes && allocated(bytes) <= bytes + (bytes / 4).max(16));
    }
}
