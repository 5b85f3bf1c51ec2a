//! format.md shows a small file byte by byte; here it is made, and every line compared.

use tophash::{Durability, Options};

const LINE_BYTES: usize = 16;

#[test]
fn the_worked_example_in_format_md_is_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.tophash");
    let options = Options::new().seed(42).background(false).durability(Durability::Buffered);
    let store = options.open(&path).unwrap();
    for (name, year) in [("Ada", "1815"), ("Grace", "1906"), ("Ada", "1852")] {
        store.insert(name, year).unwrap();
    }
    store.close().unwrap();

    let file = std::fs::read(&path).unwrap();
    assert_eq!(file.len(), 131_072);
    let zero = [0; LINE_BYTES];
    let dumped = file.chunks_exact(LINE_BYTES).enumerate().filter(|(_, line)| **line != zero);
    let dumped: Vec<String> = dumped.map(|(n, line)| dump_line(n * LINE_BYTES, line)).collect();

    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/format.md")).unwrap();
    let documented: Vec<&str> =
        text.lines().filter(|line| line.ends_with('|') && line.contains("  |")).collect();
    let documented: Vec<&str> =
        documented.into_iter().filter(|line| line.as_bytes()[0].is_ascii_digit()).collect();
    assert_eq!(documented, dumped, "format.md should show:\n{}", dumped.join("\n"));
}

fn dump_line(offset: usize, bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
    let text: String =
        bytes.iter().map(|&b| if (0x20..0x7f).contains(&b) { b as char } else { '.' }).collect();
    format!("{offset:08x}  {}  {}  |{text}|", hex(&bytes[..8]), hex(&bytes[8..]))
}
