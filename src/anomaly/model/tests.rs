use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::file::{MAX_BYTES, Reader, opened, sealed};
use super::folder::{Error, Folder};
use super::*;
use crate::anomaly::explanation::Explanation;
use crate::base::clock;

/// 2026-11-23T14:00:00Z.
const MADE: Duration = Duration::from_secs(1_795_442_400);

/// When they are looked at.
const NOW: Duration = Duration::from_secs(1_795_442_400 + 3_600);

fn rows(count: usize, seed: u64) -> Vec<Seen> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut row =
        || Row(std::array::from_fn(|_| if random.u8(..) < 20 { f32::NAN } else { random.f32() + random.f32() }));
    let seen = |at: u64| Seen { caller: at % 7, at: MADE - Duration::from_secs(10_000 - at), row: row() };
    (0..count as u64).map(seen).collect()
}

fn model(route: Option<&str>, at: u64) -> Model {
    Model::make(route.map(Arc::from), &rows(300, at), MADE + Duration::from_secs(at)).unwrap()
}

/// Of one model, which is made once.
fn sample() -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| model(Some("orders"), 1).to_bytes());
    &BYTES
}

fn written(tails: &Tails) -> Vec<u8> {
    let mut bytes = Vec::new();
    tails.write(&mut bytes);
    bytes
}

mod tails {
    use super::*;

    /// Of few values, so that many are the same, or of many.
    fn scores() -> impl Strategy<Value = Vec<f32>> {
        prop_oneof![vec(0.3_f32..0.9, 1..900), vec((0_u8..9).prop_map(|of| f32::from(of) / 10.0), 1..900)]
    }

    proptest! {
        #[test]
        fn a_rarity_falls_as_the_score_rises_and_is_close_to_the_share_that_scores_as_high(
            mut scores in scores(),
            mut asked in vec(0.0_f32..1.0, 1..50),
        ) {
            let tails = Tails::of(&mut scores);
            let count = scores.len() as f32;
            asked.extend(scores.iter().take(50));
            asked.sort_by(f32::total_cmp);
            let mut before = 1.0;
            for score in asked {
                let rarity = tails.rarity(score);
                prop_assert!(rarity <= before && rarity >= tails.resolution(), "{rarity} for {score}");
                before = rarity;
                let reach = scores.iter().filter(|other| **other >= score).count() as f32;
                let exact = (1.0 + reach) / (1.0 + count);
                let error = if reach <= 256.0 { 1e-6 } else { 0.02 * exact };
                prop_assert!((rarity - exact).abs() <= error, "{rarity} for {score}, {exact} is true");
            }
        }

        #[test]
        fn a_threshold_is_the_lowest_score_that_is_as_rare(mut scores in scores(), share in 0.0_f32..1.0) {
            let tails = Tails::of(&mut scores);
            let threshold = tails.threshold(share);
            if share < tails.resolution() * 0.999 {
                prop_assert_eq!(threshold, 1.0);
            } else if share > tails.resolution() * 1.001 {
                let slack = 1e-4 + 1e-4 * share;
                prop_assert!(tails.rarity(threshold) <= share + slack, "{} at {threshold}", tails.rarity(threshold));
                prop_assert!(tails.rarity(threshold - 1e-5) >= share - slack - 1.0 / scores.len() as f32);
            }
        }

        #[test]
        fn what_is_written_is_read(mut scores in scores()) {
            let tails = Tails::of(&mut scores);
            let bytes = written(&tails);
            prop_assert!(bytes.len() <= 8 + 512 * 12);
            let mut from = Reader(&bytes);
            prop_assert_eq!(Tails::read(&mut from), Ok(tails));
            prop_assert!(from.0.is_empty());
            for length in 0..bytes.len().min(100) {
                prop_assert!(Tails::read(&mut Reader(&bytes[..length])).is_err());
            }
        }

        #[test]
        fn what_is_read_is_a_table(mut scores in vec(0.0_f32..1.0, 1..20), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = written(&Tails::of(&mut scores));
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(tails) = Tails::read(&mut Reader(&bytes)) {
                prop_assert!(bytes.starts_with(&written(&tails)));
                let mut before = 1.0;
                for score in 0..=100_u8 {
                    let rarity = tails.rarity(f32::from(score) / 100.0);
                    prop_assert!(rarity > 0.0 && rarity <= before, "{rarity}");
                    before = rarity;
                }
            }
        }

        #[test]
        fn the_spread_is_whole_and_even_where_scores_differ(mut scores in vec(0.0_f32..1.0, 500..2_000)) {
            let spread: [f32; 10] = Tails::of(&mut scores).spread();
            prop_assert!((spread.iter().sum::<f32>() - 1.0).abs() < 1e-3);
            prop_assert!(spread.iter().all(|share| (share - 0.1).abs() < 0.02), "{spread:?}");
        }
    }

