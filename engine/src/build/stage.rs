//! Carrying a Dockerfile out: stage by stage, step by step, as Docker's classic builder tells it.

use std::collections::BTreeMap;

use super::arguments::Arguments;
use super::cache::Cache;
use super::copy::{self, Copy};
use super::sources::{Origin, hash_of_all};
use super::{BuildError, BuildSpec, Context, Watcher};
use crate::container::{Container, Engine, EngineError, StepImage};
use crate::dockerfile::setting::{set_variable, shell_of};
use crate::dockerfile::{Command, Instruction, Setting, Step, Transfer, parse_one, words};
use crate::image::manifest::Platform;
use crate::image::{Digest, Reference, RunConfig};
use crate::layer::Owners;
use crate::sys::root::Root;

const SCRATCH: &str = "scratch";
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A build under way.
pub struct Builder<'a> {
    engine: &'a Engine,
    spec: &'a BuildSpec,
    context: &'a Context,
    watcher: &'a mut dyn Watcher,
    escape: char,
    arguments: Arguments,
    cache: Cache,
    /// The stages that are done: name and image.
    done: Vec<(Option<String>, Option<Digest>)>,
    stage: Stage,
    /// Containers of steps that are still there.
    containers: Vec<String>,
}

/// The stage under way.
#[derive(Default)]
struct Stage {
    name: Option<String>,
    /// The image so far; nothing right after `FROM scratch`.
    image: Option<Digest>,
    config: RunConfig,
    author: String,
    cmd_is_set: bool,
}

