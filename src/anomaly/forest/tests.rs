use proptest::prelude::*;

use super::random::Random;
use super::{Forest, MAX_COLUMNS, Node, Options, Rows, path_length};

const SMALL: Options = Options { trees: 20, samples: 32, extension: 0, together: &[], seed: 7 };

fn rows(columns: usize, values: &[f32]) -> Rows<'_> {
    Rows { columns, values }
}

/// Rows of the normal distribution, as near as [`Random`] comes.
fn cloud(columns: usize, count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..columns * count).map(|_| random.normal()).collect()
}

fn bytes(forest: &Forest) -> Vec<u8> {
    let mut bytes = Vec::new();
    forest.write(&mut bytes);
    bytes
}

fn attributed(forest: &Forest, row: &[f32]) -> Vec<f32> {
    let mut contributions = vec![0.0; row.len()];
    forest.attribute(row, &mut contributions);
    contributions
}

fn greatest(values: impl IntoIterator<Item = f32>) -> usize {
    values.into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at)
}

#[test]
fn lengths_of_the_paper() {
    let averages = path_length::averages(4096);
    assert_eq!(averages.len(), 4097);
    assert_eq!(averages[..3], [0.0, 0.0, 1.0]);
    // 2 H(2) - 4/3 and 2 H(3) - 3/2.
    assert!((averages[3] - 5.0 / 3.0).abs() < 1e-12);
    assert!((averages[4] - 13.0 / 6.0).abs() < 1e-12);
    // The paper takes ln(i) + 0.5772156649 for H(i), which is less by between 1 / 2(i + 1) and 1 / 2i.
    for n in [10_u32, 100, 256, 1000, 4096] {
        let (count, below) = (f64::from(n), f64::from(n - 1));
        let paper = 2.0 * (below.ln() + 0.577_215_664_9) - 2.0 * below / count;
        let more = averages[n as usize] - paper;
        assert!((1.0 / count - 1e-9..1.0 / below).contains(&more), "{n}: {more}");
    }
    assert!((averages[256] - 10.2487).abs() < 1e-4);
    assert_eq!([2, 3, 4, 5, 255, 256, 257].map(path_length::height_limit), [1, 2, 2, 3, 8, 8, 9]);
}

#[test]
fn powers_are_as_good_as_those_of_the_library() {
    for step in 0..40_000_u32 {
        let x = f64::from(step) / 1000.0;
        let (ours, library) = (f64::from(path_length::half_to_the(x)), (-x).exp2());
        assert!((ours - library).abs() <= library * f64::from(f32::EPSILON), "{x}: {ours} {library}");
    }
}

/// Made on x86-64. Where this fails, a forest is not the same on every machine.
#[test]
fn the_same_forest_on_every_machine() {
    let mut values = cloud(5, 300, 1);
    values[7] = f32::NAN;
    let checksum = |options| {
        let forest = Forest::grow(rows(5, &values), options).unwrap();
        let scores = rows(5, &values).iter().flat_map(|row| forest.score(row).to_bits().to_le_bytes());
        let bytes = bytes(&forest).into_iter().chain(scores);
        // FNV-1a.
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    assert_eq!(checksum(SMALL), 16_410_618_305_276_412_978);
    assert_eq!(checksum(Options { extension: 2, ..SMALL }), 4_988_896_046_338_633_890);
}

#[test]
fn another_seed_is_another_forest() {
    let values = cloud(3, 100, 1);
    let grow = |seed| Forest::grow(rows(3, &values), Options { seed, ..SMALL }).unwrap();
    assert_eq!(grow(1), grow(1));
    assert_ne!(grow(1), grow(2));
}

#[test]
fn it_is_as_large_as_is_said() {
    assert_eq!(size_of::<Node>() + size_of::<f32>(), 12);
    let values = cloud(42, 2_000, 7);
    let forest = Forest::grow(rows(42, &values), Options::default()).unwrap();
    let (memory, disk) = (forest.nodes.len() * 12, bytes(&forest).len());
    assert!((140_000..160_000).contains(&memory) && (55_000..70_000).contains(&disk), "{memory} {disk}");
}

#[test]
fn too_little_to_grow_from() {
    for (columns, values) in [(0, &[][..]), (0, &[1.0]), (1, &[]), (1, &[1.0]), (2, &[1.0, 2.0, 3.0])] {
        assert_eq!(Forest::grow(rows(columns, values), SMALL), None);
    }
    let wide = vec![0.0; 2 * (MAX_COLUMNS + 1)];
    assert_eq!(Forest::grow(rows(MAX_COLUMNS + 1, &wide), SMALL), None);
    assert!(Forest::grow(rows(MAX_COLUMNS, &wide[2..]), SMALL).is_some());
}

#[test]
fn columns_that_belong_together_are_cut_as_often_as_one_that_stands_alone() {
    // Seven columns of which each row has one, and another that tells as much: who differs in that is found only where it is cut.
    let mut random = fastrand::Rng::with_seed(3);
    let mut values = Vec::new();
    for _ in 0..400 {
        let kind = random.usize(..7);
        values.extend((0..7).map(|column| f32::from(column == kind)));
        values.push(random.f32());
    }
    let score = |together| {
        let options = Options { trees: 300, together, ..Options::default() };
        Forest::grow(rows(8, &values), options).unwrap().score(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0])
    };
    let (apart, together) = (score(&[]), score(&[7, 7, 7, 7, 7, 7, 7, 1]));
    assert!(together > apart + 0.02, "{apart} {together}");
}