    /// Whatever the distribution: of requests like those of the table, a share p has a rarity of p or less.
    #[test]
    fn it_is_calibrated() {
        let shapes: [fn(f32) -> f32; 3] =
            [|even| even, |even| 0.3 + 0.5 * even.powi(9), |even| (even * 3.0).sin() * 0.5];
        let mut random = fastrand::Rng::with_seed(11);
        for shape in shapes {
            for (of, fresh) in [(1_000, 40_000), (10_000, 40_000)] {
                for share in [0.5_f32, 0.05, 0.02, 0.005] {
                    // The average over tables: each of them is off by what its own rows happened to be.
                    let (mut rare, tables) = (0_u32, 20);
                    for _ in 0..tables {
                        let mut scores: Vec<f32> = (0..of).map(|_| shape(random.f32())).collect();
                        let tails = Tails::of(&mut scores);
                        let is_rare = |_: &u32| tails.rarity(shape(random.f32())) <= share;
                        rare += (0..fresh / tables).filter(is_rare).count() as u32;
                    }
                    let found = rare as f32 / fresh as f32;
                    // Of the requests, and of the rows of the tables.
                    let variance = share * (1.0 - share) * (1.0 / fresh as f32 + 1.0 / (of * tables) as f32);
                    let least = share - 1.0 / of as f32;
                    let slack = 4.0 * variance.sqrt() + 0.02 * share;
                    assert!(found <= share + slack && found >= least - slack, "{found} for {share} of {of}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_is_no_score_and_not_rare() {
        let mut scores = [0.5, f32::NAN, 0.7, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let tails = Tails::of(&mut scores);
        assert_eq!(tails.scores(), 2);
        assert_eq!(tails.rarity(f32::NAN), 1.0);
        assert_eq!(tails.rarity(f32::INFINITY), 1.0 / 3.0);
        assert_eq!(
            [0.4, 0.5, 0.6, 0.7, 0.8].map(|score| tails.rarity(score)),
            [1.0, 1.0, 2.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0]
        );
        let none = Tails::of(&mut []);
        assert_eq!((none.rarity(0.9), none.threshold(0.5), none.resolution()), (1.0, 1.0, 1.0));
        assert_eq!(none, Tails::default());
    }

    #[test]
    fn a_table_is_small_however_many_scores_there_are() {
        let mut random = fastrand::Rng::with_seed(12);
        for count in [255, 256, 257, 600, 5_000, 1_000_000] {
            let mut scores: Vec<f32> = (0..count).map(|_| random.f32()).collect();
            let tails = Tails::of(&mut scores);
            let points = written(&tails).len() / 12;
            assert!((200..=512).contains(&points), "{points} points of {count}");
        }
    }
}

mod making {
    use super::*;

    #[test]
    fn too_few_rows_make_no_model() {
        assert!(Model::make(None, &rows(MIN_ROWS - 1, 1), MADE).is_none());
        assert!(Model::make(None, &rows(MIN_ROWS, 1), MADE).is_some());
    }

    #[test]
    fn it_says_what_it_was_made_of() {
        let model = model(Some("orders"), 0);
        assert_eq!((model.rows, model.route.as_deref(), model.made_at), (300, Some("orders"), MADE));
        assert_eq!(model.window, (MADE - Duration::from_secs(10_000), MADE - Duration::from_secs(9_701)));
        let (stamp, checksum) = model.version.split_once('-').unwrap();
        assert_eq!(stamp, "20261123T140000Z");
        assert!(checksum.len() == 8 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit()), "{checksum}");
        assert_eq!(model.arrival.medians.len(), ARRIVAL);
        assert_eq!(model.outcome.medians.len(), COLUMNS - ARRIVAL);
        assert_eq!(model.arrival.tails.scores(), 300);
    }

    #[test]
    fn the_same_rows_make_the_same_model_and_others_another_one() {
        let made = |route: &str, rows: &[Seen]| Model::make(Some(route.into()), rows, MADE).unwrap();
        let first = made("orders", &rows(300, 1));
        assert_eq!(first.to_bytes(), made("orders", &rows(300, 1)).to_bytes());
        assert_eq!(first.version, made("orders", &rows(300, 1)).version);
        assert_ne!(first.version, made("orders", &rows(300, 2)).version);
        assert_ne!(first.version, made("others", &rows(300, 1)).version);
        assert_ne!(seed(&rows(300, 1)), seed(&rows(300, 2)));
    }

    #[test]
    fn medians_are_of_what_is_there() {
        let nan = f32::NAN;
        let values = [3.0, nan, 1.0, nan, 9.0, f32::INFINITY, nan, 2.0, nan, 5.0, nan, nan];
        let medians = super::super::medians(as_rows(&values, 3));
        assert_eq!(medians[..2], [3.0, 2.0][..]);
        assert_eq!(medians[2], 1.0, "infinity is no value");
        assert!(super::super::medians(as_rows(&[nan, nan], 1))[0].is_nan());
    }

    /// As if each came at this time.
    fn at(rows: &[Seen], when: impl Fn(Duration) -> Duration) -> Vec<Seen> {
        let moved = |seen: &Seen| {
            let mut moved = Seen { at: when(seen.at), ..seen.clone() };
            let (sine, cosine) = (std::f32::consts::TAU * (moved.at.as_secs() % 86_400) as f32 / 86_400.0).sin_cos();
            moved.row.0[columns("time_of_day")].copy_from_slice(&[sine, cosine]);
            moved
        };
        rows.iter().map(moved).collect()
    }

    #[test]
    fn the_time_of_the_day_is_looked_at_by_who_has_seen_a_day() {
        const HOUR: Duration = Duration::from_hours(1);
        let rarities = |model: &Model, rows: &[Seen]| -> Vec<f32> {
            rows.iter().map(|seen| model.arrival.judge(seen.row.arrival()).rarity).collect()
        };
        let rows = rows(2_000, 3);
        // Within ten minutes, and within nine hours of each of two days.
        let short = at(&rows, |at| MADE + (at - rows[0].at) * 3 / 10);
        let long = at(&rows, |at| MADE + (at - rows[0].at) * 16 + HOUR * 24 * u32::from(at.as_secs() % 2 == 0));
        let late = |rows: &[Seen]| at(rows, |at| at + 12 * HOUR);

        let model = Model::make(None, &short, MADE).unwrap();
        assert_eq!(rarities(&model, &short), rarities(&model, &late(&short)));
        assert!(model.arrival.medians[columns("time_of_day")].iter().all(|median| median.is_nan()));
        let why = |seen: &Seen| Explanation::of(&model, &seen.row).reasons;
        assert!(late(&short).iter().flat_map(why).all(|because| because.feature != "time_of_day"));

        let model = Model::make(None, &long, MADE).unwrap();
        let mean = |rows: &[Seen]| rarities(&model, rows).iter().sum::<f32>() / rows.len() as f32;
        assert!(mean(&late(&long)) < 0.8 * mean(&long), "{} {}", mean(&late(&long)), mean(&long));
    }

    /// On rows that the forest has not seen, within what the chance of the rows allows.
    #[test]
    fn a_model_finds_no_more_rare_than_it_says() {
        let model = Model::make(None, &rows(4_000, 21), MADE).unwrap();
        let fresh = rows(10_000, 22);
        for share in [0.05_f32, 0.01] {
            let rare = fresh.iter().filter(|seen| model.arrival.judge(seen.row.arrival()).rarity <= share);
            let found = rare.count() as f32 / fresh.len() as f32;
            assert!(found < share + 5.0 * (share / 4_000.0).sqrt(), "{found} for {share}");
        }
    }
}

mod bytes {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for model in [model(Some("orders"), 1), model(None, 2)] {
            let bytes = model.to_bytes();
            let read = Model::from_bytes(&bytes).unwrap();
            assert_eq!(read.to_bytes(), bytes);
            assert_eq!((&read.version, &read.route, read.made_at), (&model.version, &model.route, model.made_at));
            assert_eq!((read.window, read.rows), (model.window, model.rows));
            assert_eq!((&read.arrival.tails, &read.arrival.forest), (&model.arrival.tails, &model.arrival.forest));
            for seen in rows(100, 3) {
                assert_eq!(read.arrival.judge(seen.row.arrival()), model.arrival.judge(seen.row.arrival()));
                assert_eq!(read.outcome.judge(seen.row.outcome()), model.outcome.judge(seen.row.outcome()));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let bytes = model(None, 1).to_bytes();
        let fault = |bytes: &[u8]| Model::from_bytes(bytes).unwrap_err().0;
        assert_eq!(fault(b""), "not a model");
        assert_eq!(fault(b"PK\x03\x04"), "not a model");
        assert_eq!(fault(&bytes[..30]), "truncated");
        assert_eq!(fault(&bytes[..bytes.len() - 1]), "damaged or truncated: its checksum is another one");
        assert_eq!(fault(&[&bytes[..], b"\n"].concat()), "damaged or truncated: its checksum is another one");
        assert_eq!(fault(&vec![0; MAX_BYTES + 1]), "too large for a model");
        let mut other = bytes.clone();
        other[8] = 2;
        assert_eq!(fault(&other), "a model of another version of the format");
        let mut payload = opened(&bytes).unwrap().0.to_vec();
        assert_eq!(
            payload[..8],
            crate::anomaly::features::schema().to_le_bytes(),
            "as many columns that mean something else are another table"
        );
        payload[0] ^= 1;
        assert_eq!(fault(&sealed(&payload)), "made for another table of features");
    }

    proptest! {
        #[test]
        fn a_byte_that_is_another_one_is_noticed(at in any::<prop::sample::Index>(), flipped in 1_u8..) {
            let mut bytes = sample().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= flipped;
            prop_assert!(Model::from_bytes(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..600)) {
            invariants::check(&bytes);
        }

        /// Under a seal of its own, so that the checksum does not stand before all the rest.
        #[test]
        fn a_model_that_was_made_up_is_refused_or_works(
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            length in any::<prop::sample::Index>(),
            is_cut: bool,
        ) {
            let mut payload = opened(sample()).unwrap().0.to_vec();
            for (at, byte) in changes {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            if is_cut {
                payload.truncate(length.index(payload.len()));
            }
            invariants::check(&payload);
        }
    }
}

mod in_a_folder {
    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(test: &str) -> Self {
            let name = format!("sluice-models-{test}-{}-{:x}", std::process::id(), fastrand::u64(..));
            Self(std::env::temp_dir().join(name))
        }

        fn folder(&self) -> Folder {
            Folder::open(&self.0.join("models")).unwrap()
        }

        fn files(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.join("models")).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn about(models: &[Arc<Model>]) -> Vec<About> {
        models.iter().map(|model| model.about()).collect()
    }

    #[test]
    fn models_come_back_the_newest_first() {
        let temporary = Temporary::new("back");
        let folder = temporary.folder();
        let models = [model(Some("a"), 3), model(None, 2), model(Some("a"), 1)];
        for model in models.iter().rev() {
            let path = folder.save(model, 5, &[]).unwrap();
            assert_eq!(fs::read(path).unwrap(), model.to_bytes());
        }
        let (listed, errors) = folder.list(NOW);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(listed, models.each_ref().map(Model::about));
        let (current, _) = folder.load_current(NOW);
        assert_eq!(about(&current), &listed[..2]);
        assert!(temporary.files().iter().all(|name| name.ends_with(".model")), "{:?}", temporary.files());
    }

    #[test]
    fn a_version_is_found_and_no_other_file_is_read() {
        let temporary = Temporary::new("find");
        let folder = temporary.folder();
        let models = [model(Some("a"), 1), model(Some("a"), 2), model(None, 3)];
        models.iter().for_each(|model| drop(folder.save(model, 5, &[]).unwrap()));
        for name in temporary.files().iter().filter(|name| !name.contains(&*models[0].version)) {
            fs::write(folder.path().join(name), "no model").unwrap();
        }
        for route in [Some("a"), Some("b"), None] {
            let found = folder.find(route, &models[0].version).unwrap().unwrap();
            assert_eq!(found.version, models[0].version);
            assert!(matches!(folder.find(route, &models[1].version), Err(Error::Damaged { .. })), "{route:?}");
            assert!(folder.find(route, "20200101T000000Z-00000000").unwrap().is_none());
        }
        // What is in a file is what counts.
        let lies = folder.path().join(format!("a--{}.model", models[1].version));
        fs::copy(folder.path().join(format!("a--{}.model", models[0].version)), lies).unwrap();
        assert!(folder.find(Some("a"), &models[1].version).unwrap().is_none());
    }

    #[test]
    fn a_clock_that_was_ahead_has_not_the_last_word() {
        let temporary = Temporary::new("ahead");
        let folder = temporary.folder();
        let [past, latest] = [1, 2].map(|at| model(Some("a"), at));
        let ahead = [50_000, 60_000].map(|at| model(Some("a"), at));
        let only = model(Some("b"), 50_000);
        for model in [&past, &latest, &ahead[0], &ahead[1], &only] {
            folder.save(model, 5, &[]).unwrap();
        }
        let (current, errors) = folder.load_current(NOW);
        assert_eq!(about(&current), [&latest, &only].map(Model::about), "one of the future where there is no other");
        assert_eq!(errors.iter().filter(|error| matches!(error, Error::Ahead { .. })).count(), 3, "{errors:?}");
        let (all, errors) = folder.list(NOW);
        assert_eq!(all[..2], [&latest, &past].map(Model::about), "what judges after a start is the first of its route");
        assert_eq!((all.len(), errors.len()), (5, 0));
        // Nor is it kept instead of what was made since.
        let next = model(Some("a"), 3);
        folder.save(&next, 3, &[]).unwrap();
        let kept: Vec<_> = folder.list(NOW).0.into_iter().filter(|about| about.route.as_deref() == Some("a")).collect();
        assert_eq!(kept, [&next, &latest, &past].map(Model::about));
        // Clocks of gateways that share a folder differ.
        assert_eq!(folder.load_current(MADE).0[0].version, next.version);
    }

    #[test]
    fn however_many_files_there_are_the_newest_of_each_route_is_read() {
        let temporary = Temporary::new("many");
        let folder = temporary.folder();
        let models = [model(Some("a"), 2), model(Some("b"), 1)];
        models.iter().for_each(|model| drop(folder.save(model, 5, &[]).unwrap()));
        for at in 0..4_200 {
            fs::write(folder.path().join(format!("a--20260101T000000Z-{at:08x}.model")), "").unwrap();
        }
        let (current, errors) = folder.load_current(NOW);
        assert_eq!(about(&current), models.each_ref().map(Model::about));
        assert!(errors.is_empty(), "{errors:?}");
        let (all, errors) = folder.list(NOW);
        assert_eq!(all, about(&current), "and of all, so many");
        let damaged = errors.iter().filter(|error| matches!(error, Error::Damaged { .. })).count();
        let too_many = errors.iter().any(|error| matches!(error, Error::TooMany { most: 4_096, .. }));
        assert_eq!((damaged, too_many), (4_094, true));
    }

    #[test]
    fn the_oldest_of_a_route_go_but_none_that_is_pinned() {
        let temporary = Temporary::new("keep");
        let folder = temporary.folder();
        let models: Vec<Model> = (0..6).map(|at| model(Some("a"), at)).collect();
        let pinned = [Arc::clone(&models[1].version)];
        folder.save(&model(Some("a--b"), 0), 1, &[]).unwrap();
        folder.save(&model(Some("b"), 0), 1, &[]).unwrap();
        models.iter().for_each(|model| drop(folder.save(model, 2, &pinned).unwrap()));
        let of = |name: &str| temporary.files().into_iter().filter(|file| file.starts_with(name)).count();
        let kept: Vec<String> = [1, 4, 5].map(|at| format!("a--{}.model", models[at].version)).into();
        assert!(kept.iter().all(|name| temporary.files().contains(name)), "{:?}", temporary.files());
        assert_eq!((of("a--2"), of("a--b--"), of("b--")), (3, 1, 1));
        // A clock that was set back, and nothing to keep: what was just made stays.
        let older = model(Some("a"), 2);
        let path = folder.save(&older, 0, &[]).unwrap();
        assert_eq!((of("a--2"), path.exists()), (1, true));
    }

    #[test]
    fn a_file_that_is_no_model_is_named_and_the_others_are_loaded() {
        let temporary = Temporary::new("damaged");
        let folder = temporary.folder();
        let path = folder.save(&model(Some("a"), 2), 5, &[]).unwrap();
        folder.save(&model(Some("a"), 1), 5, &[]).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(100);
        fs::write(&path, bytes).unwrap();
        fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        fs::write(folder.path().join(".1-2.tmp"), "being written").unwrap();
        let ((all, of_all), (current, of_current)) = (folder.list(NOW), folder.load_current(NOW));
        assert_eq!((all.len(), current.len()), (1, 1));
        for errors in [of_all, of_current] {
            assert!(matches!(&errors[..], [Error::Damaged { path: named, .. }] if *named == path), "{errors:?}");
            assert!(errors[0].to_string().starts_with(path.to_str().unwrap()));
        }
        folder.save(&model(Some("a"), 3), 5, &[]).unwrap();
        assert!(temporary.files().contains(&".1-2.tmp".to_owned()), "another gateway is writing it");
        let abandoned = fs::File::options().write(true).open(folder.path().join(".1-2.tmp")).unwrap();
        abandoned.set_modified(std::time::UNIX_EPOCH + clock::since_epoch() - Duration::from_hours(2)).unwrap();
        folder.save(&model(Some("a"), 4), 5, &[]).unwrap();
        assert!(!temporary.files().contains(&".1-2.tmp".to_owned()));
        assert!(temporary.files().contains(&"notes.txt".to_owned()));
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_no_panic() {
        let temporary = Temporary::new("gone");
        let folder = temporary.folder();
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(matches!(&folder.list(NOW).1[..], [Error::Io { .. }]));
        assert!(matches!(folder.save(&model(None, 1), 5, &[]), Err(Error::Io { .. })));
        fs::write(folder.path(), "a file").unwrap();
        assert!(matches!(Folder::open(folder.path()), Err(Error::Io { .. })));
    }

    /// Two processes with one folder, each saving and loading.
    #[test]
    fn several_gateways_may_have_one_folder() {
        let temporary = Temporary::new("shared");
        let folder = temporary.folder();
        std::thread::scope(|scope| {
            for gateway in 0..3 {
                let folder = folder.clone();
                scope.spawn(move || {
                    for at in 0..10 {
                        folder.save(&model(Some("a"), at * 3 + gateway), 2, &[]).unwrap();
                        assert!(folder.list(NOW).1.is_empty());
                    }
                });
            }
        });
        assert!(folder.list(NOW).0.len() <= 4, "{:?}", temporary.files());
    }

    #[test]
    fn whatever_a_route_is_called_its_file_is_in_the_folder() {
        let temporary = Temporary::new("names");
        let folder = temporary.folder();
        let long = "é".repeat(120);
        let names = ["../../etc/passwd", "/root", "..", "_", "a/b", "a\0b", "a%2Fb", "a b", ".hidden", "a--b", &long];
        for name in names {
            let path = folder.save(&model(Some(name), 1), 5, &[]).unwrap();
            assert_eq!(path.parent(), Some(folder.path()));
        }
        folder.save(&model(None, 1), 5, &[]).unwrap();
        let (loaded, errors) = folder.list(NOW);
        assert_eq!((loaded.len(), errors.len()), (names.len() + 1, 0));
        assert!(names.iter().all(|name| loaded.iter().any(|model| model.route.as_deref() == Some(name))));
        assert!(temporary.files().iter().all(|name| name.len() < 200 && !name.starts_with('.')));
    }
}
