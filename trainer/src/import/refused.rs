//! Files of models that are not imported, known by their first bytes: what each is, why it is refused, and what to export instead.

use std::io::Read as _;

use flate2::read::GzDecoder;

/// A kind of file that is refused.
#[derive(Clone, Copy, Debug)]
pub struct RefusedFormat {
    /// What it is.
    pub name: &'static str,
    is: fn(&[u8]) -> bool,
    why: &'static str,
    instead: &'static str,
}

const RUNS_CODE: &str = "it runs code when it is read";
const ARCHIVE: &str = "an archive is not unpacked";
const NEURAL: &str = "neural networks are not served";
const EXPORT: &str = "export the model with skl2onnx.to_onnx(model, X[:1].astype(numpy.float32)), or \
                      booster.save_model(\"model.txt\") of LightGBM, or booster.save_model(\"model.ubj\") of XGBoost";
const TABULAR: &str = "train a tree model or a linear model, and export it with skl2onnx.to_onnx";
const UNPACK: &str = "unpack it, and name the file of the model";
const RETRAIN: &str = "train the model with LightGBM or XGBoost, and save it with booster.save_model";
const SAVE: &str = "save the model itself with booster.save_model(\"model.txt\") of LightGBM or \
                    booster.save_model(\"model.ubj\") of XGBoost";

/// Each kind, specific ones before general ones.
pub const REFUSED: [RefusedFormat; 22] = [
    refuse("a Python pickle (also of joblib)", is_pickle, RUNS_CODE, EXPORT),
    refuse(
        "a compressed file of joblib",
        is_joblib,
        "it holds a pickle, which runs code when it is read",
        EXPORT,
    ),
    refuse(
        "a PyTorch file (.pt, .pth)",
        is_torch,
        "it holds a pickle, which runs code when it is read",
        TABULAR,
    ),
    refuse(
        "a skops file",
        |bytes| is_zip_with(bytes, b"schema.json"),
        "it names Python objects that are created when it is read",
        EXPORT,
    ),
    refuse(
        "a Keras file (.keras)",
        |bytes| is_zip_with(bytes, b".weights.h5"),
        "its layers may hold code",
        TABULAR,
    ),
    refuse(
        "a NumPy archive (.npz)",
        |bytes| is_zip_with(bytes, b".npy"),
        "it may hold pickles, which run code when they are read",
        EXPORT,
    ),
    refuse(
        "a zip archive",
        |bytes| bytes.starts_with(b"PK\x03\x04"),
        ARCHIVE,
        UNPACK,
    ),
    refuse(
        "an HDF5 file, such as Keras writes (.h5)",
        |bytes| bytes.starts_with(b"\x89HDF\r\n\x1a\n"),
        "its layers may hold code",
        TABULAR,
    ),
    refuse(
        "a SavedModel of TensorFlow",
        is_saved_model,
        "its graph is a program",
        TABULAR,
    ),
    refuse(
        "a model of TensorFlow Lite",
        |bytes| bytes.get(4..8) == Some(b"TFL3"),
        NEURAL,
        TABULAR,
    ),
    refuse("a GGUF file", |bytes| bytes.starts_with(b"GGUF"), NEURAL, TABULAR),
    refuse(
        "a safetensors file",
        is_safetensors,
        "it has tensors and no model",
        TABULAR,
    ),
    refuse(
        "a model of CatBoost",
        is_catboost,
        "its format is not supported",
        RETRAIN,
    ),
    refuse("PMML", is_pmml, "its format is not supported", EXPORT),
    refuse(
        "a file of R (.rds, .RData)",
        is_r,
        "it may hold functions, which R runs",
        "save the model with lgb.save or xgb.save in R",
    ),
    refuse("a gzip-compressed tar archive", is_tar_gz, ARCHIVE, UNPACK),
    refuse("a tar archive", is_tar, ARCHIVE, UNPACK),
    refuse(
        "a gzip-compressed file",
        |bytes| bytes.starts_with(b"\x1f\x8b"),
        ARCHIVE,
        UNPACK,
    ),
    refuse(
        "a compressed file (xz, bzip2, zstd or 7z)",
        is_compressed,
        ARCHIVE,
        UNPACK,
    ),
    refuse(
        "a NumPy array (.npy)",
        |bytes| bytes.starts_with(b"\x93NUMPY"),
        "it has numbers and no model, and may hold a pickle",
        EXPORT,
    ),
    refuse(
        "a dump of LightGBM or XGBoost (dump_model, get_dump)",
        is_dump,
        "a dump is for reading: it has rounded numbers",
        SAVE,
    ),
    refuse(
        "a binary model of an old XGBoost",
        |bytes| bytes.starts_with(b"binf"),
        "its format depends on the release",
        SAVE,
    ),
];

