//! Interop: our engine and a real dockerd take turns on one data root, and nothing is lost, left over or changed.
//!
//! *Why*: "Docker's layout" is true only if Docker itself goes on with what we left, and we with what it left, whatever was
//! done. *Holds*: acts are drawn from a seed and from a model of what must exist; what whoever had the turn saw at its end, the
//! next one sees at its beginning, and both is what the model says; between turns the disk is read, and at the end, when all is
//! removed, as much lies there as in the beginning. After a kill a repair finds and touches what the killed act was about, and nothing else; what is
//! drawn follows from the seed, whatever the act had reached. *Never*: an engine is asked whether it did well; both are a command line.
//! *Proved by*: `engine/tests/in_lab/interop.rs`, which also plants the faults of [`spoil`].
//!
//! ```text
//! verb.rs verdict.rs         what `layerlab-lab interop` takes, and what a campaign came to
//! place.rs player.rs         a lab with both in it, and who has the turn
//! model.rs table.rs          what must exist, who has the turn, and the commands so far
//! files.rs mark.rs           what containers change, and extended attributes
//! act.rs draw.rs             what can be done, and which act is next
//! perform.rs building.rs     do it
//! seen.rs probe.rs           what is shown, and what a commit would hold
//! disk.rs shelf.rs           what lies on disk between turns, and what of that never changes
//! cut.rs remains.rs          kill whoever has the turn, and judge the repair of what that left
//! leftovers.rs spoil.rs      what of the machine is left, and faults to be planted
//! ```

mod act;
mod building;
mod cut;
mod disk;
mod draw;
mod files;
mod leftovers;
mod mark;
mod model;
mod perform;
mod place;
mod player;
mod probe;
mod remains;
mod seen;
mod shelf;
mod spoil;
mod table;
mod verb;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use act::Act;
use cut::Cut;
use disk::{Disk, compared};
use draw::Draw;
use leftovers::Before;
use model::State;
use player::{Players, Who, ask};
use remains::Remains;
use seen::Seen;
use shelf::Shelf;
use spoil::Spoil;
use table::{Fault, Table};
pub use verb::Interop;
use verdict::{Campaign, Played, Verdict};

use crate::lab::machine::DATA_ROOT;
use crate::target::TargetError;

/// How many images are saved and compared byte for byte, and how many containers committed, at a change of turns; at the last one all are.
const LOOKED_INTO: usize = 1;
/// How often a turn ends with the death of whoever has it.
const CUT_ONCE_IN: usize = 4;
/// What the last turn left.
#[derive(Default)]
struct Left {
    /// Unless containers still ran.
    seen: Option<Seen>,
    /// The images whose archives were looked at.
    saved: Vec<String>,
    /// The containers that were committed to look at their layers.
    committed: Vec<String>,
    shelf: Shelf,
    /// How the turn was cut off, if it was.
    cut: Option<Cut>,
}

struct Game<'a> {
    campaign: Campaign,
    players: &'a mut Players,
    table: Table,
    draw: Draw,
    turn: usize,
    acts: usize,
    before: Before,
    cuts: Vec<String>,
    mended: usize,
    /// What was drawn so far, without what differs from run to run.
    drawn: Vec<String>,
    /// Somebody was killed, and this may lie half-made on disk.
    remains: Option<Remains>,
    /// Who was killed, and has had no turn yet to clear away what it had of the machine (and a dockerd, what it had in its directory for
    /// temporary files).
    owing: Vec<Who>,
}

/// Plays a campaign inside a lab with an empty data root.
fn play(campaign: Campaign, spoil: Option<&Spoil>, players: &mut Players) -> Result<Played, Box<Verdict>> {
    let table = Table::new(place::WORKSHOP.into());
    let mut game = Game {
        campaign,
        players,
        table,
        draw: Draw::new(campaign.seed),
        turn: 0,
        acts: 0,
        before: Before::look(),
        cuts: Vec::new(),
        mended: 0,
        drawn: Vec::new(),
        remains: None,
        owing: Vec::new(),
    };
    match game.turns(spoil) {
        Ok(images) => {
            let mut words: BTreeMap<String, usize> = BTreeMap::new();
            for word in game.table.told.iter().filter_map(|line| line.strip_prefix("docker ")?.split(' ').next()) {
                *words.entry(word.to_owned()).or_default() += 1;
            }
            let drawn = hex::encode(&Sha256::digest(game.drawn.join("\n"))[..4]);
            Ok(Played { acts: game.acts, cuts: game.cuts, mended: game.mended, images, words, drawn })
        }
        Err(faults) => {
            let Game { turn, table, .. } = game;
            Err(Box::new(Verdict { campaign, turn, who: table.who, faults, told: table.told }))
        }
    }
}

