//! Receives bodies with limits on their size, their time and the memory of all bodies together.

use std::{io::Read as _, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::{GzDecoder, ZlibDecoder};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::problem::{Problem, Subject};
use crate::memory::{Memory, Reservation};

/// Bodies larger than this reserve memory for all their bytes before the rest is read.
const SMALL_BYTES: usize = 64 << 10;

/// A received body, decompressed.
#[derive(Debug)]
pub struct Received {
    /// Its bytes after decompression.
    pub bytes: Bytes,
    /// Held as long as the bytes.
    _reservations: [Option<Reservation>; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
}

/// Receives a body of at most `max` bytes, also after decompression, within `limit`.
pub async fn receive(
    headers: &HeaderMap,
    body: Body,
    max: usize,
    limit: Duration,
    memory: &Memory,
) -> Result<Received, Problem> {
    let coding = Coding::of(headers)?;
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > max as u64) && headers.contains_key(header::EXPECT) {
        // The client waits for permission to send and has sent nothing yet.
        return Err(too_large(max));
    }
    let (bytes, small, mut large) = timeout(limit, read(body, max, declared, coding, memory))
        .await
        .unwrap_or_else(|_| {
            let message = format!("the body did not arrive within {} s", limit.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, message).of(Subject::Connection))
        })?;
    if coding == Coding::Identity {
        // A body without a declared length has reserved as much as the largest one.
        if let Some(reservation) = &mut large {
            reservation.shrink_to(bytes.len());
        }
        return Ok(Received {
            bytes,
            _reservations: [small, large],
        });
    }
    if large.is_none() {
        // A compressed body of any size may decompress to the maximum size.
        large = Some(memory.large_body(max).await?);
    }
    let unpacked = tokio::task::spawn_blocking(move || coding.unpack(&bytes, max)).await;
    let unpacked = unpacked.map_err(|error| {
        tracing::error!(%error, "failed to unpack a body");
        Problem::internal()
    })??;
    if let Some(reservation) = &mut large {
        reservation.shrink_to(unpacked.capacity());
    }
    Ok(Received {
        bytes: unpacked.into(),
        _reservations: [large, None],
    })
}

/// Reads the bytes and reserves memory for them: small reservations first, then one for the whole body.
async fn read(
    mut body: Body,
    max: usize,
    declared: Option<u64>,
    coding: Coding,
    memory: &Memory,
) -> Result<(Bytes, Option<Reservation>, Option<Reservation>), Problem> {
    let sent = declared.map_or(max, |length| usize::try_from(length).unwrap_or(max).min(max));
    // One reservation for everything: two bodies that each hold half of what they need would wait for each other.
    let most = if coding == Coding::Identity {
        sent
    } else {
        sent + max
    };
    let mut received = BytesMut::with_capacity(declared.map_or(1024, |_| sent.min(SMALL_BYTES)));
    let (mut small, mut large): (Option<Reservation>, Option<Reservation>) = (None, None);
    let mut discarded = 0_usize;
    let mut refused = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::malformed(format!("the body was cut off: {error}")).of(Subject::Connection)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if discarded > 0 || received.len() + data.len() > max {
            // A client that is still sending would see a reset connection instead of the answer, so a limited part of
            // the rest is read and discarded.
            discarded += data.len();
            received = BytesMut::new();
            (small, large) = (None, None);
            if discarded > max.saturating_mul(4) {
                break;
            }
            continue;
        }
        let room = if large.is_some() {
            Ok(())
        } else if received.len() + data.len() > SMALL_BYTES {
            memory.large_body(most).await.map(|reservation| {
                large = Some(reservation);
                // Growing the buffer step by step would hold the body twice.
                received.reserve(sent.saturating_sub(received.len()));
                small = None;
            })
        } else {
            memory.small_body(data.len()).await.map(|more| match &mut small {
                None => small = Some(more),
                Some(reservation) => reservation.merge(more),
            })
        };
        if let Err(problem) = room {
            // The rest is discarded too, for the same reason.
            refused = Some(problem);
            discarded += data.len();
            received = BytesMut::new();
            small = None;
            continue;
        }
        received.extend_from_slice(&data);
    }
    if discarded > 0 {
        return Err(refused.unwrap_or_else(|| too_large(max)));
    }
    Ok((received.freeze(), small, large))
}

