//! Objects and who asks for them.

use std::time::Duration;

use fastrand::Rng;

/// What there is upstream.
pub struct Objects {
    sizes: Vec<u32>,
    lifetimes: Vec<Duration>,
}

/// In bytes.
const MEDIAN: f64 = 8_192.0;
const SMALLEST: f64 = 1_024.0;
const LARGEST: f64 = 65_536.0;

/// A third each, whatever is popular.
const LIFETIMES: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(3_600)];

impl Objects {
    /// Sizes are log-normal.
    pub fn new(count: u32) -> Self {
        let mut random = Rng::with_seed(1);
        let size = |random: &mut Rng| (MEDIAN * normal(random).exp()).clamp(SMALLEST, LARGEST);
        Self {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            sizes: (0..count).map(|_| size(&mut random) as u32).collect(),
            lifetimes: (0..count).map(|_| LIFETIMES[random.usize(0..LIFETIMES.len())]).collect(),
        }
    }

    pub fn count(&self) -> u32 {
        u32::try_from(self.sizes.len()).unwrap_or(u32::MAX)
    }

    /// Objects that are asked for once have numbers beyond, and sizes of those that have not.
    pub fn size(&self, object: u32) -> u32 {
        self.sizes[object as usize % self.sizes.len()]
    }

    pub fn lifetime(&self, object: u32) -> Duration {
        self.lifetimes[object as usize % self.lifetimes.len()]
    }
}

/// Box and Muller's.
fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// Objects in the order in which they are asked for: the one of rank `r` in proportion to `r` to the power of `-alpha`. Of a hundred, so
/// many are asked for once and never again.
pub fn zipf(count: u32, alpha: f64, once: u32, length: usize) -> Vec<u32> {
    let mut random = Rng::with_seed(2);
    let mut sum = 0.0;
    let upto: Vec<f64> = (1..=count)
        .map(|rank| {
            sum += f64::from(rank).powf(-alpha);
            sum
        })
        .collect();
    let mut new = count..;
    let mut next = || {
        if random.u32(0..100) < once {
            return new.next().unwrap_or_default();
        }
        let at = random.f64() * sum;
        u32::try_from(upto.partition_point(|upto| *upto <= at)).unwrap_or_default().min(count - 1)
    };
    (0..length).map(|_| next()).collect()
}