impl Game<'_> {
    /// How many images there were at the end of the last turn.
    fn turns(&mut self, spoil: Option<&Spoil>) -> Result<usize, Vec<Fault>> {
        let empty = self.empty().map_err(one)?;
        let mut left = Left::default();
        if self.draw.once_in(2) {
            self.table.who = Who::Docker;
        }
        for turn in 1..=self.campaign.turns {
            self.turn = turn;
            self.begin(&mut left)?;
            for _ in 0..self.campaign.acts {
                let act = self.draw.act(&self.table.model);
                self.note(&act);
                act.perform(&mut self.table).map_err(one)?;
                self.acts += 1;
            }
            left = self.end(left, turn < self.campaign.turns)?;
            if let Some(spoil) = spoil.filter(|_| turn == self.campaign.turns) {
                self.table.told.push(format!("(planted: {})", spoil.about));
                spoil.plant(Path::new(DATA_ROOT), self.campaign.driver).map_err(one)?;
            }
            self.table.who = self.table.who.other();
        }
        let images = self.table.model.images.len();
        self.turn += 1;
        self.begin(&mut left)?;
        self.remove_everything().map_err(one)?;
        let mut left = self.end(left, false)?;
        self.table.who = self.table.who.other();
        self.turn += 1;
        self.begin(&mut left)?;
        self.end(left, false)?;
        let paths = self.disk().map_err(one)?.paths();
        compared("paths below the data root", &empty, &paths).map_or(Ok(images), |fault| Err(vec![fault]))
    }

    /// The paths of a data root on which both had a turn and did nothing.
    fn empty(&mut self) -> Result<BTreeSet<String>, Fault> {
        for who in [Who::Layerlab, Who::Docker] {
            self.table.who = who;
            self.players.begin(who).map_err(refused)?;
            self.players.end(who).map_err(refused)?;
        }
        Ok(self.disk()?.paths())
    }

    fn disk(&self) -> Result<Disk, Fault> {
        Disk::read(Path::new(DATA_ROOT), self.campaign.driver)
    }

    /// Gives the turn to whoever has it next, who must see what the other saw.
    fn begin(&mut self, left: &mut Left) -> Result<(), Vec<Fault>> {
        let who = self.table.who;
        self.table.told.push(format!("(turn {}: {})", self.turn, who.name()));
        self.players.begin(who).map_err(|error| one(refused(error)))?;
        if let Some(cut) = left.cut.take() {
            cut.reconcile(&mut self.table).map_err(one)?;
        }
        let seen = Seen::look(&self.table, &left.saved, &left.committed).map_err(one)?;
        let faults = left.seen.as_ref().map_or_else(Vec::new, |before| before.disagreements(&seen));
        let faults = faults.into_iter().chain(Seen::of(&self.table.model).differences(&seen));
        none(faults.collect())
    }

    /// Takes the turn away. A dockerd may have to end its containers itself; ours run on, so that they are ended first, or killed.
    fn end(&mut self, left: Left, may_be_cut: bool) -> Result<Left, Vec<Fault>> {
        let who = self.table.who;
        if may_be_cut && self.draw.once_in(CUT_ONCE_IN) {
            return self.cut(left);
        }
        let running: Vec<String> = self.table.model.running().into_iter().map(str::to_owned).collect();
        let is_last = self.turn >= self.campaign.turns;
        let leave = who == Who::Docker && !running.is_empty() && !is_last && self.draw.once_in(2);
        let mut now = Left::default();
        if leave {
            running.iter().for_each(|name| self.table.container(name).state = State::Exited(act::KILLED));
        } else {
            for name in running {
                Act::Stop(name).perform(&mut self.table).map_err(one)?;
            }
            now.saved = self.some(self.table.model.names.keys().cloned().collect());
            now.committed = self.some(self.table.model.containers.keys().cloned().collect());
            let seen = Seen::look(&self.table, &now.saved, &now.committed).map_err(one)?;
            none(Seen::of(&self.table.model).differences(&seen))?;
            now.seen = Some(seen);
        }
        self.players.end(who).map_err(|error| one(refused(error)))?;
        if let Some(remains) = self.remains.take() {
            // What a killed one left half-made is known, and goes.
            self.mended += remains.mend(&self.table, &self.disk().map_err(one)?)?;
        }
        let disk = self.disk().map_err(one)?;
        self.owing.retain(|owing| *owing != who);
        none(disk.faults(&self.table.model, self.owing.contains(&Who::Docker)))?;
        now.shelf = disk.shelf().map_err(one)?;
        none(left.shelf.changes(&now.shelf))?;
        if self.owing.is_empty() {
            none(self.before.left_over())?;
        }
        self.check().map_err(one)?;
        Ok(now)
    }

    /// Ends the turn in the middle of an act. Of our own containers one may run then.
    fn cut(&mut self, left: Left) -> Result<Left, Vec<Fault>> {
        let who = self.table.who;
        let mut running: Vec<String> = self.table.model.running().into_iter().map(str::to_owned).collect();
        if who == Who::Layerlab && !running.is_empty() {
            running.remove(0);
        }
        for name in running {
            Act::Stop(name).perform(&mut self.table).map_err(one)?;
        }
        let cut = Cut::draw(&self.table, &mut self.draw);
        self.note(&cut);
        let paths = self.disk().map_err(one)?.all_paths();
        cut.perform(&mut self.table, &mut self.draw, &self.before).map_err(one)?;
        self.players.end(who).map_err(|error| one(refused(error)))?;
        self.cuts.push(cut.word());
        self.owing.push(who);
        if who == Who::Docker {
            self.before.forgives_control_groups();
        }
        let disk = self.disk().map_err(one)?;
        let monitored = if let Cut::Monitor(container) = &cut { Some(container.as_str()) } else { None };
        let mut remains = Remains::of(&paths, &disk, monitored);
        // What an earlier kill left may still lie there.
        remains.add(self.remains.take());
        if self.draw.once_in(2) {
            self.mended += remains.mend(&self.table, &disk)?;
        } else {
            self.remains = Some(remains);
        }
        // What lies on disk is looked at when the other has had its turn.
        Ok(Left { shelf: left.shelf, cut: Some(cut), ..Left::default() })
    }

    /// Remembers what was drawn; IDs of images differ from run to run.
    fn note(&mut self, drawn: &impl fmt::Debug) {
        let drawn = format!("{drawn:?}");
        let parts = drawn.split("sha256:").enumerate();
        let parts = parts.map(|(number, part)| if number == 0 { part } else { part.get(64..).unwrap_or_default() });
        self.drawn.push(parts.collect());
    }

    /// Those of `all` that are looked into at this change of turns.
    fn some(&mut self, all: Vec<String>) -> Vec<String> {
        if self.turn == self.campaign.turns {
            return all;
        }
        let mut some: Vec<String> = (0..LOOKED_INTO).filter_map(|_| self.draw.choose(&all)).collect();
        some.sort();
        some.dedup();
        some
    }

    /// Our engine's `check` finds nothing, whoever had the turn.
    fn check(&self) -> Result<(), Fault> {
        let said = ask(Who::Layerlab, &["check"], &self.table.place, &[]).map_err(Fault::io("layerlab check"))?;
        match said.code {
            0 => Ok(()),
            _ => Err(Fault::new("layerlab check", "no fault found", said.text() + &said.errors)),
        }
    }

    fn remove_everything(&mut self) -> Result<(), Fault> {
        let model = self.table.model.clone();
        let containers = model.containers.keys().cloned().map(Act::Remove);
        let images = model.names.keys().cloned().map(Act::RemoveName);
        let volumes = model.volumes.keys().cloned().map(Act::RemoveVolume);
        for act in containers.chain(images).chain([Act::PruneImages]).chain(volumes) {
            act.perform(&mut self.table)?;
        }
        let left = self.table.model.images.keys().cloned().collect();
        compared("images when all was removed", &BTreeSet::new(), &left).map_or(Ok(()), Err)
    }
}

fn one(fault: Fault) -> Vec<Fault> {
    vec![fault]
}

fn none(faults: Vec<Fault>) -> Result<(), Vec<Fault>> {
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Whoever should have the turn cannot take it, or does not give it away.
fn refused(error: TargetError) -> Fault {
    Fault::new("the change of turns", "goes well", error.to_string())
}
