//! "Did you mean": the nearest of the words that are allowed at a place.

/// The allowed word nearest to what was written, if one is near enough to be meant.
pub(crate) fn did_you_mean<'a>(written: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let wanted = plain(written);
    let most = (wanted.chars().count() / 3).max(1);
    allowed
        .into_iter()
        .filter(|word| word.len().abs_diff(written.len()) <= most)
        .map(|word| (strsim::damerau_levenshtein(&wanted, &plain(word)), word))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn list_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_of_the_finger_but_no_other_words() {
        let keys = ["upstream", "max_body", "request_headers", "auth"];
        assert_eq!(did_you_mean("upstraem", keys), Some("upstream"));
        assert_eq!(did_you_mean("max-body", keys), Some("max_body"));
        assert_eq!(did_you_mean("Auth", keys), Some("auth"));
        assert_eq!(did_you_mean("cache", keys), None);
        assert_eq!(did_you_mean("", keys), None);
    }

    #[test]
    fn joins_words_as_people_do() {
        assert_eq!(list_of(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(list_of(["a"]), "`a`");
    }
}
