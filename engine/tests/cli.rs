//! The command line where it needs no engine: unknown words, wrong flags, wrong numbers of arguments, broken settings.

use std::fs;

use assert_cmd::Command;
use tempfile::TempDir;

/// A command with a data root of its own.
struct Lab {
    place: TempDir,
}

impl Lab {
    fn new() -> Lab {
        let lab = Lab { place: TempDir::new().expect("a temporary directory") };
        lab.configure("{}");
        lab
    }

    fn configure(&self, text: &str) {
        fs::write(self.place.path().join("daemon.json"), text).expect("daemon.json is written");
    }

    fn docker(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab"));
        for (flag, file) in [("--data-root", "data"), ("--exec-root", "exec"), ("--config-file", "daemon.json")] {
            command.arg(flag).arg(self.place.path().join(file));
        }
        command.args(words);
        command
    }

    /// Nothing on the standard output, `text` and a newline on the standard error.
    fn refuses(&self, words: &[&str], exit_code: i32, text: &str) {
        self.docker(words).assert().code(exit_code).stdout("").stderr(format!("{text}\n"));
    }
}

#[test]
fn an_unknown_verb_is_named() {
    Lab::new().refuses(&["nosuchcommand"], 1, "docker: 'nosuchcommand' is not a docker command.\nSee 'docker --help'");
}

#[test]
fn wrong_flags_end_with_125() {
    let lab = Lab::new();
    lab.refuses(&["run", "--nosuchflag", "ubuntu"], 125, "unknown flag: --nosuchflag\nSee 'docker run --help'.");
    lab.refuses(&["image", "rm", "-Z", "x"], 125, "unknown shorthand flag: 'Z' in -Z\nSee 'docker image rm --help'.");
    lab.refuses(&["run", "--name"], 125, "flag needs an argument: --name\nSee 'docker run --help'.");
    lab.refuses(&["--nosuchflag"], 125, "unknown flag: --nosuchflag\nSee 'docker --help'.");
    let text = "invalid argument \"x\" for \"-t, --time\" flag: strconv.ParseInt: parsing \"x\": invalid syntax";
    lab.refuses(&["stop", "-t", "x", "web"], 125, &format!("{text}\nSee 'docker stop --help'."));
}

#[test]
fn a_wrong_number_of_arguments_shows_the_usage() {
    let one = "requires at least 1 argument";
    let exactly = "requires exactly 1 argument";
    let pull = "[OPTIONS] NAME[:TAG|@DIGEST]\n\nPull an image or a repository from a registry";
    let commit = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]\n\nCreate a new image from a container's changes";
    let one_or_two = "requires at least 1 and at most 2 arguments";
    let run = "[OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun a command in a new container";
    let create = "[OPTIONS] IMAGE [COMMAND] [ARG...]\n\nCreate a new container";
    let exec = "[OPTIONS] CONTAINER COMMAND [ARG...]\n\nRun a command in a running container";
    let remove = "[OPTIONS] IMAGE [IMAGE...]\n\nRemove one or more images";
    let diff = "CONTAINER\n\nInspect changes to files or directories on a container's filesystem";
    let stop = "[OPTIONS] CONTAINER [CONTAINER...]\n\nStop one or more running containers";
    let inspect = "[OPTIONS] NAME|ID [NAME|ID...]\n\nReturn low-level information on Docker objects";
    let rows: [(&str, &[&str], &str, &str); 14] = [
        ("pull", &[], exactly, pull),
        ("pull", &["a", "b"], exactly, pull),
        ("run", &[], one, run),
        ("create", &[], one, create),
        ("exec", &["x"], "requires at least 2 arguments", exec),
        ("ps", &["extra"], "accepts no arguments", "[OPTIONS]\n\nList containers"),
        ("images", &["a", "b"], "requires at most 1 argument", "[OPTIONS] [REPOSITORY[:TAG]]\n\nList images"),
        ("rmi", &[], one, remove),
        ("image rm", &[], one, remove),
        ("commit", &[], one_or_two, commit),
        ("commit", &["a", "b", "c"], one_or_two, commit),
        ("diff", &[], exactly, diff),
        ("stop", &[], one, stop),
        ("inspect", &[], one, inspect),
    ];
    let lab = Lab::new();
    for (verb, words, demand, usage) in rows {
        let text = format!("\"docker {verb}\" {demand}.\nSee 'docker {verb} --help'.\n\nUsage:  docker {verb} {usage}");
        lab.refuses(&verb.split(' ').chain(words.iter().copied()).collect::<Vec<_>>(), 1, &text);
    }
}

#[test]
fn names_that_are_none_are_refused_before_anything_is_made() {
    let lab = Lab::new();
    lab.refuses(&["pull", "Ubuntu"], 1, "invalid reference format: repository name must be lowercase");
    lab.refuses(&["pull", ""], 1, "invalid reference format");
    lab.refuses(&["commit", "web", "UPPER"], 1, "invalid reference format: repository name must be lowercase");
    let text = "template parsing error: template: :1: function \"bad\" not defined";
    lab.refuses(&["inspect", "-f", "{{bad", "x"], 64, text);
    assert!(!lab.place.path().join("data").exists(), "a word that is refused lays nothing out");
}

