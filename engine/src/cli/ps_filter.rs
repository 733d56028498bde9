//! `docker ps --filter`: which containers are listed. Several values of one kind widen, several kinds narrow.

use super::messages::Failure;
use crate::container::Container;

/// What has been asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filters {
    names: Vec<String>,
    ids: Vec<String>,
    states: Vec<String>,
    exit_codes: Vec<i64>,
    /// Names of volumes, and places in a container.
    volumes: Vec<String>,
}

const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

impl Filters {
    /// Reads `name=web` and the like.
    pub fn parse(texts: &[String]) -> Result<Filters, Failure> {
        let mut filters = Filters::default();
        for text in texts {
            let bad = || Failure::new("bad format of filter (expected name=value)".to_owned());
            let (kind, value) = text.split_once('=').ok_or_else(bad)?;
            let refused = |reason: String| Failure::new(format!("Error response from daemon: {reason}"));
            match kind.trim().to_lowercase().as_str() {
                "name" => filters.names.push(value.to_owned()),
                "id" => filters.ids.push(value.to_owned()),
                "volume" => filters.volumes.push(value.to_owned()),
                "status" if STATES.contains(&value) => filters.states.push(value.to_owned()),
                "status" => return Err(refused(format!("Invalid filter 'status={value}'"))),
                "exited" => {
                    let code = value
                        .parse()
                        .map_err(|_| refused(format!("strconv.Atoi: parsing {value:?}: invalid syntax")))?;
                    filters.exit_codes.push(code);
                }
                other => return Err(refused(format!("Invalid filter '{other}'"))),
            }
        }
        Ok(filters)
    }

    /// Whether containers that do not run are asked for too.
    pub fn name_states(&self) -> bool {
        !self.states.is_empty() || !self.exit_codes.is_empty()
    }

    /// Whether `container` is one of those asked for.
    pub fn fit(&self, container: &Container) -> bool {
        let state = &container.config.state;
        let has_code = |code: &i64| state.status() == "exited" && *code == state.exit_code;
        any(&self.names, |name| container.config.name.contains(name.as_str()))
            && any(&self.ids, |id| container.config.id.starts_with(id.as_str()))
            && any(&self.states, |status| status == state.status())
            && any(&self.exit_codes, has_code)
            && any(&self.volumes, |wanted| {
                container
                    .config
                    .mount_points
                    .values()
                    .any(|point| point.name == *wanted || point.destination == *wanted)
            })
    }
}

/// Nothing asked for fits all.
fn any<T>(wanted: &[T], fits: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::{ContainerConfig, HostConfig, State};

    fn parse(texts: &[&str]) -> Result<Filters, Failure> {
        Filters::parse(&texts.iter().map(|text| text.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn kinds_narrow_and_values_widen() {
        let started_at = "2026-11-21T01:25:53Z".parse::<jiff::Timestamp>().unwrap().into();
        let state = State { exit_code: 42, started_at, ..State::default() };
        let config =
            ContainerConfig { id: "ab12".to_owned(), name: "/web".to_owned(), state, ..ContainerConfig::default() };
        let container = Container { id: "ab12".to_owned(), config, host: HostConfig::default() };
        let rows = [
            (vec!["name=we"], true),
            (vec!["name=x", "name=web"], true),
            (vec!["name=web", "status=running"], false),
            (vec!["status=exited", "exited=42", "id=ab"], true),
            (vec!["exited=1"], false),
        ];
        for (texts, expected) in rows {
            assert_eq!(parse(&texts).unwrap().fit(&container), expected, "{texts:?}");
        }
    }

    #[test]
    fn an_unknown_filter_is_refused_in_dockers_words() {
        assert_eq!(parse(&["bad=1"]).unwrap_err().text, "Error response from daemon: Invalid filter 'bad'");
        assert!(parse(&["status=nope"]).is_err() && parse(&["name"]).is_err());
    }
}
