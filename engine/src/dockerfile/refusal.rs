//! What the grammar refuses, in Docker's sentences: the crate's own texts are mapped to those of dockerd 20.10.

/// The sentence for `reason`, the crate's, about the instruction that stands on `line` as `original`.
pub fn worded(reason: &str, line: usize, original: &str) -> String {
    let mut words = original.split_whitespace();
    let name = words.next().unwrap_or_default().to_ascii_uppercase();
    let has_arguments = words.any(|word| !word.starts_with("--"));
    let said = match (name.as_str(), reason) {
        (_, "expected at least one FROM instruction") => {
            return if original.is_empty() {
                "failed to parse Dockerfile: file with no instructions".to_owned()
            } else {
                "No image was generated. Is your Dockerfile empty?".to_owned()
            };
        }
        (_, "expected FROM") => return "no build stage in current context".to_owned(),
        (_, escape) if escape.starts_with("invalid escape '") => {
            let token = escape.trim_start_matches("invalid escape '").trim_end_matches('\'');
            return format!("failed to parse Dockerfile: invalid escape token '{token}' does not match ` or \\");
        }
        ("ONBUILD", _) if !has_arguments => "ONBUILD requires at least one argument".to_owned(),
        ("ONBUILD", forbidden) if forbidden.contains("not allowed") => {
            let trigger = original.split_whitespace().nth(1).unwrap_or_default().to_ascii_uppercase();
            match trigger.as_str() {
                "ONBUILD" => "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned(),
                trigger => format!("{trigger} isn't allowed as an ONBUILD trigger"),
            }
        }
        ("ONBUILD", unknown) if unknown.starts_with("unknown instruction") => {
            let trigger = original.split_whitespace().nth(1).unwrap_or_default().to_ascii_uppercase();
            format!("unknown instruction: {trigger}")
        }
        (_, unknown) if unknown.starts_with("unknown instruction") => format!("unknown instruction: {name}"),
        ("FROM", _) => "FROM requires either one or three arguments".to_owned(),
        ("COPY" | "ADD", short) if short.contains("at least two arguments") => {
            format!(
                "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
            )
        }
        ("USER" | "WORKDIR" | "STOPSIGNAL" | "MAINTAINER", short) if short.contains("one argument") => {
            format!("{name} requires exactly one argument")
        }
        ("SHELL", _) if has_arguments && !reason.contains("at least one argument") => {
            "SHELL requires the arguments to be in JSON form".to_owned()
        }
        ("HEALTHCHECK", "HEALTHCHECK CMD instruction requires at least one argument") if has_arguments => {
            "Missing command after HEALTHCHECK CMD".to_owned()
        }
        ("HEALTHCHECK", _) if has_arguments => {
            let kind = original.split_whitespace().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
            match kind.to_ascii_uppercase().as_str() {
                "NONE" => "HEALTHCHECK NONE takes no arguments".to_owned(),
                "CMD" => "Missing command after HEALTHCHECK CMD".to_owned(),
                kind => format!("Unknown type {kind:?} in HEALTHCHECK (try CMD)"),
            }
        }
        _ if reason.contains("argument") || !has_arguments => format!("{name} requires at least one argument"),
        _ => reason.to_owned(),
    };
    at(line, &said)
}

/// `reason` with the line it is about.
pub fn at(line: usize, reason: &str) -> String {
    format!("dockerfile parse error line {line}: {reason}")
}
