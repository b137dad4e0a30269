//! One target under libFuzzer: the one that `MODELWARD_FUZZ` names.
//!
//! Built without the feature `libfuzzer` it reads files instead, to repeat what libFuzzer has found: `MODELWARD_FUZZ=csv fuzz FILE…`.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::env;

use modelward_fuzz::{Target, find, memory::Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn named_target() -> Option<&'static dyn Target> {
    find(&env::var("MODELWARD_FUZZ").unwrap_or_default())
}

#[cfg(feature = "libfuzzer")]
mod under_libfuzzer {
    use std::{panic, process, sync::OnceLock};

    use modelward_fuzz::Target;

    static TARGET: OnceLock<&'static dyn Target> = OnceLock::new();

    libfuzzer_sys::fuzz_target!(
        init: {
            // libFuzzer's own hook would end the process at a panic that the reader catches.
            let _ = panic::take_hook();
            let Some(target) = super::named_target() else {
                eprintln!("MODELWARD_FUZZ names no target");
                process::exit(2)
            };
            // What is made once is not counted.
            target.run(&[]);
            TARGET.get_or_init(|| target);
        },
        |bytes: &[u8]| {
            if let Some(target) = TARGET.get() {
                modelward_fuzz::run(*target, bytes);
            }
        }
    );
}

#[cfg(not(feature = "libfuzzer"))]
fn main() -> anyhow::Result<()> {
    use anyhow::Context as _;

    let target = named_target().context("MODELWARD_FUZZ names no target")?;
    target.run(&[]);
    for path in env::args_os().skip(1) {
        let path = std::path::PathBuf::from(path);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        modelward_fuzz::run(target, &bytes);
        println!("{}: {} bytes are read or refused", path.display(), bytes.len());
    }
    Ok(())
}