const fn refuse(
    name: &'static str,
    is: fn(&[u8]) -> bool,
    why: &'static str,
    instead: &'static str,
) -> RefusedFormat {
    RefusedFormat {
        name,
        is,
        why,
        instead,
    }
}

/// What a file is, if it is refused.
pub fn find_refused(bytes: &[u8]) -> Option<&'static RefusedFormat> {
    REFUSED.iter().find(|refused| (refused.is)(bytes))
}

// === impl RefusedFormat ===

impl RefusedFormat {
    /// What it is, why it is refused, and what to do.
    pub fn describe(&self) -> String {
        format!("the model file is {}: {}; {}", self.name, self.why, self.instead)
    }
}

/// Bytes that are searched for names.
const SEARCHED: usize = 1 << 20;

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(SEARCHED)];
    start.windows(part.len()).any(|window| window == part)
}

/// The names in an archive are before each file, and again at its end.
fn is_zip_with(bytes: &[u8], name: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(SEARCHED)..];
    bytes.starts_with(b"PK\x03\x04") && (contains(bytes, name) || contains(end, name))
}

fn is_pickle(bytes: &[u8]) -> bool {
    // Protocols 2 to 5 state themselves; earlier ones begin with the name of what is created.
    matches!(bytes, [0x80, 2..=5, ..])
        || bytes.starts_with(b"ccopy_reg\n")
        || bytes.starts_with(b"ccopyreg\n")
        || bytes.starts_with(b"c__builtin__\n")
        || bytes.starts_with(b"csklearn.")
        || bytes.starts_with(b"(dp0\n")
        || bytes.starts_with(b"(lp0\n")
}

fn is_joblib(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ZF0x") || matches!(bytes, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..])
}

fn is_torch(bytes: &[u8]) -> bool {
    is_zip_with(bytes, b"/data.pkl") || is_zip_with(bytes, b"data.pkl")
}

fn is_saved_model(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x08, 0x01, 0x12])
        && (contains(bytes, b"serving_default") || contains(bytes, b"tensorflow"))
}

fn is_safetensors(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| (2..100_000_000).contains(&length)) && bytes.get(8..10) == Some(b"{\"")
}

fn is_catboost(bytes: &[u8]) -> bool {
    bytes.starts_with(b"CBM1") || bytes.starts_with(b"{") && contains(bytes, b"\"oblivious_trees\"")
}

fn is_pmml(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"<") && contains(bytes, b"<PMML")
}

fn is_r(bytes: &[u8]) -> bool {
    let plain = |bytes: &[u8]| {
        [
            "RDX2\n",
            "RDX3\n",
            "RDA2\n",
            "RDA3\n",
            "X\n\0\0\0",
            "A\n2\n",
            "A\n3\n",
        ]
        .iter()
        .any(|start| bytes.starts_with(start.as_bytes()))
    };
    plain(bytes) || unzip_start(bytes).is_some_and(|start| plain(&start))
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

fn is_tar_gz(bytes: &[u8]) -> bool {
    unzip_start(bytes).is_some_and(|start| is_tar(&start))
}

/// The first bytes of what a gzip file holds; no more is unpacked.
fn unzip_start(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"\x1f\x8b") {
        return None;
    }
    let mut start = Vec::new();
    // A damaged file has fewer bytes.
    let _ = GzDecoder::new(bytes).take(512).read_to_end(&mut start);
    Some(start)
}

