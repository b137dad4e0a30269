//! Ranges of IP addresses as text.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError(String);

// === impl Network ===

impl Network {
    /// Whether this address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
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

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

// === impl Networks ===

impl Networks {
    /// Whether this address is in one of the ranges.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.containing(address).is_some()
    }

    /// The first range that this address is in.
    pub fn containing(&self, address: IpAddr) -> Option<Network> {
        self.0.iter().copied().find(|network| network.contains(address))
    }
}

impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
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
            "{:?} is no range of addresses; write it as 10.1.0.0/16, fd00::/8 or a single address",
            self.0
        )
    }
}

impl std::error::Error for NetworkError {}

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
        let shown = |text: &str| text.parse::<Networks>().unwrap().to_string();
        assert_eq!(shown(" 10.0.0.0/8, ::1"), "10.0.0.0/8,::1/128");
        assert_eq!(shown(""), "");
        let count = |text: &str| text.parse::<Networks>().map(|all| all.0.len()).ok();
        assert_eq!(count(""), Some(0));
        assert_eq!(count("10.0.0.0/8, ::1"), Some(2));
        assert_eq!(count("10.0.0.0/8,x"), None);
    }
}
