//! What holds for whatever lies in the folder of models; checked by the property tests and by the fuzz target.

use super::Model;
use super::file::{MAX_BYTES, opened, sealed};
use crate::anomaly::features::Row;

/// Panics when a guarantee is broken. The bytes are read as they are, and as what stands under a seal, which no search would
/// ever find.
pub fn check(bytes: &[u8]) {
    read(bytes);
    let sealed = sealed(bytes);
    if sealed.len() <= MAX_BYTES {
        assert_eq!(opened(&sealed).expect("our own seal").0, bytes);
    }
    read(&sealed);
}

fn read(bytes: &[u8]) {
    let Ok(model) = Model::from_bytes(bytes) else { return };
    assert_eq!(model.to_bytes(), bytes, "written in another way than it was read");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.0, 1.0, -3.5] {
        let row = Row([value; crate::anomaly::features::COLUMNS]);
        for (part, columns) in [(&model.arrival, row.arrival()), (&model.outcome, row.outcome())] {
            let judged = part.judge(columns);
            assert!(judged.score > 0.0 && judged.score < 1.0, "a score of {}", judged.score);
            assert!(judged.rarity >= part.tails.resolution() && judged.rarity <= 1.0, "a rarity of {}", judged.rarity);
            assert!(part.tails.threshold(0.01).is_finite());
        }
    }
}
