//! The command line.

use clap::{ColorChoice, Parser, Subcommand};

use crate::commands;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a key (or a bucket) is not there
  2  usage: a wrong argument, malformed input, keys or values of other types than those of FILE, or
     FILE is not a tophash file
  3  the file is corrupt; for salvage: something in it may be lost
  4  the file is locked: another process writes it, or, for a command that writes, has it open
  5  the operating system refused: no such file, no permission, no space left
  6  the file's format is a version that this program does not know

Reports, exports and backups open the file read-only and never write a byte to it, not even after a crash. While a
process writes a file, no other one can look at it (exit code 4): what it saw would be parts of different moments. A
program can look at one moment of its own store with Store::snapshot, and copy it with Store::backup, both while it
writes.";

/// Go's map, in a file: import, look up, inspect and dump tophash files.
#[derive(Parser)]
#[command(name = "tophash", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub color: Color,
}

#[derive(clap::Args)]
pub struct Color {
    /// Colours in reports; `auto` obeys NO_COLOR and the terminal
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

impl Color {
    /// Decides for every stream that is opened from now on.
    pub fn write_global(&self) {
        let choice = match self.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

#[derive(Subcommand)]
pub enum Command {
    Create(commands::create::Create),
    Import(commands::import::Import),
    Export(commands::export::Export),
    Dump(commands::dump::Dump),
    Get(commands::get::Get),
    Set(commands::set::Set),
    Add(commands::add::Add),
    Del(commands::del::Del),
    Clear(commands::clear::Clear),
    Info(commands::info::Info),
    Stats(commands::stats::Stats),
    Buckets(commands::buckets::Buckets),
    Growth(commands::growth::Growth),
    Verify(commands::verify::Verify),
    Salvage(commands::salvage::Salvage),
    Backup(commands::backup::Backup),
    Checkpoint(commands::checkpoint::Checkpoint),
    Compact(commands::compact::Compact),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
}
