//! Which versions answer, and which one answers a request.

use std::path::{Path, PathBuf};

use modelward_wire::{Digest, ROUTES_FORMAT, RouteMode, Routes};
use sha2::{Digest as _, Sha256};

/// Why there are no routes to serve.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// The file is absent or cannot be read.
    #[error(
        "failed to read the routes file {path}; set MODELWARD_ROUTES_FILE to the file that the operator mounts"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not the JSON of routes.
    #[error("failed to parse the routes file {path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// The file is not the one that this process was configured for.
    #[error(
        "routes file {path} has digest {found}, but MODELWARD_ROUTES_DIGEST is {expected}; \
         restore the ConfigMap that the file comes from, or let the operator replace the Pod"
    )]
    OtherDigest {
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: Digest,
        /// The digest of the configuration.
        expected: Digest,
    },
    /// The file has routes that cannot be served.
    #[error("routes file {path} cannot be served: {reason}")]
    Unservable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Live entries, each with its share of the requests.
///
/// The weights are laid out one after the other, in the order of the names. A request goes to the entry in which its
/// point falls. A key therefore keeps its version while the weights do not change. If they change, only as many keys
/// move as the difference requires.
#[derive(Clone, Debug)]
pub struct Split<T> {
    /// End of each entry's share, in order.
    ends: Vec<(u64, T)>,
    total: u64,
}

/// Reads routes strictly: an unknown field is a setting of a newer operator that this program would ignore.
///
/// With `expected`, the bytes of the file must have this digest. The second part is the digest of the bytes.
pub fn read_routes(
    path: &Path,
    model: Option<&str>,
    expected: Option<&Digest>,
) -> Result<(Routes, Digest), RoutesError> {
    let read = |source| RoutesError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::read(path).map_err(read)?;
    let found = modelward_model::sha256(&bytes);
    if let Some(expected) = expected
        && *expected != found
    {
        return Err(RoutesError::OtherDigest {
            path: path.to_owned(),
            found,
            expected: *expected,
        });
    }
    let parse = |source| RoutesError::Parse {
        path: path.to_owned(),
        source,
    };
    let routes: Routes = serde_json::from_slice(&bytes).map_err(parse)?;
    let unservable = |reason| RoutesError::Unservable {
        path: path.to_owned(),
        reason,
    };
    check(&routes, model).map_err(unservable)?;
    Ok((routes, found))
}

/// Checks what the types do not express. The error is the reason for a refusal.
fn check(routes: &Routes, model: Option<&str>) -> Result<(), String> {
    if routes.format != ROUTES_FORMAT {
        return Err(format!(
            "it has format {}, this program reads format {ROUTES_FORMAT}",
            routes.format
        ));
    }
    if let Some(model) = model
        && model != routes.model
    {
        return Err(format!(
            "it is for the model {:?}, but MODELWARD_MODEL is {model:?}",
            routes.model
        ));
    }
    if routes.window_seconds == 0 {
        return Err("windowSeconds is 0, a window has at least 1 second".to_owned());
    }
    for (index, route) in routes.routes.iter().enumerate() {
        let version = &route.version;
        // The name is used as a response header and as a path segment.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !(1..=253).contains(&version.len()) || !version.bytes().all(plain) {
            return Err(format!("{version:?} is not the name of a ModelVersion"));
        }
        if routes.routes[..index]
            .iter()
            .any(|other| other.version == *version)
        {
            return Err(format!("it names the version {version:?} twice"));
        }
        if !(0.0..=1.0).contains(&route.threshold.to_f64()) {
            return Err(format!(
                "threshold {} of {version:?} is not between 0 and 1",
                route.threshold
            ));
        }
        if route.weight > 100 {
            return Err(format!("weight {} of {version:?} is above 100", route.weight));
        }
    }
    let live: Vec<_> = routes
        .routes
        .iter()
        .filter(|route| route.mode == RouteMode::Live)
        .collect();
    match live.as_slice() {
        [] => Err("no route is Live, so nothing would answer".to_owned()),
        [_] => Ok(()),
        several if several.iter().all(|route| route.weight == 0) => {
            Err("every Live route has weight 0, so nothing would answer".to_owned())
        }
        _ => Ok(()),
    }
}

/// The point of `key` in a [`Split`] of this model. Each model splits the same keys differently, so that experiments
/// are not correlated.
pub fn point_of_key(model: &str, key: &[u8]) -> u64 {
    let hash = Sha256::new_with_prefix("modelward/key\0")
        .chain_update(model)
        .chain_update("\0")
        .chain_update(key);
    hash.finalize()
        .iter()
        .take(8)
        .fold(0, |point, byte| point << 8 | u64::from(*byte))
}

// === impl Split ===

impl<T> Split<T> {
    /// Lays out entries of (name, weight, entry). A single entry gets all requests, regardless of its weight.
    pub fn new(mut entries: Vec<(String, u32, T)>) -> Self {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let only = entries.len() == 1;
        let mut total = 0;
        let mut ends = Vec::with_capacity(entries.len());
        for (_, weight, entry) in entries {
            total += if only { 1 } else { u64::from(weight) };
            ends.push((total, entry));
        }
        Self { ends, total }
    }