#[test]
fn nothing_to_tell_apart_is_usual() {
    for extension in [0, 1] {
        for value in [3.0, f32::NAN, f32::INFINITY, f32::MAX, 0.0] {
            let forest = Forest::grow(rows(2, &[value; 60]), Options { extension, ..SMALL }).unwrap();
            for row in [[value; 2], [9.0; 2], [f32::NAN; 2]] {
                assert_eq!(forest.score(&row), 0.5);
                assert_eq!(attributed(&forest, &row), [0.0; 2]);
            }
        }
    }
}

#[test]
fn two_rows_are_equally_unusual() {
    let forest = Forest::grow(rows(1, &[1.0, 2.0]), SMALL).unwrap();
    assert_eq!([0.0, 1.0, 2.0, 3.0].map(|value| forest.score(&[value])), [0.5; 4]);
}

/// Between neighbours there is nothing to cut at, and between the extremes there is more than an f32 holds.
#[test]
fn both_sides_of_a_cut_hold_rows() {
    let near = f32::from_bits(1.0_f32.to_bits() + 1);
    for (low, high) in [(1.0, near), (f32::MIN, f32::MAX), (0.0, f32::from_bits(1)), (-0.0, f32::MIN_POSITIVE)] {
        let values: Vec<f32> = (0..64).map(|at| if at == 5 { high } else { low }).collect();
        let forest = Forest::grow(rows(1, &values), Options { samples: 64, ..SMALL }).unwrap();
        assert!(forest.score(&[high]) > 0.8, "{low} {high}");
        assert!(forest.score(&[low]) < 0.5, "{low} {high}");
    }
}

#[test]
fn what_is_far_out_scores_highest() {
    for extension in [0, 1, 3] {
        let mut values = cloud(4, 500, 3);
        values[400..404].copy_from_slice(&[9.0, -9.0, 9.0, -9.0]);
        let forest = Forest::grow(rows(4, &values), Options { extension, ..Options::default() }).unwrap();
        assert_eq!(greatest(rows(4, &values).iter().map(|row| forest.score(row))), 100);
    }
}

/// Half of the rows have nothing in a column, which is not to be told from having what is usual there.
#[test]
fn what_is_missing_goes_with_the_majority() {
    let mut values = cloud(4, 500, 3);
    values.iter_mut().step_by(8).for_each(|value| *value = f32::NAN);
    for extension in [0, 2] {
        let forest = Forest::grow(rows(4, &values), Options { extension, ..Options::default() }).unwrap();
        let usual = forest.score(&[0.0; 4]);
        for missing in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(forest.score(&[missing, 0.0, 0.0, 0.0]) < usual + 0.03, "{extension}");
            assert!(forest.score(&[missing; 4]) < usual + 0.03, "{extension}");
            assert!(forest.score(&[missing, 9.0, 0.0, 0.0]) > usual + 0.05, "{extension}");
        }
    }
}

#[test]
fn a_row_of_another_width_is_usual() {
    let forest = Forest::grow(rows(2, &cloud(2, 50, 1)), SMALL).unwrap();
    for row in [&[][..], &[9.0], &[9.0; 3]] {
        assert_eq!(forest.score(row), 0.5);
        assert!(attributed(&forest, row).iter().all(|bits| *bits == 0.0));
    }
}

/// Few and many columns take different ways.
#[test]
fn wide_rows_score_as_narrow_ones_do() {
    let narrow = cloud(3, 200, 1);
    let wide: Vec<f32> = rows(3, &narrow).iter().flat_map(|row| row.iter().copied().chain([1.0; 200])).collect();
    let [narrow, wide] = [rows(3, &narrow), rows(203, &wide)];
    let [few, many] = [narrow, wide].map(|rows| Forest::grow(rows, SMALL).unwrap());
    for (narrow, wide) in narrow.iter().zip(wide.iter()) {
        assert_eq!(few.score(narrow), many.score(wide));
    }
}

