//! Who uses a container's own layer: many commands that read it, or one that mounts, changes or removes it.
//!
//! *Why*: overlayfs does not say what happens when an upper directory is mounted twice or changed below its mount, and what is
//! read of a container that is removed meanwhile would be cut short.
//!
//! *Holds*: `diff`, `export`, `commit` and `cp` out of a container share its layer; `cp` into it, its start, the unmounting at its
//! end and `rm` have it alone. Nobody has it for as long as a container runs: a running container's layer is mounted, and others
//! use that mount, so they wait for one another and never for the container. A container that ends while somebody uses its
//! mount counts as exited at once, and its layer stays mounted until the next command that has the layer alone and needs to
//! mount or remove it; with `--rm` its monitor waits for the layer and removes it. What was known of a container before the lock may be wrong: it is read again under it.
//!
//! *Never*: a lock that outlives its process: the kernel gives up a killed one's (flock(2)).
//!
//! Whoever takes several locks takes them in this order, so that no two processes wait for one another:
//! 1. the namespace of an ordinary user, until a container's monitor lives (`rootless.rs`);
//! 2. the layers of containers (here), one at a time;
//! 3. the store (`Store::lock`);
//! 4. the place of staging directories, `tmp`, while one is made (`Staging`), or the record of a container (`Engine::update`).
//!
//! The rest is never waited for by somebody whom its holder may wait for: layers of images are shared under the store's lock, and
//! asked for at once by who would remove them (`lease.rs`); a staging directory is its maker's, and others ask at once whether it
//! lives; so does who would be a container's monitor (`Presence`).
//!
//! *Proved by*: `engine/tests/in_lab/at_once.rs`.

use super::{Container, Engine, EngineError};
use crate::store::{Asked, Hold, Lock};

/// A container whose layer is held, as it is now.
pub(super) struct HeldLayer {
    pub container: Container,
    /// Nothing for a container whose layer is gone already, since it was removed half.
    _lock: Option<Lock>,
}

impl Engine {
    /// Waits until nobody changes the layer of a container, and keeps it from being changed.
    pub(super) fn share_layer(&self, id: &str) -> Result<HeldLayer, EngineError> {
        self.ask_for_layer(id, Hold::Shared)?.ok_or_else(|| EngineError::NoSuchContainer(id.to_owned()))
    }

    /// Waits until nobody uses the layer of a container, and keeps everybody else from it.
    pub(super) fn own_layer(&self, id: &str) -> Result<HeldLayer, EngineError> {
        self.ask_for_layer(id, Hold::Alone)?.ok_or_else(|| EngineError::NoSuchContainer(id.to_owned()))
    }

    /// [`Engine::own_layer`] without waiting: nothing when somebody uses it.
    pub(super) fn own_layer_now(&self, id: &str) -> Result<Option<HeldLayer>, EngineError> {
        self.ask_for_layer(id, Hold::AloneNow)
    }

    fn ask_for_layer(&self, id: &str, hold: Hold) -> Result<Option<HeldLayer>, EngineError> {
        let lock = match self.store.layers.ask_for_mount(id, hold)? {
            Asked::Held(lock) => Some(lock),
            Asked::Gone => None,
            Asked::Busy => return Ok(None),
        };
        Ok(Some(HeldLayer { container: self.load(id)?, _lock: lock }))
    }
}
