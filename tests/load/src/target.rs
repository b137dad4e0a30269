//! Allowed targets of a load: only targets that belong to a test.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hyper::Uri;
use ipnet::IpNet;
use tokio::time::{Instant, sleep, timeout};

/// The environment variable with the networks of the test cluster, `10.211.3.0/24,10.212.3.0/24`, whose addresses are allowed.
pub const NETWORKS: &str = "MODELWARD_TEST_NETWORKS";

/// An allowed target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    path: String,
    networks: Vec<IpNet>,
}

/// Why a target is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The URL does not have the required form.
    #[error("--url {0:?} must be http://HOST[:PORT]/PATH, without a user")]
    Form(String),
    /// The target does not belong to a test.
    #[error(
        "{0} is refused: a load goes to a Service of the cluster (NAME.NAMESPACE.svc), to a loopback address, or to an \
         address inside the networks that {NETWORKS} lists"
    )]
    Foreign(String),
    /// A network is invalid or public.
    #[error("{NETWORKS}: {0:?} must be a private network such as 10.211.0.0/24")]
    Network(String),
    /// The name has no address.
    #[error("{0} has no address: {1}")]
    Unknown(String, String),
}

// === impl Target ===

impl Target {
    /// Parses and checks a target. `networks` is a comma-separated list, and may be empty.
    pub fn parse(url: &str, networks: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| form())?;
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or_else(form)?;
        if uri.scheme_str() != Some("http") {
            return Err(form());
        }
        let networks = networks
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| network(text).ok_or_else(|| TargetError::Network(text.to_owned())))
            .collect::<Result<_, _>>()?;
        let target = Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            networks,
        };
        let allowed = match target.host.parse::<IpAddr>() {
            Ok(address) => target.may_be(address),
            Err(_) => target.host == "localhost" || is_service(&target.host),
        };
        if allowed {
            Ok(target)
        } else {
            Err(TargetError::Foreign(target.host))
        }
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == 80 {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its address. Repeats the lookup for `patience`, because DNS needs a moment to resolve the name of a new Service.
    pub async fn resolve(&self, patience: Duration) -> Result<SocketAddr, TargetError> {
        let since = Instant::now();
        loop {
            let looked_up = timeout(
                Duration::from_secs(5),
                tokio::net::lookup_host((self.host.as_str(), self.port)),
            );
            let problem = match looked_up.await {
                Ok(Ok(mut found)) => match found.next() {
                    Some(address) => return self.judge(address),
                    None => "the answer is empty".to_owned(),
                },
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer within 5 s".to_owned(),
            };
            if since.elapsed() >= patience {
                return Err(TargetError::Unknown(self.host.clone(), problem));
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// A Service may be an alias of a name outside the cluster; its address shows that.
    fn judge(&self, address: SocketAddr) -> Result<SocketAddr, TargetError> {
        let ip = address.ip().to_canonical();
        if self.may_be(ip) || (is_service(&self.host) && is_private(ip)) {
            Ok(address)
        } else {
            Err(TargetError::Foreign(format!("{} ({ip})", self.host)))
        }
    }

    fn may_be(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.networks.iter().any(|network| network.contains(&address))
    }
}

/// `NAME.NAMESPACE.svc`, optionally with the default cluster domain.
fn is_service(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    host.strip_suffix(".svc")
        .is_some_and(|rest| rest.contains('.') && rest.split('.').all(is_label))
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// A private network, such as 10.211.0.0/24.
fn network(text: &str) -> Option<IpNet> {
    let network: IpNet = text.parse().ok()?;
    // A network that is larger than the private block would also allow public addresses.
    let is_within = is_private(network.network()) && is_private(network.broadcast());
    is_within.then_some(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_loopback_and_the_networks_of_the_test_are_taken() {
        for (url, networks, authority) in [
            ("http://heart.hospital.svc/predict", "", "heart.hospital.svc"),
            (
                "http://heart.hospital.svc.cluster.local:8080/predict",
                "",
                "heart.hospital.svc.cluster.local:8080",
            ),
            ("http://127.0.0.1:1234/predict", "", "127.0.0.1:1234"),
            ("http://[::1]:1234/predict", "", "[::1]:1234"),
            ("http://localhost/predict", "", "localhost"),
            (
                "http://10.212.3.9/predict",
                "10.211.3.0/24, 10.212.3.0/24",
                "10.212.3.9",
            ),
            ("http://172.31.0.9/predict", "172.16.0.0/12", "172.31.0.9"),
        ] {
            let target = Target::parse(url, networks).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(
                (target.authority().as_str(), target.path()),
                (authority, "/predict")
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (url, networks) in [
            ("http://example.org/predict", ""),
            ("http://svc/predict", ""),
            ("http://heart.svc/predict", ""),
            ("http://heart.hospital.svc.example.org/", ""),
            ("http://a..svc/", ""),
            ("http://10.212.3.9/predict", ""),
            ("http://10.212.4.9/predict", "10.212.3.0/24"),
            ("http://8.8.8.8/", "10.0.0.0/8"),
            ("http://[2001:db8::1]/", "fd00::/8"),
            ("http://169.254.169.254/latest", "10.0.0.0/8"),
        ] {
            let error = Target::parse(url, networks).expect_err(url);
            assert!(matches!(error, TargetError::Foreign(_)), "{url}: {error}");
        }
        for url in [
            "https://heart.hospital.svc/",
            "heart.hospital.svc",
            "http://me@127.0.0.1/",
            "",
        ] {
            assert!(
                matches!(Target::parse(url, ""), Err(TargetError::Form(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn a_network_that_is_public_or_reaches_beyond_the_private_blocks_is_refused() {
        for network in [
            "8.8.8.0/24",
            "0.0.0.0/0",
            "10.0.0.0/7",
            "172.16.0.0/8",
            "192.168.0.0/8",
            "10.0.0.1",
            "10.0.0.0/33",
            "x/8",
        ] {
            let error = Target::parse("http://127.0.0.1/", network).expect_err(network);
            assert_eq!(error, TargetError::Network(network.to_owned()));
        }
    }

    #[test]
    fn a_service_that_stands_for_a_public_address_is_refused() {
        let target = Target::parse("http://heart.hospital.svc/", "").unwrap();
        assert!(target.judge("10.96.0.10:80".parse().unwrap()).is_ok());
        assert!(matches!(
            target.judge("93.184.216.34:80".parse().unwrap()),
            Err(TargetError::Foreign(_))
        ));
    }
}