/// The column that contributed most is the one without which the row is least unusual: with its median instead.
#[test]
fn contributions_agree_with_ablation() {
    const COLUMNS: usize = 12;
    // Medians are 0, or near it.
    let values: Vec<f32> = rows(COLUMNS, &cloud(COLUMNS, 2000, 5)).iter().flat_map(unlike_each_other).collect();
    for (extension, planted, least) in [(0, 1, 180), (0, 2, 150), (1, 1, 190), (1, 2, 150)] {
        let forest = Forest::grow(rows(COLUMNS, &values), Options { extension, ..Options::default() }).unwrap();
        let mut random = Random::new(6);
        let mut agreed = 0;
        for _ in 0..200 {
            let mut row: Vec<f32> = unlike_each_other(&cloud(COLUMNS, 1, random.next()));
            let mut columns: Vec<usize> = (0..COLUMNS - 2).collect();
            random.draw(&mut columns, planted);
            for column in &columns[..planted] {
                row[*column] = if random.below(2) == 0 { 6.0 } else { -6.0 };
            }
            let without = |column: usize| {
                let mut row = row.clone();
                row[column] = 0.0;
                -forest.score(&row)
            };
            let first = greatest(attributed(&forest, &row));
            agreed += u32::from(first == greatest((0..COLUMNS).map(without)));
        }
        assert!(agreed >= least, "{extension} {planted}: {agreed} of 200");
    }
}

/// Two columns that go together, one with a long tail, one that is mostly missing, two that are yes or no.
fn unlike_each_other(row: &[f32]) -> Vec<f32> {
    let mut row = row.to_vec();
    row[1] = row[0] + row[1] / 4.0;
    row[2] *= row[2].abs();
    row[3] = if row[3] > 1.0 { row[4] } else { f32::NAN };
    for place in &mut row[10..] {
        *place = f32::from(u8::from(*place > 1.0));
    }
    row
}

/// Over the rows that a tree was grown from.
#[test]
fn contributions_are_zero_on_average() {
    let values = cloud(3, 64, 2);
    let forest = Forest::grow(rows(3, &values), Options { samples: 64, ..SMALL }).unwrap();
    let mut sums = [0.0; 3];
    for row in rows(3, &values).iter() {
        for (sum, bits) in sums.iter_mut().zip(attributed(&forest, row)) {
            *sum += bits / 64.0;
        }
    }
    assert!(sums.iter().all(|sum: &f32| sum.abs() < 1e-5), "{sums:?}");
}

#[test]
fn bytes_that_are_no_forest() {
    // Columns, samples, trees, columns of a cut; a cut at column 0, two leaves of a row.
    let file = |head: [u16; 4], slot: u16, threshold: f32, leaves: [u16; 2]| {
        let mut bytes: Vec<u8> = head.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(slot.to_le_bytes());
        bytes.extend(threshold.to_le_bytes());
        bytes.extend(leaves.iter().flat_map(|rows| [[0, 0], rows.to_le_bytes()]).flatten());
        bytes
    };
    let read = |bytes: Vec<u8>| Forest::read(&mut bytes.as_slice()).map_err(|fault| fault.0);
    assert!(read(file([3, 2, 1, 1], 1, 0.5, [1, 1])).is_ok());
    assert!(read(file([3, 2, 1, 1], 6, 0.5, [1, 1])).is_ok());
    for (head, fault) in [
        ([0, 2, 1, 1], "no or too many columns"),
        ([2048, 2, 1, 1], "no or too many columns"),
        ([3, 1, 1, 1], "too few or too many rows a tree"),
        ([3, 4097, 1, 1], "too few or too many rows a tree"),
        ([3, 2, 0, 1], "no or too many trees"),
        ([3, 2, 1001, 1], "no or too many trees"),
        ([3, 2, 1, 0], "cuts of no or too many columns"),
        ([3, 2, 1, 4], "cuts of no or too many columns"),
        ([3, 2, 2, 1], "it ends too early"),
        ([3, 3, 1, 1], "a tree of another number of rows"),
    ] {
        assert_eq!(read(file(head, 1, 0.5, [1, 1])), Err(fault));
    }
    assert_eq!(read(file([3, 2, 1, 1], 7, 0.5, [1, 1])), Err("a cut at a column that is not there"));
    assert_eq!(read(file([3, 2, 1, 1], 1, f32::NAN, [1, 1])), Err("a number that is not finite"));
    assert_eq!(read(file([3, 2, 1, 1], 1, 0.5, [2, 0])), Err("a leaf without rows"));
    assert_eq!(read(file([3, 2, 1, 1], 1, 0.5, [1, 3])), Err("a leaf with too many rows"));
    let cuts = [1_u16, 0, 0].map(u16::to_le_bytes).concat();
    let chain =
        |cuts_in_all: usize| [&[3_u16, 4, 1, 1].map(u16::to_le_bytes).concat()[..], &cuts.repeat(cuts_in_all)].concat();
    assert_eq!(read(chain(4)), Err("a tree that is too large"));
    let leaf = [0_u16, 1].map(u16::to_le_bytes).concat();
    let deep = [chain(1), leaf.clone(), cuts.clone(), leaf.clone(), cuts.clone(), leaf.repeat(2)].concat();
    assert_eq!(read(deep), Err("a tree that is too deep"));
}

