//! `docker ps --filter`: which containers are listed. Several values of one kind widen, several kinds narrow.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use regex::Regex;

use super::filters::{Filter, has_label, invalid, refused};
use super::messages::Failure;
use super::ports;
use crate::container::config::Time;
use crate::container::{Container, Engine, EngineError};

/// What has been asked for.
#[derive(Debug, Default)]
pub struct Filters {
    names: Vec<Regex>,
    ids: Vec<Regex>,
    states: Vec<String>,
    exit_codes: Vec<i64>,
    /// Names of volumes, and places in a container.
    volumes: Vec<String>,
    labels: Vec<String>,
    /// Images, when any were named.
    ancestors: Option<HashSet<String>>,
    before: Option<Time>,
    since: Option<Time>,
    networks: Vec<String>,
    health: Vec<String>,
    published: Vec<(RangeInclusive<u16>, String)>,
    exposed: Vec<(RangeInclusive<u16>, String)>,
}

const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

impl Filters {
    /// Sorts `filters`, looking up in `engine` what they name.
    pub fn new(filters: &[Filter], engine: &Engine) -> Result<Filters, Failure> {
        let mut sorted = Filters::default();
        for Filter { kind, value } in filters {
            match kind.as_str() {
                "ancestor" => sorted.ancestors.get_or_insert_default().extend(engine.with_descendants(value)?),
                "before" => sorted.before = Some(created(engine, value)?),
                "since" => sorted.since = Some(created(engine, value)?),
                _ => sorted.take(kind, value)?,
            }
        }
        Ok(sorted)
    }

    /// Takes in a filter for which nothing has to be looked up.
    fn take(&mut self, kind: &str, value: &str) -> Result<(), Failure> {
        let owned = value.to_owned();
        match kind {
            // What is no expression fits nothing, as with dockerd.
            "name" => self.names.push(Regex::new(value).or_else(|_| Regex::new("[^\\s\\S]")).map_err(unreadable)?),
            "id" => self.ids.push(Regex::new(value).or_else(|_| Regex::new("[^\\s\\S]")).map_err(unreadable)?),
            "status" if STATES.contains(&value) => self.states.push(owned),
            "status" => return Err(invalid(&format!("status={value}"))),
            "health" if HEALTH.contains(&value) => self.health.push(owned),
            "health" => return Err(refused(&format!("Unrecognised filter value for health: {value}"))),
            "exited" => {
                let code = value.parse();
                let unread = |_| refused(&format!("strconv.Atoi: parsing {value:?}: invalid syntax"));
                self.exit_codes.push(code.map_err(unread)?);
            }
            "label" => self.labels.push(owned),
            "network" => self.networks.push(owned),
            "volume" => self.volumes.push(owned),
            "publish" => self.published.push(ports::wanted(value).map_err(|error| refused(&error.to_string()))?),
            "expose" => self.exposed.push(ports::wanted(value).map_err(|error| refused(&error.to_string()))?),
            other => return Err(invalid(other)),
        }
        Ok(())
    }

    /// Whether containers that do not run are asked for too.
    pub fn name_states(&self) -> bool {
        !self.states.is_empty()
    }

    /// Whether `container` is one of those asked for.
    pub fn fit(&self, container: &Container) -> bool {
        let config = &container.config;
        let state = &config.state;
        let has_code = |code: &i64| state.status() == "exited" && *code == state.exit_code;
        let health = state.health.as_ref().and_then(|health| health["Status"].as_str()).unwrap_or("none");
        let published = config.network_settings.ports.iter().filter(|_| state.running);
        let published: Vec<String> = published.flat_map(ports::outside).collect();
        let exposed: Vec<String> = config.config.exposed_ports.keys().cloned().collect();
        any(&self.names, |name| name.is_match(&config.name) || name.is_match(config.plain_name()))
            && any(&self.ids, |id| id.is_match(&config.id))
            && any(&self.states, |status| status == state.status())
            && any(&self.exit_codes, has_code)
            && any(&self.volumes, |wanted| {
                config.mount_points.values().any(|point| point.name == *wanted || point.destination == *wanted)
            })
            && any(&self.networks, |network| config.network_settings.networks.contains_key(network))
            && any(&self.health, |wanted| wanted == health)
            && any(&self.published, |wanted| ports::are_among(wanted, &published))
            && any(&self.exposed, |wanted| ports::are_among(wanted, &exposed))
            && self.labels.iter().all(|label| has_label(config.config.labels.as_ref(), label))
            && self.ancestors.as_ref().is_none_or(|images| images.contains(&config.image))
            && self.before.is_none_or(|before| config.created < before)
            && self.since.is_none_or(|since| config.created > since)
    }
}

fn created(engine: &Engine, name: &str) -> Result<Time, Failure> {
    match engine.container(name) {
        Ok(container) => Ok(container.config.created),
        Err(EngineError::NoSuchContainer(_)) => Err(refused(&format!("no such container {name}"))),
        Err(error) => Err(error.into()),
    }
}

fn unreadable(error: regex::Error) -> Failure {
    refused(&error.to_string())
}

/// Nothing asked for fits all.
fn any<T>(wanted: &[T], fits: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::filters::filter;
    use crate::container::config::{ContainerConfig, HostConfig, State};
    use crate::image::RunConfig;

    fn parse(texts: &[&str]) -> Result<Filters, Failure> {
        let mut filters = Filters::default();
        for text in texts {
            let Filter { kind, value } = filter(text).unwrap();
            filters.take(&kind, &value)?;
        }
        Ok(filters)
    }

    #[test]
    fn kinds_narrow_and_values_widen() {
        let started_at = "2026-11-21T01:25:53Z".parse::<jiff::Timestamp>().unwrap().into();
        let state = State { exit_code: 42, started_at, ..State::default() };
        let run = RunConfig {
            labels: Some([("a".to_owned(), "1".to_owned())].into()),
            exposed_ports: [("80/tcp".to_owned(), Default::default())].into(),
            ..RunConfig::default()
        };
        let (id, name) = ("ab12".to_owned(), "/web".to_owned());
        let config = ContainerConfig { id, name, state, config: run, ..ContainerConfig::default() };
        let container = Container { id: "ab12".to_owned(), config, host: HostConfig::default() };
        let rows = [
            (vec!["name=we"], true),
            (vec!["name=x", "name=web"], true),
            (vec!["name=web", "status=running"], false),
            (vec!["status=exited", "exited=42", "id=ab"], true),
            (vec!["exited=1"], false),
            (vec!["name=^/we"], true),
            (vec!["name=^web$", "label=a", "label=a=1"], true),
            (vec!["label=a=2"], false),
            (vec!["name=("], false),
            (vec!["expose=80"], true),
            (vec!["expose=70-90/udp"], false),
            (vec!["publish=8080"], false),
            (vec!["health=none", "network=bridge"], false),
        ];
        for (texts, expected) in rows {
            assert_eq!(parse(&texts).unwrap().fit(&container), expected, "{texts:?}");
        }
    }

    #[test]
    fn an_unknown_filter_is_refused_in_dockers_words() {
        assert_eq!(parse(&["bad=1"]).unwrap_err().text, "Error response from daemon: Invalid filter 'bad'");
        assert!(parse(&["status=nope"]).is_err() && parse(&["health=nope"]).is_err());
    }
}
