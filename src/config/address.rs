//! Ranges of IP addresses in CIDR form (RFC 4632 §3.1). Knows nothing of names or ports.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses such as `10.0.0.0/8`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    base: u128,
    prefix: u8,
    v4: bool,
}

impl AddressRange {
    /// Whether the address lies in the range. An IPv4 address mapped into IPv6 counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let (bits, v4) = bits(addr);
        v4 == self.v4 && (bits ^ self.base) & mask(self.prefix, v4) == 0
    }

    /// Whether every address of its kind lies in the range.
    #[must_use]
    pub const fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
}

/// The address as a number, and whether it is IPv4.
fn bits(addr: IpAddr) -> (u128, bool) {
    match addr.to_canonical() {
        IpAddr::V4(addr) => (u128::from(addr.to_bits()), true),
        IpAddr::V6(addr) => (addr.to_bits(), false),
    }
}

fn width(v4: bool) -> u8 {
    if v4 { 32 } else { 128 }
}

fn mask(prefix: u8, v4: bool) -> u128 {
    u128::MAX.checked_shl(u32::from(width(v4) - prefix)).unwrap_or(0)
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// What stands before the slash is no address.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// What stands after the slash is no prefix length for this kind of address.
    #[error("`/{0}` is not a prefix length from 0 to {1}")]
    Prefix(String, u8),
    /// Bits behind the prefix are set, so it is unclear what is meant.
    #[error("the address has bits behind its prefix; `{0}` is the range that it lies in")]
    HostBits(AddressRange),
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
        let addr: IpAddr = addr.parse().map_err(|_| RangeError::Address(addr.to_owned()))?;
        let written = width(addr.is_ipv4());
        let prefix = prefix.map_or(Ok(written), |text| parse_prefix(text, written))?;
        let (base, v4) = bits(addr);
        // A range of mapped addresses means the IPv4 addresses: that is how `contains` sees them.
        let prefix = prefix.saturating_sub(written - width(v4));
        let masked = Self { base: base & mask(prefix, v4), prefix, v4 };
        if masked.base == base { Ok(masked) } else { Err(RangeError::HostBits(masked)) }
    }
}

fn parse_prefix(text: &str, width: u8) -> Result<u8, RangeError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u8>() {
        Ok(prefix) if digits && prefix <= width => Ok(prefix),
        _ => Err(RangeError::Prefix(text.to_owned(), width)),
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr: IpAddr = match u32::try_from(self.base) {
            Ok(base) if self.v4 => IpAddr::V4(base.into()),
            _ => IpAddr::V6(self.base.into()),
        };
        if self.prefix == width(self.v4) { write!(f, "{addr}") } else { write!(f, "{addr}/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn contains_what_lies_behind_the_prefix() {
        assert!(range("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(!range("10.0.0.0/8").contains("11.0.0.1".parse().unwrap()));
        assert!(range("0.0.0.0/0").contains("192.0.2.1".parse().unwrap()));
        assert!(!range("0.0.0.0/0").contains("2001:db8::1".parse().unwrap()));
        assert!(range("::1").contains("::1".parse().unwrap()));
    }

    #[test]
    fn a_mapped_address_counts_as_the_ipv4_address() {
        assert!(range("10.0.0.0/8").contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(range("::ffff:10.0.0.0/104").contains("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn prints_as_it_reads() {
        for text in ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1", "0.0.0.0/0", "::/0"] {
            assert_eq!(range(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_unclear() {
        let error = |text: &str| text.parse::<AddressRange>().unwrap_err().to_string();
        assert!(error("10.0.0.1/8").contains("`10.0.0.0/8`"));
        assert!(error("10.0.0.0/33").contains("from 0 to 32"));
        assert!(error("10.0.0.0/+8").contains("`/+8`"));
        assert!(error("proxy").contains("`proxy`"));
    }
}
