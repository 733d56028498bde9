//! How an image came to be: the steps of its making, the last one first.

use jiff::Timestamp;

use super::config::Time;
use super::{Engine, EngineError};
use crate::image::Digest;
use crate::layer::chain_ids;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// The image that the step made, if it is here and known to be that.
    pub id: Option<Digest>,
    /// When.
    pub created: Timestamp,
    /// The command.
    pub created_by: String,
    /// Bytes of the regular files that it added or changed.
    pub size_bytes: u64,
    /// What was said of it.
    pub comment: String,
}

impl Engine {
    /// The steps that made the image called `name`.
    pub fn history(&self, name: &str) -> Result<Vec<HistoryStep>, EngineError> {
        let image = self.image_id(name)?;
        let config = self.image_config(&image)?;
        let mut chain_ids = chain_ids(&config.view().rootfs.diff_ids).into_iter();
        let mut steps = Vec::new();
        for step in &config.view().history {
            let size_bytes = match step.empty_layer {
                true => 0,
                false => {
                    let chain_id = chain_ids.next().ok_or(EngineError::TooMuchHistory)?;
                    self.store.layers.get(&chain_id)?.size_bytes
                }
            };
            steps.push(HistoryStep {
                id: None,
                created: step.created.parse().unwrap_or(Time::ZERO.timestamp()),
                created_by: step.created_by.clone(),
                size_bytes,
                comment: step.comment.clone(),
            });
        }
        steps.reverse();
        let mut maker = Some(image);
        for step in &mut steps {
            let Some(id) = maker.filter(|id| self.store.images.has(id)) else { break };
            maker = self.store.images.parent(&id)?;
            step.id = Some(id);
        }
        Ok(steps)
    }
}
