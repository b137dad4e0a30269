//! Receiving bodies: bounded in bytes, in time and in how many large ones are held at once.

use std::{io::Read as _, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::{GzDecoder, ZlibDecoder};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::problem::Problem;

/// Bodies up to this are read and scored where they arrive; larger ones wait for a place and go to a thread of their
/// own, for they keep a core busy for milliseconds.
pub const INLINE_BYTES: usize = 64 << 10;

/// A large body waits this long for its place before it is refused.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);

/// A received body.
#[derive(Debug)]
pub struct Received {
    bytes: Bytes,
    coding: Coding,
    /// Held until the answer is made.
    _place: Option<OwnedSemaphorePermit>,
    max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
}

/// Receives a body of at most `max` bytes within `limit`. `places` are those of [`places()`](places).
pub async fn receive(
    headers: &HeaderMap,
    mut body: Body,
    max: usize,
    limit: Duration,
    places: &Arc<Semaphore>,
) -> Result<Received, Problem> {
    let coding = Coding::of(headers)?;
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    let too_large = || {
        Problem::too_large(format!(
            "the body is larger than {max} bytes; send fewer rows at a time"
        ))
    };
    if declared.is_some_and(|length| length > max as u64) && headers.contains_key(header::EXPECT) {
        // The client asked before it sends: it has not begun.
        return Err(too_large());
    }
    let mut received =
        BytesMut::with_capacity(declared.map_or(1024, |length| length.min(INLINE_BYTES as u64) as usize));
    let mut place = None;
    // All of it at once: two bodies that each hold half of what they need would wait for each other.
    let most = match (declared, coding) {
        (Some(length), Coding::Identity) => usize::try_from(length).unwrap_or(max).min(max),
        _ => max,
    };
    let receive = async {
        let mut discarded = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Problem::malformed(format!("the body broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if discarded > 0 || received.len() + data.len() > max {
                // A client that is still sending would see a reset connection in place of the answer, so the rest is
                // read, within reason, and thrown away.
                discarded += data.len();
                received = BytesMut::new();
                if discarded > max.saturating_mul(4) {
                    break;
                }
                continue;
            }
            if place.is_none() && received.len() + data.len() > INLINE_BYTES {
                place = Some(take_places(places, most).await?);
            }
            received.extend_from_slice(&data);
        }
        if discarded > 0 { Err(too_large()) } else { Ok(()) }
    };
    timeout(limit, receive).await.unwrap_or_else(|_| {
        let message = format!("the body did not come within {} s", limit.as_secs());
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, message))
    })?;
    if place.is_none() && coding != Coding::Identity {
        // However small it came, it may unpack to the most that is allowed.
        place = Some(take_places(places, most).await?);
    }
    Ok(Received {
        bytes: received.freeze(),
        coding,
        _place: place,
        max,
    })
}

/// Waits until `bytes` more may be held.
async fn take_places(places: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let units = u32::try_from(bytes.div_ceil(INLINE_BYTES)).unwrap_or(u32::MAX);
    match timeout(PLACE_TIMEOUT, Arc::clone(places).acquire_many_owned(units)).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many large requests at once; send again later, or fewer rows at a time",
        )),
    }
}

/// Places for large bodies: four of the largest at a time, or as many more as they are smaller.
pub fn places(max_body: usize) -> Semaphore {
    Semaphore::new((4 * max_body.div_ceil(INLINE_BYTES)).min(Semaphore::MAX_PERMITS))
}

// === impl Received ===

impl Received {
    /// Whether it should be worked on away from the threads that serve connections.
    pub fn is_heavy(&self) -> bool {
        self.bytes.len() > INLINE_BYTES || self.coding != Coding::Identity
    }

    /// The body as the client meant it.
    pub fn unpack(&self) -> Result<Bytes, Problem> {
        let mut unpacked = Vec::new();
        // One more than allowed tells "full" from "more".
        let most = self.max as u64 + 1;
        let read = match self.coding {
            Coding::Identity => return Ok(self.bytes.clone()),
            Coding::Gzip => GzDecoder::new(self.bytes.as_ref())
                .take(most)
                .read_to_end(&mut unpacked),
            Coding::Deflate => ZlibDecoder::new(self.bytes.as_ref())
                .take(most)
                .read_to_end(&mut unpacked),
        };
        read.map_err(|error| {
            Problem::malformed(format!("the body is not what its Content-Encoding says: {error}"))
        })?;
        if unpacked.len() > self.max {
            return Err(Problem::too_large(format!(
                "the body is larger than {} bytes when unpacked",
                self.max
            )));
        }
        Ok(unpacked.into())
    }
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
        let message = "unknown Content-Encoding; send one of gzip and deflate, or none";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
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
        let places = Arc::new(super::places(1_000));
        receive(&headers, Body::from(body), 1_000, LIMIT, &places)
            .await?
            .unpack()
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
        let places = Arc::new(super::places(1_000));
        let problem = receive(&HeaderMap::new(), body, 1_000, Duration::from_millis(20), &places)
            .await
            .unwrap_err();
        assert_eq!(problem.status, StatusCode::REQUEST_TIMEOUT);
    }
}
