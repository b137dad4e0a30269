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
    /// What a registry is asked for; a tag beside a digest is not.
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

/// Why a text is no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {what}")]
pub struct ImageError {
    text: String,
    what: &'static str,
}

// === impl Image ===

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
        // A folder of one part may be a registry or a folder of docker.io.
        let (registry, path) = if folder.contains('/') || !is_registry(folder) {
            let mut parts = folder.split('/');
            let first = parts.next().unwrap_or_default();
            let parts: Vec<&str> = if is_registry(first) {
                parts.collect()
            } else {
                folder.split('/').collect()
            };
            let registry = if is_registry(first) {
                first
            } else {
                DEFAULT_REGISTRY
            };
            (registry, parts)
        } else {
            (folder, Vec::new())
        };
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
    let parts: Vec<&str> = name.split('/').collect();
    let (registry, path) = match parts.as_slice() {
        [first, rest @ ..] if !rest.is_empty() && is_registry(first) => (*first, rest.to_vec()),
        [one] => (DEFAULT_REGISTRY, vec![DEFAULT_FOLDER, *one]),
        all => (DEFAULT_REGISTRY, all.to_vec()),
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
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";
    const OTHER: &str = "sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

    fn allows(rule: &str, image: &str) -> bool {
        let rule: AllowedImage = rule.parse().unwrap();
        image.parse().is_ok_and(|image| rule.allows(&image))
    }

    #[test]
    fn what_a_reference_leaves_out_is_filled_in() {
        for (short, full) in [
            ("heart", "docker.io/library/heart:latest"),
            ("ml/heart:1.2", "docker.io/ml/heart:1.2"),
            ("docker.io/heart", "docker.io/library/heart:latest"),
            ("index.docker.io/library/heart", "docker.io/library/heart:latest"),
            ("localhost/heart:e2e", "localhost/heart:e2e"),
            (
                "registry.example:5000/ml/heart",
                "registry.example:5000/ml/heart:latest",
            ),
            ("10.0.0.1:5000/a__b/c-d.e:V_1", "10.0.0.1:5000/a__b/c-d.e:V_1"),
        ] {
            assert_eq!(short.parse::<Image>().unwrap().to_string(), full);
        }
        let pinned = format!("registry.example/ml/heart:1@{DIGEST}");
        let read: Image = pinned.parse().unwrap();
        assert_eq!(
            read.to_string(),
            format!("registry.example/ml/heart@{DIGEST}"),
            "the tag beside a digest is not asked for"
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "a/../b",
            "a/./b",
            "..",
            "a/-b",
            "a/b-",
            "a/b..c",
            "a/b___c",
            "a:",
            "a:b:c",
            "a:-1",
            "a@",
            "a@sha256:",
            "a@sha512:00",
            "a@@b",
            "A/b",
            "Registry.example/b",
            "registry.example/B",
            "registry_x.example/b",
            "registry.example:/b",
            "registry.example:0/b",
            "registry.example:1:2/b",
            "http://registry.example/b",
            "a b",
            "a\n",
            "a/b\u{0}",
            "é/b",
            "[::1]:5000/b",
            "user@host/b",
            "registry.example",
            "registry.example/",
        ] {
            // The first part of a name without a slash is a repository.
            if text == "registry.example" {
                assert_eq!(
                    text.parse::<Image>().unwrap().to_string(),
                    "docker.io/library/registry.example:latest"
                );
                continue;
            }
            assert!(text.parse::<Image>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_digest_allows_that_digest_of_that_repository_alone() {
        let rule = format!("registry.example/ml/heart@{DIGEST}");
        assert!(allows(&rule, &rule));
        assert!(
            allows(&rule, &format!("registry.example/ml/heart:any@{DIGEST}")),
            "the registry is asked for the digest"
        );
        for image in [
            format!("registry.example/ml/heart@{OTHER}"),
            "registry.example/ml/heart:1".to_owned(),
            "registry.example/ml/heart".to_owned(),
            format!("registry.example/ml/heart2@{DIGEST}"),
            format!("registry.example/ml/heart/x@{DIGEST}"),
            format!("evil.example/ml/heart@{DIGEST}"),
            format!("ml/heart@{DIGEST}"),
            format!("registry.example:443/ml/heart@{DIGEST}"),
            format!("registry.example/ml/HEART@{DIGEST}"),
        ] {
            assert!(!allows(&rule, &image), "{image}");
        }
    }

    #[test]
    fn any_digest_of_a_repository_is_no_tag_and_no_other_repository() {
        let rule = "registry.example/ml/heart@sha256:";
        assert!(allows(rule, &format!("registry.example/ml/heart@{DIGEST}")));
        assert!(allows(rule, &format!("registry.example/ml/heart:1@{OTHER}")));
        for image in [
            "registry.example/ml/heart:1",
            "registry.example/ml/heart",
            "registry.example/ml/heart@sha256:",
        ] {
            assert!(!allows(rule, image), "{image}");
        }
        assert!(!allows(rule, &format!("registry.example/ml/heart-evil@{DIGEST}")));
        assert!(!allows(rule, &format!("registry.example/ml@{DIGEST}")));
    }

    #[test]
    fn a_folder_allows_whole_parts_below_it() {
        let rule = "registry.example/ml/";
        for image in [
            "registry.example/ml/heart",
            "registry.example/ml/heart:1",
            "registry.example/ml/deep/er:1",
        ] {
            assert!(allows(rule, image), "{image}");
        }
        for image in [
            "registry.example/ml",
            "registry.example/ml:1",
            "registry.example/mlevil/heart",
            "registry.example/ml-evil/heart",
            "registry.example/ml/../evil",
            "registry.example/ml/./x",
            "registry.example/ml//x",
            "registry.example.evil.example/ml/heart",
            "evil.example/registry.example/ml/heart",
            "registry.example@evil.example/ml/heart",
            "registry.example:5000/ml/heart",
            "ml/heart",
            "registry.example/ML/heart",
        ] {
            assert!(!allows(rule, image), "{image}");
        }
    }

    #[test]
    fn a_folder_of_one_part_is_a_registry_if_it_can_be_one() {
        assert!(allows("registry.example/", "registry.example/any/thing:1"));
        assert!(!allows("registry.example/", "registry.example.org/any/thing:1"));
        assert!(allows("localhost:5000/", "localhost:5000/x"));
        assert!(!allows("localhost/", "localhost:5000/x"));
        assert!(allows("ml/", "docker.io/ml/heart"));
        assert!(!allows("ml/", "heart"));
        assert!(!allows("ml/", "registry.example/ml/heart"));
        assert!(allows("docker.io/", "heart"));
        assert!(allows("index.docker.io/library/", "heart"));
        assert!(!allows("library/", "library.example/heart"));
    }

    #[test]
    fn a_tag_is_compared_whole_and_a_digest_beside_it_is_another_image() {
        assert!(allows(
            "registry.example/ml/heart:1",
            "registry.example/ml/heart:1"
        ));
        assert!(allows("heart", "docker.io/library/heart:latest"));
        for image in [
            "registry.example/ml/heart:10",
            "registry.example/ml/heart",
            "registry.example/ml/heart:latest",
        ] {
            assert!(!allows("registry.example/ml/heart:1", image), "{image}");
        }
        assert!(!allows(
            "registry.example/ml/heart:1",
            &format!("registry.example/ml/heart:1@{OTHER}")
        ));
    }
}
