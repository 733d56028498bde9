//! The private event loop behind the synchronous interface: network futures run here while ordinary threads wait.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// One thread that drives the network; it ends when this is dropped.
pub(super) struct Reactor {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reactor {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Reactor> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("registry".to_owned()).spawn(move || {
            // An error means that the sender is gone, which is a reason to stop as well.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Reactor { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Waits for a future on the calling thread.
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the registry thread panicked");
        }
    }
}
