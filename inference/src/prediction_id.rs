//! The id of a prediction. It contains the sealed answer, so that a label can be joined to it without storing requests.
//!
//! ```text
//! base64url without padding of 48 bytes, 64 characters; integers are big-endian
//!
//!  0      1            9         15           23      24            32                48
//!  ├──────┼────────────┼─────────┼────────────┼───────┼─────────────┼─────────────────┤
//!  │ 1    │ route      │ time    │ score      │ class │ random      │ tag             │
//!  │ form │ digest, 8  │ unix ms │ f64 bits   │ 0, 1  │ 8           │ HMAC-SHA256, 16 │
//!  └──────┴────────────┴─────────┴────────────┴───────┴─────────────┴─────────────────┘
//!                                                      the tag is over `DOMAIN` and bytes 0..32
//! ```
//!
//! Each model has its own key, so an id of another model is refused as forged. The content is authentic, not secret:
//! the holder of an id can read score and class, which are in the same answer anyway.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The form that this code writes and reads.
pub const PREDICTION_ID_FORM: u8 = 1;

/// Bytes of a key.
pub const KEY_LENGTH: usize = 32;

/// Characters of an id.
pub const TEXT_LENGTH: usize = 64;

const SEALED_LENGTH: usize = 32;
const TAG_LENGTH: usize = 16;
const LENGTH: usize = SEALED_LENGTH + TAG_LENGTH;

/// Separates the tags of ids from anything else that the same key signs.
const DOMAIN: &[u8] = b"modelward/prediction-id\0";

/// The content of a prediction id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictionId {
    /// The first bytes of [`modelward_profile::route_digest`] of the route that answered.
    pub route: [u8; 8],
    /// When the request was received, milliseconds since 1970, UTC. 48 bits: until the year 10889.
    pub time_ms: u64,
    /// The probability in the answer.
    pub score: f64,
    /// The class in the answer, 0 or 1.
    pub class: u8,
    /// Makes the ids of equal rows different.
    pub random: u64,
}

/// Seals and opens ids with the key in the model's Secret.
#[derive(Clone)]
pub struct Signer {
    keyed: Hmac<Sha256>,
}

/// Why a string is not a prediction id of this model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PredictionIdError {
    /// It has wrong characters or a wrong length.
    #[error(
        "not a prediction id: it must be the {TEXT_LENGTH} base64url characters returned with a prediction"
    )]
    Malformed,
    /// It was written by another release.
    #[error("prediction id has form {0}, this program reads form {PREDICTION_ID_FORM}")]
    Form(u8),
    /// The tag does not match the content and the key.
    #[error("prediction id was not created by this model, or was modified")]
    Forged,
}

// === impl PredictionId ===

impl PredictionId {
    fn sealed(&self) -> [u8; SEALED_LENGTH] {
        let mut bytes = [0; SEALED_LENGTH];
        bytes[0] = PREDICTION_ID_FORM;
        bytes[1..9].copy_from_slice(&self.route);
        bytes[9..15].copy_from_slice(&self.time_ms.to_be_bytes()[2..]);
        bytes[15..23].copy_from_slice(&self.score.to_bits().to_be_bytes());
        bytes[23] = self.class;
        bytes[24..32].copy_from_slice(&self.random.to_be_bytes());
        bytes
    }

    fn from_sealed(bytes: &[u8; LENGTH]) -> Self {
        let mut route = [0; 8];
        route.copy_from_slice(&bytes[1..9]);
        let number = |range: std::ops::Range<usize>| {
            bytes[range]
                .iter()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        Self {
            route,
            time_ms: number(9..15),
            score: f64::from_bits(number(15..23)),
            class: bytes[23],
            random: number(24..32),
        }
    }
}

// === impl Signer ===

impl Signer {
    /// A signer with this key.
    pub fn new(key: &[u8; KEY_LENGTH]) -> Self {
        // HMAC pads a key that is shorter than the block of the hash with zeros.
        let mut block = [0; 64];
        block[..KEY_LENGTH].copy_from_slice(key);
        Self {
            keyed: Hmac::new(&block.into()),
        }
    }

    /// The id as text: [`TEXT_LENGTH`] characters of base64url.
    pub fn seal(&self, id: &PredictionId) -> String {
        let mut bytes = [0; LENGTH];
        bytes[..SEALED_LENGTH].copy_from_slice(&id.sealed());
        let tag = self.mac(&bytes[..SEALED_LENGTH]).finalize().into_bytes();
        bytes[SEALED_LENGTH..].copy_from_slice(&tag[..TAG_LENGTH]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads an id that this key sealed.
    pub fn open(&self, text: &str) -> Result<PredictionId, PredictionIdError> {
        let mut bytes = [0; LENGTH];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(LENGTH) => {}
            Ok(_) | Err(_) => return Err(PredictionIdError::Malformed),
        }
        if bytes[0] != PREDICTION_ID_FORM {
            return Err(PredictionIdError::Form(bytes[0]));
        }
        // In constant time: the time of a refusal must not reveal how much of a guess was right.
        self.mac(&bytes[..SEALED_LENGTH])
            .verify_truncated_left(&bytes[SEALED_LENGTH..])
            .map_err(|_| PredictionIdError::Forged)?;
        Ok(PredictionId::from_sealed(&bytes))
    }

    fn mac(&self, sealed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        mac.update(DOMAIN);
        mac.update(sealed);
        mac
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> PredictionId {
        PredictionId {
            route: *b"abcdefgh",
            time_ms: 1_795_000_000_123,
            score: 0.1 + 0.2,
            class: 1,
            random: 0x0123_4567_89ab_cdef,
        }
    }

    #[test]
    fn an_id_says_what_was_sealed_to_the_last_bit() {
        let signer = Signer::new(&[7; 32]);
        let text = signer.seal(&example());
        assert_eq!(text.len(), TEXT_LENGTH);
        assert_eq!(signer.open(&text), Ok(example()));
    }

    #[test]
    fn an_id_is_the_same_on_every_machine_and_in_every_release() {
        // The same bytes, packed and signed by Python's struct and hmac.
        let text = Signer::new(&[7; 32]).seal(&example());
        assert_eq!(
            text,
            "AWFiY2RlZmdoAaHuVl57P9MzMzMzMzQBASNFZ4mrze8pKv4_To1Tnpt3vpCuNuTp"
        );
    }

    #[test]
    fn any_changed_bit_is_found() {
        let signer = Signer::new(&[7; 32]);
        let bytes = URL_SAFE_NO_PAD.decode(signer.seal(&example())).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = signer.open(&URL_SAFE_NO_PAD.encode(changed)).unwrap_err();
            if bit < 8 {
                assert!(matches!(error, PredictionIdError::Form(_)), "bit {bit}");
            } else {
                assert_eq!(error, PredictionIdError::Forged, "bit {bit}");
            }
        }
    }

    #[test]
    fn an_id_of_another_model_is_forged() {
        let text = Signer::new(&[7; 32]).seal(&example());
        assert_eq!(Signer::new(&[8; 32]).open(&text), Err(PredictionIdError::Forged));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let signer = Signer::new(&[7; 32]);
        let text = signer.seal(&example());
        for wrong in [
            "",
            "x",
            &text[..60],
            &format!("{text}AAAA"),
            &text.replace('A', "+"),
            &"é".repeat(32),
        ] {
            assert_eq!(signer.open(wrong), Err(PredictionIdError::Malformed), "{wrong}");
        }
    }
}
