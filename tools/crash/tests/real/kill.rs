use crate::{left, run, scratch};

#[test]
fn killed_processes_lose_nothing() {
    let scratch = scratch("test-kill");
    let (code, printed) = run("kill --seed 7 --cycles 3", scratch.path());
    assert_eq!(code, 0, "{printed}");
    let summary = printed.lines().find(|line| line.ends_with("no violation")).unwrap();
    assert!(summary.starts_with("kill: ") && summary.contains(" in 3 cycles from seed 7 on"), "{printed}");
    let kills: u64 = summary["kill: ".len()..].split(' ').next().unwrap().parse().unwrap();
    assert!(kills >= 9, "{printed}");
    assert!(printed.contains(" % in a growth or a recovery; "), "{printed}");
    assert_eq!(left(scratch.path()), 0);
}

#[test]
fn killed_processes_lose_nothing_of_cells() {
    let scratch = scratch("test-kill-cells");
    let (code, printed) = run("kill --layout inline --seed 7 --cycles 3", scratch.path());
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("kill --layout inline: ") && printed.contains(" in 3 cycles"), "{printed}");
    assert_eq!(left(scratch.path()), 0);
}

#[test]
fn an_operation_that_was_acknowledged_and_not_done_is_a_violation() {
    let scratch = scratch("test-kill-lie");
    let (code, printed) = run("kill --seed 7 --cycles 3 --threads 1 --lie ops", scratch.path());
    assert_eq!(code, 1, "{printed}");
    let of = |line: &str| line.split(&[' ', ':'][..]).find_map(|word| word.parse::<u64>().ok());
    let violation = printed.lines().find(|line| line.starts_with("violation, seed ")).unwrap();
    let again = printed.lines().find(|line| line.starts_with("again: tophash-crash kill --seed ")).unwrap();
    assert!(of(violation) == of(again) && (7..10).contains(&of(again).unwrap()), "{printed}");
    assert_eq!(left(scratch.path()), 1, "the store that is wrong is kept");
}

#[test]
fn a_kill_takes_nothing_that_was_not_synced() {
    let scratch = scratch("test-kill-unsynced");
    let (code, printed) = run("kill --seed 7 --cycles 1 --lie syncs", scratch.path());
    assert_eq!(code, 0, "{printed}");
}
