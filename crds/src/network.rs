//! Ranges of IP addresses as text.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// Ranges of addresses, separated by commas. A single address counts as a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

/// A string that is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError(String);

// === impl Networks ===

impl Networks {
    /// Whether the address is in one of the ranges.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.containing(address).is_some()
    }

    /// The first range that contains the address.
    pub fn containing(&self, address: IpAddr) -> Option<IpNet> {
        self.0.iter().copied().find(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| {
            let single = || Some(IpNet::from(part.parse::<IpAddr>().ok()?));
            let network = part.parse().ok().or_else(single);
            network.ok_or_else(|| NetworkError(part.to_owned()))
        };
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{network}")?;
        }
        Ok(())
    }
}

// === impl NetworkError ===

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a range of addresses; write it as 10.1.0.0/16, fd00::/8 or a single address",
            self.0
        )
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_contain_their_addresses_and_no_others() {
        let contains = |network: &str, address: &str| networks(network).contains(address.parse().unwrap());
        assert!(contains("10.1.0.0/16", "10.1.255.1"));
        assert!(!contains("10.1.0.0/16", "10.2.0.1"));
        assert!(contains("fe80::/10", "febf::1"));
        assert!(!contains("fe80::/10", "fec0::1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("::1", "::1"));
        for wrong in ["10.1.0.0/33", "ten", "10.1.0.0/x", "/8"] {
            assert!(wrong.parse::<Networks>().is_err(), "{wrong}");
        }
        let shown = |text: &str| networks(text).to_string();
        assert_eq!(shown(" 10.0.0.0/8, ::1"), "10.0.0.0/8,::1/128");
        assert_eq!(shown(""), "");
        let count = |text: &str| text.parse::<Networks>().map(|all| all.0.len()).ok();
        assert_eq!(count(""), Some(0));
        assert_eq!(count("10.0.0.0/8, ::1"), Some(2));
        assert_eq!(count("10.0.0.0/8,x"), None);
    }
}
