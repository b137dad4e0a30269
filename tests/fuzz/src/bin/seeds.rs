//! Writes the samples of every target, which libFuzzer begins with: `seeds FOLDER` makes a folder of each target in it, and `seeds` prints
//! the names of the targets.

use std::{env, fs, path::Path};

use anyhow::Context as _;
use modelward_fuzz::TARGETS;

fn main() -> anyhow::Result<()> {
    let folder = env::args_os().nth(1);
    for target in TARGETS {
        let Some(folder) = &folder else {
            println!("{}", target.name());
            continue;
        };
        let folder = Path::new(folder).join(target.name());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (at, sample) in target.samples().iter().enumerate() {
            let path = folder.join(format!("sample-{at:03}"));
            fs::write(&path, sample).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let words: String = target.words().iter().map(|word| quote_word(word)).collect();
        let path = folder.with_extension("dict");
        fs::write(&path, words).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A line of a dictionary of libFuzzer.
fn quote_word(word: &str) -> String {
    let escaped: Vec<String> = word.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{}\"\n", escaped.concat())
}
