//! What was seen of late, in a few words of memory.

use std::time::Duration;

/// In how many minutes each of a few hashes was there, of some 500 with any; the 5 with most.
///
/// By time and not by number, so that nothing becomes usual by coming often within minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// 0 stands for a place that is free.
    hashes: [u32; PLACES],
    /// In sixty-fourths of a minute.
    weights: [u16; PLACES],
    /// The minute that was counted last, modulo 256.
    last: [u8; PLACES],
}

const PLACES: usize = 5;
const MINUTE: u16 = 64;
/// Together in all places, at most: so none overflows.
const MOST: u16 = 510 * MINUTE;

impl Presence {
    fn sign(hash: u64) -> u32 {
        ((hash >> 32) as u32).max(1)
    }

    fn all(&self) -> u16 {
        self.weights.iter().sum()
    }

    /// How new it is: minutes with others only for one with it, or for none. 0 when nothing else was there.
    pub fn newness(&self, hash: u64) -> f32 {
        let minutes = |weight: u16| f32::from(weight) / f32::from(MINUTE);
        let found = self.hashes.iter().position(|seen| *seen == Self::sign(hash));
        let own = found.and_then(|place| self.weights.get(place)).copied().unwrap_or_default();
        minutes(self.all().saturating_sub(own)) / minutes(own).max(1.0)
    }

    /// It is there now. Without a place, it takes that of the least.
    pub fn note(&mut self, hash: u64, at: Duration) {
        let (hash, minute) = (Self::sign(hash), (at.as_secs() / 60) as u8);
        let known = self.hashes.iter().position(|seen| *seen == hash);
        let least = || (0..PLACES).min_by_key(|place| self.weights.get(*place));
        let Some(place) = known.or_else(least) else { return };
        let (Some(seen), Some(weight), Some(last)) =
            (self.hashes.get_mut(place), self.weights.get_mut(place), self.last.get_mut(place))
        else {
            return;
        };
        if known.is_none() {
            (*seen, *weight) = (hash, 0);
        } else if *last == minute {
            return;
        }
        *weight += MINUTE;
        *last = minute;
        if self.all() > MOST {
            self.weights.iter_mut().for_each(|weight| *weight -= *weight / (MOST / MINUTE));
        }
    }
}

/// Two Bloom filters of `64 · WORDS` bits with three bits for a hash (Bloom: Space/time trade-offs in hash coding, CACM 1970): when
/// the younger has taken a hash for every 10 of its bits, the older is forgotten. So the last `6 · WORDS` different ones are known
/// for sure, up to twice as many perhaps, and others are taken for known in at most 4 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generations<const WORDS: usize> {
    younger: [u64; WORDS],
    older: [u64; WORDS],
    taken: u16,
}

impl<const WORDS: usize> Default for Generations<WORDS> {
    fn default() -> Self {
        Self { younger: [0; WORDS], older: [0; WORDS], taken: 0 }
    }
}

impl<const WORDS: usize> Generations<WORDS> {
    pub fn has(&self, hash: u64) -> bool {
        all(&self.younger, hash) || all(&self.older, hash)
    }

    /// Whether it was seen of late; it is afterwards.
    pub fn note(&mut self, hash: u64) -> bool {
        if all(&self.younger, hash) {
            return true;
        }
        let found = all(&self.older, hash);
        if usize::from(self.taken) >= 6 * WORDS {
            self.older = std::mem::replace(&mut self.younger, [0; WORDS]);
            self.taken = 0;
        }
        for (word, bit) in places::<WORDS>(hash) {
            if let Some(word) = self.younger.get_mut(word) {
                *word |= bit;
            }
        }
        self.taken += 1;
        found
    }
}

fn all<const WORDS: usize>(filter: &[u64; WORDS], hash: u64) -> bool {
    places::<WORDS>(hash).into_iter().all(|(word, bit)| filter.get(word).is_some_and(|word| word & bit != 0))
}

