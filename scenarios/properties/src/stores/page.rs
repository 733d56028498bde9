//! A counterexample of a store as a page for `scenarios/cases/regressions`: the acts typed with docker's words, and the laws as a shell
//! checks them.
//!
//! *Holds*: a page says what must come, by the model, so that it passes where the laws hold and fails where one is broken. *Proved by*:
//! `tests/pages_of_stores.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

use layerlab_model::changes::{self, Content, Flat};
use layerlab_model::text::Text;

use super::archive;
use super::counterexample::Counterexample;
use super::holdings::{self, Holdings};
use super::said::{self, Said};
use super::shelf::home_of_layers;

impl Counterexample {
    /// The page, `claim` being its title: what holds where nothing is wrong.
    pub fn page(&self, claim: &str) -> io::Result<String> {
        let Counterexample { subject, backing, seed, kernel, .. } = self;
        let driver = self.driver();
        let law = self.law.as_deref().unwrap_or("none: the case could not go on");
        let mut text = format!("---\ntargets: layerlab, docker\ndriver: {driver}\n");
        let _ = writeln!(text, "law: {law}\nsubject: {subject} on {backing}\nseed: {seed}\nkernel: {kernel}\n---\n");
        let _ = writeln!(text, "# {claim}\n\nFound by this law with this subject, where it was not so:\n\n```text");
        self.findings.iter().for_each(|finding| text += &format!("{finding}\n"));
        text += "```\n\n```lab\ninstall docker\nstart docker\n```\n";
        let (told, model) = said::told(&self.acts)?;
        let used: BTreeSet<usize> = told.iter().filter_map(|(said, _)| layers_of(said)).flatten().copied().collect();
        if !used.is_empty() {
            text += "\nLayers, and an archive of an image of some of them.\n\n```console\n";
            used.iter().for_each(|number| text += &made(*number));
            text += LOAD;
            text += "```\n";
        }
        text += "\n```console\n";
        let mut trees = Trees { held: Holdings::default(), known: BTreeMap::new() };
        let mut lines = String::new();
        for (said, is_refused) in &told {
            trees.learn(said)?;
            typed(&mut lines, said, *is_refused);
        }
        text += lines.trim_start();
        text += "```\n\nThese names and containers are left, and nothing else.\n\n```console\n";
        let names = model.names();
        let nameless = model.all().values().filter(|image| image.names.is_empty()).map(|_| "<none>:<none>");
        let images: Vec<&str> = names.keys().copied().chain(nameless).collect();
        expect(&mut text, "docker images -a --format '{{.Repository}}:{{.Tag}}'", &images);
        text += "\n";
        let containers: Vec<&str> = model.containers().keys().map(String::as_str).collect();
        expect(&mut text, "docker ps -a --format '{{.Names}}'", &containers);
        text += &CHECKS.replace("DRIVER", driver).replace("LAYERS", &home_of_layers(driver));
        let named: Vec<&str> = names.keys().copied().collect();
        if !named.is_empty() {
            text += "\nA container of each image holds this, beside what the engine puts there.\n\n```console\n";
            for (number, name) in named.into_iter().enumerate() {
                text += if number > 0 { "\n" } else { "" };
                trees.show(&mut text, name);
            }
            text += "```\n";
        }
        Ok(text)
    }

    /// What is claimed when nobody says it better.
    pub fn claim(&self) -> String {
        let law = self.law.as_deref().unwrap_or("a case goes on").replace('-', " ");
        let words: Vec<&str> = self.acts.iter().map(super::Act::word).collect();
        let law = law[..1].to_uppercase() + &law[1..];
        format!("{law}, also after {}", words.join(", "))
    }

    /// Docker's name of the storage driver.
    pub(super) fn driver(&self) -> &str {
        self.subject.strip_prefix("store-").unwrap_or("overlay2")
    }
}

fn layers_of(said: &Said) -> Option<&Vec<usize>> {
    if let Said::Load { layers, .. } = said { Some(layers) } else { None }
}

