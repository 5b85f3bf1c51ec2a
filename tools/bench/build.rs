//! Links the C hash tables, if they were asked for. Their `-dev` packages put them where the linker looks.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_C_TABLES").is_some() {
        for library in ["tkrzw", "kyotocabinet", "tdb"] {
            println!("cargo:rustc-link-lib={library}");
        }
    }
}