#[test]
fn a_typed_terminal_needs_one_on_this_side() {
    let lab = Lab::new();
    lab.docker(&["run", "-it", "ubuntu"]).write_stdin("").assert().code(1).stderr("the input device is not a TTY\n");
}

#[test]
fn info_says_why_the_storage_driver_is_the_one_in_use() {
    let lab = Lab::new();
    let said = |words: &[&str]| {
        let said = lab.docker(&[words, &["info"]].concat()).assert().success().get_output().stdout.clone();
        let said = String::from_utf8(said).unwrap();
        let line = said.lines().find(|line| line.contains("; in use: ")).unwrap_or_else(|| panic!("{said}"));
        line.split_once("; in use: ").unwrap().1.to_owned()
    };
    assert_eq!(said(&[]), "the first of overlay2, fuse-overlayfs, btrfs, vfs that works here");
    assert_eq!(said(&["--storage-driver", "vfs"]), "named by --storage-driver or daemon.json");
}

#[test]
fn help_and_version_end_well() {
    let lab = Lab::new();
    let help = lab.docker(&["images", "--help"]).assert().success().stderr("").get_output().stdout.clone();
    let help = String::from_utf8(help).unwrap();
    let head = "\nUsage:  docker images [OPTIONS] [REPOSITORY[:TAG]]\n\nList images\n\nOptions:\n";
    assert!(help.starts_with(head), "{help}");
    lab.docker(&["--version"]).assert().success().stdout(format!("layerlab version {}\n", env!("CARGO_PKG_VERSION")));
    let bare = lab.docker(&[]).assert().success().stdout("").get_output().stderr.clone();
    assert!(String::from_utf8(bare).unwrap().contains("\nUsage:  docker [OPTIONS] COMMAND\n"));
    let group = lab.docker(&["image"]).assert().success().get_output().stderr.clone();
    assert!(String::from_utf8(group).unwrap().contains("\n  ls          List images\n"));
}

/// The verbs that help lists, and those of each group: `image ls`.
fn verbs(lab: &Lab) -> Vec<String> {
    let listed = |words: &[&str]| {
        let output = lab.docker(words).assert().success().get_output().clone();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let commands = text.split("Commands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
        let names = commands.filter_map(|line| line.split_whitespace().next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = listed(&["--help"]);
    for group in ["container", "image", "volume"] {
        all.extend(listed(&[group]).into_iter().map(|name| format!("{group} {name}")));
    }
    all
}

#[test]
fn completions_name_every_verb_and_shells_can_read_them() {
    let lab = Lab::new();
    let verbs = verbs(&lab);
    assert!(verbs.len() > 60 && verbs.contains(&"image prune".to_owned()), "{verbs:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = lab.docker(&["completion", shell]).assert().success().stderr("").get_output().stdout.clone();
        let script = String::from_utf8(script).unwrap();
        for verb in &verbs {
            let last = verb.rsplit(' ').next().unwrap();
            assert!(script.contains(last), "{verb} is not in the script for {shell}");
        }
        assert!(script.contains("no-trunc") && !script.contains("monitor"), "{script}");
        let file = lab.place.path().join(shell);
        fs::write(&file, script).unwrap();
        match std::process::Command::new(shell).arg("-n").arg(&file).output() {
            Ok(read) => assert!(read.status.success(), "{shell} -n: {}", String::from_utf8_lossy(&read.stderr)),
            Err(error) => layerlab_scenarios::skip::skip(shell, &format!("no {shell} to read its script: {error}")),
        }
    }
    let text = "no completion for the shell \"csh\": name bash, zsh or fish";
    lab.refuses(&["completion", "csh"], 1, text);
}

#[test]
fn there_is_a_manual_page_for_every_verb() {
    let lab = Lab::new();
    let directory = lab.place.path().join("man");
    fs::create_dir(&directory).unwrap();
    lab.docker(&["man", "--output", directory.to_str().unwrap()]).assert().success().stdout("").stderr("");
    for verb in verbs(&lab) {
        let page = fs::read_to_string(directory.join(format!("layerlab-{}.1", verb.replace(' ', "-"))));
        let page = page.unwrap_or_else(|error| panic!("{verb}: {error}"));
        assert!(page.contains(".SH OPTIONS") && page.contains(".SH SYNOPSIS"), "{verb}: {page}");
        let words: Vec<&str> = std::iter::once("man").chain(verb.split(' ')).collect();
        let printed = lab.docker(&words).assert().success().get_output().stdout.clone();
        assert!(String::from_utf8(printed).unwrap().contains(".SH SYNOPSIS"), "{verb}");
    }
    assert!(fs::read_to_string(directory.join("layerlab.1")).unwrap().contains("A laboratory for container storage"));
    lab.refuses(&["man", "nosuch"], 1, "unknown help topic: nosuch");
}

#[test]
fn a_broken_daemon_json_is_named() {
    let lab = Lab::new();
    lab.configure("{\"data-root\": 1}");
    let output = lab.docker(&["images"]).assert().code(1).stdout("").get_output().stderr.clone();
    let text = String::from_utf8(output).unwrap();
    let config = lab.place.path().join("daemon.json");
    assert!(text.contains(&config.display().to_string()) && text.contains("--config-file"), "{text}");
}
