//! Ranges of addresses and ports, and how a free one is picked: from the upper part first, because the lower is for those who ask
//! for a certain one (KEP-3070, KEP-3668).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use stdx::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

/// A network without its first address and, for IPv4, its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpRange {
    text: String,
    v4: bool,
    first: u128,
    last: u128,
    /// The size of the whole network.
    size: u128,
}

impl PortRange {
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    pub fn pick(&self, random: &Random, free: impl Fn(u16) -> bool) -> Option<u16> {
        let size = u128::from(self.last - self.first) + 1;
        let lower = if size <= 16 { 0 } else { (size / 32).clamp(16, 128) };
        pick(self.first.into(), self.last.into(), lower, random, |port| free(port as u16)).map(|port| port as u16)
    }
}

impl IpRange {
    pub fn parse(cidr: &str) -> Result<IpRange, String> {
        let bad = || format!("{cidr:?} is not a network such as 10.96.0.0/12");
        let (address, bits) = cidr.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits: u32 = bits.parse().map_err(|_| bad())?;
        let (number, width) = match address {
            IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
            IpAddr::V6(ip) => (u128::from(ip), 128),
        };
        if bits > width || bits < 8 || width - bits > 64 {
            return Err(bad());
        }
        let size = 1u128 << (width - bits);
        let base = number & !(size - 1);
        let v4 = width == 32;
        let last = base + size - if v4 { 2 } else { 1 };
        let (first, last) = if size <= 2 { (base, base + size - 1) } else { (base + 1, last) };
        let network = if v4 { IpAddr::V4(Ipv4Addr::from(base as u32)) } else { IpAddr::V6(Ipv6Addr::from(base)) };
        Ok(IpRange { text: format!("{network}/{bits}"), v4, first, last, size })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn family(&self) -> &'static str {
        if self.v4 { "IPv4" } else { "IPv6" }
    }

    pub fn is_of_family(&self, ip: &IpAddr) -> bool {
        ip.is_ipv4() == self.v4
    }

    pub fn contains(&self, ip: &IpAddr) -> bool {
        self.is_of_family(ip) && (self.first..=self.last).contains(&number(ip))
    }

    /// The first usable address: the `kubernetes` service's.
    pub fn first(&self) -> IpAddr {
        self.address(self.first)
    }

    pub fn pick(&self, random: &Random, free: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
        let lower = if self.size <= 16 { 0 } else { (self.size / 16).clamp(16, 256) };
        let lower = lower.min(self.last - self.first);
        pick(self.first, self.last, lower, random, |number| free(&self.address(number))).map(|number| self.address(number))
    }

    fn address(&self, number: u128) -> IpAddr {
        if self.v4 { IpAddr::V4(Ipv4Addr::from(number as u32)) } else { IpAddr::V6(Ipv6Addr::from(number)) }
    }
}

fn number(ip: &IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(*ip).into(),
        IpAddr::V6(ip) => u128::from(*ip),
    }
}

/// A free number: from a random start around the upper part, then around the lower `lower` numbers.
fn pick(first: u128, last: u128, lower: u128, random: &Random, free: impl Fn(u128) -> bool) -> Option<u128> {
    let around = |from: u128, to: u128| {
        if from > to {
            return None;
        }
        let size = to - from + 1;
        let start = u128::from(random.u64(..)) % size;
        (0..size).map(|step| from + (start + step) % size).find(|number| free(*number))
    };
    around(first + lower, last).or_else(|| around(first, (first + lower).saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_addresses_leave_out_the_ends() {
        let range = IpRange::parse("10.96.3.1/24").unwrap();
        assert_eq!((range.text(), range.first().to_string()), ("10.96.3.0/24", "10.96.3.1".to_string()));
        let inside = |ip: &str| range.contains(&ip.parse().unwrap());
        assert!(inside("10.96.3.254") && !inside("10.96.3.255") && !inside("10.96.3.0") && !inside("fd00::1"));
        assert!(IpRange::parse("10.96.3.1").is_err() && IpRange::parse("10.96.3.1/33").is_err() && IpRange::parse("fd00::/48").is_err());
    }

    #[test]
    fn the_upper_part_is_used_up_first_then_the_lower_then_nothing() {
        let range = IpRange::parse("10.0.0.0/26").unwrap();
        let random = Random::seeded(1);
        let mut taken: Vec<IpAddr> = Vec::new();
        while let Some(ip) = range.pick(&random, |ip| !taken.contains(ip)) {
            taken.push(ip);
        }
        assert_eq!(taken.len(), 62);
        let last = |ip: &IpAddr| number(ip) as u8;
        assert!(taken[..46].iter().all(|ip| last(ip) > 16) && taken[46..].iter().all(|ip| last(ip) <= 16));
    }
}
