//! `tophash-crash worker`: the process that `kill` and `powercut` end.

use std::process::ExitCode;

use tophash_crash::worker::{Task, work};

/// Write to a store until killed.
#[derive(clap::Args)]
pub struct Worker {
    #[command(flatten)]
    task: Task,
}

impl Worker {
    pub fn run(&self) -> ExitCode {
        match work(&self.task) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}
