//! Content trust: signatures by a notary server, which this engine does not know, and refuses rather than leaves unsaid.

use std::env;

use super::arguments::truth;

const VARIABLE: &str = "DOCKER_CONTENT_TRUST";

/// `--disable-content-trust`, of the verbs that fetch or send images.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Trust {
    /// Skip image verification
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = truth, value_name = "bool")]
    disable_content_trust: Option<bool>,
}

impl Trust {
    /// Refuses what asks for trust: the flag when it is false, or without it the environment.
    pub fn refuse(&self) -> Result<(), String> {
        self.refuse_with(env::var(VARIABLE).ok().as_deref())
    }

    fn refuse_with(&self, variable: Option<&str>) -> Result<(), String> {
        // What is no truth value counts as true, as in Docker.
        let by_variable = variable.is_some_and(|value| !value.is_empty() && truth(value) != Ok(false));
        let way_out = match self.disable_content_trust {
            Some(true) => return Ok(()),
            Some(false) => "leave --disable-content-trust=false out",
            None if by_variable => "unset DOCKER_CONTENT_TRUST, or say --disable-content-trust",
            None => return Ok(()),
        };
        Err(format!("content trust is not here: this engine verifies digests and asks no notary; {way_out}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_refused_where_it_is_asked_for_and_only_there() {
        let rows = [
            (None, None, None),
            (None, Some(""), None),
            (None, Some("0"), None),
            (None, Some("1"), Some("unset DOCKER_CONTENT_TRUST")),
            (None, Some("maybe"), Some("unset DOCKER_CONTENT_TRUST")),
            (Some(true), Some("1"), None),
            (Some(false), None, Some("leave --disable-content-trust=false out")),
        ];
        for (flag, variable, expected) in rows {
            let refused = Trust { disable_content_trust: flag }.refuse_with(variable);
            assert_eq!(refused.is_err(), expected.is_some(), "{flag:?} {variable:?}");
            assert!(refused.err().unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }
}
