//! Which addresses are special: not a place on the public Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::capability::PrivateNetwork;

/// IANA's special-purpose registry for IPv4 (RFC 6890 and its successors), with what clouds add.
const SPECIAL_V4: [([u8; 4], u8, &str); 17] = [
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "carrier-grade NAT"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([168, 63, 129, 16], 32, "cloud metadata"),
    ([169, 254, 0, 0], 16, "link-local, cloud metadata"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol assignments"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
    ([255, 255, 255, 255], 32, "broadcast"),
];

/// The special range that an address is in, if any. Addresses that carry an IPv4 address in them are as special as it.
pub(crate) fn special_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => match carried_v4(v6) {
            Some(v4) => special_v4(v4),
            None => special_v6(v6),
        },
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    SPECIAL_V4
        .iter()
        .find(|(net, length, _)| (bits ^ Ipv4Addr::from(*net).to_bits()) >> (32 - u32::from(*length)) == 0)
        .map(|(.., name)| *name)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let parts = address.segments();
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0x64, 0xff9b, 1, ..] => Some("local NAT64"),
        [0x100, 0, 0, 0 | 1, ..] => Some("discard"),
        // Teredo carries its address disguised; nobody offers webhooks there.
        [0x2001, 0, ..] => Some("Teredo"),
        [0x2001, second, ..] if second < 0x200 => Some("protocol assignments"),
        [0x2001, 0xdb8, ..] => Some("documentation"),
        [0x2002, ..] => Some("6to4"),
        [0x3fff, second, ..] if second < 0x1000 => Some("documentation"),
        [0x5f00, ..] => Some("segment routing"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("unique local, cloud metadata"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("link-local"),
        [first, ..] if first & 0xffc0 == 0xfec0 => Some("site-local"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("multicast"),
        // Everything public is in 2000::/3.
        [first, ..] if first & 0xe000 != 0x2000 => Some("reserved"),
        _ => None,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, translated or NAT64 (RFC 6052).
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let last = Ipv4Addr::from((u32::from(parts[6]) << 16) | u32::from(parts[7]));
    match parts {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            Some(last)
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => Some(last),
        _ => None,
    }
}

impl PrivateNetwork {
    /// Whether an address may be connected to; if not, the range that it is in.
    pub(crate) fn permits(&self, address: IpAddr) -> Result<(), &'static str> {
        let Some(range) = special_range(address) else { return Ok(()) };
        match self {
            Self::Granted => Ok(()),
            Self::Denied => Err(range),
            Self::Ranges(ranges) => {
                let plain = match address {
                    IpAddr::V6(v6) => carried_v4(v6).map_or(address, IpAddr::V4),
                    IpAddr::V4(_) => address,
                };
                if ranges.iter().any(|net| net.contains(&address) || net.contains(&plain)) {
                    Ok(())
                } else {
                    Err(range)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses() {
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.9.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(special_range(special.parse().unwrap()).is_some(), "{special}");
        }
        for public in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert_eq!(special_range(public.parse().unwrap()), None, "{public}");
        }
    }

    #[test]
    fn a_range_grants_its_addresses_in_every_form() {
        let granted =
            PrivateNetwork::Ranges(vec!["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "fd00::7", "8.8.8.8"] {
            assert_eq!(granted.permits(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["10.2.0.1", "127.0.0.1", "fe80::1"] {
            assert!(granted.permits(address.parse().unwrap()).is_err(), "{address}");
        }
    }
}
