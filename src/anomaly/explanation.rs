//! Why a request is unusual, in words.

use super::features::{FEATURES, Feature, Row, Transformation};
use super::model::Model;

#[cfg(test)]
mod tests;
mod words;

/// More reasons than this are no explanation.
const MOST: usize = 3;

/// What follows from another feature: one reason, with the contributions of both.
const IMPLIED: [(&str, &str); 2] = [("header_order_new", "client_new"), ("method", "method_length")];

/// The features that contributed most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// At most three, those that contributed most first; none that spoke for a usual request.
    pub reasons: Vec<Because>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Because {
    /// Of [`FEATURES`], or `running`, `window` or `hold`.
    pub feature: &'static str,
    /// Its part in what made the request unusual, of 1.
    pub share: f32,
    /// `header bytes 4.1 kB, 9x the usual 450 B`; ASCII, and without anything that the client sent.
    pub text: String,
}

impl Explanation {
    /// The three features that contributed most to the judgement of the arrival. Allocates.
    #[must_use]
    pub fn of(model: &Model, row: &Row) -> Self {
        let values = row.arrival();
        let mut contributions = vec![0.0; values.len()];
        model.arrival.forest.attribute(values, &mut contributions);
        Self::among(FEATURES, &contributions, values, &model.arrival.medians)
    }

    /// From contributions, values and medians of the first columns of these features.
    fn among(features: &'static [Feature], contributions: &[f32], values: &[f32], medians: &[f32]) -> Self {
        let mut start = 0;
        let columns = features.iter().map(|feature| {
            let columns = start..start + width(feature);
            start = columns.end;
            (feature, columns)
        });
        let contribution = |(feature, columns): (_, std::ops::Range<usize>)| {
            let sum: f32 = contributions.get(columns.clone())?.iter().sum();
            (sum > 0.0).then_some((feature, columns, sum))
        };
        let mut positive: Vec<(&Feature, _, f32)> = columns.filter_map(contribution).collect();
        let total: f32 = positive.iter().map(|(.., sum)| sum).sum();
        for (fact, follows) in IMPLIED {
            let place = |name| positive.iter().position(|(feature, ..): &(&Feature, _, f32)| feature.name == name);
            if let (Some(to), Some(from)) = (place(fact), place(follows)) {
                let (.., more) = positive.remove(from);
                // What was behind it has moved up.
                if let Some((.., sum)) = positive.get_mut(to - usize::from(from < to)) {
                    *sum += more;
                }
            }
        }
        positive.sort_by(|(.., a), (.., b)| b.total_cmp(a));
        let because = |(feature, columns, sum): (&Feature, std::ops::Range<usize>, f32)| Because {
            feature: feature.name,
            share: sum / total,
            text: words::text(
                feature,
                values.get(columns.clone()).unwrap_or_default(),
                medians.get(columns).unwrap_or_default(),
            ),
        };
        let mut reasons: Vec<Because> = positive.into_iter().map(because).collect();
        // What is as usual and only rare together with the rest says least.
        reasons.sort_by_key(|because| because.text.ends_with(words::IN_COMBINATION));
        reasons.truncate(MOST);
        Self { reasons }
    }

    /// Of a request that is refused though it is not that unusual itself.
    pub(super) fn put_first_of_hold(&mut self) {
        self.put_first("hold", "half of this caller's requests not long ago were unusual");
    }

    /// A reason that lies outside of the request goes before those of its features, of which the last may have to go.
    pub(super) fn put_first(&mut self, feature: &'static str, text: &str) {
        self.reasons.truncate(MOST - 1);
        self.reasons.insert(0, Because { feature, share: 1.0, text: text.to_owned() });
    }
}

/// How many columns a feature has.
fn width(feature: &Feature) -> usize {
    match feature.transformation {
        Transformation::None | Transformation::Log | Transformation::ZScore => 1,
        Transformation::OneHot(labels) => labels.len(),
        Transformation::Cyclic => 2,
    }
}
