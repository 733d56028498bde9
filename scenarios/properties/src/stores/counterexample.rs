//! A case of a store that broke a law, kept: as JSON that is run first next time, and as a script for any engine with Docker's words.

use std::fmt::Write as _;
use std::fs;
use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::said::{self, Said};
use super::{Act, archive};
use crate::counterexample::{Kept, directory};

/// What is kept of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterexample {
    /// The law that it breaks; none when the case could not go on.
    pub law: Option<String>,
    /// The subject.
    pub subject: String,
    /// What it lay on.
    pub backing: String,
    /// The kernel it was found on.
    pub kernel: String,
    /// What it was drawn from.
    pub seed: u64,
    /// How to show it.
    pub acts: Vec<Act>,
    /// What was not as it should be.
    pub findings: Vec<String>,
}

impl Counterexample {
    /// Writes JSON, script and page into [`directory`].
    pub fn keep(&self) -> io::Result<Kept> {
        let directory = directory(&self.subject);
        fs::create_dir_all(&directory)?;
        let backing = self.backing.replace('/', "-");
        let stem = format!("{}-{}-{backing}", self.law.as_deref().unwrap_or("cannot-go-on"), self.seed);
        let path = |extension: &str| directory.join(format!("{stem}.{extension}"));
        fs::write(path("json"), serde_json::to_string_pretty(self)?)?;
        fs::write(path("sh"), self.script()?)?;
        fs::set_permissions(path("sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::write(path("md"), self.page(&self.claim())?)?;
        Ok(Kept { json: path("json"), script: path("sh"), page: path("md") })
    }

    /// A shell script that does the acts with an engine's command and shows what the store has then.
    pub fn script(&self) -> io::Result<String> {
        let law = self.law.as_deref().unwrap_or("a case that cannot go on");
        let mut text = String::from("#!/bin/sh\n");
        let _ = writeln!(text, "# {law}: broken by {} on {}, kernel {}.", self.subject, self.backing, self.kernel);
        for line in self.findings.iter().flat_map(|finding| finding.lines()) {
            let _ = writeln!(text, "#   {line}");
        }
        text += BEGINNING;
        let collection = archive::collection()?;
        for (said, is_refused) in said::told(&self.acts)?.0 {
            let line = match said {
                Said::Load { layers, new } => {
                    let (archive, ..) = archive::image(&archive::chosen(&collection, &layers), &new)?;
                    format!("base64 -d <<'END' | $docker load -q\n{}\nEND", BASE64_STANDARD.encode(archive))
                }
                Said::Commit { image, letter, new } => {
                    let letter = letter.map_or_else(|| "-".to_owned(), String::from);
                    format!("commit {image} {letter} {new}")
                }
                Said::Flatten { image, new } => format!("flatten {image} {new}"),
                Said::Carry { image } => format!("carry {image}"),
                Said::Remove { image } if is_refused => format!("$docker rmi {image} || true # a container is of it"),
                Said::Remove { image } => format!("$docker rmi {image}"),
                Said::Tag { image, over } => format!("$docker tag {image} {over}"),
                Said::Create { image, container } => format!("$docker create --name {container} {image} true"),
                Said::RemoveContainer { container } => format!("$docker rm {container}"),
                Said::Prune { all } => format!("$docker image prune -{}", if all { "af" } else { "f" }),
                Said::Reopen => "echo '-- the engine was started anew here'".to_owned(),
                Said::Stumble { call } => {
                    format!("echo '-- the storage driver failed once here: in its {call}. call of what comes next'")
                }
            };
            let _ = writeln!(text, "{line}");
        }
        Ok(text + "show\n")
    }
}

const BEGINNING: &str = r#"# Needs an engine with docker's words: DOCKER names another than docker. Its images are called image-NNNN, its containers
# container-NNNN, and stay; it collects garbage, of others too.
set -eu
docker=${DOCKER:-docker}
commit() {
    container=$($docker create "$1" true)
    [ "$2" = - ] || { printf %s "$2" > /tmp/new; $docker cp /tmp/new "$container:/new"; rm /tmp/new; }
    $docker commit "$container" "$3"; $docker rm "$container"
}
flatten() {
    container=$($docker create "$1" true)
    $docker export "$container" | $docker import - "$2"; $docker rm "$container"
}
carry() {
    place=$(mktemp -d); $docker save "$1" | tar -x -C "$place"
    $docker inspect --format '{{.Id}} {{.RootFS.Layers}}' "$1"
    (cd "$place"; cat manifest.json; echo; find . -name layer.tar -exec sha256sum {} +); rm -r "$place"
}
show() {
    $docker images -a --no-trunc
    root=$($docker info --format '{{.DockerRootDir}}/image/{{.Driver}}/layerdb/sha256')
    for layer in "$root"/*; do echo "$layer $(cat "$layer/diff") $(cat "$layer/cache-id")"; done
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_does_each_act_to_the_image_that_it_is_about() {
        let acts = [
            Act::Remove { image: 3 },
            Act::Load { layers: vec![0, 1] },
            Act::Commit { image: 5, letter: Some('x') },
            Act::Flatten { image: 1 },
            Act::Remove { image: 4 },
            Act::Carry { image: 1 },
            Act::Create { image: 0 },
            Act::Tag { image: 1, over: 0 },
            Act::Remove { image: 1 },
            Act::Create { image: 0 },
            Act::Remove { image: 0 },
            Act::Prune { all: true },
        ];
        let kept = Counterexample {
            law: None,
            subject: "store-vfs".to_owned(),
            backing: "tmpfs".to_owned(),
            kernel: String::new(),
            seed: 0,
            acts: acts.to_vec(),
            findings: vec!["nothing".to_owned()],
        };
        let script = kept.script().unwrap();
        let done: Vec<&str> = script.lines().filter(|line| line.contains("image-000")).collect();
        assert_eq!(
            done,
            [
                "commit image-0001:latest x image-0002:latest",
                "flatten image-0002:latest image-0003:latest",
                "$docker rmi image-0002:latest",
                "carry image-0003:latest",
                "$docker create --name container-0001 image-0001:latest true",
                "$docker tag image-0003:latest image-0001:latest",
                "$docker rmi image-0003:latest",
                "$docker create --name container-0002 image-0001:latest true",
                "$docker rmi image-0001:latest || true # a container is of it",
            ]
        );
    }
}
