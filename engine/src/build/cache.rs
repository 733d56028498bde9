//! The cache: an image that a step made before, found by what it was made from and by what the step ran with.

use crate::container::{Engine, EngineError};
use crate::image::config::ConfigView;
use crate::image::{Digest, RunConfig};

/// The cache as one stage uses it: after the first step that is not in it, no later one is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    is_off: bool,
    has_missed: bool,
}

impl Cache {
    pub fn new(is_off: bool) -> Cache {
        Cache { is_off, has_missed: false }
    }

    /// A new stage begins.
    pub fn begin_stage(&mut self) {
        self.has_missed = false;
    }

    /// The newest image made from `below` by a step that ran with `wanted`.
    pub fn find(
        &mut self,
        engine: &Engine,
        below: Option<&Digest>,
        wanted: &RunConfig,
    ) -> Result<Option<Digest>, EngineError> {
        if self.is_off || self.has_missed {
            return Ok(None);
        }
        let fitting = engine.step_images(below)?.into_iter().filter(|(_, view)| fits(view, wanted));
        let found = fitting.max_by_key(|(_, view)| view.created.parse::<jiff::Timestamp>().ok());
        self.has_missed = found.is_none();
        Ok(found.map(|(id, _)| id))
    }
}

/// dockerd's comparison (`image/cache/compare.go`): what a step ran with, but for its working directory and the like.
fn fits(view: &ConfigView, wanted: &RunConfig) -> bool {
    let Some(known) = &view.container_config else { return false };
    let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    !known.open_stdin
        && !wanted.open_stdin
        && (known.attach_stdout, known.attach_stderr, known.tty)
            == (wanted.attach_stdout, wanted.attach_stderr, wanted.tty)
        && known.user == wanted.user
        && words(&known.cmd) == words(&wanted.cmd)
        && words(&known.env) == words(&wanted.env)
        && words(&known.entrypoint) == words(&wanted.entrypoint)
        && known.labels.clone().unwrap_or_default() == wanted.labels.clone().unwrap_or_default()
        && known.exposed_ports == wanted.exposed_ports
        && known.volumes.clone().unwrap_or_default() == wanted.volumes.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_fits_by_what_it_ran_with() {
        let run = |cmd: &str, env: &str| RunConfig {
            cmd: Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), cmd.to_owned()]),
            env: Some(vec![env.to_owned()]),
            ..RunConfig::default()
        };
        let made = |run: RunConfig| ConfigView { container_config: Some(run), ..ConfigView::default() };
        let known =
            made(RunConfig { hostname: "abc".to_owned(), labels: Some(Default::default()), ..run("true", "A=1") });
        assert!(fits(&known, &run("true", "A=1")));
        assert!(!fits(&known, &run("false", "A=1")) && !fits(&known, &run("true", "A=2")));
        let other_user = RunConfig { user: "www-data".to_owned(), ..run("true", "A=1") };
        assert!(!fits(&known, &other_user));
        assert!(!fits(&ConfigView::default(), &run("true", "A=1")));
    }
}
