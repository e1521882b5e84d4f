//! The expressions that rules are made of. Registers are the 32-bit ones, numbered from 0; a concatenated key is a run of them.
use super::Verdict;
use crate::message::Message;

#[derive(Clone, Debug)]
pub enum Expr {
    /// Source address of the packet (IPv4) into a register.
    SourceAddress(u32),
    DestinationAddress(u32),
    /// Transport protocol, as one byte.
    Protocol(u32),
    DestinationPort(u32),
    Mark(u32),
    SetMark(u32),
    /// `register & mask | or`: (from, to, mask, or)
    Bits(u32, u32, u32, u32),
    /// `ct status`, `ct state` bits.
    ConnectionStatus(u32),
    ConnectionState(u32),
    /// What kind of address the destination is for this machine.
    DestinationType(u32),
    Equal(u32, Vec<u8>),
    Different(u32, Vec<u8>),
    /// In a set, or (with a second register) what a map has for it; goes on only if it is there.
    Lookup {
        set: String,
        key: u32,
        into: Option<u32>,
    },
    NotIn {
        set: String,
        key: u32,
    },
    /// What the map says is to be done; goes on if the key is not there.
    LookupVerdict {
        map: String,
        key: u32,
    },
    Value(u32, Vec<u8>),
    /// A random number below `modulus`, in the machine's order.
    Random {
        into: u32,
        modulus: u32,
    },
    /// Remembers data for a key for so many milliseconds, again from now.
    Remember {
        map: String,
        key: u32,
        data: u32,
        timeout_ms: u64,
    },
    DestinationNat {
        address: u32,
        port: u32,
    },
    Masquerade,
    /// ICMP port unreachable.
    RejectUnreachable,
    RejectReset,
    Do(Verdict),
}

/// Kernel numbers of the 32-bit registers begin here.
const FIRST: u32 = 8;

fn reg(number: u32) -> u32 {
    FIRST + number
}

impl Expr {
    pub(super) fn put(&self, message: Message) -> Message {
        let expr = |name: &str, data: &dyn Fn(Message) -> Message| message.text(1, name).nested(2, data);
        match self {
            Expr::SourceAddress(to) => expr("payload", &|m| payload(m, *to, 1, 12, 4)),
            Expr::DestinationAddress(to) => expr("payload", &|m| payload(m, *to, 1, 16, 4)),
            Expr::DestinationPort(to) => expr("payload", &|m| payload(m, *to, 2, 2, 2)),
            Expr::Protocol(to) => expr("meta", &|m| m.be32(1, reg(*to)).be32(2, 16)),
            Expr::Mark(to) => expr("meta", &|m| m.be32(1, reg(*to)).be32(2, 3)),
            Expr::SetMark(from) => expr("meta", &|m| m.be32(2, 3).be32(3, reg(*from))),
            Expr::Bits(from, to, mask, or) => expr("bitwise", &|m| bits(m, *from, *to, *mask, *or)),
            Expr::ConnectionState(to) => expr("ct", &|m| m.be32(1, reg(*to)).be32(2, 0)),
            Expr::ConnectionStatus(to) => expr("ct", &|m| m.be32(1, reg(*to)).be32(2, 2)),
            Expr::DestinationType(to) => expr("fib", &|m| m.be32(1, reg(*to)).be32(2, 3).be32(3, 2)),
            Expr::Equal(from, value) => expr("cmp", &|m| compare(m, *from, 0, value)),
            Expr::Different(from, value) => expr("cmp", &|m| compare(m, *from, 1, value)),
            Expr::Lookup { set, key, into: None } => expr("lookup", &|m| m.text(1, set).be32(2, reg(*key))),
            Expr::Lookup { set, key, into: Some(to) } => expr("lookup", &|m| m.text(1, set).be32(2, reg(*key)).be32(3, reg(*to))),
            Expr::NotIn { set, key } => expr("lookup", &|m| m.text(1, set).be32(2, reg(*key)).be32(5, 1)),
            Expr::LookupVerdict { map, key } => expr("lookup", &|m| m.text(1, map).be32(2, reg(*key)).be32(3, 0)),
            Expr::Value(to, value) => expr("immediate", &|m| m.be32(1, reg(*to)).nested(2, |data| data.attribute(1, value))),
            Expr::Random { into, modulus } => expr("numgen", &|m| m.be32(1, reg(*into)).be32(2, *modulus).be32(3, 1)),
            Expr::Remember { map, key, data, timeout_ms } => {
                expr("dynset", &|m| m.text(1, map).be32(3, 1).be32(4, reg(*key)).be32(5, reg(*data)).be64(6, *timeout_ms))
            }
            Expr::DestinationNat { address, port } => expr("nat", &|m| m.be32(1, 1).be32(2, 2).be32(3, reg(*address)).be32(5, reg(*port))),
            Expr::Masquerade => expr("masq", &|m| m),
            Expr::RejectUnreachable => expr("reject", &|m| m.be32(1, 0).u8(2, 3)),
            Expr::RejectReset => expr("reject", &|m| m.be32(1, 1).u8(2, 0)),
            Expr::Do(verdict) => expr("immediate", &|m| m.be32(1, 0).nested(2, |data| verdict.put(data))),
        }
    }
}

fn payload(message: Message, to: u32, base: u32, offset: u32, length: u32) -> Message {
    message.be32(1, reg(to)).be32(2, base).be32(3, offset).be32(4, length)
}

fn bits(message: Message, from: u32, to: u32, mask: u32, or: u32) -> Message {
    let value = |number: u32| move |data: Message| data.attribute(1, &number.to_ne_bytes());
    let keep = mask & !or;
    message.be32(1, reg(from)).be32(2, reg(to)).be32(3, 4).nested(4, value(keep)).nested(5, value(or))
}

fn compare(message: Message, from: u32, op: u32, value: &[u8]) -> Message {
    message.be32(1, reg(from)).be32(2, op).nested(3, |data| data.attribute(1, value))
}
