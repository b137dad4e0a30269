//! References of images, compared by their parts and never as texts.
//!
//! The grammar is that of the Distribution project: `[registry/]repository[:tag][@digest]`. Without a registry it is `docker.io`, with
//! `library/` before a repository of one part, as Docker and containerd read it. Letters are lower case: a registry is a name of DNS,
//! and a repository has no others.

use std::{fmt, str::FromStr};

use modelward_wire::Digest;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The registry of an image that names none, and its other name.
const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_REGISTRY_ALIAS: &str = "index.docker.io";
/// The folder of repositories of one part there.
const DEFAULT_FOLDER: &str = "library";
/// The tag of an image that names neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// An image, with everything that its reference leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    registry: String,
    /// The parts of the repository.
    path: Vec<String>,
    /// What a registry is asked for; a tag with a digest is not.
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What an administrator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AllowedImage {
    /// `registry/repository@sha256:DIGEST` or `registry/repository:tag`: this image.
    One(Image),
    /// `registry/repository@sha256:`: every digest of this repository, and no tag.
    Pinned { registry: String, path: Vec<String> },
    /// `registry/` or `registry/folder/`: every image below it.
    Below { registry: String, path: Vec<String> },
}

/// Why a text is not an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {what}")]
pub struct ImageError {
    text: String,
    what: &'static str,
}

// === impl Image ===

impl Image {
    /// Whether it names a digest: what a tag names may change.
    pub fn is_pinned(&self) -> bool {
        self.digest.is_some()
    }
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let fail = |what| ImageError {
            text: text.to_owned(),
            what,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest: Digest = digest
                    .parse()
                    .map_err(|_| fail("the digest is sha256: and 64 hexadecimal digits"))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        // A colon before the last slash belongs to the port of the registry.
        let name_starts = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[name_starts..].rfind(':') {
            Some(at) => (&rest[..name_starts + at], Some(&rest[name_starts + at + 1..])),
            None => (rest, None),
        };
        if !tag.is_none_or(is_tag) {
            return Err(fail("a tag has up to 128 letters, digits, '_', '.' and '-'"));
        }
        let (registry, path) = split_name(name).map_err(fail)?;
        if path.is_empty() {
            return Err(fail("it names no repository"));
        }
        let tag = match (tag, digest) {
            (tag, None) => Some(tag.unwrap_or(DEFAULT_TAG).to_owned()),
            (_, Some(_)) => None,
        };
        Ok(Self {
            registry,
            path,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path.join("/"))?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

// === impl AllowedImage ===

impl AllowedImage {
    /// Whether this image is allowed.
    pub(super) fn allows(&self, image: &Image) -> bool {
        match self {
            Self::One(one) => one == image,
            Self::Pinned { registry, path } => {
                image.digest.is_some() && image.registry == *registry && image.path == *path
            }
            Self::Below { registry, path } => {
                image.registry == *registry && image.path.len() > path.len() && image.path.starts_with(path)
            }
        }
    }
}

impl FromStr for AllowedImage {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let fail = |what| ImageError {
            text: text.to_owned(),
            what,
        };
        if let Some(name) = text.strip_suffix("@sha256:") {
            let (registry, path) = split_name(name).map_err(fail)?;
            if path.is_empty() {
                return Err(fail("it names no repository"));
            }
            return Ok(Self::Pinned { registry, path });
        }
        let Some(folder) = text.strip_suffix('/') else {
            return text.parse().map(Self::One);
        };
        let (registry, path) = split_registry(folder);
        if !path.iter().all(|part| is_part(part)) || !is_host(registry) {
            return Err(fail(NAME));
        }
        Ok(Self::Below {
            registry: canonical(registry),
            path: path.into_iter().map(ToOwned::to_owned).collect(),
        })
    }
}

impl<'de> Deserialize<'de> for AllowedImage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| {
            D::Error::custom(format!(
                "an allowed image is registry/repository@sha256:DIGEST, registry/repository@sha256: (any digest), \
                 registry/repository:tag or registry/folder/, not {error}"
            ))
        })
    }
}

const NAME: &str = "a name is registry/repository in lower-case letters, digits, '.', '_', '-' and '/'";

/// The registry and the parts of the repository of a name without tag and digest.
fn split_name(name: &str) -> Result<(String, Vec<String>), &'static str> {
    // A name of one part is a repository, even if it could be a registry.
    let (registry, path) = if name.contains('/') {
        split_registry(name)
    } else {
        (DEFAULT_REGISTRY, vec![name])
    };
    if !is_host(registry) || !path.iter().all(|part| is_part(part)) {
        return Err(NAME);
    }
    let registry = canonical(registry);
    let path = match path.as_slice() {
        [one] if registry == DEFAULT_REGISTRY => vec![DEFAULT_FOLDER, *one],
        _ => path,
    };
    Ok((registry, path.into_iter().map(ToOwned::to_owned).collect()))
}

/// The registry that the first part names, otherwise the default one, and the other parts.
fn split_registry(name: &str) -> (&str, Vec<&str>) {
    let mut parts: Vec<&str> = name.split('/').collect();
    if is_registry(parts[0]) {
        (parts.remove(0), parts)
    } else {
        (DEFAULT_REGISTRY, parts)
    }
}

fn canonical(registry: &str) -> String {
    let registry = if registry == DEFAULT_REGISTRY_ALIAS {
        DEFAULT_REGISTRY
    } else {
        registry
    };
    registry.to_owned()
}

/// Whether the first part of a name is a registry and not a folder.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

fn is_host(registry: &str) -> bool {
    let (host, port) = match registry.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        !bytes.is_empty() && bytes.iter().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label)
        && port.is_none_or(|port| {
            (1..=5).contains(&port.len())
                && !port.starts_with('0')
                && port.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Letters and digits, with one '.', one or two '_' or any number of '-' between them.
fn is_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    is_word(*first)
        && is_word(*last)
        && bytes.split(|byte| is_word(*byte)).all(|between| {
            matches!(between, [] | b"." | b"_" | b"__") || between.iter().all(|byte| *byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests;