impl<'a> Builder<'a> {
    pub fn new(
        engine: &'a Engine,
        spec: &'a BuildSpec,
        context: &'a Context,
        watcher: &'a mut dyn Watcher,
        escape: char,
    ) -> Builder<'a> {
        let (arguments, cache) = (Arguments::new(spec.arguments.clone()), Cache::new(spec.no_cache));
        let (done, containers, stage) = (Vec::new(), Vec::new(), Stage::default());
        Builder { engine, spec, context, watcher, escape, arguments, cache, done, stage, containers }
    }

    /// Carries all steps out and says the ID of the last image.
    pub fn build(mut self, steps: Vec<Step>) -> Result<Digest, BuildError> {
        let steps = self.chosen(steps)?;
        let count = steps.len();
        let mut has_stage = false;
        for (number, step) in steps.into_iter().enumerate() {
            self.show(&format!("Step {}/{count} : {}\n", number + 1, step.original));
            match step.instruction {
                Instruction::Arg(pairs) if !has_stage => self.declare_globally(pairs)?,
                Instruction::From { image, stage, platform } => {
                    if has_stage {
                        self.end_stage();
                    }
                    has_stage = true;
                    self.begin_stage(&image, stage, platform)?;
                    self.show_image();
                }
                instruction => {
                    self.dispatch(instruction)?;
                    self.show_image();
                }
            }
        }
        if let Some(warning) = self.arguments.warning() {
            self.show(&warning);
        }
        self.stage.image.ok_or_else(|| BuildError::step("No image was generated. Is your Dockerfile empty?"))
    }

    /// The steps up to the target, with those that options add.
    fn chosen(&self, mut steps: Vec<Step>) -> Result<Vec<Step>, BuildError> {
        if let Some(target) = &self.spec.target {
            let mut found = None;
            for (place, step) in steps.iter().enumerate() {
                let Instruction::From { stage, .. } = &step.instruction else { continue };
                if found.is_some() {
                    steps.truncate(place);
                    break;
                }
                let is_meant = stage.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(target));
                found = is_meant.then_some(place);
            }
            if found.is_none() {
                return Err(BuildError::Refused(format!("failed to reach build target {target} in Dockerfile")));
            }
        }
        for (name, value) in &self.spec.labels {
            // Quoted, so that nothing in it is taken for a variable.
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\"'\"'"));
            let instruction = Instruction::Setting(Setting::Label(vec![(quoted(name), quoted(value))]));
            steps.push(Step { original: format!("LABEL {name}={value}"), instruction });
        }
        Ok(steps)
    }

    fn declare_globally(&mut self, pairs: Vec<(String, Option<String>)>) -> Result<(), BuildError> {
        for (name, default) in pairs {
            let known = self.arguments.globals();
            let lookup = |name: &str| known.get(name).cloned();
            let name = words::expand(&name, self.escape, &lookup)?;
            let default = default.map(|default| words::expand(&default, self.escape, &lookup)).transpose()?;
            self.arguments.declare_global(&name, default);
        }
        Ok(())
    }

    fn end_stage(&mut self) {
        let stage = std::mem::take(&mut self.stage);
        self.done.push((stage.name, stage.image));
    }

    fn begin_stage(&mut self, image: &str, name: Option<String>, platform: Option<String>) -> Result<(), BuildError> {
        if let Some(name) =
            name.as_ref().filter(|name| self.done.iter().any(|(other, _)| other.as_ref() == Some(*name)))
        {
            return Err(BuildError::step(format!("{name} stage name already used")));
        }
        self.cache.begin_stage();
        self.arguments.begin_stage();
        let globals = self.arguments.globals();
        let expand = |word: &str| words::expand(word, self.escape, &|name: &str| globals.get(name).cloned());
        let wanted = expand(image)?;
        if wanted.is_empty() {
            return Err(BuildError::step(format!("base name ({image}) should not be blank")));
        }
        let platform = match platform {
            Some(text) => {
                let text = expand(&text)?;
                let platform = Platform::parse(&text);
                Some(platform.map_err(|error| BuildError::step(format!("failed to parse platform {text}: {error}")))?)
            }
            None => self.spec.platform.clone(),
        };
        let earlier = self.done.iter().find(|(name, _)| name.as_deref() == Some(&wanted.to_lowercase()));
        let base = match earlier {
            Some((_, image)) => image.clone(),
            None if wanted == SCRATCH => {
                if platform.is_some_and(|platform| platform.os != Platform::host().os) {
                    return Err(BuildError::step("operating system is not supported"));
                }
                None
            }
            None => Some(self.find_image(&wanted, platform.as_ref())?),
        };
        let below = base.as_ref().map(|id| self.engine.image(&id.to_string())).transpose()?;
        let mut config = below.and_then(|image| image.config.view().config.clone()).unwrap_or_default();
        if !config.env.iter().flatten().any(|entry| entry.starts_with("PATH=")) {
            config.env.get_or_insert_default().push(DEFAULT_PATH.to_owned());
        }
        (config.open_stdin, config.stdin_once) = (false, false);
        let triggers = config.on_build.take().unwrap_or_default();
        self.stage = Stage { name, image: base, config, ..Stage::default() };
        self.stage.note_image();
        self.carry_out_triggers(&triggers)
    }

    fn carry_out_triggers(&mut self, triggers: &[String]) -> Result<(), BuildError> {
        if triggers.is_empty() {
            return Ok(());
        }
        let plural = if triggers.len() > 1 { "s" } else { "" };
        self.show(&format!("# Executing {} build trigger{plural}\n", triggers.len()));
        for trigger in triggers {
            let step = parse_one(trigger)?;
            self.dispatch(step.instruction)?;
        }
        Ok(())
    }

    /// An image by its name, pulled when it is not here or when that was asked for. As dockerd's, one that is here is taken
    /// whatever its platform.
    fn find_image(&mut self, name: &str, platform: Option<&Platform>) -> Result<Digest, BuildError> {
        let is_id = name.parse::<Digest>().is_ok();
        match self.engine.image(name) {
            Ok(image) if is_id || !self.spec.pull => return Ok(image.id),
            Ok(_) | Err(EngineError::NoSuchImage(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let reference = Reference::parse(name).map_err(|error| BuildError::step(error.to_string()))?;
        self.watcher.pull(self.engine, &reference.with_default_tag(), platform)?;
        let image = self.engine.image(name)?;
        let view = image.config.view();
        if let Some(wanted) = platform.filter(|wanted| wanted.os != view.os || wanted.architecture != view.architecture)
        {
            self.show(&format!(
                "\nWARNING: Pulled image with specified platform ({wanted}), but the resulting image's configured platform \
                 ({}/{}) does not match.\nThis is most likely caused by a bug in the build system that created the fetched \
                 image ({name}).\nPlease notify the image author to correct the configuration.\n",
                view.os, view.architecture
            ));
        }
        Ok(image.id)
    }

    fn dispatch(&mut self, instruction: Instruction) -> Result<(), BuildError> {
        let outcome = match instruction {
            Instruction::Run(command, None) => self.run(&command),
            Instruction::Run(_, Some(flag)) => Err(BuildError::step(format!(
                "the --{flag} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build \
                 images with BuildKit enabled"
            ))),
            Instruction::Transfer(transfer) => self.transfer(&transfer),
            Instruction::Arg(pairs) => self.declare(pairs),
            Instruction::Maintainer(name) => {
                self.stage.author.clone_from(&name);
                self.commit_setting(&format!("MAINTAINER {name}"))
            }
            Instruction::Setting(setting) => self.set(&setting),
            Instruction::From { .. } => Err(BuildError::step("FROM isn't allowed as an ONBUILD trigger")),
        };
        if self.spec.force_remove || self.spec.remove && outcome.is_ok() {
            self.remove_containers()?;
        }
        outcome?;
        self.stage.note_image();
        Ok(())
    }

    fn declare(&mut self, pairs: Vec<(String, Option<String>)>) -> Result<(), BuildError> {
        let mut told = Vec::new();
        let variables = self.variables();
        let lookup = |name: &str| variables.get(name).cloned();
        for (name, default) in pairs {
            let name = words::expand(&name, self.escape, &lookup)?;
            let default = default.map(|default| words::expand(&default, self.escape, &lookup)).transpose()?;
            told.push(default.as_ref().map_or_else(|| name.clone(), |default| format!("{name}={default}")));
            self.arguments.declare(&name, default);
        }
        self.commit_setting(&format!("ARG {}", told.join(" ")))
    }

    fn set(&mut self, setting: &Setting) -> Result<(), BuildError> {
        let variables = self.variables();
        let lookup = |name: &str| variables.get(name).cloned();
        let stage = &mut self.stage;
        let applied = setting.apply(&mut stage.config, self.escape, &lookup, &mut stage.cmd_is_set)?;
        if let Some(note) = applied.note {
            self.show(&format!("{note}\n"));
        }
        match setting {
            // Docker writes this one into the history with one blank, like those that change files.
            Setting::WorkDir(_) => self.commit_command(vec![format!("#(nop) {}", applied.comment)]),
            _ => self.commit_setting(&applied.comment),
        }
    }

    /// What `$NAME` means in an instruction: the environment, and build arguments beside it.
    fn variables(&self) -> BTreeMap<String, String> {
        let env = self.stage.config.env.clone().unwrap_or_default();
        let arguments = self.arguments.beside(&env);
        let pairs = arguments.into_iter().chain(env);
        pairs
            .filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect()
    }

    /// Makes the image of a step that changed settings only.
    fn commit_setting(&mut self, comment: &str) -> Result<(), BuildError> {
        self.commit_command(vec!["#(nop) ".to_owned(), comment.to_owned()])
    }

    fn commit_command(&mut self, command: Vec<String>) -> Result<(), BuildError> {
        let mut probe = self.stage.config.clone();
        probe.cmd = Some(shell_of(&probe).into_iter().chain(command).collect());
        if self.is_cached(&probe)? {
            return Ok(());
        }
        let container = self.create(probe)?;
        let container_config = container.config.config.clone();
        self.commit(&container, container_config)
    }

    fn run(&mut self, command: &Command) -> Result<(), BuildError> {
        let env = self.stage.config.env.clone().unwrap_or_default();
        let arguments = self.arguments.beside(&env);
        let line = command.line(&self.stage.config);
        let mut recorded: Vec<String> =
            arguments.iter().filter(|entry| self.arguments.is_recorded(entry)).cloned().collect();
        recorded.sort();
        let mut told = line.clone();
        if !arguments.is_empty() {
            told = [vec![format!("|{}", recorded.len())], recorded, told].concat();
        }
        let probe = RunConfig { cmd: Some(told), entrypoint: None, ..self.stage.config.clone() };
        if self.is_cached(&probe)? {
            return Ok(());
        }
        let mut run = RunConfig {
            cmd: Some(line.clone()),
            // One empty word: the image's own entrypoint is not wanted, unless there is nothing else to run.
            entrypoint: if line.is_empty() { self.stage.config.entrypoint.clone() } else { Some(vec![String::new()]) },
            healthcheck: None,
            ..self.stage.config.clone()
        };
        for entry in arguments {
            set_variable(run.env.get_or_insert_default(), entry);
        }
        let container = self.create(run)?;
        let watcher = &mut self.watcher;
        let mut show = |is_error: bool, bytes: &[u8]| {
            if is_error {
                watcher.show(&[b"\x1b[91m", bytes, b"\x1b[0m"].concat());
            } else {
                watcher.show(bytes);
            }
        };
        let exit_code = self.engine.run_step(&container.id, &mut show)?;
        if exit_code != 0 {
            let text = format!("The command '{}' returned a non-zero code: {exit_code}", line.join(" "));
            return Err(BuildError::Step { text, exit_code });
        }
        self.commit(&container, probe)
    }

    fn transfer(&mut self, transfer: &Transfer) -> Result<(), BuildError> {
        let verb = transfer.verb;
        let variables = self.variables();
        let expand = |word: &String| words::expand(word, self.escape, &|name: &str| variables.get(name).cloned());
        let names = transfer.sources.iter().map(expand).collect::<Result<Vec<_>, _>>()?;
        let destination = expand(&transfer.destination)?;
        let owner = transfer.owner.as_ref().map(expand).transpose()?;
        let is_url = |name: &&String| ["http://", "https://"].iter().any(|start| name.starts_with(start));
        if let Some(url) = names.iter().find(is_url) {
            return Err(BuildError::step(match verb {
                "COPY" => "COPY failed: source can't be a URL for COPY".to_owned(),
                _ => format!(
                    "{verb} failed: {url} is a URL, and this builder fetches nothing: put the file into the context"
                ),
            }));
        }
        let from = transfer.from.as_ref().map(|from| self.origin_image(from)).transpose()?;
        let tree = from.as_ref().map(|id| self.engine.image_tree(id)).transpose()?;
        let root = tree.as_ref().map(|tree| Root::open(tree.path())).transpose();
        let root = root.map_err(|error| BuildError::step(format!("{verb} failed: {error}")))?;
        let origin = root.as_ref().map_or(Origin::Context(self.context), Origin::Tree);
        let sources = origin.find(&names).map_err(|reason| format!("{verb} failed: {reason}"))?;
        if sources.len() > 1 && !destination.ends_with('/') {
            return Err(BuildError::step(format!(
                "When using {verb} with more than one source file, the destination must be a directory and end with a /"
            )));
        }
        let chown = owner.as_ref().map(|owner| format!("--chown={owner}")).unwrap_or_default();
        let comment = format!("{verb} {chown}{} in {destination} ", hash_of_all(&sources));
        let mut probe = self.stage.config.clone();
        probe.cmd = Some(shell_of(&probe).into_iter().chain([format!("#(nop) {comment}")]).collect());
        if self.is_cached(&probe)? {
            return Ok(());
        }
        let destination = match destination.strip_prefix('/') {
            Some(_) => destination.clone(),
            None => format!("/{}/{destination}", self.stage.config.working_dir.trim_matches('/')),
        };
        // `.` and `dir/.` are directories whether they are there or not.
        let destination = match destination.rsplit_once('/') {
            Some((parent, ".")) => format!("{parent}/"),
            _ => destination,
        };
        let keeps_owners = from.is_some() && owner.is_none();
        let owners = if self.engine.settings().squash_owners { Owners::SquashUnmapped } else { Owners::AsRecorded };
        let step = StepImage {
            below: self.stage.image.as_ref(),
            config: self.stage.config.clone(),
            container_config: probe,
            author: &self.stage.author,
        };
        let owner = match &owner {
            Some(owner) => Some(self.numbers(owner)?),
            None => (!keeps_owners).then_some((0, 0)),
        };
        let id = self.engine.copy_step(step, &mut |tree| {
            let (sources, destination) = (sources.as_slice(), destination.as_str());
            Copy { origin: &origin, sources, destination, owner, unpacks: verb == "ADD", owners }.carry_out(tree)
        })??;
        self.stage.image = Some(id);
        Ok(())
    }

    /// The numbers of an owner, looked up in the files of the image so far.
    fn numbers(&self, owner: &str) -> Result<(u32, u32), BuildError> {
        let tree = self.stage.image.as_ref().map(|id| self.engine.image_tree(id)).transpose();
        let tree = match tree {
            // An image without layers has no files.
            Err(EngineError::NoSuchImage(_)) => None,
            tree => tree?,
        };
        Ok(copy::owner(owner, tree.as_ref().map(|tree| tree.path()))?)
    }

    /// The image that `--from` means: a stage by name or number, or an image.
    fn origin_image(&mut self, from: &str) -> Result<Digest, BuildError> {
        let invalid = |reason: &str| BuildError::step(format!("invalid from flag value {from}: {reason}"));
        let by_name = self.done.iter().find(|(name, _)| name.as_deref() == Some(&from.to_lowercase()));
        let image = match (by_name, from.parse::<i64>()) {
            (Some((_, image)), _) => image,
            (None, Ok(number)) if usize::try_from(number) == Ok(self.done.len()) => {
                return Err(invalid("refers to current build stage"));
            }
            (None, Ok(number)) => match usize::try_from(number).ok().and_then(|number| self.done.get(number)) {
                Some((_, image)) => image,
                None => return Err(invalid("index out of bounds")),
            },
            (None, Err(_)) => return self.find_image(from, None).map_err(|error| invalid(&error.to_string())),
        };
        image.clone().ok_or_else(|| invalid("the stage holds no files"))
    }

    fn is_cached(&mut self, probe: &RunConfig) -> Result<bool, BuildError> {
        let Some(found) = self.cache.find(self.engine, self.stage.image.as_ref(), probe)? else { return Ok(false) };
        self.show(" ---> Using cache\n");
        self.stage.image = Some(found);
        Ok(true)
    }

    fn create(&mut self, run: RunConfig) -> Result<Container, BuildError> {
        let (container, warnings) = self.engine.create_step(run, &self.spec.network)?;
        self.containers.push(container.id.clone());
        for warning in warnings {
            self.show(&format!("[Warning] {warning}\n"));
        }
        self.show(&format!(" ---> Running in {}\n", container.config.short_id()));
        Ok(container)
    }

    fn commit(&mut self, container: &Container, container_config: RunConfig) -> Result<(), BuildError> {
        let step = StepImage {
            below: self.stage.image.as_ref(),
            config: self.stage.config.clone(),
            container_config,
            author: &self.stage.author,
        };
        self.stage.image = Some(self.engine.commit_step(container, step)?);
        Ok(())
    }

    fn remove_containers(&mut self) -> Result<(), BuildError> {
        for id in std::mem::take(&mut self.containers) {
            self.engine.remove_container(&id, true, true)?;
            self.show(&format!("Removing intermediate container {}\n", &id[..12]));
        }
        Ok(())
    }

    fn show_image(&mut self) {
        let short = self.stage.image.as_ref().map(|id| id.short().to_string()).unwrap_or_default();
        self.show(&format!(" ---> {short}\n"));
    }

    fn show(&mut self, text: &str) {
        self.watcher.show(text.as_bytes());
    }
}

impl Stage {
    /// The settings say on which image they lie.
    fn note_image(&mut self) {
        self.config.image = self.image.as_ref().map(ToString::to_string).unwrap_or_default();
    }
}
