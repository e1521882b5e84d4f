//! Taking ports, and telling who has one that is taken.
use crate::failure::Failure;
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// A listener, or a failure that names the port and its holder.
pub fn listen(address: SocketAddr, what: &str) -> Result<std::net::TcpListener, Failure> {
    let listener = std::net::TcpListener::bind(address).map_err(|error| {
        let holder = match error.kind() {
            std::io::ErrorKind::AddrInUse => holder(address.port()).map_or("by another program".into(), |holder| format!("by {holder}")),
            _ => return Failure(format!("{what} cannot listen on {address}: {error}")),
        };
        Failure(format!("{what} cannot listen on port {}: it is taken {holder}", address.port()))
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// `process 4711 (nginx)`, where the kernel lets us see it.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        if descriptors.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.to_string_lossy() == wanted)) {
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {pid} ({})", program.trim()));
        }
    }
    None
}

/// Lines are `sl local_address rem_address st … inode`; state 0A listens.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    let suffix = format!(":{port:04X}");
    let line = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    line.into_iter()
        .find(|fields| fields.len() > 9 && fields[1].ends_with(&suffix) && fields[3] == "0A")
        .map(|fields| fields[9].to_string())
}

pub fn address(ip: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_holder() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let failure = listen(address, "the API server").unwrap_err().0;
        assert!(failure.contains(&format!("port {}", address.port())), "{failure}");
        assert!(failure.contains(&format!("process {}", std::process::id())), "{failure}");
    }
}