fn is_compressed(bytes: &[u8]) -> bool {
    let starts: [&[u8]; 4] = [b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c"];
    starts.iter().any(|start| bytes.starts_with(start))
}

fn is_dump(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    text.starts_with(b"booster[0]")
        || text.starts_with(b"[") && contains(text, b"\"nodeid\"")
        || text.starts_with(b"{") && contains(text, b"\"tree_info\"") && contains(text, b"\"tree_structure\"")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn tar() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[257..262].copy_from_slice(b"ustar");
        bytes
    }

    #[test]
    fn each_kind_of_file_is_named_and_says_why_and_what_to_do() {
        let zip = |name: &str| [b"PK\x03\x04....".as_slice(), name.as_bytes()].concat();
        let files: [(Vec<u8>, &str); 27] = [
            (b"\x80\x04\x95\x10\0".into(), "a Python pickle"),
            (b"ccopy_reg\n_reconstructor\n".into(), "a Python pickle"),
            (b"x\x9c\xed".into(), "a compressed file of joblib"),
            (zip("archive/data.pkl"), "a PyTorch file"),
            (zip("schema.json"), "a skops file"),
            (zip("model.weights.h5"), "a Keras file"),
            (zip("arr_0.npy"), "a NumPy archive"),
            (zip("readme"), "a zip archive"),
            (b"\x89HDF\r\n\x1a\n".into(), "an HDF5 file"),
            (
                b"\x08\x01\x12\x05serving_default".into(),
                "a SavedModel of TensorFlow",
            ),
            (b"\x1c\0\0\0TFL3".into(), "a model of TensorFlow Lite"),
            (b"GGUF\x03\0\0\0".into(), "a GGUF file"),
            (b"\x20\0\0\0\0\0\0\0{\"weight\"".into(), "a safetensors file"),
            (b"CBM1\x10".into(), "a model of CatBoost"),
            (b"{\"oblivious_trees\":[]}".into(), "a model of CatBoost"),
            (b"<?xml version=\"1.0\"?>\n<PMML version=\"4.4\">".into(), "PMML"),
            (gzip(b"X\n\0\0\0\x03"), "a file of R"),
            (b"RDX3\nX\n".into(), "a file of R"),
            (gzip(&tar()), "a gzip-compressed tar archive"),
            (tar(), "a tar archive"),
            (gzip(b"tree\n"), "a gzip-compressed file"),
            (b"BZh91AY".into(), "a compressed file"),
            (b"\x93NUMPY\x01".into(), "a NumPy array"),
            (b"booster[0]:\n0:[f0<1]".into(), "a dump of LightGBM or XGBoost"),
            (b"[{\"nodeid\":0}]".into(), "a dump of LightGBM or XGBoost"),
            (
                b"{\"tree_info\":[{\"tree_structure\":{}}]}".into(),
                "a dump of LightGBM or XGBoost",
            ),
            (b"binf\0\0".into(), "a binary model of an old XGBoost"),
        ];
        let mut named: Vec<&str> = Vec::new();
        for (bytes, name) in &files {
            let found = find_refused(bytes).unwrap_or_else(|| panic!("{name} is not known"));
            assert!(found.name.starts_with(name), "{}, expected {name}", found.name);
            assert!(found.describe().contains("; "), "{}", found.describe());
            named.push(found.name);
        }
        for refused in &REFUSED {
            assert!(named.contains(&refused.name), "{} is not tested", refused.name);
        }
    }

    #[test]
    fn a_pickle_is_refused_with_what_to_export() {
        assert_eq!(
            find_refused(b"\x80\x05").unwrap().describe(),
            "the model file is a Python pickle (also of joblib): it runs code when it is read; export the model with \
             skl2onnx.to_onnx(model, X[:1].astype(numpy.float32)), or booster.save_model(\"model.txt\") of LightGBM, or \
             booster.save_model(\"model.ubj\") of XGBoost"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_recognised_or_not(bytes: Vec<u8>) {
            let _ = find_refused(&bytes);
        }
    }
}
