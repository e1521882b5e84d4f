//! The kernel's table of tracked connections: reading it and forgetting entries.
use crate::link::octets;
use crate::message::{ACK, DUMP, Message, attributes};
use crate::socket::{Error, Protocol, Socket};
use rustix::io::Errno;
use std::net::IpAddr;

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;

/// A tracked connection, as its first packet had it and as answers come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub protocol: u8,
    pub from: IpAddr,
    pub from_port: u16,
    pub to: IpAddr,
    pub to_port: u16,
    /// Where answers come from: the translated destination.
    pub answered_by: IpAddr,
    pub answered_port: u16,
}

pub struct Connections(Socket);

impl Connections {
    pub fn open() -> Result<Connections, Error> {
        Socket::open(Protocol::Netfilter).map(Connections)
    }

    /// All IPv4 connections.
    pub fn all(&mut self) -> Result<Vec<Connection>, Error> {
        let answers = self.0.dump("listing connections", Message::new(SUBSYSTEM << 8 | GET, DUMP, &[2, 0, 0, 0]))?;
        Ok(answers.iter().filter_map(|payload| connection(payload.get(4..)?)).collect())
    }

    /// Fine if it is gone.
    pub fn forget(&mut self, connection: &Connection) -> Result<(), Error> {
        let ip = |m: Message| m.attribute(1, &octets(connection.from)).attribute(2, &octets(connection.to));
        let ports = |m: Message| {
            let m = m.u8(1, connection.protocol);
            m.attribute(2, &connection.from_port.to_be_bytes()).attribute(3, &connection.to_port.to_be_bytes())
        };
        let message = Message::new(SUBSYSTEM << 8 | DELETE, ACK, &[2, 0, 0, 0]);
        let message = message.nested(TUPLE_ORIGINAL, |tuple| tuple.nested(TUPLE_IP, ip).nested(TUPLE_PROTO, ports));
        match self.0.acknowledge("forgetting a connection", message) {
            Err(error) if error.is(Errno::NOENT) => Ok(()),
            other => other,
        }
    }
}

struct Tuple {
    protocol: u8,
    from: IpAddr,
    to: IpAddr,
    from_port: u16,
    to_port: u16,
}

fn connection(payload: &[u8]) -> Option<Connection> {
    let all = attributes(payload);
    let tuple = |kind: u16| all.iter().find(|(own, _)| *own == kind).and_then(|(_, value)| tuple(value));
    let (original, reply) = (tuple(TUPLE_ORIGINAL)?, tuple(TUPLE_REPLY)?);
    Some(Connection {
        protocol: original.protocol,
        from: original.from,
        from_port: original.from_port,
        to: original.to,
        to_port: original.to_port,
        answered_by: reply.from,
        answered_port: reply.from_port,
    })
}

fn tuple(value: &[u8]) -> Option<Tuple> {
    let all = attributes(value);
    let part = |kind: u16| all.iter().find(|(own, _)| *own == kind).map(|(_, value)| attributes(value));
    let (ip, proto) = (part(TUPLE_IP)?, part(TUPLE_PROTO)?);
    let find = |from: &[(u16, &[u8])], kind: u16| from.iter().find(|(own, _)| *own == kind).map(|(_, value)| value.to_vec());
    let address = |kind: u16| find(&ip, kind).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(IpAddr::from);
    let port = |kind: u16| find(&proto, kind).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()).map_or(0, u16::from_be_bytes);
    let protocol = *find(&proto, 1)?.first()?;
    Some(Tuple { protocol, from: address(1)?, to: address(2)?, from_port: port(2), to_port: port(3) })
}
