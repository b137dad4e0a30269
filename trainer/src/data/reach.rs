//! Which addresses a dataset may be read from.
//!
//! The author of a `ModelVersion` chooses the address that a Job reads. So a Job reads nothing from its own node (loopback,
//! link-local and the clouds' metadata services), from the ledger, and from the ranges that the operator's settings refuse,
//! such as those of the cluster's Services and Pods. Ranges that the settings allow may be read, even if another range contains them.
//! A command outside of a cluster may read every address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use modelward_crds::Networks;
use reqwest::Url;

/// What is never the address of a dataset, and why.
const REFUSED: [(&str, &str); 14] = [
    ("127.0.0.0/8", "loopback"),
    ("::1/128", "loopback"),
    ("0.0.0.0/8", "this host"),
    ("::/128", "this host"),
    ("169.254.0.0/16", "link-local, where clouds keep credentials"),
    ("fe80::/10", "link-local"),
    ("fd00:ec2::254/128", "a metadata service"),
    ("fd00:ec2::23/128", "a service of credentials"),
    ("fd20:ce::254/128", "a metadata service"),
    ("100.100.100.200/32", "a metadata service"),
    ("168.63.129.16/32", "a metadata service"),
    ("224.0.0.0/4", "multicast"),
    ("ff00::/8", "multicast"),
    ("255.255.255.255/32", "broadcast"),
];

/// Where datasets may be read from.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Whether this is a Job; all that is refused is refused to Jobs.
    in_job: bool,
    allowed: Networks,
    denied: Networks,
    /// Host and port of the ledger, and whether the host is the name of a Service, which is the ledger's at every port.
    ledger: Option<(String, u16, bool)>,
}

/// A name that resolves only to addresses that must not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct OutOfReach {
    /// The name.
    pub host: String,
    /// Why its addresses must not be read.
    pub reason: String,
}

// === impl Reach ===

impl Reach {
    /// Every address: for a command outside of a cluster.
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// What a Job may read: the ranges that are allowed, and everything else that is refused neither here nor in `denied`.
    pub fn of_job(allowed: Networks, denied: Networks, ledger: Option<&str>) -> Self {
        let ledger = ledger.and_then(|url| {
            let url = Url::parse(url).ok()?;
            let host = url.host_str()?;
            Some((host.to_owned(), url.port_or_known_default()?, is_service(host)))
        });
        Self {
            in_job: true,
            allowed,
            denied,
            ledger,
        }
    }

    /// Whether this is a Job, where files are mounted from what the spec names.
    pub fn is_job(&self) -> bool {
        self.in_job
    }

    /// Checks an address without resolving its name.
    pub fn check_url(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        if let (true, Some((ledger, port, is_service))) = (self.in_job, &self.ledger)
            && are_one_service(host, ledger)
            && (*is_service || url.port_or_known_default() == Some(*port))
        {
            return Err("datasets are not read from the ledger; name the dataset's own source".to_owned());
        }
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) => self.check(address, host),
            Err(_) => Ok(()),
        }
    }

    /// Those of the addresses of a name that may be read from, or why there are none.
    pub fn only_allowed(
        &self,
        name: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, OutOfReach> {
        let (mut allowed, mut refused) = (Vec::new(), None);
        for address in found {
            match self.check(address.ip(), name) {
                Ok(()) => allowed.push(address),
                Err(reason) => refused = Some(reason),
            }
        }
        match refused {
            Some(reason) if allowed.is_empty() => Err(OutOfReach {
                host: name.to_owned(),
                reason,
            }),
            _ => Ok(allowed),
        }
    }

    fn check(&self, address: IpAddr, host: &str) -> Result<(), String> {
        let address = plain(address);
        if !self.in_job || self.allowed.contains(address) {
            return Ok(());
        }
        let known = REFUSED
            .iter()
            .filter_map(|(text, why)| Some((text.parse::<Networks>().ok()?, *why)))
            .find(|(range, _)| range.contains(address))
            .map(|(_, why)| why.to_owned());
        let why = known.or_else(|| {
            let network = self.denied.containing(address)?;
            Some(format!("in {network}, which the operator's settings refuse"))
        });
        match why {
            None => Ok(()),
            Some(why) => Err(format!(
                "datasets are not read from {address} ({why}), and {host} leads there; name a public address, or have an \
                 administrator add this one to trainer.allowSources of the chart"
            )),
        }
    }
}

/// Whether this is the name of a Service, such as `modelward-ledger.modelward-system.svc`. Another name, such as that of a proxy, may have
/// datasets at other ports.
fn is_service(host: &str) -> bool {
    host.split('.').nth(2) == Some("svc")
}

/// Whether these are names of one Service: with the cluster's domain or without it, with a dot at the end or without one.
fn are_one_service(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_end_matches('.'), other.trim_end_matches('.'));
    let (long, short) = if one.len() < other.len() {
        (other, one)
    } else {
        (one, other)
    };
    let Some((start, rest)) = long.split_at_checked(short.len()) else {
        return false;
    };
    // A name of one part, such as localhost, is not the beginning of another.
    start.eq_ignore_ascii_case(short) && (rest.is_empty() || (rest.starts_with('.') && short.contains('.')))
}