    /// The entry in which this point falls, or `None` if all weights are 0.
    pub fn pick(&self, point: u64) -> Option<&T> {
        if let [(_, only)] = self.ends.as_slice() {
            return Some(only);
        }
        // The high half of the product is the point scaled to 0..total, without the bias of a remainder.
        let scaled = ((u128::from(point) * u128::from(self.total)) >> 64) as u64;
        self.ends
            .iter()
            .find(|(end, _)| scaled < *end)
            .map(|(_, entry)| entry)
    }

    /// Whether there is only one entry.
    pub fn is_single(&self) -> bool {
        self.ends.len() == 1
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.ends.iter().map(|(_, entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(text: &str) -> Result<Routes, RoutesError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_routes(file.path(), Some("heart"), None).map(|(routes, _)| routes)
    }

    #[test]
    fn a_file_of_another_digest_is_refused_though_it_could_be_served() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = document(&route("a", 100, "Live"));
        std::fs::write(file.path(), &text).unwrap();
        let read = |expected: &Digest| read_routes(file.path(), Some("heart"), Some(expected));
        let digest = modelward_model::sha256(text.as_bytes());
        assert_eq!(read(&digest).unwrap().1, digest);
        // The same routes with one more space.
        std::fs::write(file.path(), format!("{text} ")).unwrap();
        let error = read(&digest).unwrap_err().to_string();
        assert!(error.contains(&digest.to_string()), "{error}");
        assert!(error.contains("restore the ConfigMap"), "{error}");
    }

    fn document(routes: &str) -> String {
        format!(r#"{{"format": 1, "model": "heart", "routes": [{routes}]}}"#)
    }

    fn route(version: &str, weight: u32, mode: &str) -> String {
        let digest = modelward_wire::Digest::from_bytes([1; 32]);
        format!(
            r#"{{"version": "{version}", "digest": "{digest}", "weight": {weight}, "threshold": "0.5", "mode": "{mode}"}}"#
        )
    }

    #[test]
    fn routes_that_could_not_answer_are_refused_with_the_reason() {
        let two = format!("{},{}", route("a", 0, "Live"), route("b", 0, "Live"));
        let twice = format!("{},{}", route("a", 50, "Live"), route("a", 50, "Live"));
        for (text, reason) in [
            (document(""), "no route is Live"),
            (document(&route("a", 0, "Shadow")), "no route is Live"),
            (document(&two), "weight 0"),
            (document(&twice), "twice"),
            (document(&route("a/b", 1, "Live")), "not the name"),
            (document(&route("a", 101, "Live")), "above 100"),
            (
                document(&route("a", 1, "Live")).replace("0.5", "1.5"),
                "not between 0 and 1",
            ),
            (
                document(&route("a", 1, "Live")).replace("\"format\": 1", "\"format\": 2"),
                "format 2",
            ),
            (document(&route("a", 1, "Live")).replace("heart", "lung"), "lung"),
            (
                document(&route("a", 1, "Live")).replace("weight", "wait"),
                "unknown field",
            ),
            (
                document(&route("a", 1, "Live")).replace("\"routes\"", "\"windowSeconds\": 0, \"routes\""),
                "windowSeconds is 0",
            ),
            ("{".to_owned(), "line 1"),
        ] {
            let error = routes(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(routes(&document(&route("a", 100, "Live"))).is_ok());
    }

    #[test]
    fn keys_are_split_by_weight_and_stay_where_they_are() {
        let split = Split::new(vec![("a".into(), 90, 'a'), ("b".into(), 10, 'b')]);
        let wider = Split::new(vec![("b".into(), 25, 'b'), ("a".into(), 75, 'a')]);
        let (mut to_b, mut moved) = (0, 0);
        for key in 0..10_000 {
            let point = point_of_key("heart", format!("patient-{key}").as_bytes());
            let (before, after) = (split.pick(point).unwrap(), wider.pick(point).unwrap());
            to_b += u32::from(*before == 'b');
            match (before, after) {
                ('b', 'a') => panic!("a key left the version whose weight grew"),
                ('a', 'b') => moved += 1,
                _ => {}
            }
        }
        assert!((900..1_100).contains(&to_b), "{to_b}");
        assert!((1_350..1_650).contains(&moved), "{moved}");
    }

    #[test]
    fn every_point_falls_somewhere() {
        let split = Split::new(vec![
            ("a".into(), 1, 'a'),
            ("b".into(), 0, 'b'),
            ("c".into(), 99, 'c'),
        ]);
        assert_eq!(split.pick(0), Some(&'a'));
        assert_eq!(split.pick(u64::MAX), Some(&'c'));
        assert_eq!(Split::new(vec![("a".into(), 0, 'a')]).pick(u64::MAX), Some(&'a'));
    }
}