#[test]
fn a_forest_is_read_from_the_front() {
    let forest = Forest::grow(rows(2, &cloud(2, 50, 1)), SMALL).unwrap();
    let mut bytes = bytes(&forest);
    let len = bytes.len();
    bytes.extend(*b"rest");
    let mut rest = bytes.as_slice();
    assert_eq!(Forest::read(&mut rest), Ok(forest));
    assert_eq!(rest, b"rest");
    for end in 0..len {
        assert!(Forest::read(&mut &bytes[..end]).is_err());
    }
}

/// Values as they come, and such as are hard: equal, missing, extreme.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -10.0_f32..10.0,
        2 => (0_u8..3).prop_map(f32::from),
        1 => any::<f32>(),
        1 => proptest::sample::select(vec![f32::NAN, f32::INFINITY, f32::MAX, f32::MIN, -0.0, f32::MIN_POSITIVE]),
    ]
}

fn table() -> impl Strategy<Value = (usize, Vec<f32>)> {
    (1_usize..6, 2_usize..60)
        .prop_flat_map(|(columns, count)| (Just(columns), proptest::collection::vec(value(), columns * count)))
}

fn options() -> impl Strategy<Value = Options> {
    (0_u16..20, 0_u16..80, 0_u16..4, any::<u64>()).prop_map(|(trees, samples, extension, seed)| Options {
        trees,
        samples,
        extension,
        seed,
        together: &[],
    })
}

/// What holds of every forest and row.
fn check(forest: &Forest, row: &[f32]) -> Result<(), TestCaseError> {
    let score = forest.score(row);
    prop_assert!(score > 0.0 && score < 1.0, "{score}");
    let bits: f32 = attributed(forest, row).iter().sum();
    let baseline = path_length::half_to_the(forest.mean_length() / forest.usual);
    let explained = baseline * bits.exp2();
    prop_assert!((explained - score).abs() < 1e-4, "{score}: {baseline} · 2^{bits}");
    Ok(())
}

proptest! {
    #[test]
    fn scores_are_within_bounds_and_explained((columns, values) in table(), options in options()) {
        let rows = rows(columns, &values);
        let forest = Forest::grow(rows, options).unwrap();
        for row in rows.iter() {
            check(&forest, row)?;
        }
        for extreme in [f32::NAN, f32::INFINITY, f32::MIN, f32::MAX, 0.0] {
            check(&forest, &vec![extreme; columns])?;
        }
        let bytes = bytes(&forest);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(Forest::read(&mut rest), Ok(forest));
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn whatever_is_read_can_be_used(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        use_what_is_read(&bytes)?;
    }

    /// Nearly a forest gets further than chance does.
    #[test]
    fn damaged_forests_can_be_used(
        (columns, values) in table(),
        options in options(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes(&Forest::grow(rows(columns, &values), options).unwrap());
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        use_what_is_read(&bytes)?;
    }
}

fn use_what_is_read(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut rest = bytes;
    let Ok(forest) = Forest::read(&mut rest) else { return Ok(()) };
    for value in [f32::NAN, f32::INFINITY, f32::MIN, f32::MAX, 0.0, 0.3, -7.0] {
        // How many rows were where is what was read, so contributions need not add up.
        let row = vec![value; forest.columns()];
        let score = forest.score(&row);
        prop_assert!(score > 0.0 && score < 1.0, "{score}");
        prop_assert!(attributed(&forest, &row).iter().all(|bits| bits.is_finite()));
    }
    let mut again = Vec::new();
    forest.write(&mut again);
    prop_assert_eq!(&again[..], &bytes[..bytes.len() - rest.len()]);
    Ok(())
}
