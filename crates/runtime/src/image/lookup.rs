//! Names to addresses without the C library, which a static program cannot ask: /etc/hosts, then the servers of /etc/resolv.conf
//! over UDP. Only what a registry client needs: A records, no cache.
use crate::problem::{Doing, Outcome, Problem};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

const PATIENCE: Duration = Duration::from_secs(3);
const MESSAGE_LIMIT_BYTES: usize = 4096;
const RECORD_A: u16 = 1;

pub async fn addresses(host: &str) -> Outcome<Vec<IpAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    if let found @ [_, ..] = in_hosts(&std::fs::read_to_string("/etc/hosts").unwrap_or_default(), host).as_slice() {
        return Ok(found.to_vec());
    }
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
    let mut why = Problem::failed(format_args!("lookup {host}: no name server in /etc/resolv.conf"));
    for server in servers {
        match ask(SocketAddr::new(server, 53), host).await {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => return Err(Problem::failed(format_args!("lookup {host} on {server}: no such host"))),
            Err(problem) => why = problem,
        }
    }
    Err(why)
}

fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let named = lines.filter_map(|mut fields| {
        let address = fields.next()?.parse().ok()?;
        fields.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    });
    named.collect()
}

async fn ask(server: SocketAddr, host: &str) -> Outcome<Vec<IpAddr>> {
    let id = u16::from_be_bytes(crate::sys::random::<2>());
    let local: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(local).await.doing("ask for a name")?;
    socket.connect(server).await.doing("ask for a name")?;
    socket.send(&question(id, host)?).await.doing(format_args!("ask {server} for {host}"))?;
    let mut answer = vec![0; MESSAGE_LIMIT_BYTES];
    let hear = async {
        loop {
            let count = socket.recv(&mut answer).await.doing(format_args!("ask {server} for {host}"))?;
            if let Some(found) = parse(&answer[..count], id) {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(PATIENCE, hear).await.map_err(|_| Problem::failed(format_args!("lookup {host} on {server}: no answer in time")))?
}

fn question(id: u16, host: &str) -> Outcome<Vec<u8>> {
    let mut message = Vec::from(id.to_be_bytes());
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in host.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length));
        message.push(length.ok_or_else(|| Problem::invalid(format_args!("{host:?} is not a host name")))?);
        message.extend(label.bytes());
    }
    message.extend([0, 0, RECORD_A as u8, 0, 1]);
    Ok(message)
}

/// The addresses of an answer to question `id`; `None` when it is another's answer or broken.
fn parse(message: &[u8], id: u16) -> Option<Vec<IpAddr>> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    if word(0)? != id || message.get(2)? & 0x80 == 0 {
        return None;
    }
    let (questions, answers) = (word(4)?, word(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        at = skip_name(message, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        if let (RECORD_A, Ok(octets)) = (kind, <[u8; 4]>::try_from(data)) {
            found.push(IpAddr::V4(Ipv4Addr::from(octets)));
        }
        at += 10 + length;
    }
    Some(found)
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_answers() {
        assert_eq!(in_hosts("127.0.0.1 a b # c\n::1 b\n", "B"), ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        let mut message = question(7, "a.bc").unwrap();
        message[2] = 0x81;
        message[7] = 2;
        message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 1, 2, 3]);
        assert_eq!(parse(&message, 7).unwrap(), [IpAddr::from([10, 1, 2, 3])]);
        assert!(parse(&message, 8).is_none());
        assert!((0..message.len()).all(|length| parse(&message[..length], 7).is_none()));
        assert!(question(1, "a..b").is_err());
    }
}
