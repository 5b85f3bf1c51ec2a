//! `tophash-crash flip`: every bit of a file flipped, and every length that it can be cut off at.

use std::process::ExitCode;
use std::time::Duration;

use tophash_crash::campaign::{self, Span, Units};
use tophash_crash::flip::Flips;
use tophash_crash::subject::Layouts;

/// No examination may take longer. Each takes about a tenth of a millisecond.
const LONGEST: Duration = Duration::from_secs(1);

/// Flip every single bit of a closed store and of a killed one, and cut both off at every length.
///
/// Each damaged file is opened read-only, every key is read, everything iterated and verified; one flip in 61 is
/// opened for writing too. A cycle is a sector of 512 bytes; without --cycles it is all of them.
#[derive(clap::Args)]
pub struct Flip {
    /// The layouts of the files that are damaged
    #[arg(long, value_enum, default_value_t)]
    layout: Layouts,

    #[command(flatten)]
    span: Span,
}

impl Flip {
    pub fn run(&self) -> ExitCode {
        let flips = Flips::new(self.layout, Some(LONGEST));
        let span = Span { seed: self.span.seed.or(Some(0)), ..self.span.clone() };
        let units = Units { images: "damaged files", moments: "sectors" };
        let summary = campaign::run(self.layout.name("flip"), units, &span, flips.cycles(), |seed, tally| {
            flips.cycle(seed, tally)
        });
        let longest_ms = flips.longest_examination().as_secs_f64() * 1000.0;
        println!("{}; the longest examination took {longest_ms:.1} ms", flips.outcomes);
        summary.report()
    }
}
