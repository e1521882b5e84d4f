//! For tests of the crates above: network namespaces that go with the test.
use crate::in_namespace;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A network namespace with a name of its own.
pub struct Namespace(String);

impl Namespace {
    pub fn new(name: &str) -> Namespace {
        let name = format!("coxtest-{name}-{}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Namespace(name)
    }

    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    pub fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        in_namespace(&self.path(), work).expect("the test's namespace is there")
    }

    /// `ip …` inside.
    pub fn ip(&self, arguments: &str) {
        let arguments: Vec<&str> = ["-n", &self.0].into_iter().chain(arguments.split(' ')).collect();
        run("ip", &arguments);
    }

    /// Answers every TCP connection with `answer` and the caller's address.
    pub fn serve(&self, address: &str, answer: &str) {
        let (address, answer) = (address.to_string(), answer.to_string());
        let listener = self.inside(|| TcpListener::bind(&address).expect("the address is free"));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
                let _ = stream.read(&mut [0; 1]).and_then(|_| stream.write_all(format!("{answer}{peer}").as_bytes()));
            }
        });
    }

    /// What a server at the address answers.
    pub fn ask(&self, address: &str) -> std::io::Result<String> {
        self.inside(|| {
            let mut stream = TcpStream::connect_timeout(&address.parse().expect("an address with a port"), Duration::from_secs(2))?;
            stream.write_all(b"?")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?} failed");
}
