//! A progress bar on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

pub struct Progress {
    bar: ProgressBar,
    done: u64,
    shown: u64,
    step: u64,
}

/// A bar that is told of every line would cost more than the line.
const STEPS: u64 = 500;
const STEP_WITHOUT_LENGTH: u64 = 1 << 20;

impl Progress {
    /// Over so many bytes, or over who knows how many.
    pub fn over_bytes(bytes: Option<u64>) -> Self {
        let template = match bytes {
            Some(_) => "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
            None => "{spinner} {bytes} {bytes_per_sec} {elapsed}",
        };
        Progress::new(bytes, template)
    }

    pub fn over_entries(entries: u64) -> Self {
        Progress::new(Some(entries), "{wide_bar} {human_pos}/{human_len} entries {per_sec} {eta} left")
    }

    fn new(len: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::new(0);
        if let Some(len) = len {
            bar.set_length(len);
        } else {
            bar.unset_length();
        }
        let style = ProgressStyle::with_template(template).expect("the templates above are well-formed");
        bar.set_style(style.progress_chars("██░"));
        let step = len.map_or(STEP_WITHOUT_LENGTH, |len| len / STEPS);
        Progress { bar, done: 0, shown: 0, step }
    }

    /// So much is done, of what is known to be all by now.
    pub fn set(&mut self, done: u64, total: u64) {
        self.step = total / STEPS;
        self.bar.set_length(total);
        self.advance(done.saturating_sub(self.done));
    }

    pub fn advance(&mut self, by: u64) {
        self.done += by;
        if self.done - self.shown > self.step {
            self.shown = self.done;
            self.bar.set_position(self.done);
        }
    }
}

impl Drop for Progress {
    /// The bar makes room for what is printed next, a summary or an error.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