/// The commands that make the tar of a layer of the collection.
fn made(number: usize) -> String {
    let mut commands = vec![format!("mkdir layer-{number}")];
    let mut tops = BTreeSet::new();
    for (path, content) in &archive::entries()[number] {
        tops.insert(path.split('/').next().unwrap_or_default().to_owned());
        let place = format!("layer-{number}/{path}");
        let target = |target: &str| target.get(1..).unwrap_or_default().to_owned();
        commands.push(match content.chars().next() {
            _ if path.ends_with('/') => format!("mkdir {place}"),
            Some('=') => format!("ln layer-{number}/{} {place}", target(content)),
            Some('>') => format!("ln -s {} {place}", target(content)),
            None => format!(": > {place}"),
            Some(_) => format!("printf {content} > {place}"),
        });
    }
    // An empty tar is two blocks of nothing.
    commands.push(match tops.is_empty() {
        true => format!("truncate -s 1024 layer-{number}.tar"),
        false => {
            let tops: Vec<String> = tops.into_iter().collect();
            format!("tar -c -f layer-{number}.tar -C layer-{number} {}", tops.join(" "))
        }
    });
    format!("# {}\n\n", commands.join(" && "))
}

/// Makes an archive of an image of the layers whose numbers follow its name, and loads it.
const LOAD: &str = r##"# diff_id() { echo "\"sha256:$(sha256sum < layer-$1.tar | cut -c1-64)\""; }
# listed() { how=$1; shift; separator=; for n; do printf '%s' "$separator"; $how $n; separator=,; done; }
# file_of() { echo "\"layer-$1.tar\""; }
# step_of() { echo '{"created":"2020-01-01T00:00:00Z"}'; }
# settings='"architecture":"amd64","os":"linux","created":"2020-01-01T00:00:00Z","config":{"Cmd":["true"]}'
# config() { echo "{$settings,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[$(listed diff_id $*)]},\"history\":[$(listed step_of $*)]}"; }
# manifest() { new=$1; shift; echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"$new\"],\"Layers\":[$(listed file_of $*)]}]"; }
# load() { new=$1; shift; config $* > config.json; manifest $new $* > manifest.json; tar -c config.json manifest.json layer-*.tar | docker load -q; }
"##;

/// The laws about what is on disk, each a comparison that says nothing where it holds.
const CHECKS: &str = r##"```

The layers that are registered are those that the images reach: each is called by its chain ID.

```console
# layers_of() { docker image inspect --format '{{range .RootFS.Layers}}{{println .}}{{end}}' $1; }
# chain_of() { chain=; for layer in $(layers_of $1); do if [ -z "$chain" ]; then chain=$layer; else chain=sha256:$(printf '%s %s' $chain $layer | sha256sum | cut -c1-64); fi; echo $chain | cut -c8-; done; }
# for image in $(docker images -aq --no-trunc); do chain_of $image; done | sort -u > reached
# find /var/lib/docker/image/DRIVER/layerdb -path '*/sha256/*' -name cache-id | sed 's,/cache-id$,,; s,.*/,,' | sort > there
# cmp reached there
```

Each of them and each container has its directory, and no other is there.

```console
# books=/var/lib/docker/image/DRIVER/layerdb
# for file in $(find $books -name cache-id -o -name mount-id -o -name init-id); do cat $file; echo; done | sort > reached
# find /var/lib/docker/LAYERS -mindepth 1 -maxdepth 1 -type d ! -name l | sed 's,.*/,,' | sort > there
# cmp reached there
```
"##;

fn expect(text: &mut String, command: &str, lines: &[&str]) {
    let _ = writeln!(text, "# {command}");
    if lines.len() > 1 {
        *text += "? unordered\n";
    }
    lines.iter().for_each(|line| *text += &format!("{line}\n"));
}

