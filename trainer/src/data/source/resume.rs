//! Tests: connections that break, and the cache.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, Response, header},
    routing::get,
};
use modelward_model::sha256;

use super::*;

/// How a server behaves that breaks each connection after some bytes.
#[derive(Clone)]
struct Server {
    /// Bytes of the body that it sends.
    at_once: usize,
    /// What it calls its content.
    tag: Option<(HeaderName, &'static str)>,
    /// Whether its content is another one each time.
    changes: bool,
    /// Whether it sends another part than the one asked for.
    lies: bool,
    /// Bytes of a part that it sends at most, without breaking the connection.
    part: usize,
}

/// What a server was asked for: the ranges.
type Asked = Arc<Mutex<Vec<String>>>;

fn file() -> Vec<u8> {
    (0..10_000_u32)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect()
}

/// A server that answers like this, given the headers and the number of requests so far.
async fn start_with(
    answer: impl Fn(&HeaderMap, usize) -> Response<Body> + Clone + Send + Sync + 'static,
) -> (String, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let handler = move |headers: HeaderMap| {
        let range = headers
            .get(header::RANGE)
            .map_or("", |range| range.to_str().unwrap());
        seen.lock().unwrap().push(range.to_owned());
        let count = seen.lock().unwrap().len();
        let answer = answer(&headers, count);
        async move { answer }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/x", get(handler));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}/x"), asked)
}

impl Server {
    fn honest() -> Self {
        Self {
            at_once: 10_000,
            tag: Some((header::ETAG, "\"1\"")),
            changes: false,
            lies: false,
            part: usize::MAX,
        }
    }

    async fn start(self) -> (String, Asked) {
        start_with(move |headers, count| self.answer(headers, count)).await
    }

    fn answer(&self, headers: &HeaderMap, count: usize) -> Response<Body> {
        let mut content = file();
        let mut tag = self.tag.as_ref().map(|(_, tag)| (*tag).to_owned());
        if self.changes {
            content[0] = b'0' + count as u8;
            tag = Some(format!("\"{count}\""));
        }
        let first: usize = headers.get(header::RANGE).map_or(0, |range| {
            let range = range.to_str().unwrap();
            range["bytes=".len()..range.len() - 1].parse().unwrap()
        });
        let same = headers
            .get(header::IF_RANGE)
            .is_some_and(|wanted| Some(wanted.to_str().unwrap()) == tag.as_deref());
        let (status, rest) = if same {
            let end = content.len().min(first.saturating_add(self.part));
            (206, &content[first..end])
        } else {
            (200, &content[..])
        };
        let whole = rest.len() <= self.at_once;
        let sent = Bytes::copy_from_slice(&rest[..rest.len().min(self.at_once)]);
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_LENGTH, rest.len());
        if status == 206 {
            let first = if self.lies { first + 1 } else { first };
            let range = format!("bytes {first}-{}/{}", first + rest.len() - 1, content.len());
            response = response.header(header::CONTENT_RANGE, range);
        }
        if let (Some((name, _)), Some(tag)) = (&self.tag, tag) {
            response = response.header(name, tag);
        }
        let chunk = futures::stream::once(async move { Ok::<_, io::Error>(sent) });
        let broken = async move {
            // The first part is on its way before the connection breaks.
            tokio::task::yield_now().await;
            Err(io::Error::other("broken"))
        };
        let body = if whole {
            Body::from_stream(chunk)
        } else {
            Body::from_stream(futures::StreamExt::chain(chunk, futures::stream::once(broken)))
        };
        response.body(body).unwrap()
    }
}

