//! `tophash-crash powercut`: real file systems, cut off at random moments.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use tophash_crash::campaign::{self, Span, Units};
use tophash_crash::power::{Figures, Plan, cycle};
use tophash_crash::scratch::Scratch;
use tophash_crash::subject::Layouts;
use tophash_crash::volume::{Kind, missing};
use tophash_crash::worker::Lie;

/// Cut off real file systems at random moments, and mount them again (root).
///
/// Each cycle makes a file system in a file, mounts it, and cuts it off several times while a process writes to a
/// store there. Nothing but these mounts is touched; they are seen by this program alone, and go with it. A seed says
/// what the processes do and when they are meant to be cut off. When exactly that happens depends on the machine, so
/// a seed may have to be run more than once to show the same again.
#[derive(clap::Args)]
pub struct Powercut {
    /// File systems to cut off, one after the other; all unless given
    #[arg(long, value_name = "KIND")]
    fs: Vec<Kind>,

    /// Cuts of each file system that is made
    #[arg(long, value_name = "N", default_value_t = 5)]
    cuts: u64,

    /// Where the file systems' images are; where temporary files are unless given. Kept there after a violation
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The layouts of the stores; a seed says which it is about
    #[arg(long, value_enum, default_value_t)]
    layout: Layouts,

    #[command(flatten)]
    span: Span,

    /// Have the processes lie, to see that it is noticed
    #[arg(long, hide = true)]
    lie: Option<Lie>,
}

/// Set in the process that has mounts of its own.
const OWN_MOUNTS: &str = "TOPHASH_CRASH_OWN_MOUNTS";

impl Powercut {
    pub fn run(&self) -> ExitCode {
        take_own_mounts();
        let scratch = match Scratch::new(self.dir.as_deref(), "powercut") {
            Ok(scratch) => scratch,
            Err(error) => {
                eprintln!("a directory for the file systems: {error}");
                return ExitCode::from(2);
            }
        };
        let kinds = if self.fs.is_empty() { Kind::ALL.to_vec() } else { self.fs.clone() };
        let mut violated = None;
        for kind in kinds {
            let name = self.layout.name(&format!("{} --cuts {}", name(kind), self.cuts));
            let dir = scratch.path().join(format!("{kind:?}"));
            if let Some(why) = missing(kind, &dir) {
                println!("{name}: skipped, because {why}");
                continue;
            }
            let plan = Plan { kind, cuts: self.cuts, lie: self.lie, layouts: self.layout };
            let (figures, units) =
                (Figures::default(), Units { images: "cuts and kills", moments: "processes" });
            let summary = campaign::run(name.as_str(), units, &self.span, 20, |seed, tally| {
                cycle(seed, &dir, plan, &figures, tally)
            });
            println!("{name}: {figures}");
            let verdict = summary.report();
            if summary.violation.is_some() {
                violated = Some(verdict);
            }
        }
        if violated.is_some() && self.dir.is_some() {
            println!("kept: {}", scratch.keep().display());
        }
        violated.unwrap_or(ExitCode::SUCCESS)
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ext4 => "powercut --fs ext4",
        Kind::Ext4Writeback => "powercut --fs ext4-writeback",
        Kind::Ext4FastCommit => "powercut --fs ext4-fast-commit",
        Kind::Xfs => "powercut --fs xfs",
    }
}

/// Goes on as a process with mounts of its own where the system lets it: the kernel unmounts them and frees their loop
/// devices however that process ends.
fn take_own_mounts() {
    if std::env::var_os(OWN_MOUNTS).is_some() || !rustix::process::geteuid().is_root() {
        return;
    }
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "--"]);
        unshare
    };
    let probe = unshare().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let (Ok(true), Ok(this)) = (probe.map(|status| status.success()), std::env::current_exe()) else {
        return;
    };
    // Returns only if it fails: then the mounts are ordinary ones, which their owner unmounts.
    let _ = unshare().arg(this).args(std::env::args_os().skip(1)).env(OWN_MOUNTS, "1").exec();
}