/// The IPv4 address that an IPv6 address stands for.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let segments = six.segments();
    let last = || {
        let [.., a, b] = segments;
        Ipv4Addr::from(u32::from(a) << 16 | u32::from(b))
    };
    match segments {
        // IPv4-mapped, or translated by NAT64.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => IpAddr::V4(last()),
        _ => IpAddr::V6(six),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        text.parse().unwrap()
    }

    #[test]
    fn every_range_that_is_refused_is_one() {
        assert!(
            REFUSED
                .iter()
                .all(|(text, _)| text.parse::<Networks>().is_ok_and(|range| range.0.len() == 1))
        );
    }

    #[test]
    fn ranges_of_the_settings_are_refused_and_what_is_allowed_within_them_is_read() {
        let reach = Reach::of_job(
            networks("10.96.0.5"),
            networks("10.96.0.0/12,fd00:10:96::/112"),
            None,
        );
        let check = |url: &str| reach.check_url(&Url::parse(url).unwrap());
        for refused in [
            "http://10.96.0.1/x",
            "http://[::ffff:10.96.0.1]/x",
            "http://[64:ff9b::a60:1]/x",
            "http://[fd00:10:96::a]/x",
        ] {
            let error = check(refused).unwrap_err();
            assert!(
                error.contains("which the operator's settings refuse"),
                "{refused}: {error}"
            );
            assert!(error.contains("trainer.allowSources"), "{error}");
        }
        assert!(
            check("http://10.96.0.1/x")
                .unwrap_err()
                .contains("in 10.96.0.0/12,")
        );
        for read in [
            "http://10.96.0.5/x",
            "http://10.112.0.1/x",
            "http://[fd00:10:97::a]/x",
        ] {
            assert_eq!(check(read), Ok(()), "{read}");
        }
        let found = ["10.96.0.1:0", "10.96.0.5:0"].map(|text| text.parse().unwrap());
        assert_eq!(
            reach.only_allowed("store.team-a", found.into_iter()),
            Ok(vec![found[1]])
        );
        assert!(
            reach
                .only_allowed("kubernetes.default", found[..1].iter().copied())
                .is_err()
        );
        assert_eq!(
            Reach::anywhere().check_url(&Url::parse("http://10.96.0.1/x").unwrap()),
            Ok(())
        );
    }

    #[test]
    fn the_ledger_is_refused_by_every_name_of_its_service_at_every_port() {
        let ledger = Some("http://modelward-ledger.modelward-system.svc:8090");
        let reach = Reach::of_job(Networks::default(), Networks::default(), ledger);
        let check = |url: &str| reach.check_url(&Url::parse(url).unwrap());
        for name in [
            "modelward-ledger.modelward-system.svc",
            "MODELWARD-ledger.modelward-system.svc.",
            "modelward-ledger.modelward-system.svc.cluster.local",
            "modelward-ledger.modelward-system.svc.cluster.local.",
            "modelward-ledger.modelward-system",
        ] {
            for port in [8090, 8091, 80] {
                assert!(
                    check(&format!("http://{name}:{port}/x")).is_err(),
                    "{name}:{port}"
                );
            }
            assert!(check(&format!("https://{name}/x")).is_err(), "{name}");
        }
        for name in [
            "ledger.modelward-system.svc",
            "modelward-ledger.modelward-system.svcs",
            "modelward-ledger",
            "x.modelward-ledger.modelward-system.svc",
        ] {
            assert_eq!(check(&format!("http://{name}:8090/x")), Ok(()), "{name}");
        }
        // Of a ledger behind another name, the port says what is there.
        let ledger = Some("https://ledger.example.org:8443");
        let reach = Reach::of_job(Networks::default(), Networks::default(), ledger);
        let check = |url: &str| reach.check_url(&Url::parse(url).unwrap());
        assert!(check("https://ledger.example.org:8443/x").is_err());
        assert_eq!(check("https://ledger.example.org/x"), Ok(()));
    }

    #[test]
    fn a_name_with_one_allowed_address_is_read_from_that_one() {
        let reach = Reach::of_job(Networks::default(), Networks::default(), None);
        let both = ["127.0.0.1:0", "192.0.2.7:0"].map(|text| text.parse().unwrap());
        let allowed = reach.only_allowed("example.org", both.into_iter()).unwrap();
        assert_eq!(allowed, [both[1]]);
        assert!(
            reach
                .only_allowed("example.org", both[..1].iter().copied())
                .is_err()
        );
        assert!(
            Reach::anywhere()
                .only_allowed("localhost", both.into_iter())
                .is_ok()
        );
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(reach.check_url(&url("http://[64:ff9b::a9fe:a9fe]/x")).is_err());
        assert!(reach.check_url(&url("https://example.org/x")).is_ok());
    }
}