fn quick(cache: Option<&Path>) -> Fetch {
    Fetch {
        cache: cache.map(Path::to_owned),
        pause: Duration::from_millis(1),
        ..Fetch::anywhere()
    }
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    for tag in [
        (header::ETAG, "\"1\""),
        (header::LAST_MODIFIED, "Fri, 27 Nov 2026 00:00:00 GMT"),
    ] {
        let server = Server {
            tag: Some(tag),
            ..Server::honest()
        };
        let (uri, asked) = server.start().await;
        let bytes = download(&uri, None, &quick(None)).await.unwrap();
        assert!(bytes == file());
        let expected = ["", "bytes=10000-", "bytes=20000-", "bytes=30000-", "bytes=40000-"];
        assert_eq!(*asked.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_not_put_together_from_two() {
    let server = Server {
        changes: true,
        ..Server::honest()
    };
    let (uri, asked) = server.start().await;
    let error = download(&uri, None, &quick(None)).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn without_a_name_of_the_content_a_download_begins_anew_and_is_given_up() {
    for tag in [None, Some((header::ETAG, "W/\"1\""))] {
        let server = Server {
            tag,
            ..Server::honest()
        };
        let (uri, asked) = server.start().await;
        let error = download(&uri, None, &quick(None)).await.unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
        assert_eq!(*asked.lock().unwrap(), ["", "", ""]);
    }
}

#[tokio::test]
async fn another_part_than_the_one_asked_for_is_not_taken() {
    let server = Server {
        lies: true,
        ..Server::honest()
    };
    let (uri, _) = server.start().await;
    let error = download(&uri, None, &quick(None)).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_part_of_the_rest_is_not_taken_for_all_of_it() {
    let server = Server {
        part: 9_000,
        ..Server::honest()
    };
    let (uri, asked) = server.start().await;
    let bytes = download(&uri, None, &quick(None)).await.unwrap();
    assert!(bytes == file());
    let expected = [
        "",
        "bytes=10000-",
        "bytes=19000-",
        "bytes=28000-",
        "bytes=37000-",
        "bytes=46000-",
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

/// A server that breaks the first connection after the last byte, without having stated how many there are, and then states this many.
async fn break_at_the_end(stated: usize) -> (String, Asked) {
    let answer = move |headers: &HeaderMap, count: usize| {
        let response = Response::builder().header(header::ETAG, "\"1\"");
        let response = if headers.get(header::RANGE).is_none() {
            let chunk = futures::stream::once(async { Ok(Bytes::from_static(b"a\n1\n")) });
            let end = async move {
                tokio::task::yield_now().await;
                if count == 1 {
                    Err(io::Error::other("broken"))
                } else {
                    Ok(Bytes::new())
                }
            };
            let chunks = futures::StreamExt::chain(chunk, futures::stream::once(end));
            response.body(Body::from_stream(chunks))
        } else {
            response
                .status(416)
                .header(header::CONTENT_RANGE, format!("bytes */{stated}"))
                .body(Body::empty())
        };
        response.unwrap()
    };
    start_with(answer).await
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_last_byte_leaves_a_whole_file() {
    let (uri, asked) = break_at_the_end(4).await;
    assert_eq!(download(&uri, None, &quick(None)).await.unwrap(), b"a\n1\n");
    assert_eq!(*asked.lock().unwrap(), ["", "bytes=4-"]);
}

#[tokio::test]
async fn a_part_that_a_server_does_not_have_of_another_file_is_asked_for_anew() {
    for stated in [3, 5] {
        let (uri, asked) = break_at_the_end(stated).await;
        assert_eq!(download(&uri, None, &quick(None)).await.unwrap(), b"a\n1\n");
        assert_eq!(*asked.lock().unwrap(), ["", "bytes=4-", ""]);
    }
}

#[test]
fn a_part_says_where_it_begins_and_of_how_much_it_is() {
    let part = |range: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
        part_of(&headers).map(|part| (part.first, part.of))
    };
    assert_eq!(part("bytes 10000-19999/50000"), Some((10_000, 50_000)));
    for unknown in [
        "bytes 10000-19999/*",
        "bytes */50000",
        "lines 1-2/3",
        "bytes 1/2",
        "",
    ] {
        assert_eq!(part(unknown), None, "{unknown}");
    }
}

#[tokio::test]
async fn resuming_has_an_end() {
    let server = Server {
        at_once: 100,
        ..Server::honest()
    };
    let (uri, asked) = server.start().await;
    let error = download(&uri, None, &quick(None)).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
    assert_eq!(asked.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn a_file_of_a_known_digest_is_downloaded_once_and_another_one_is_not_kept() {
    let temp = tempfile::tempdir().unwrap();
    let fetch = quick(Some(temp.path()));
    let server = Server {
        at_once: usize::MAX,
        ..Server::honest()
    };
    let (uri, asked) = server.start().await;
    let count = || asked.lock().unwrap().len();
    let expected = Some(sha256(&file()));
    for _ in 0..2 {
        assert!(download(&uri, expected, &fetch).await.unwrap() == file());
    }
    assert_eq!(count(), 1, "the second time it is in the cache");
    // Even where there is no server any more.
    assert!(download("http://127.0.0.1:1/x", expected, &fetch).await.unwrap() == file());

    let kept = std::fs::read_dir(temp.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(&kept, "damaged").unwrap();
    assert!(download(&uri, expected, &fetch).await.unwrap() == file());
    assert_eq!(count(), 2);
    assert!(std::fs::read(&kept).unwrap() == file());

    // Without a digest nothing is kept, and what has another one is given back as it is: the caller compares.
    download(&uri, None, &fetch).await.unwrap();
    download(&uri, Some(sha256(b"another")), &fetch).await.unwrap();
    assert_eq!(count(), 4);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
}
