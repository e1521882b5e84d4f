//! Text forms that single kinds use, beyond those of names and labels: addresses, paths, environment names, keys.
use machinery::content;
use machinery::errors::Errors;
use std::net::{IpAddr, Ipv4Addr};

const KEY_MAX_BYTES: usize = 253;
const ID_MAX: i64 = i32::MAX as i64;

/// An address in the tolerant reading that old fields allow, octets with leading zeros included.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let octets: Vec<&str> = text.split('.').collect();
    let plain = |octet: &&str| !octet.is_empty() && octet.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Vec<u8> = octets.iter().filter(|octet| plain(octet)).filter_map(|octet| octet.parse().ok()).collect();
    <[u8; 4]>::try_from(numbers).ok().filter(|_| octets.len() == 4).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// Checks an address.
pub fn ip(errors: &mut Errors, field: &str, value: &str) -> Option<IpAddr> {
    let Some(address) = parse_ip(value) else {
        errors.invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return None;
    };
    match value.parse::<IpAddr>() {
        Err(_) => errors.invalid(field, value, "must not have leading 0s"),
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            errors.invalid(field, value, "must not be an IPv4-mapped IPv6 address");
        }
        Ok(_) => {}
    }
    Some(address)
}

/// A network in the tolerant reading: address and length of the prefix.
pub fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address = parse_ip(address)?;
    let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u8 = length.parse().ok().filter(|_| plain)?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    (length <= max).then_some((address, length))
}

/// Checks a network.
pub fn cidr(errors: &mut Errors, field: &str, value: &str) -> Option<(IpAddr, u8)> {
    let Some((address, length)) = parse_cidr(value) else {
        errors.invalid(field, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        return None;
    };
    let (host, bits) = value.split_once('/').unwrap_or_default();
    if host.parse::<IpAddr>().is_err() || (bits.len() > 1 && bits.starts_with('0')) {
        errors.invalid(field, value, "must not have leading 0s in IP or prefix length");
    } else if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        errors.invalid(field, value, "must not have an IPv4-mapped IPv6 address");
    } else if masked(address, length) != address {
        errors.invalid(field, value, "must not have bits set beyond the prefix length");
    }
    Some((address, length))
}

/// The address with all bits beyond the prefix cleared.
pub fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)).into()),
    }
}

/// Refuses `..` as a part of a path.
pub fn no_backsteps(errors: &mut Errors, field: &str, path: &str) {
    if path.split('/').any(|part| part == "..") {
        errors.invalid(field, path, "must not contain '..'");
    }
}

/// A relative path that stays below where it starts.
pub fn descending_path(errors: &mut Errors, field: &str, path: &str) {
    if path.starts_with('/') {
        errors.invalid(field, path, "must be a relative path");
    }
    no_backsteps(errors, field, path);
}

/// The same, not beginning with `..` either, which atomic writers use for themselves.
pub fn local_path(errors: &mut Errors, field: &str, path: &str) {
    descending_path(errors, field, path);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.invalid(field, path, "must not start with '..'");
    }
}

/// The name of an environment variable.
pub fn env_name(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec!["environment variable name must be non-empty".into()];
    }
    if name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".into()]
}

/// A key of a ConfigMap or Secret.
pub fn config_key(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if key.len() > KEY_MAX_BYTES {
        problems.push(format!("must be no more than {KEY_MAX_BYTES} characters"));
    }
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        problems.push(content::form(message, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match key {
        "." => problems.push("must not be '.'".into()),
        ".." => problems.push("must not be '..'".into()),
        key if key.starts_with("..") => problems.push("must not start with '..'".into()),
        _ => {}
    }
    problems
}

pub fn http_header(name: &str) -> Vec<String> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Vec::new();
    }
    let message = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![content::form(message, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// A user's or group's number.
pub fn id(errors: &mut Errors, field: &str, value: Option<i64>) {
    if let Some(value) = value.filter(|value| !(0..=ID_MAX).contains(value)) {
        errors.invalid(field, value, &format!("must be between 0 and {ID_MAX}, inclusive"));
    }
}

/// A search domain of a resolver: a subdomain whose parts may have underscores.
pub fn subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > KEY_MAX_BYTES {
        problems.push(content::too_long(KEY_MAX_BYTES));
    }
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = |byte: Option<&u8>| byte.is_some_and(|byte| plain(byte) || *byte == b'_');
        ends(bytes.first()) && bytes.last().is_some_and(plain) && bytes.iter().all(|byte| plain(byte) || b"-_".contains(byte))
    };
    if !value.split('.').all(part) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', \
                       and must start and end with an alphanumeric character";
        let regex = r"[a-z0-9_]([-_a-z0-9]*[a-z0-9])?(\.[a-z0-9_]([-_a-z0-9]*[a-z0-9])?)*";
        problems.push(content::form(message, regex, &["example.com"]));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_as_old_fields_allow() {
        assert_eq!(parse_ip("010.1.2.003"), Some("10.1.2.3".parse().unwrap()));
        assert_eq!(parse_ip("1.2.3"), None);
        assert_eq!(parse_ip("1.2.3.4.x"), None);
        assert_eq!(parse_cidr("10.0.0.0/33"), None);
        assert_eq!(masked("10.1.2.3".parse().unwrap(), 0), "0.0.0.0".parse::<IpAddr>().unwrap());
        let told = |value| {
            let mut errors = Errors::default();
            cidr(&mut errors, "", value);
            errors.causes().first().map(|cause| cause.message.clone())
        };
        assert_eq!(told("10.0.0.0/8"), None);
        assert_eq!(told("10.0.0.1/8").unwrap(), "Invalid value: \"10.0.0.1/8\": must not have bits set beyond the prefix length");
    }

    #[test]
    fn keys_and_environment_names() {
        assert!(config_key("a.b-C_1").is_empty() && env_name("a b:c").is_empty());
        assert_eq!(config_key("..a"), ["must not start with '..'"]);
        assert_eq!(env_name("a=b").len(), 1);
    }
}
