//! `tophash-crash kill`: real processes, killed at random moments.

use std::path::PathBuf;
use std::process::ExitCode;

use tophash_crash::campaign::{self, Span, Units};
use tophash_crash::kills::{Moments, cycle};
use tophash_crash::scratch::Scratch;
use tophash_crash::subject::Layouts;
use tophash_crash::worker::Lie;

/// So many percent of the kills must hit a growth or a recovery.
const LEAST_SHARE: f64 = 20.0;
/// Of fewer kills the share says nothing.
const ENOUGH_KILLS: u64 = 100;

/// Kill real processes at random moments, each store several times: in writes, growths, checkpoints and recoveries.
///
/// A seed says what the processes do and when they are meant to be killed. When exactly that happens depends on the
/// machine, so a seed may have to be run more than once to show the same again.
#[derive(clap::Args)]
pub struct Kill {
    /// Where the stores are; where temporary files are unless given. Kept there after a violation
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

impl Kill {
    pub fn run(&self) -> ExitCode {
        let scratch = match Scratch::new(self.dir.as_deref(), "kill") {
            Ok(scratch) => scratch,
            Err(error) => {
                eprintln!("a directory for the stores: {error}");
                return ExitCode::from(2);
            }
        };
        let moments = Moments::default();
        let units = Units { images: "kills", moments: "processes" };
        let summary = campaign::run(self.layout.name("kill"), units, &self.span, 100, |seed, tally| {
            cycle(seed, self.layout.form(seed), scratch.path(), self.lie, &moments, tally)
        });
        let (share, kills) = moments.share_in_growth_or_recovery();
        println!("kill: {share:.1} % in a growth or a recovery; {}", moments.told());
        let code = summary.report();
        if summary.violation.is_some() {
            if self.dir.is_some() {
                println!("kept: {}", scratch.keep().display());
            }
        } else if kills >= ENOUGH_KILLS && share < LEAST_SHARE {
            println!("less than {LEAST_SHARE} % of the kills were in a growth or a recovery");
            return ExitCode::FAILURE;
        }
        code
    }
}
