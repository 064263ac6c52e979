//! Log filters, checked by hand and then by their reader: it takes `inof` for the name of a module and logs nothing else.

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::super::yaml::did_you_mean;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether a filter is a level, or a list of levels, `module=level` and `module[span]=level`; the error says what was
/// expected. What passes can be logged with.
pub(super) fn check(filter: &str) -> Result<(), String> {
    // Commas and bare words within brackets are for the reader of filters alone.
    if !filter.contains('[') {
        filter.split(',').try_for_each(directive)?;
    }
    EnvFilter::builder().parse(filter).map(drop).map_err(|error| format!("`{filter}` is not a log filter: {error}"))
}

fn directive(text: &str) -> Result<(), String> {
    let level = match text.split_once('=') {
        Some((target, level)) => {
            let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
            if target.is_empty() || !target.chars().all(sound) {
                return Err(format!("`{target}` is not the name of a module"));
            }
            level
        }
        None => text,
    };
    if level.is_empty() || level.parse::<LevelFilter>().is_err() {
        let meant = did_you_mean(level, LEVELS).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        return Err(format!("`{level}` is not a log level{meant}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn accepts_levels_and_modules() {
        for filter in [
            "info",
            "off",
            "WARN",
            "warn,sluice=debug,pingora_core::connectors=trace",
            "sluice[request{route=a}]=debug",
        ] {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn refuses_words_that_only_look_like_levels() {
        assert_eq!(check("inof").unwrap_err(), "`inof` is not a log level; did you mean `info`?");
        for filter in ["", "info,", "=info", "a b=info", "sluice=", "sluice=loud", " info", "[span{"] {
            assert!(check(filter).is_err(), "{filter}");
        }
    }
}
