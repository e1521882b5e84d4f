//! Who has which address. A file per address, named by it and holding the sandbox's id, so that nothing is given twice after a
//! restart. Addresses come round in turn: one that was given back is used again as late as possible.
use crate::Error;
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

pub struct Addresses {
    dir: PathBuf,
    cidr: Ipv4Net,
    by_address: BTreeMap<Ipv4Addr, String>,
    by_sandbox: HashMap<String, Ipv4Addr>,
    last: Ipv4Addr,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |error| Error::Io { path: path.into(), error }
}

impl Addresses {
    pub fn load(dir: &Path, cidr: Ipv4Net) -> Result<Addresses, Error> {
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let mut addresses =
            Addresses { dir: dir.into(), cidr, by_address: BTreeMap::new(), by_sandbox: HashMap::new(), last: cidr.network() };
        for entry in fs::read_dir(dir).map_err(failed(dir))? {
            let path = entry.map_err(failed(dir))?.path();
            let address = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<Ipv4Addr>().ok());
            let Some(address) = address else { continue };
            let sandbox = fs::read_to_string(&path).map_err(failed(&path))?;
            addresses.note(address, sandbox);
        }
        Ok(addresses)
    }

    pub fn take(&mut self, sandbox: &str) -> Result<Ipv4Addr, Error> {
        if let Some(address) = self.by_sandbox.get(sandbox) {
            return Ok(*address);
        }
        let address = self.free().ok_or(Error::Exhausted(self.cidr))?;
        let path = self.dir.join(address.to_string());
        fs::write(&path, sandbox).map_err(failed(&path))?;
        self.note(address, sandbox.into());
        self.last = address;
        Ok(address)
    }

    pub fn give_back(&mut self, sandbox: &str) -> Result<(), Error> {
        let Some(address) = self.by_sandbox.remove(sandbox) else { return Ok(()) };
        self.by_address.remove(&address);
        let path = self.dir.join(address.to_string());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => Ok(()),
        }
    }

    pub fn all(&self) -> Vec<(String, Ipv4Addr)> {
        self.by_address.iter().map(|(address, sandbox)| (sandbox.clone(), *address)).collect()
    }

    fn note(&mut self, address: Ipv4Addr, sandbox: String) {
        self.by_sandbox.insert(sandbox.clone(), address);
        self.by_address.insert(address, sandbox);
    }

    /// The next free one behind the last that was given; the network's first is the bridge's own.
    fn free(&self) -> Option<Ipv4Addr> {
        let (first, end) = (u32::from(self.cidr.network()) + 2, u32::from(self.cidr.broadcast()));
        let start = (u32::from(self.last) + 1).max(first);
        (start..end).chain(first..start.min(end)).map(Ipv4Addr::from).find(|address| !self.by_address.contains_key(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn come_round_in_turn_and_survive() {
        let dir = tempfile::tempdir().unwrap();
        let cidr = "10.0.0.0/29".parse().unwrap();
        let mut addresses = Addresses::load(dir.path(), cidr).unwrap();
        let given: Vec<u8> = ["a", "b", "c", "d", "e"].iter().map(|pod| addresses.take(pod).unwrap().octets()[3]).collect();
        assert_eq!(given, [2, 3, 4, 5, 6]);
        assert!(matches!(addresses.take("f"), Err(Error::Exhausted(_))));
        addresses.give_back("b").unwrap();
        addresses.give_back("d").unwrap();
        assert_eq!(addresses.take("f").unwrap().octets()[3], 3);
        assert_eq!(addresses.take("g").unwrap().octets()[3], 5);
        let mut again = Addresses::load(dir.path(), cidr).unwrap();
        assert_eq!(again.take("g").unwrap().octets()[3], 5);
    }
}
