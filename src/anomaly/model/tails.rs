//! How rare a score is: a table of the upper tail of the scores of usual requests.

use super::file::{Fault, Reader};

/// 6 KiB of table.
const MAX_POINTS: usize = 512;
/// The highest scores, which are kept one by one; those below in steps that grow with their rank.
const EXACT: usize = 256;

/// How rare scores are among usual requests: the upper tail of their distribution.
///
/// The rarity is the p-value of conformal prediction, (1 + scores as high) / (1 + scores) (Laxhammar, Falkman: Conformal
/// prediction for distribution-independent anomaly detection in streaming vehicle data, 2010). Of requests like those of the
/// table, at most a share p has a rarity of p or less, whatever the distribution of scores. The 256 highest scores are kept as
/// they are; below, up to 3 % of a rank are interpolated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tails {
    scores: u32,
    /// From the lowest score to the highest; the first is the lowest of all.
    points: Box<[Point]>,
}

/// One of the scores, and how many others are higher.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    score: f32,
    /// So many are higher.
    above: u32,
    /// So many are as high or higher.
    reach: u32,
}

impl Tails {
    /// Of the scores of requests that the forest was not grown from, or as many as there are; sorts them. What is not finite
    /// is no score.
    #[must_use]
    pub fn of(scores: &mut [f32]) -> Self {
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        let count = scores.iter().filter(|score| score.is_finite()).count().min(u32::MAX as usize);
        let finite = scores.iter().copied().filter(|score| score.is_finite()).take(count);
        // Steps by which no more points are needed than there is room for.
        let step = (count as f64 / EXACT as f64).powf(1.0 / (MAX_POINTS - EXACT - 2) as f64).max(1.0);
        let mut points: Vec<Point> = Vec::with_capacity(count.min(MAX_POINTS));
        let mut next = 0.0;
        let mut keep = |point: Point, is_last: bool| {
            if f64::from(point.reach) >= next || is_last {
                next = if point.reach as usize <= EXACT { 0.0 } else { f64::from(point.reach) * step };
                points.push(point);
            }
        };
        let mut last: Option<Point> = None;
        for (score, reach) in finite.zip(1..) {
            match &mut last {
                Some(point) if point.score == score => point.reach = reach,
                _ => {
                    if let Some(point) = last {
                        keep(point, false);
                    }
                    last = Some(Point { score, above: reach - 1, reach });
                }
            }
        }
        if let Some(point) = last {
            keep(point, true);
        }
        points.reverse();
        Self { scores: count as u32, points: points.into() }
    }

    /// The share of usual requests that score as high or higher; never below [`resolution`](Self::resolution). What is not a
    /// number is not rare.
    #[must_use]
    pub fn rarity(&self, score: f32) -> f32 {
        let after = self.points.partition_point(|point| point.score <= score);
        let Some(below) = after.checked_sub(1).and_then(|at| self.points.get(at)) else { return 1.0 };
        if below.score == score {
            return self.share(f64::from(below.reach));
        }
        let Some(over) = self.points.get(after) else { return self.share(f64::from(below.above)) };
        let (low, high) = (f64::from(over.reach), f64::from(below.above));
        let way = (f64::from(over.score) - f64::from(score)) / (f64::from(over.score) - f64::from(below.score));
        self.share(low + (high - low) * way)
    }

    /// The lowest score with this rarity or a smaller one; 1, which no forest gives, when the share is below
    /// [`resolution`](Self::resolution).
    #[must_use]
    pub fn threshold(&self, share: f32) -> f32 {
        let most = f64::from(share) * (f64::from(self.scores) + 1.0) - 1.0;
        // Rounding must not take a rank away.
        let most = if (most - most.round()).abs() < 1e-6 * (1.0 + most.abs()) { most.round() } else { most };
        let at = self.points.partition_point(|point| f64::from(point.above) > most);
        let Some(point) = self.points.get(at) else { return 1.0 };
        let reach = f64::from(point.reach);
        if reach > most {
            return point.score.next_up();
        }
        let Some(below) = at.checked_sub(1).and_then(|at| self.points.get(at)) else { return point.score };
        let way = (most - reach) / (f64::from(below.above) - reach);
        (f64::from(point.score) - way * (f64::from(point.score) - f64::from(below.score))) as f32
    }

    /// The smallest share that it can tell, 1 / (n + 1): nothing is rarer, so rungs of the ladder below it are never reached.
    #[must_use]
    pub fn resolution(&self) -> f32 {
        self.share(0.0)
    }

    /// How many scores it was made of.
    #[must_use]
    pub fn scores(&self) -> u32 {
        self.scores
    }

    /// The shares of its own scores whose rarity lies in each of so many equal parts of (0, 1]: even ones, but where many
    /// scores are the same.
    #[must_use]
    pub fn spread<const BINS: usize>(&self) -> [f32; BINS] {
        let mut counts = [0.0; BINS];
        let mut add = |reach: u32, count: u32| {
            let bin = bin(self.share(f64::from(reach)), BINS);
            if let Some(found) = counts.get_mut(bin) {
                *found += count as f32 / self.scores as f32;
            }
        };
        let mut over = 0;
        for point in self.points.iter().rev() {
            // What lies between two points is taken to be in the middle.
            add(over + (point.above - over) / 2, point.above - over);
            add(point.reach, point.reach - point.above);
            over = point.reach;
        }
        counts
    }

    fn share(&self, count: f64) -> f32 {
        ((1.0 + count) / (1.0 + f64::from(self.scores))) as f32
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.scores.to_le_bytes());
        out.extend_from_slice(&(self.points.len() as u32).to_le_bytes());
        for point in &self.points {
            out.extend_from_slice(&point.score.to_le_bytes());
            out.extend_from_slice(&point.above.to_le_bytes());
            out.extend_from_slice(&point.reach.to_le_bytes());
        }
    }

    /// Only what [`write`](Self::write) can have written.
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Fault> {
        const FAULT: Fault = Fault("a table of scores that cannot be");
        let (scores, count) = (from.u32()?, from.u32()? as usize);
        if count > MAX_POINTS || (count == 0) != (scores == 0) {
            return Err(FAULT);
        }
        let mut points: Vec<Point> = Vec::with_capacity(count);
        for _ in 0..count {
            let point = Point { score: from.f32()?, above: from.u32()?, reach: from.u32()? };
            let fits = match points.last() {
                Some(below) => point.score > below.score && point.reach <= below.above,
                None => point.reach == scores,
            };
            if !fits || !point.score.is_finite() || point.above >= point.reach {
                return Err(FAULT);
            }
            points.push(point);
        }
        if points.last().is_some_and(|highest| highest.above != 0) {
            return Err(FAULT);
        }
        Ok(Self { scores, points: points.into() })
    }
}

/// Which of so many equal parts of (0, 1] a rarity lies in.
pub(in crate::anomaly) fn bin(rarity: f32, bins: usize) -> usize {
    ((rarity * bins as f32) as usize).min(bins.saturating_sub(1))
}
