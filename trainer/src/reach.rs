//! Which addresses a dataset may be read from.
//!
//! A Job reads an address that anyone who may make a `ModelVersion` has chosen. So it reads nothing from its own node
//! (loopback, link-local and the clouds' metadata services) and nothing from the ledger, unless the operator allows it.
//! A person's own command reads whatever that person could read.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use reqwest::Url;

/// What is never the address of a dataset, and why.
const REFUSED: [(&str, &str); 12] = [
    ("127.0.0.0/8", "loopback"),
    ("::1/128", "loopback"),
    ("0.0.0.0/8", "this host"),
    ("::/128", "this host"),
    ("169.254.0.0/16", "link-local, where clouds keep credentials"),
    ("fe80::/10", "link-local"),
    ("fd00:ec2::254/128", "a metadata service"),
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
    allowed: Vec<Network>,
    /// Host and port of the ledger.
    ledger: Option<(String, u16)>,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// Ranges of addresses, with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

/// Why a text is no [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of addresses; write it as 10.1.0.0/16, fd00::/8 or a single address")]
pub struct NetworkError(String);

/// An address that is not read from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfReach(String);

// === impl Reach ===

impl Reach {
    /// Every address: for a person at a desk.
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// What a Job may read: these ranges, and all that is not refused.
    pub fn of_job(allowed: Vec<Network>, ledger: Option<&str>) -> Self {
        let ledger = ledger.and_then(|url| {
            let url = Url::parse(url).ok()?;
            Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
        });
        Self {
            in_job: true,
            allowed,
            ledger,
        }
    }

    /// Whether this is a Job, where files are mounted from what the spec names.
    pub fn is_job(&self) -> bool {
        self.in_job
    }

    /// Checks what an address says without asking for a name.
    pub fn check_url(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        if let (true, Some((ledger, port))) = (self.in_job, &self.ledger)
            && host.eq_ignore_ascii_case(ledger)
            && url.port_or_known_default() == Some(*port)
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
            Some(reason) if allowed.is_empty() => Err(OutOfReach(reason)),
            _ => Ok(allowed),
        }
    }

    fn check(&self, address: IpAddr, host: &str) -> Result<(), String> {
        let address = plain(address);
        if !self.in_job || self.allowed.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        let why = REFUSED
            .iter()
            .filter_map(|(text, why)| Some((text.parse::<Network>().ok()?, why)))
            .find(|(network, _)| network.contains(address))
            .map(|(_, why)| why);
        match why {
            None => Ok(()),
            Some(why) => Err(format!(
                "datasets are not read from {address} ({why}), and {host} leads there; name a public address, or have an \
                 administrator allow this one in the operator's settings"
            )),
        }
    }
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
        // Mapped, and as a NAT64 translates it.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => IpAddr::V4(last()),
        _ => IpAddr::V6(six),
    }
}

// === impl Network ===

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: Ipv6Addr, length: u8| {
            u128::from(address)
                .checked_shr(128 - u32::from(length))
                .unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let length = 96 + self.length;
                bits(own.to_ipv6_mapped(), length) == bits(other.to_ipv6_mapped(), length)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => bits(own, self.length) == bits(other, self.length),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (address, length) = match text.trim().split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| error())?,
            None => most,
        };
        if length > most {
            return Err(error());
        }
        Ok(Self { address, length })
    }
}

impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_their_addresses_and_no_others() {
        let contains = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(contains("10.1.0.0/16", "10.1.255.1"));
        assert!(!contains("10.1.0.0/16", "10.2.0.1"));
        assert!(contains("fe80::/10", "febf::1"));
        assert!(!contains("fe80::/10", "fec0::1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("::1", "::1"));
        for wrong in ["10.1.0.0/33", "ten", "10.1.0.0/x", "/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let count = |text: &str| text.parse::<Networks>().map(|all| all.0.len()).ok();
        assert_eq!(count(""), Some(0));
        assert_eq!(count("10.0.0.0/8, ::1"), Some(2));
        assert_eq!(count("10.0.0.0/8,x"), None);
        assert!(REFUSED.iter().all(|(text, _)| text.parse::<Network>().is_ok()));
    }

    #[test]
    fn a_name_with_one_allowed_address_is_read_from_that_one() {
        let reach = Reach::of_job(Vec::new(), None);
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
