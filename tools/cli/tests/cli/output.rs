//! How output behaves: pipes, colours, completions, manual pages.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Dir, run};

const ESCAPE: &str = "\x1b[";

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = Dir::with_unicode();
    for arguments in [
        &["dump", "unicode.tophash"][..],
        &["export", "unicode.tophash", "--format", "jsonl"],
        &["buckets", "unicode.tophash", "--json"],
        &["buckets", "unicode.tophash", "--limit", "9999"],
    ] {
        let mut child = dir.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        // The reader is dropped here, and most of the output is still to come.
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}");
    }
}

#[test]
fn colours_come_when_asked_for_and_go_with_no_color() {
    let dir = Dir::with_unicode();
    let stats = ["stats", "unicode.tophash"];
    assert!(!run(&mut dir.command(stats)).ok_text().contains(ESCAPE), "none in a pipe");
    assert!(run(dir.command(stats).env("CLICOLOR_FORCE", "1")).ok_text().contains(ESCAPE));
    assert!(
        !run(dir.command(stats).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")).ok_text().contains(ESCAPE)
    );
    assert!(run(dir.command(stats).args(["--color", "always"])).ok_text().contains(ESCAPE));
    let never = run(dir.command(stats).args(["--color", "never"]).env("CLICOLOR_FORCE", "1"));
    assert!(!never.ok_text().contains(ESCAPE));
}

#[test]
fn colours_do_not_move_the_columns() {
    let dir = Dir::with_unicode();
    for report in [&["stats"][..], &["info"], &["growth"], &["buckets"]] {
        let arguments = [report, &["unicode.tophash"]].concat();
        let plain = dir.run(&arguments).ok_text();
        let coloured = run(dir.command(&arguments).args(["--color", "always"])).ok_text();
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }
}

#[test]
fn no_line_of_a_table_ends_in_blanks() {
    let dir = Dir::with_unicode();
    for report in ["stats", "info", "growth", "buckets"] {
        let text = dir.run([report, "unicode.tophash"]).ok_text();
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }
}

#[test]
fn every_shell_gets_completions() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = dir.run(["completions", shell]).ok_text();
        assert!(
            ["create", "checkpoint", "load-factor", "value"].iter().all(|word| script.contains(word)),
            "{shell}"
        );
    }
}

#[test]
fn the_manual_has_a_page_for_every_verb() {
    let dir = Dir::new();
    let page = dir.run(["man"]).ok_text();
    for expected in [".TH tophash 1", "Exit codes", "create", "import", "checkpoint"] {
        assert!(page.contains(expected), "{expected}");
    }
    let page = dir.run(["man", "import"]).ok_text();
    assert!(page.contains(".TH tophash-import 1") && page.contains("load\\-factor"), "{page}");
}

#[test]
fn help_names_the_exit_codes() {
    let help = Dir::new().run(["--help"]).ok_text();
    for expected in ["not a tophash file", "corrupt", "locked", "version", "never write a byte"] {
        assert!(help.contains(expected), "{expected} in\n{help}");
    }
}
