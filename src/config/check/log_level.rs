//! Log filters, checked by hand: the usual reader takes `inof` for the name of a module and logs nothing.

use super::super::yaml::did_you_mean;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether a filter is a level, or a list of levels and `module=level`; the error says what was expected.
pub(super) fn check(filter: &str) -> Result<(), String> {
    for directive in filter.split(',') {
        let level = match directive.split_once('=') {
            Some((target, level)) => {
                let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
                if target.is_empty() || !target.chars().all(sound) {
                    return Err(format!("`{target}` is not the name of a module"));
                }
                level
            }
            None => directive,
        };
        if !LEVELS.contains(&level) {
            let meant =
                did_you_mean(level, LEVELS).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            return Err(format!("`{level}` is not a log level{meant}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn accepts_levels_and_modules() {
        for filter in ["info", "off", "warn,sluice=debug,pingora_core::connectors=trace"] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn refuses_words_that_only_look_like_levels() {
        assert_eq!(check("inof").unwrap_err(), "`inof` is not a log level; did you mean `info`?");
        for filter in ["", "info,", "=info", "a b=info", "sluice=", "sluice=loud"] {
            assert!(check(filter).is_err(), "{filter}");
        }
    }
}
