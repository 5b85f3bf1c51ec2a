//! The parent's side of a worker: listens to it, waits for the moment, kills it.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::worker::{Said, Task};

/// Whoever is silent for so long is stuck.
const STUCK: Duration = Duration::from_secs(60);
/// A session that does not reach its moment ends this long after the store was opened.
const PATIENCE: Duration = Duration::from_millis(400);

/// The moment at which a worker's session is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aim {
    /// After so many operations.
    Acks(u64),
    /// So long after the store was opened.
    Time(Duration),
    /// After so many operations during growths.
    Growth(u64),
    /// So long after the worker began to open the store.
    Opening(Duration),
    /// So long into a checkpoint.
    Checkpoint(Duration),
    /// So long into a sync.
    Sync(Duration),
    /// So long into closing the store.
    Closing(Duration),
    /// When it has closed the store.
    End,
}

impl Aim {
    /// How long to wait yet once it is met; `None` before.
    fn met(self, progress: &Progress) -> Option<Duration> {
        let (met, pause) = match self {
            Aim::Acks(acks) => (progress.acked >= acks, Duration::ZERO),
            Aim::Growth(acks) => (progress.acked_growing >= acks, Duration::ZERO),
            Aim::Time(pause) => (progress.opened, pause),
            Aim::Opening(pause) => (progress.last.is_some(), pause),
            Aim::Checkpoint(pause) => (progress.last == Some(Said::Checkpointing), pause),
            Aim::Sync(pause) => (progress.last == Some(Said::Syncing), pause),
            Aim::Closing(pause) => (progress.last == Some(Said::Closing), pause),
            Aim::End => (false, Duration::ZERO),
        };
        met.then_some(pause)
    }
}

/// How far a worker was when it spoke last.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub last: Option<Said>,
    pub opened: bool,
    /// Operations that were acknowledged.
    pub acked: u64,
    /// Those among them after which the table was growing.
    pub acked_growing: u64,
    /// The first so many operations are durable.
    pub durable: u64,
    /// Whether the table was growing.
    pub growing: bool,
}

impl Progress {
    fn note(&mut self, said: Said, growing: bool) {
        match said {
            Said::Opened => self.opened = true,
            Said::Acked => {
                self.acked += 1;
                self.acked_growing += u64::from(growing);
            }
            Said::Synced | Said::Checkpointed | Said::Closed => self.durable = self.acked,
            Said::Opening | Said::Syncing | Said::Checkpointing | Said::Closing => {}
        }
        (self.last, self.growing) = (Some(said), growing);
    }

    /// Whether an operation may be under way that is not acknowledged.
    pub fn in_operation(&self) -> bool {
        use Said::{Acked, Checkpointed, Opened, Synced};
        matches!(self.last, Some(Opened | Acked | Synced | Checkpointed))
    }

    pub fn closed(&self) -> bool {
        self.last == Some(Said::Closed)
    }
}

/// A running worker; killed when dropped.
pub struct Worker {
    process: Child,
    output: ChildStdout,
    progress: Progress,
}

/// How a worker ended.
#[derive(Debug)]
pub struct Ended {
    pub progress: Progress,
    pub status: ExitStatus,
    /// What it printed about it.
    pub complaint: String,
}

impl Ended {
    /// Nothing but its parent ended it, or it was done.
    pub fn as_expected(&self) -> Result<(), String> {
        let killed = self.status.signal() == Some(9);
        if killed || (self.status.success() && self.progress.closed()) {
            return Ok(());
        }
        let Ended { status, complaint, progress } = self;
        Err(format!(
            "the worker ended by itself ({status}), after {} operations: {complaint}",
            progress.acked
        ))
    }

    /// It has not panicked, at least.
    pub fn without_panic(&self) -> Result<(), String> {
        if self.status.code() == Some(101) { Err(format!("the worker: {}", self.complaint)) } else { Ok(()) }
    }
}

impl Worker {
    pub fn start(task: &Task) -> Result<Self, String> {
        let started = task.command().and_then(|mut command| command.spawn());
        let mut process = started.map_err(|error| format!("starting a worker: {error}"))?;
        let output = process.stdout.take().ok_or("a worker without an output")?;
        Ok(Worker { process, output, progress: Progress::default() })
    }

    /// Listens until the moment has come or the worker has ended, or does not get there.
    pub fn watch(&mut self, aim: Aim) -> Result<(), String> {
        let (mut opened, mut timeout) = (None, STUCK);
        loop {
            if let Some(duration) = aim.met(&self.progress) {
                pause(duration);
                return Ok(());
            }
            if self.progress.opened && aim != Aim::End {
                let opened = *opened.get_or_insert_with(Instant::now);
                timeout = PATIENCE.saturating_sub(Instant::elapsed(&opened));
                if timeout.is_zero() {
                    return Ok(());
                }
            }
            match self.hear(timeout)? {
                Heard::Something => {}
                Heard::Nothing if timeout == STUCK => {
                    return Err(format!("the worker says nothing for a minute, after {:?}", self.progress));
                }
                Heard::Nothing | Heard::End => return Ok(()),
            }
        }
    }

    /// How far it is: all that it has said by now.
    pub fn progress(&mut self) -> Result<&Progress, String> {
        while self.hear(Duration::ZERO)? == Heard::Something {}
        Ok(&self.progress)
    }

    /// Whether it is still at work.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// SIGKILL, and what it said before.
    pub fn kill(mut self) -> Result<Ended, String> {
        let io = |error| format!("killing a worker: {error}");
        self.process.kill().map_err(io)?;
        let status = self.process.wait().map_err(io)?;
        while self.hear(STUCK)? == Heard::Something {}
        let mut complaint = String::new();
        if let Some(mut errors) = self.process.stderr.take() {
            errors.read_to_string(&mut complaint).map_err(io)?;
        }
        let progress = std::mem::take(&mut self.progress);
        Ok(Ended { progress, status, complaint: complaint.trim().to_owned() })
    }

    fn hear(&mut self, timeout: Duration) -> Result<Heard, String> {
        let wait = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.output, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Ok(Heard::Nothing),
            Err(Errno::INTR) => return Ok(Heard::Something),
            Ok(_) => {}
            Err(error) => return Err(format!("waiting for a worker: {error}")),
        }
        let mut bytes = [0; 4096];
        let read = self.output.read(&mut bytes).map_err(|error| format!("listening to a worker: {error}"))?;
        for &byte in &bytes[..read] {
            let (said, growing) = Said::decode(byte).ok_or_else(|| format!("the worker said {byte}"))?;
            self.progress.note(said, growing);
        }
        Ok(if read == 0 { Heard::End } else { Heard::Something })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already; it is waited for in either case.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
    End,
}

/// Waits; a sleep would make short times long.
pub fn pause(duration: Duration) {
    if duration > Duration::from_micros(500) {
        return std::thread::sleep(duration);
    }
    let begun = Instant::now();
    while begun.elapsed() < duration {
        std::hint::spin_loop();
    }
}
