//! A share as a bar of block characters.

/// `part` of `whole` as a bar of this many characters; anything above nothing shows at least one block, and only all
/// fills it.
pub fn bar(part: u64, whole: u64, width: usize) -> String {
    let exact = part as f64 / whole.max(1) as f64 * width as f64;
    let filled = match part {
        0 => 0,
        part if part >= whole => width,
        _ => (exact as usize).clamp(1, width.max(2) - 1),
    };
    "█".repeat(filled) + &"░".repeat(width - filled)
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn only_nothing_is_empty_and_only_all_is_full() {
        assert_eq!(bar(0, 1000, 4), "░░░░");
        assert_eq!(bar(1, 1000, 4), "█░░░");
        assert_eq!(bar(500, 1000, 4), "██░░");
        assert_eq!(bar(999, 1000, 4), "███░");
        assert_eq!(bar(1000, 1000, 4), "████");
    }
}
