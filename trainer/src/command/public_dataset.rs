//! Public datasets, with the digest of each file.

use clap::ValueEnum;

/// A dataset that can be downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PublicDataset {
    /// UCI's Heart Disease (<https://archive.ics.uci.edu/dataset/45/heart+disease>): Cleveland and Hungary, 303 and 294 rows of 14
    /// columns without a header, with "?" for a missing value.
    HeartDisease,
}

/// A file of a public dataset.
pub(super) struct PublicFile {
    /// Its name.
    pub(super) name: &'static str,
    /// Its digest, in hexadecimal digits.
    pub(super) sha256: &'static str,
}

// === impl PublicDataset ===

impl PublicDataset {
    /// The folder of its files.
    pub(super) fn base(self) -> &'static str {
        match self {
            Self::HeartDisease => "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease",
        }
    }

    /// Its files.
    pub(super) fn files(self) -> &'static [PublicFile] {
        match self {
            Self::HeartDisease => &[
                PublicFile {
                    name: "processed.cleveland.data",
                    sha256: "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
                },
                PublicFile {
                    name: "processed.hungarian.data",
                    sha256: "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
                },
            ],
        }
    }
}
