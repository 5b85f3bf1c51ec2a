//! Forked processes, for what can't be done or undone in the process that runs the tests.

use tophash::Options;
use tophash::sim::SimDisk;

/// Runs `child` in a forked process, which ends there without running anything else of the test harness; panics if it
/// failed. Of the threads only this one lives on in the child.
#[track_caller]
pub fn in_fork(child: impl FnOnce()) {
    // A process has its mark (C15) from its first store on. While another thread makes that, a child would wait for it for
    // ever.
    drop(Options::new().media(SimDisk::new(0)).open("first").unwrap());
    // SAFETY: the child ends in _exit, so nothing of the parent is run or flushed twice.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: a child that waits for a lock for ever is ended by this, and fails.
            unsafe { libc::alarm(60) };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        process => {
            let mut status = 0;
            // SAFETY: `status` is valid for the call.
            let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
            assert_eq!((waited, status), (process, 0), "the child failed");
        }
    }
}

/// The longest a file of this process may become; `None` for as long as it likes. Beyond it the system says that the
/// file is too large. Only for forked processes.
pub fn limit_file_bytes(limit: Option<u64>) {
    let limit =
        libc::rlimit { rlim_cur: limit.unwrap_or(libc::RLIM_INFINITY), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is valid for the call; a write beyond the limit is an error instead of a signal.
    let done = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
