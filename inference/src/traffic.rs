//! Distinguishes synthetic load from real traffic by a key that only authorized clients have.

use std::{fs, io, path::PathBuf};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, StatusCode};
use modelward_wire::{ENTITY_HEADER, SYNTHETIC_TRAFFIC, TRAFFIC_HEADER, TRAFFIC_KEY_HEADER};
use sha2::{Digest as _, Sha256};

use crate::{
    counting::{Counting, Origin},
    http::problem::Problem,
};

/// Characters of a key.
const KEY_LENGTH: usize = 64;

/// The key that marks load as synthetic. Without one no load can be marked.
#[derive(Debug, Default)]
pub struct TrafficKey {
    file: Option<PathBuf>,
    key: ArcSwapOption<Hidden>,
}

/// A hash that does not reveal the key.
#[derive(PartialEq, Eq)]
struct Hidden {
    salt: [u8; 32],
    hash: [u8; 32],
}

// === impl TrafficKey ===

impl TrafficKey {
    /// The key in this file, if it exists. The file may appear, change or disappear later.
    pub fn new(file: PathBuf) -> Self {
        let key = Self {
            file: Some(file),
            key: ArcSwapOption::default(),
        };
        key.refresh();
        key
    }

    /// Reads the file again.
    pub fn refresh(&self) {
        let Some(file) = &self.file else { return };
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                let gone = error.kind() == io::ErrorKind::NotFound;
                if !gone {
                    tracing::warn!(%error, "failed to read the key of synthetic load {}", file.display());
                }
                if gone && self.key.swap(None).is_some() {
                    tracing::warn!("the key of synthetic load {} was removed", file.display());
                }
                return;
            }
        };
        let text = text.trim();
        if text.len() != KEY_LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            if self.key.swap(None).is_some() {
                tracing::warn!(
                    "the key of synthetic load {} is not {KEY_LENGTH} hexadecimal digits",
                    file.display()
                );
            }
            return;
        }
        let same = |key: &Hidden| key.is(text.as_bytes());
        if !self.key.load().as_deref().is_some_and(same) {
            self.key.store(Some(Hidden::new(text.as_bytes()).into()));
        }
    }

    /// The origin of the rows of a request with these headers.
    pub fn origin(&self, headers: &HeaderMap, counting: &Counting) -> Result<Origin, Problem> {
        let synthetic = self.is_synthetic(headers)?;
        let entities = counting.entities(
            headers
                .get_all(ENTITY_HEADER)
                .iter()
                .map(http::HeaderValue::as_bytes),
        );
        Ok(Origin { synthetic, entities })
    }

    fn is_synthetic(&self, headers: &HeaderMap) -> Result<bool, Problem> {
        let mut values = headers.get_all(TRAFFIC_HEADER).iter();
        let Some(value) = values.next() else {
            if headers.contains_key(TRAFFIC_KEY_HEADER) {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    format!(
                        "header {TRAFFIC_KEY_HEADER} was sent without {TRAFFIC_HEADER}: {SYNTHETIC_TRAFFIC}; send both \
                         for synthetic load, neither for other requests"
                    ),
                ));
            }
            return Ok(false);
        };
        if values.next().is_some() || value.as_bytes().trim_ascii() != SYNTHETIC_TRAFFIC.as_bytes() {
            let found: String = String::from_utf8_lossy(value.as_bytes())
                .chars()
                .take(80)
                .collect();
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!(
                    "the header {TRAFFIC_HEADER} is {found:?}; send it once with the value {SYNTHETIC_TRAFFIC}, or omit it for \
                     other requests"
                ),
            ));
        }
        let forbidden = |text: String| Err(Problem::new(StatusCode::FORBIDDEN, text));
        let key = self.key.load();
        let Some(key) = key.as_deref() else {
            return forbidden(format!(
                "this server has no key of synthetic load, so it rejects {TRAFFIC_HEADER}: {SYNTHETIC_TRAFFIC}; the \
                 key is traffic.key in the model's Secret"
            ));
        };
        let mut keys = headers.get_all(TRAFFIC_KEY_HEADER).iter();
        match (keys.next(), keys.next()) {
            (Some(sent), None) if key.is(sent.as_bytes().trim_ascii()) => Ok(true),
            (None, _) => forbidden(format!(
                "{TRAFFIC_HEADER}: {SYNTHETIC_TRAFFIC} needs the header {TRAFFIC_KEY_HEADER} with traffic.key of the model's \
                 Secret"
            )),
            _ => forbidden(format!(
                "the header {TRAFFIC_KEY_HEADER} is not traffic.key of the model's Secret"
            )),
        }
    }
}

// === impl Hidden ===

impl Hidden {
    fn new(key: &[u8]) -> Self {
        let salt = rand::random();
        Self {
            salt,
            hash: hash(&salt, key),
        }
    }

    /// Whether this is the key. The comparison takes constant time: it compares all bytes of the hashes.
    fn is(&self, key: &[u8]) -> bool {
        let other = hash(&self.salt, key);
        let difference = self.hash.iter().zip(&other).fold(0, |sum, (a, b)| sum | (a ^ b));
        difference == 0
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

fn hash(salt: &[u8; 32], key: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(salt).chain_update(key).finalize().into()
}