fn too_large(max: usize) -> Problem {
    Problem::too_large(format!(
        "the body is larger than {max} bytes; send fewer rows at a time"
    ))
}

// === impl Coding ===

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(coding) = codings.next() else {
            return Ok(Self::Identity);
        };
        let text = coding.to_str().unwrap_or("?").trim().to_ascii_lowercase();
        match text.as_str() {
            _ if codings.next().is_some() => {}
            "" | "identity" => return Ok(Self::Identity),
            "gzip" | "x-gzip" => return Ok(Self::Gzip),
            "deflate" => return Ok(Self::Deflate),
            _ => {}
        }
        let message = "unknown Content-Encoding; send gzip, deflate or none";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
    }

    /// Decompresses the body.
    fn unpack(self, packed: &[u8], max: usize) -> Result<Vec<u8>, Problem> {
        // One byte more than allowed shows whether the body is too large. The buffer has its full size at once, because
        // growing it would hold the body twice; pages that are not written take no memory.
        let most = max as u64 + 1;
        let mut unpacked = Vec::with_capacity(max + 64);
        let read = match self {
            Self::Identity => packed.take(most).read_to_end(&mut unpacked),
            Self::Gzip => GzDecoder::new(packed).take(most).read_to_end(&mut unpacked),
            Self::Deflate => ZlibDecoder::new(packed).take(most).read_to_end(&mut unpacked),
        };
        read.map_err(|error| {
            Problem::malformed(format!("the body does not match its Content-Encoding: {error}"))
        })?;
        if unpacked.len() > max {
            return Err(Problem::too_large(format!(
                "the body is larger than {max} bytes after decompression; send fewer rows at a time"
            )));
        }
        unpacked.shrink_to_fit();
        Ok(unpacked)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn receive_bytes(body: Vec<u8>, coding: &'static str) -> Result<Bytes, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        let received = receive(&headers, Body::from(body), 1_000, LIMIT, &memory()).await?;
        Ok(received.bytes)
    }

    fn memory() -> Memory {
        Memory::new(64 << 20, 16)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn bodies_come_plain_and_packed() {
        assert_eq!(receive_bytes(b"{}".to_vec(), "identity").await.unwrap(), "{}");
        assert_eq!(receive_bytes(gzip(b"{}"), "gzip").await.unwrap(), "{}");
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"{}").unwrap();
        assert_eq!(
            receive_bytes(encoder.finish().unwrap(), "deflate").await.unwrap(),
            "{}"
        );
    }

    #[tokio::test]
    async fn too_much_is_refused_plain_and_packed() {
        assert_eq!(
            receive_bytes(vec![b' '; 1_000], "identity").await.unwrap().len(),
            1_000
        );
        for (body, coding) in [(vec![b' '; 1_001], "identity"), (gzip(&[b' '; 1_001]), "gzip")] {
            let problem = receive_bytes(body, coding).await.unwrap_err();
            assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[tokio::test]
    async fn broken_and_unknown_packing_is_refused() {
        assert_eq!(
            receive_bytes(b"{}".to_vec(), "gzip").await.unwrap_err().status,
            StatusCode::BAD_REQUEST
        );
        assert_eq!(
            receive_bytes(gzip(b"{}")[..10].to_vec(), "gzip")
                .await
                .unwrap_err()
                .status,
            400
        );
        assert_eq!(receive_bytes(b"{}".to_vec(), "br").await.unwrap_err().status, 415);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let problem = receive(
            &HeaderMap::new(),
            body,
            1_000,
            Duration::from_millis(20),
            &memory(),
        )
        .await
        .unwrap_err();
        assert_eq!(problem.status, StatusCode::REQUEST_TIMEOUT);
    }
}