/// Three bits: their words, and their place in these.
fn places<const WORDS: usize>(hash: u64) -> [(usize, u64); 3] {
    [hash, hash >> 20, hash >> 40].map(|part| ((part >> 6) as usize % WORDS, 1 << (part % 64)))
}

/// How many different hashes there were: linear counting (Whang, Vander-Zanden, Taylor: A Linear-Time Probabilistic Counting
/// Algorithm for Database Applications, TODS 1990). Off by 4 of 100 at 500, standard error; 3194 is the most it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distinct([u64; 8]);

impl Distinct {
    const BITS: u32 = 512;

    pub fn note(&mut self, hash: u64) {
        if let Some(word) = self.0.get_mut((hash >> 61) as usize) {
            *word |= 1 << (hash >> 55 & 63);
        }
    }

    pub fn estimate(&self) -> f32 {
        let bits = Self::BITS as f32;
        let free = self.0.iter().map(|word| word.count_zeros()).sum::<u32>().max(1);
        bits * (bits / free as f32).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::features::mix;

    const MINUTES: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_new_becomes_usual_by_minutes_not_by_requests() {
        let mut presence = Presence::default();
        assert_eq!(presence.newness(mix(1)), 0.0);
        (0..1_000).for_each(|minute| presence.note(mix(1), MINUTES * minute));
        let all = presence.newness(mix(2));
        assert!(presence.newness(mix(1)) == 0.0 && (450.0..=510.0).contains(&all), "{all}");
        (0..10_000).for_each(|_| presence.note(mix(2), MINUTES * 1_000));
        assert!(presence.newness(mix(2)) > all - 2.0, "{}", presence.newness(mix(2)));
        (1_000..1_060).for_each(|minute| presence.note(mix(2), MINUTES * minute));
        assert!((6.0..9.0).contains(&presence.newness(mix(2))), "{}", presence.newness(mix(2)));
        (2_000..4_000).for_each(|minute| presence.note(mix(2), MINUTES * minute));
        assert!(presence.newness(mix(2)) < 0.1 && presence.newness(mix(1)) > 15.0);
    }

    #[test]
    fn those_that_come_once_do_not_push_out_what_is_there_always() {
        let mut presence = Presence::default();
        for minute in 0..5_000 {
            (1..5).for_each(|usual| presence.note(mix(usual), MINUTES * minute));
            presence.note(mix(1_000 + u64::from(minute)), MINUTES * minute);
        }
        assert!((1..5).all(|usual| presence.newness(mix(usual)) < 6.0));
        assert!(presence.newness(mix(1_000)) > 400.0);
    }

    #[test]
    fn paths_are_known_as_long_as_promised_and_forgotten_at_last() {
        let mut seen = Generations::<16>::default();
        let mistaken = (0..10_000).filter(|number| seen.note(mix(*number))).count();
        assert!(mistaken < 400, "{mistaken}");
        assert!((9_904..10_000).all(|number| seen.note(mix(number))));
        let remembered = (0..9_000).filter(|number| all(&seen.younger, mix(*number)) || all(&seen.older, mix(*number)));
        assert!(remembered.count() < 9_000 * 4 / 100);
    }

    #[test]
    fn what_is_asked_for_again_and_again_stays_known() {
        let mut seen = Generations::<16>::default();
        seen.note(mix(1));
        for number in 0..10_000 {
            seen.note(mix(1_000 + number));
            assert!(number % 50 != 0 || seen.note(mix(1)));
        }
    }

    #[test]
    fn distinct_ones_are_counted_nearly() {
        let mut distinct = Distinct::default();
        for number in 0_u64..1_000 {
            assert!((distinct.estimate() - number as f32).abs() <= 3.0 + 0.15 * number as f32, "{number}");
            distinct.note(mix(number));
            distinct.note(mix(number / 2));
        }
        (0..100_000).for_each(|number| distinct.note(mix(number)));
        assert!((distinct.estimate() - 3_194.0).abs() < 1.0);
    }
}
