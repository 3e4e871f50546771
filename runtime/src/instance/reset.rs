//! Starting over: an instance becomes a fresh fork of its image again.

use super::{Instance, Room};
use crate::host_state::HostState;
use crate::image::ForkError;

impl Instance {
    /// Makes the instance what [`Image::fork`](crate::Image::fork) with the same limits and capabilities
    /// gives: nothing of its earlier calls is left, and one that an error had made unusable can be used
    /// again. Handles that cancelled the old calls have no power over the new ones.
    ///
    /// Copies the few pages back that were written to, which takes microseconds; an instance whose memory
    /// has grown, or that wrote to many, gets another fork in its place. Runs no guest code.
    ///
    /// # Errors
    /// [`ForkError`] if another fork was needed and could not be had. The instance is unusable then, until
    /// a later reset succeeds.
    pub fn reset(&mut self) -> Result<(), ForkError> {
        let inner = self.image.0.clone();
        let capabilities = self.guest.state().capabilities.clone();
        let state = HostState::new(self.limits.memory_bytes, self.limits.log_bytes, capabilities, false);
        let restarted = inner.restart(&mut self.guest, state, &self.limits);
        if restarted.is_err() {
            self.guest.poison();
        }
        restarted?;
        let Room { output, arena } = inner.room;
        (self.output, self.arena, self.stale, self.unfinished) = (output, arena, 0, false);
        (self.calls, self.rows) = (0, 0);
        Ok(())
    }
}