/// An act, as it is typed, with what comes of it.
fn typed(text: &mut String, said: &Said, is_refused: bool) {
    let work = |image: &str| format!("\n# docker create --name work {image} true\n[[:id]]\n");
    *text += &match said {
        Said::Load { layers, new } => {
            let numbers: Vec<String> = layers.iter().map(ToString::to_string).collect();
            format!("\n# load {new} {}\nLoaded image: {new}\n", numbers.join(" "))
        }
        Said::Commit { image, letter, new } => {
            let change = letter.map(|letter| {
                let file = "chmod 4644 new && touch -d @1500000000 new";
                format!("\n# printf {letter} > new && {file} && docker cp new work:/new\n")
            });
            let change = change.unwrap_or_default();
            format!("{}{change}\n# docker commit work {new}\n[[:digest]]\n\n# docker rm work\nwork\n", work(image))
        }
        Said::Flatten { image, new } => {
            format!(
                "{}\n# docker export work | docker import - {new}\n[[:digest]]\n\n# docker rm work\nwork\n",
                work(image)
            )
        }
        Said::Carry { image } => CARRIED.replace("IMAGE", image),
        Said::Remove { image } if is_refused => {
            let conflict = "conflict: unable to remove repository reference";
            let because = "(must force) - container [[:short]] is using its referenced image [[:short]]";
            format!("\n# docker rmi {image}\n? exit 1\nError response from daemon: {conflict} \"{image}\" {because}\n")
        }
        Said::Remove { image } => format!("\n# docker rmi {image} | head -n 1\nUntagged: {image}\n"),
        Said::Tag { image, over } => format!("\n# docker tag {image} {over}\n"),
        Said::Create { image, container } => format!("\n# docker create --name {container} {image} true\n[[:id]]\n"),
        Said::RemoveContainer { container } => format!("\n# docker rm {container}\n{container}\n"),
        Said::Prune { all } => format!("\n# docker image prune -{} > /dev/null\n", if *all { "af" } else { "f" }),
        Said::Reopen => {
            "```\n\nThe engine is started anew here, which the laws do and a page does not.\n\n```console\n".to_owned()
        }
        Said::Stumble { .. } => {
            "```\n\nThe storage driver fails once in what comes next, which the laws bring about and a page does not.\n\n```console\n".to_owned()
        }
    };
}

/// Saves an image: its configuration has the image's ID for its digest, and its layers have the diff IDs for theirs.
const CARRIED: &str = r##"
# rm -rf saved && mkdir saved && docker save IMAGE | tar -x -C saved
# docker image inspect --format '{{.Id}}{{range .RootFS.Layers}} {{.}}{{end}}' IMAGE | grep -o '[0-9a-f]\{64\}' > reached
# (cd saved; for file in $(grep -o '[0-9a-f]*\.json' manifest.json | head -n 1) $(grep -o '[0-9a-f]*/layer.tar' manifest.json); do sha256sum < $file | cut -c1-64; done) > there
# cmp reached there
"##;

/// What the images hold that the acts made, by name.
struct Trees {
    held: Holdings,
    known: BTreeMap<String, Flat>,
}

impl Trees {
    fn learn(&mut self, said: &Said) -> io::Result<()> {
        let of = |known: &BTreeMap<String, Flat>, image: &String| known.get(image).cloned().unwrap_or_default();
        let (new, tree) = match said {
            Said::Load { layers, new } => {
                let collection = archive::collection()?;
                let ids: Vec<String> = layers.iter().map(ToString::to_string).collect();
                for (number, id) in layers.iter().zip(&ids) {
                    self.held.add(id, holdings::layer(&collection[*number], *number)?);
                }
                (new, self.held.tree(&ids))
            }
            Said::Commit { image, letter: Some(letter), new } => {
                let below = of(&self.known, image);
                let layer = holdings::layer(&archive::layer(&[("new", &letter.to_string())])?, usize::MAX)?;
                (new, changes::apply(&layer, &below))
            }
            Said::Commit { image, letter: None, new } | Said::Flatten { image, new } => (new, of(&self.known, image)),
            Said::Tag { image, over } => (over, of(&self.known, image)),
            _ => return Ok(()),
        };
        self.known.insert(new.clone(), tree);
        Ok(())
    }

    /// Lists a container of an image.
    fn show(&self, text: &mut String, image: &str) {
        let _ = writeln!(text, "# docker create --name work {image} true\n[[:id]]\n");
        let tree = self.known.get(image).cloned().unwrap_or_default();
        let path = |names: &[Text]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join("/");
        let paths: Vec<String> = tree
            .iter()
            .filter(|(names, _)| !names.is_empty())
            .map(|(names, leaf)| path(names) + if leaf.content == Content::Directory { "/" } else { "" })
            .collect();
        let engines = r"^\(\.dockerenv$\|dev/\|etc/\|proc/\|sys/\)";
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        expect(text, &format!("docker export work | tar -t | grep -v '{engines}'"), &paths);
        for (names, leaf) in &tree {
            if let Content::File(bytes) = &leaf.content
                && !bytes.is_empty()
            {
                let name = path(names);
                let _ = writeln!(text, "\n# docker cp work:/{name} copied && cat copied && echo");
                let _ = writeln!(text, "{}", String::from_utf8_lossy(bytes));
            }
        }
        *text += "\n# docker rm work\nwork\n";
    }
}
