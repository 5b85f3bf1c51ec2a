//! The first minute: open, insert, get, iterate, remove.
//!
//! `cargo run --example hello`

use tophash::{Result, Store};

fn main() -> Result<()> {
    let path = std::env::temp_dir().join("hello.tophash");
    let _ = std::fs::remove_file(&path);
    let store = Store::open(&path)?;

    store.insert("user:1", "Ada")?;
    store.insert("user:2", "Grace")?;
    if let Some(before) = store.insert("user:1", "Ada Lovelace")? {
        println!("user:1 was {}", String::from_utf8_lossy(&before));
    }

    for entry in &store {
        let (key, value) = entry?;
        println!("{} = {}", String::from_utf8_lossy(&key), String::from_utf8_lossy(&value));
    }
    println!("user:3 is there: {}", store.contains_key("user:3")?);
    store.remove("user:2")?;
    println!("{} entries are left in {}", store.len(), path.display());

    // A drop closes the store too; this way an error does not go unnoticed.
    store.close()
}
