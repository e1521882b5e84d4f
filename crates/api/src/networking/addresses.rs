//! IP addresses and ranges in objects.
use machinery::errors::Errors;
use std::net::IpAddr;

/// The address, or a complaint.
pub fn ip(errors: &mut Errors, field: &str, text: &str) -> Option<IpAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        errors.invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
    address
}

/// Address and prefix length, or a complaint.
pub fn cidr(errors: &mut Errors, field: &str, text: &str) -> Option<(IpAddr, u8)> {
    let read = || {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let length = length.parse::<u8>().ok().filter(|length| *length <= if address.is_ipv4() { 32 } else { 128 })?;
        Some((address, length))
    };
    let range = read();
    if range.is_none() {
        errors.invalid(field, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
    range
}

/// Is the second range a smaller part of the first?
pub fn is_strict_part((outer, outer_length): (IpAddr, u8), (inner, inner_length): (IpAddr, u8)) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(outer_length)).unwrap_or(0);
    outer.is_ipv4() == inner.is_ipv4() && outer_length < inner_length && bits(outer) & mask == bits(inner) & mask
}

/// An address behind which something can answer others.
pub fn endpoint(errors: &mut Errors, field: &str, address: IpAddr) {
    let text = address.to_string();
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(address) => (address.is_link_local(), address.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(address) => (address.is_unicast_link_local(), address.segments()[0] & 0xff0f == 0xff02),
    };
    let mut refuse = |wrong: bool, why: &str| {
        if wrong {
            errors.invalid(field, &text, why);
        }
    };
    refuse(address.is_unspecified(), &format!("may not be unspecified ({text})"));
    refuse(address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    refuse(link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    refuse(link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}
