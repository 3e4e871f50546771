//! Which addresses imports may be fetched from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why an address is not one of the public Internet's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// This computer.
    Loopback,
    /// RFC 1918.
    Private,
    /// Behind a carrier's address translation, RFC 6598.
    Shared,
    /// IPv6's private addresses.
    UniqueLocal,
    /// This network segment; IPv6's deprecated site-local addresses count as such.
    LinkLocal,
    /// Where a cloud tells its machines their secrets.
    Metadata,
    /// Many receivers, broadcast included.
    Multicast,
    /// No address, or "this network".
    Unspecified,
    /// An IPv4 address in the clothes of an IPv6 one: mapped, compatible, translated (NAT64), 6to4
    /// or Teredo.
    Embedded,
    /// For documentation, benchmarks, or future use.
    Reserved,
}

impl AddressKind {
    /// Whether `imports.allow_private_addresses` is about it.
    fn is_private(self) -> bool {
        matches!(self, Self::Loopback | Self::Private | Self::Shared | Self::UniqueLocal)
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "a shared address (carrier-grade NAT)",
            Self::UniqueLocal => "a unique local address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Multicast => "a multicast or broadcast address",
            Self::Unspecified => "an unspecified address",
            Self::Embedded => "an IPv4 address embedded in an IPv6 one",
            Self::Reserved => "a reserved address",
        })
    }
}

/// The operator's choice.
#[derive(Clone, Debug)]
pub(super) struct AddressPolicy {
    pub(super) allow_private: bool,
    pub(super) allowed_networks: Vec<IpNet>,
}

impl AddressPolicy {
    /// Says why an address may not be reached.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), AddressKind> {
        let Some(kind) = kind_of(address) else {
            return Ok(());
        };
        let is_meant = |network: &&IpNet| {
            // A wide network may contain a metadata service that nobody thought of.
            network.contains(&address)
                && (kind != AddressKind::Metadata || network.prefix_len() == network.max_prefix_len())
        };
        let allowed = self.allowed_networks.iter().any(|network| is_meant(&network));
        if let (true, Some(translated)) = (allowed, translated(address)) {
            return self.check(IpAddr::V4(translated));
        }
        if allowed || self.allow_private && kind.is_private() { Ok(()) } else { Err(kind) }
    }
}

/// The address that a NAT64 gateway translates to, for the well-known prefix.
fn translated(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    match address.octets() {
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    }
}

/// Addresses of metadata services that lie outside of the link-local networks, and the link-local
/// ones that are known.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// What an address is, when it is not an ordinary one of the public Internet.
fn kind_of(address: IpAddr) -> Option<AddressKind> {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> Option<AddressKind> {
    if METADATA_V4.contains(&address) {
        return Some(AddressKind::Metadata);
    }
    let kind = match address.octets() {
        [0, ..] => AddressKind::Unspecified,
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressKind::Private,
        [100, 64..=127, ..] => AddressKind::Shared,
        [169, 254, ..] => AddressKind::LinkLocal,
        [224..=239, ..] | [255, 255, 255, 255] => AddressKind::Multicast,
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            AddressKind::Reserved
        }
        [240..=255, ..] => AddressKind::Reserved,
        _ => return None,
    };
    Some(kind)
}

