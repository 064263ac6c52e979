//! What was seen of late, in a few words of memory.

/// Hashes that were among the last 8 different ones; the one seen last stands first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent([u32; 8]);

impl Recent {
    /// 0 stands for a place that is free.
    fn sign(hash: u64) -> u32 {
        ((hash >> 32) as u32).max(1)
    }

    pub fn has(&self, hash: u64) -> bool {
        self.0.contains(&Self::sign(hash))
    }

    /// Whether it was among them; it is afterwards.
    pub fn note(&mut self, hash: u64) -> bool {
        let hash = Self::sign(hash);
        if self.0.first() == Some(&hash) {
            return true;
        }
        let found = self.0.iter().position(|seen| *seen == hash);
        let end = found.unwrap_or(self.0.len() - 1);
        if let Some(front) = self.0.get_mut(..=end) {
            front.rotate_right(1);
        }
        if let Some(first) = self.0.first_mut() {
            *first = hash;
        }
        found.is_some()
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

    #[test]
    fn the_last_eight_are_known() {
        let mut recent = Recent::default();
        for number in 0..8 {
            assert!(!recent.note(mix(number)));
        }
        assert!((0..8).all(|number| recent.note(mix(number))));
        // The first is seen again, so the second goes.
        recent.note(mix(0));
        assert!(!recent.note(mix(8)));
        assert!(recent.note(mix(0)) && !recent.note(mix(1)));
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
