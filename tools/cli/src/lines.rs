//! Lines of text, for the verbs that read some.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use clap::ValueEnum;
use tophash::{Error, MAX_KEY_BYTES, MAX_VALUE_BYTES};

use crate::entry::Decoder;
use crate::failure::{Failure, Kept};
use crate::output::Progress;
use crate::text::{Malformed, unescape};
use crate::types::Types;

const BUFFER_BYTES: usize = 256 << 10;

/// How a line is an entry.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// The key is what stands before the first delimiter, the value all that follows; of a set, a line is a key
    Lines,
    /// As dump writes it: KEY, a tab, VALUE, with the escapes \t \n \r \\ \xNN; of a set, KEY alone
    Tsv,
    /// As dump --format jsonl writes it: {"key":"…","value":"…"}, numbers as numbers
    Jsonl,
}

impl InputFormat {
    /// What reads a line; `delimiter` is for [`InputFormat::Lines`].
    pub fn decoder(self, delimiter: Option<&Delimiter>) -> Decoder {
        match self {
            InputFormat::Lines => {
                let delimiter = delimiter.map_or_else(|| b"\t".to_vec(), |given| given.0.clone());
                Decoder::Lines { delimiter }
            }
            InputFormat::Tsv => Decoder::Tsv,
            InputFormat::Jsonl => Decoder::Jsonl,
        }
    }
}

/// What ends the key of a line.
#[derive(Clone)]
pub struct Delimiter(Vec<u8>);

pub fn parse_delimiter(text: &str) -> Result<Delimiter, String> {
    let delimiter = unescape(text.as_bytes()).map_err(|why| why.to_string())?;
    match &*delimiter {
        [] => Err("a delimiter has at least one byte".to_owned()),
        bytes if bytes.contains(&b'\n') => Err("a newline ends the line already".to_owned()),
        bytes => Ok(Delimiter(bytes.to_vec())),
    }
}

/// The lines and the progress over them.
pub struct Input {
    name: String,
    reader: Box<dyn BufRead>,
    progress: Progress,
    /// The memory of a line.
    line: Vec<u8>,
    line_number: u64,
}

impl Input {
    pub fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Input::standard());
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(Failure::io(&name))?;
        // A pipe has no length to speak of.
        let len = file.metadata().ok().filter(|found| found.is_file()).map(|found| found.len());
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, file));
        Ok(Input { name, reader, progress: Progress::over_bytes(len), line: Vec::new(), line_number: 0 })
    }

    /// Standard input.
    pub fn standard() -> Self {
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin()));
        let name = "standard input".to_owned();
        Input { name, reader, progress: Progress::over_bytes(None), line: Vec::new(), line_number: 0 }
    }

    /// Gives the next entry to `take`; false behind the last.
    pub fn next_entry(
        &mut self,
        decoder: &Decoder,
        types: Types,
        take: impl FnOnce(&[u8], &[u8]),
    ) -> Result<bool, Failure> {
        let mut line = std::mem::take(&mut self.line);
        let more = self.next_line(&mut line)?;
        if more {
            let entry = decoder.decode(&line, types).and_then(|(key, value)| {
                check_size("a key", &key, MAX_KEY_BYTES)?;
                check_size("a value", &value, MAX_VALUE_BYTES)?;
                Ok((key, value))
            });
            let (key, value) = entry.map_err(|why| self.malformed(why))?;
            take(&key, &value);
        }
        self.line = line;
        Ok(more)
    }

    /// The next line without its end; false behind the last.
    pub fn next_line(&mut self, line: &mut Vec<u8>) -> Result<bool, Failure> {
        line.clear();
        let bytes = self.reader.read_until(b'\n', line).map_err(Failure::io(&self.name))?;
        self.progress.advance(bytes as u64);
        self.line_number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        Ok(bytes > 0)
    }

    /// What is wrong with the line read last.
    pub fn malformed(&self, why: Malformed) -> Failure {
        Failure::Malformed { input: self.name.clone(), line: self.line_number, why, kept: Kept::LinesBefore }
    }
}

fn check_size(what: &'static str, bytes: &[u8], limit: u64) -> Result<(), Malformed> {
    let len = bytes.len() as u64;
    if len <= limit { Ok(()) } else { Err(Malformed(Error::TooLarge { what, len, limit }.to_string())) }
}
