//! Threads beside each other, for a time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// What a thread does over and over, given how often it did it before.
pub type Task<'a> = Box<dyn FnMut(u64) -> Result<()> + Send + 'a>;

/// Runs every task in a thread of its own for this long; operations a second of each.
pub fn race(window: Duration, tasks: Vec<Task<'_>>) -> Result<Vec<f64>> {
    let begin = Barrier::new(tasks.len() + 1);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads: Vec<_> =
            tasks.into_iter().map(|task| scope.spawn(|| repeat(task, &begin, &ended))).collect();
        begin.wait();
        thread::sleep(window);
        // Relaxed: it ends the loops and publishes nothing; the rates come back through `join`.
        ended.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
    })
}

fn repeat(mut task: Task<'_>, begin: &Barrier, ended: &AtomicBool) -> Result<f64> {
    begin.wait();
    let start = Instant::now();
    let mut done = 0;
    // Relaxed: see `race`.
    while !ended.load(Ordering::Relaxed) {
        task(done)?;
        done += 1;
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_and_is_told_how_often() {
        let mut counts = [0_u64; 2];
        let tasks: Vec<Task> = counts
            .iter_mut()
            .map(|count| {
                Box::new(move |done| {
                    assert_eq!(done, *count);
                    *count += 1;
                    Ok(())
                }) as Task
            })
            .collect();
        let rates = race(Duration::from_millis(20), tasks).unwrap();
        assert_eq!(rates.len(), 2);
        assert!(counts.iter().all(|count| *count > 0));
    }

    #[test]
    fn a_task_that_fails_fails_the_race() {
        let failing: Task = Box::new(|done| if done < 3 { Ok(()) } else { Err(anyhow!("enough")) });
        assert!(race(Duration::from_millis(20), vec![failing]).is_err());
    }
}
