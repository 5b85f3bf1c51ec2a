//! Structs as values: a hundred thousand balls fly about in a box and are updated in place, in the cells of the table.
//! However often they move, the file stays about as large as it was; and it knows what is in it.
//!
//! `cargo run --release --example struct_map`

use std::path::Path;
use std::time::Instant;

use tophash::zerocopy::little_endian::F32;
use tophash::zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};
use tophash::{Fixed, Map, Result};

/// Where it is and how it moves. The fields say their endianness, so that the file means the same on every machine.
#[derive(FromBytes, IntoBytes, Immutable, Unaligned, Clone, Copy)]
#[zerocopy(crate = "tophash::zerocopy")]
#[repr(C)]
struct Ball {
    place: [F32; 2],
    speed: [F32; 2],
}

impl Fixed for Ball {
    const NAME: &str = "ball";
}

const BALLS: u32 = 100_000;
const STEPS: u32 = 20;

fn main() -> Result<()> {
    let path = std::env::temp_dir().join("struct-map.tophash");
    let _ = std::fs::remove_file(&path);
    let balls = Map::<u32, Ball>::open(&path)?;
    for number in 0..BALLS {
        let direction = number as f32;
        let speed = [direction.cos() * 0.01, direction.sin() * 0.01].map(F32::new);
        balls.insert(number, Ball { place: [F32::new(0.5); 2], speed })?;
    }
    balls.checkpoint()?;
    println!("{} balls of {} bytes in {}", balls.len(), size_of::<Ball>(), megabytes(&path));

    let begin = Instant::now();
    for _ in 0..STEPS {
        for number in 0..BALLS {
            balls.update(number, |ball| ball.map(moved))?;
        }
    }
    let rate = f64::from(BALLS * STEPS) / begin.elapsed().as_secs_f64();
    balls.checkpoint()?;
    println!("{} moves, {rate:.0} a second, in {}", BALLS * STEPS, megabytes(&path));
    balls.close()?;

    let balls = Map::<u32, Ball>::open(&path)?;
    if let Some(ball) = balls.get(&7)? {
        println!("ball 7 is at {:.3}, {:.3}", ball.place[0].get(), ball.place[1].get());
    }
    balls.close()?;

    // A number of as many bytes is no ball: the file says what is in it.
    if let Err(error) = Map::<u32, u128>::open(&path) {
        println!("\nas numbers: {error}");
    }
    Ok(())
}

/// A step further; at a wall of the box, which is from 0 to 1 both ways, it turns round.
fn moved(mut ball: Ball) -> Ball {
    for (place, speed) in ball.place.iter_mut().zip(&mut ball.speed) {
        *place += *speed;
        if !(0.0..=1.0).contains(&place.get()) {
            *speed = -*speed;
        }
    }
    ball
}

fn megabytes(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let blocks = std::fs::metadata(path).map_or(0, |file| file.blocks());
    format!("{:.1} MB on disk", blocks as f64 * 512.0 / 1e6)
}
