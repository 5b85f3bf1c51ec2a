//! What is measured: one row of the table each.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    OpsPerSecond,
    Microseconds,
    Milliseconds,
    Bytes,
    Percent,
}

macro_rules! rows {
    ($($row:ident: $unit:ident, $title:literal;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Row {
            $($row,)+
        }

        impl Row {
            pub const ALL: &'static [Row] = &[$(Row::$row,)+];

            pub fn title(self) -> &'static str {
                match self {
                    $(Row::$row => $title,)+
                }
            }

            pub fn unit(self) -> Unit {
                match self {
                    $(Row::$row => Unit::$unit,)+
                }
            }
        }
    };
}

rows! {
    Fill: OpsPerSecond, "fill, one put a call";
    FillP50: Microseconds, "fill p50, us";
    FillP99: Microseconds, "fill p99, us";
    FillP9999: Microseconds, "fill p99.99, us";
    FillMax: Microseconds, "fill longest, us";
    Batches: OpsPerSecond, "fill, batches of 1000";
    Get: OpsPerSecond, "get, hit";
    GetMany: OpsPerSecond, "get, hit, 1000 keys a call";
    Miss: OpsPerSecond, "get, miss";
    Iterate: OpsPerSecond, "iterate, entries";
    YcsbA: OpsPerSecond, "YCSB A";
    YcsbB: OpsPerSecond, "YCSB B";
    YcsbC: OpsPerSecond, "YCSB C";
    Overwrite: OpsPerSecond, "overwrite";
    Add: OpsPerSecond, "add 1 to a number";
    Remove: OpsPerSecond, "remove 90 %";
    LoneReader: OpsPerSecond, "get, 1 thread";
    TwoReaders: OpsPerSecond, "get, 2 threads together";
    LoneWriter: OpsPerSecond, "overwrite, 1 thread";
    ReaderBeside: OpsPerSecond, "reader beside a writer";
    WriterBeside: OpsPerSecond, "writer beside a reader";
    DurableOne: OpsPerSecond, "durable put, 1 thread";
    DurableTwo: OpsPerSecond, "durable put, 2 threads";
    OpenClean: Milliseconds, "open, closed before, ms";
    OpenKilled: Milliseconds, "open after SIGKILL, ms";
    Survived: Percent, "writes that survived, %";
    FileFilled: Bytes, "file after fill, MB";
    FileFilledClosed: Bytes, "the same, closed, MB";
    FileOverwritten: Bytes, "file after ten overwrites, MB";
    FileOverwrittenClosed: Bytes, "that, closed, MB";
    FileRemoved: Bytes, "file after removing 90 %, MB";
    AnonymousMemory: Bytes, "anonymous memory, MB";
    LargeReads: OpsPerSecond, "random reads";
    LargeWrites: OpsPerSecond, "random writes";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_fit_the_table_and_are_different() {
        let mut titles: Vec<_> = Row::ALL.iter().map(|row| row.title()).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), Row::ALL.len());
        assert!(titles.iter().all(|title| title.len() <= 30));
    }
}
