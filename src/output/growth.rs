//! Who waits for more of which log. One inotify instance for all; where the kernel has none left, the log is looked at
//! from time to time.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::log::Log;
use crate::sys::inotify::{Descriptor, Events, Inotify, Told};

/// A task that writes without end wakes its readers once in so long, and not at each write.
const BETWEEN: Duration = Duration::from_millis(1);
/// Between two looks at a log whose writes are not told.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Cheap to clone; ends with its last clone.
#[derive(Clone, Debug)]
pub struct Growth(Option<Arc<Watched>>);

#[derive(Debug)]
struct Watched {
    inotify: Arc<Inotify>,
    /// One entry for each log that somebody watches, no more.
    logs: Arc<Logs>,
    _reader: DropGuard,
}

#[derive(Debug, Default)]
struct Logs(Mutex<HashMap<Descriptor, watch::Sender<()>>>);

/// Woken when the log was written; dropping it ends the watch.
#[derive(Debug)]
pub struct Watch(Means);

#[derive(Debug)]
enum Means {
    Told { descriptor: Descriptor, writes: Option<watch::Receiver<()>>, of: Arc<Watched> },
    Looks,
}

impl Growth {
    /// Must be called inside the runtime.
    #[must_use]
    pub fn start() -> Self {
        let started = Watched::start();
        if let Err(error) = &started {
            tracing::warn!(%error, "there is no inotify instance left: followed output comes in steps of {LOOK_EVERY:?}");
        }
        Self(started.ok().map(Arc::new))
    }

    /// To be called before the log is read: whatever is written after the call is told.
    #[must_use]
    pub fn watch(&self, log: &Log) -> Watch {
        let told = self.0.as_ref().map(|watched| watched.watch(log));
        let means = told.transpose().unwrap_or_else(|error| {
            tracing::debug!(%error, "a log cannot be watched");
            None
        });
        Watch(means.unwrap_or(Means::Looks))
    }
}

impl Watched {
    fn start() -> io::Result<Self> {
        let inotify = Arc::new(Inotify::new()?);
        let logs = Arc::new(Logs::default());
        let stop = CancellationToken::new();
        let events = Events::of(Arc::clone(&inotify))?;
        let reader = tell(events, Arc::clone(&logs));
        tokio::spawn(stop.clone().run_until_cancelled_owned(reader));
        Ok(Self { inotify, logs, _reader: stop.drop_guard() })
    }

    fn watch(self: &Arc<Self>, log: &Log) -> io::Result<Means> {
        use std::os::fd::AsFd;
        // Under the lock, so that nobody ends at this moment the watch that another reader of the log began.
        let mut logs = self.logs.lock();
        let descriptor = self.inotify.watch(log.as_fd())?;
        let writes = logs.entry(descriptor).or_insert_with(|| watch::Sender::new(())).subscribe();
        Ok(Means::Told { descriptor, writes: Some(writes), of: Arc::clone(self) })
    }
}

impl Logs {
    fn lock(&self) -> MutexGuard<'_, HashMap<Descriptor, watch::Sender<()>>> {
        self.0.lock().expect("no code panics while it holds this lock")
    }
}

impl Watch {
    /// Returns at the next write since the watch began or since the last call; also without one, now and then.
    pub async fn written(&mut self) {
        let Means::Told { writes, .. } = &mut self.0 else { return tokio::time::sleep(LOOK_EVERY).await };
        // The sender lives as long as a receiver does, so an error cannot happen; waiting for ever is safe, for the end of
        // the task wakes its readers too.
        let Some(writes) = writes else { return std::future::pending().await };
        if writes.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Means::Told { descriptor, writes, of } = &mut self.0 else { return };
        let mut logs = of.logs.lock();
        drop(writes.take());
        if logs.get(descriptor).is_some_and(|sender| sender.receiver_count() == 0) {
            logs.remove(descriptor);
            of.inotify.forget(*descriptor);
        }
    }
}

/// Reads the events and wakes who waits.
async fn tell(events: Events, logs: Arc<Logs>) {
    loop {
        match events.next().await {
            Ok(told) => wake(&logs, &told),
            Err(error) => tracing::error!(%error, "cannot read what was written"),
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

fn wake(logs: &Logs, told: &[Told]) {
    let logs = logs.lock();
    for told in told {
        match told {
            Told::Of(descriptor) => {
                if let Some(sender) = logs.get(descriptor) {
                    sender.send_replace(());
                }
            }
            Told::Overflow => {
                for sender in logs.values() {
                    sender.send_replace(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn log() -> (tempfile::TempDir, File, Log) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("stdout.log");
        let writer = File::create(&path).expect("made");
        let log = Log::open(&path).expect("opens").expect("is there");
        (dir, writer, log)
    }

    async fn in_time(waits: impl Future<Output = ()>) {
        tokio::time::timeout(DEADLINE, waits).await.expect("told in time");
    }

    #[tokio::test]
    async fn every_reader_is_told_and_a_write_before_the_wait_is_not_missed() {
        let (_dir, mut writer, log) = log();
        let growth = Growth::start();
        let (mut one, mut two) = (growth.watch(&log), growth.watch(&log));
        writer.write_all(b"a").expect("written");
        in_time(one.written()).await;
        in_time(two.written()).await;
        drop(one);
        writer.write_all(b"b").expect("written");
        in_time(two.written()).await;
    }

    #[tokio::test]
    async fn nothing_is_kept_for_a_log_that_nobody_watches() {
        let (_dir, mut writer, log) = log();
        let growth = Growth::start();
        let watched = growth.0.clone().expect("an instance is left");
        let (one, two) = (growth.watch(&log), growth.watch(&log));
        drop(one);
        assert_eq!(watched.logs.lock().len(), 1);
        drop(two);
        assert!(watched.logs.lock().is_empty());
        let mut again = growth.watch(&log);
        writer.write_all(b"a").expect("written");
        in_time(again.written()).await;
    }

    #[tokio::test]
    async fn what_was_lost_is_told_to_all_and_what_is_not_told_is_looked_at() {
        let (_dir, _writer, log) = log();
        let growth = Growth::start();
        let watched = growth.0.clone().expect("an instance is left");
        let mut told = growth.watch(&log);
        wake(&watched.logs, &[Told::Overflow]);
        in_time(told.written()).await;
        in_time(Growth(None).watch(&log).written()).await;
    }
}
