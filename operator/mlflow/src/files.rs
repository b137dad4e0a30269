//! The files of a bundle, as the publisher reads them.

use std::future::Future;

use bytes::Bytes;
use futures::stream::BoxStream;
use modelward_wire::FileEntry;

/// The content of a file, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// Reads files of a bundle.
pub trait Files: Sync {
    /// The content of the file with the digest in `file`. The error says what is wrong with it.
    fn open(&self, file: &FileEntry) -> impl Future<Output = Result<Pieces, String>> + Send;
}