fn kind_of_v6(address: Ipv6Addr) -> Option<AddressKind> {
    if METADATA_V6.contains(&address) {
        return Some(AddressKind::Metadata);
    }
    let kind = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressKind::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        // Mapped, translated (RFC 2765), and the deprecated compatible addresses.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => {
            AddressKind::Embedded
        }
        // NAT64, the well-known prefix and the one for local use; Teredo; 6to4.
        [0x64, 0xff9b, ..] | [0x2001, 0, ..] | [0x2002, ..] => AddressKind::Embedded,
        [0xfc00..=0xfdff, ..] => AddressKind::UniqueLocal,
        [0xfe80..=0xfeff, ..] => AddressKind::LinkLocal,
        [0xff00..=0xffff, ..] => AddressKind::Multicast,
        // Protocol assignments and documentation.
        [0x2001, 0x1..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressKind::Reserved,
        [0x2000..=0x3fff, ..] => return None,
        _ => AddressKind::Reserved,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [(&str, Option<AddressKind>); 50] = [
        ("8.8.8.8", None),
        ("100.63.255.255", None),
        ("100.128.0.1", None),
        ("172.15.0.1", None),
        ("172.32.0.1", None),
        ("2606:4700::1111", None),
        ("2a00:1450:4001::1", None),
        ("127.0.0.1", Some(AddressKind::Loopback)),
        ("127.255.255.254", Some(AddressKind::Loopback)),
        ("::1", Some(AddressKind::Loopback)),
        ("10.0.0.1", Some(AddressKind::Private)),
        ("172.16.0.1", Some(AddressKind::Private)),
        ("172.31.255.255", Some(AddressKind::Private)),
        ("192.168.1.1", Some(AddressKind::Private)),
        ("100.64.0.1", Some(AddressKind::Shared)),
        ("100.127.255.255", Some(AddressKind::Shared)),
        ("fc00::1", Some(AddressKind::UniqueLocal)),
        ("fd12:3456::1", Some(AddressKind::UniqueLocal)),
        ("169.254.0.1", Some(AddressKind::LinkLocal)),
        ("fe80::1", Some(AddressKind::LinkLocal)),
        ("fec0::1", Some(AddressKind::LinkLocal)),
        ("169.254.169.254", Some(AddressKind::Metadata)),
        ("169.254.170.2", Some(AddressKind::Metadata)),
        ("100.100.100.200", Some(AddressKind::Metadata)),
        ("192.0.0.192", Some(AddressKind::Metadata)),
        ("168.63.129.16", Some(AddressKind::Metadata)),
        ("fd00:ec2::254", Some(AddressKind::Metadata)),
        ("224.0.0.1", Some(AddressKind::Multicast)),
        ("239.255.255.255", Some(AddressKind::Multicast)),
        ("255.255.255.255", Some(AddressKind::Multicast)),
        ("ff02::1", Some(AddressKind::Multicast)),
        ("0.0.0.0", Some(AddressKind::Unspecified)),
        ("0.1.2.3", Some(AddressKind::Unspecified)),
        ("::", Some(AddressKind::Unspecified)),
        ("::ffff:127.0.0.1", Some(AddressKind::Embedded)),
        ("::ffff:8.8.8.8", Some(AddressKind::Embedded)),
        ("::ffff:0:127.0.0.1", Some(AddressKind::Embedded)),
        ("::127.0.0.1", Some(AddressKind::Embedded)),
        ("64:ff9b::127.0.0.1", Some(AddressKind::Embedded)),
        ("64:ff9b:1::10.0.0.1", Some(AddressKind::Embedded)),
        ("2002:7f00:1::", Some(AddressKind::Embedded)),
        ("2001:0:4136::1", Some(AddressKind::Embedded)),
        ("192.0.2.1", Some(AddressKind::Reserved)),
        ("198.18.0.1", Some(AddressKind::Reserved)),
        ("203.0.113.1", Some(AddressKind::Reserved)),
        ("240.0.0.1", Some(AddressKind::Reserved)),
        ("2001:db8::1", Some(AddressKind::Reserved)),
        ("2001:20::1", Some(AddressKind::Reserved)),
        ("100::1", Some(AddressKind::Reserved)),
        ("5f00::1", Some(AddressKind::Reserved)),
    ];

    fn policy(allow_private: bool, networks: &[&str]) -> AddressPolicy {
        let allowed_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        AddressPolicy { allow_private, allowed_networks }
    }

    #[test]
    fn attack_35_only_public_addresses_are_reached() {
        for (address, expected) in ADDRESSES {
            let found = policy(false, &[]).check(address.parse().unwrap()).err();
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn private_addresses_can_be_allowed_and_nothing_else_with_them() {
        for (address, kind) in ADDRESSES {
            let found = policy(true, &[]).check(address.parse().unwrap()).err();
            let expected = kind.filter(|kind| !kind.is_private());
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn networks_are_allowed_by_name() {
        let cases = [
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "12.0.0.0/8", true),
            ("10.1.2.3", "10.2.0.0/16", false),
            ("169.254.7.7", "169.254.0.0/16", true),
            ("169.254.169.254", "169.254.0.0/16", false),
            ("169.254.169.254", "0.0.0.0/0", false),
            ("169.254.169.254", "169.254.169.254/32", true),
            ("fd00:ec2::254", "fd00::/8", false),
            ("fd00:ec2::254", "fd00:ec2::254/128", true),
            ("::ffff:10.1.2.3", "10.0.0.0/8", false),
            ("64:ff9b::808:808", "64:ff9b::/96", true),
            ("64:ff9b::a01:203", "64:ff9b::/96", false),
            ("64:ff9b::a9fe:a9fe", "64:ff9b::/96", false),
        ];
        for (address, network, expected) in cases {
            let found = policy(false, &[network]).check(address.parse().unwrap());
            assert_eq!(found.is_ok(), expected, "{address} {network}");
        }
    }
}
