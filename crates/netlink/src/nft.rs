//! nftables over netlink: one batch is one atomic change. Tables, chains, rules of raw expressions, sets, maps and their elements.
use crate::message::{ACK, APPEND, CREATE, Message};
use crate::socket::{Error, Protocol, Socket, code, refused};
use rustix::io::Errno;

pub mod expr;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const ERROR: u16 = 2;

const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const DELCHAIN: u16 = 5;
const NEWRULE: u16 = 6;
const DELRULE: u16 = 8;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;

pub const MAP: u32 = 0x8;
pub const TIMEOUT: u32 = 0x10;
/// The rules themselves put elements in.
pub const EVAL: u32 = 0x20;
/// The data type of maps to verdicts.
pub const VERDICT: u32 = 0xffff_ff00;

/// So many elements go into one message: its attribute has a 16-bit length.
const ELEMENTS: usize = 400;

/// Types of set keys, as `nft list` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Ipv4,
    Proto,
    Port,
    Number,
}

impl Type {
    fn id(self) -> u32 {
        match self {
            Type::Ipv4 => 7,
            Type::Proto => 12,
            Type::Port => 13,
            Type::Number => 4,
        }
    }
}

/// Several types as one key; every part takes four bytes.
fn concatenation(types: &[Type]) -> (u32, u32) {
    (types.iter().fold(0, |id, part| id << 6 | part.id()), 4 * types.len() as u32)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

impl Verdict {
    fn put(&self, message: Message) -> Message {
        let (code, chain): (i32, Option<&str>) = match self {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Return => (-5, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
        };
        message.nested(2, |verdict| {
            let verdict = verdict.be32(1, code as u32);
            match chain {
                Some(chain) => verdict.text(2, chain),
                None => verdict,
            }
        })
    }
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    None,
    Verdict(Verdict),
    Value(Vec<u8>),
}

pub type Element = (Vec<u8>, Data);

/// A change to one table, gathered and then sent whole.
pub struct Batch<'a> {
    family: u8,
    table: &'a str,
    messages: Vec<Message>,
}

impl<'a> Batch<'a> {
    pub fn ipv4(table: &'a str) -> Batch<'a> {
        Batch { family: 2, table, messages: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn message(&self, kind: u16, flags: u16) -> Message {
        Message::new(SUBSYSTEM << 8 | kind, flags, &[self.family, 0, 0, 0]).text(1, self.table)
    }

    pub fn add_table(&mut self) {
        self.messages.push(self.message(NEWTABLE, CREATE));
    }

    /// Fails when the table is not there: add it first in the same batch.
    pub fn delete_table(&mut self) {
        self.messages.push(self.message(DELTABLE, 0));
    }

    pub fn add_chain(&mut self, name: &str) {
        self.messages.push(self.message(NEWCHAIN, CREATE).text(3, name));
    }

    pub fn add_base_chain(&mut self, name: &str, kind: &str, hook: Hook, priority: i32) {
        let message = self.message(NEWCHAIN, CREATE).text(3, name);
        let message = message.nested(4, |at| at.be32(1, hook as u32).be32(2, priority as u32));
        self.messages.push(message.text(7, kind));
    }

    pub fn delete_chain(&mut self, name: &str) {
        self.messages.push(self.message(DELCHAIN, 0).text(3, name));
    }

    /// Takes all rules out of a chain.
    pub fn flush_chain(&mut self, name: &str) {
        self.messages.push(self.message(DELRULE, 0).text(2, name));
    }

    pub fn add_rule(&mut self, chain: &str, expressions: &[expr::Expr]) {
        let message = self.message(NEWRULE, CREATE | APPEND).text(2, chain);
        let put = |list: Message| expressions.iter().fold(list, |list, expr| list.nested(1, |one| expr.put(one)));
        self.messages.push(message.nested(4, put));
    }

    /// A set of keys.
    pub fn add_set(&mut self, name: &str, key: &[Type]) {
        let (id, length) = concatenation(key);
        self.set(name, |message| message.be32(3, 0).be32(4, id).be32(5, length));
    }

    /// A map from keys to verdicts.
    pub fn add_verdict_map(&mut self, name: &str, key: &[Type]) {
        let (id, length) = concatenation(key);
        self.set(name, |message| message.be32(3, MAP).be32(4, id).be32(5, length).be32(6, VERDICT).be32(7, 0));
    }

    /// A map from keys to values; `flags` besides `MAP`.
    pub fn add_map(&mut self, name: &str, key: &[Type], value: &[Type], flags: u32) {
        let ((id, length), (data, data_length)) = (concatenation(key), concatenation(value));
        self.set(name, |message| message.be32(3, MAP | flags).be32(4, id).be32(5, length).be32(6, data).be32(7, data_length));
    }

    fn set(&mut self, name: &str, describe: impl FnOnce(Message) -> Message) {
        let id = self.messages.len() as u32 + 1;
        let message = describe(self.message(NEWSET, CREATE).text(2, name)).be32(10, id);
        self.messages.push(message);
    }

    pub fn add_elements(&mut self, set: &str, elements: &[Element]) {
        self.elements(NEWSETELEM, CREATE, set, elements);
    }

    /// Fails when one of them is not there.
    pub fn delete_elements(&mut self, set: &str, elements: &[Element]) {
        self.elements(DELSETELEM, 0, set, elements);
    }

    fn elements(&mut self, kind: u16, flags: u16, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS) {
            let put = |list: Message| chunk.iter().fold(list, |list, element| list.nested(1, |one| put_element(one, element)));
            self.messages.push(self.message(kind, flags).text(2, set).nested(3, put));
        }
    }

    /// All of it happens, or none of it.
    pub fn send(self, socket: &mut Socket) -> Result<(), Error> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let frame = |kind| Message::new(kind, 0, &[0, 0, 0, SUBSYSTEM as u8]);
        let mut all = vec![frame(BATCH_BEGIN)];
        all.extend(self.messages);
        let last = all.len() - 1;
        all[last] = all[last].clone().with_flags(ACK);
        all.push(frame(BATCH_END));
        let first = socket.send(all)?;
        let (mut failure, last) = (0, first + last as u32);
        socket.receive(|message| {
            if message.kind == ERROR && failure == 0 {
                failure = code(message.payload);
            }
            message.kind == ERROR && message.sequence == last
        })?;
        refused("a change to the packet rules", failure)
    }
}

fn put_element(message: Message, (key, data): &Element) -> Message {
    let message = message.nested(1, |data| data.attribute(1, key));
    match data {
        Data::None => message,
        Data::Verdict(verdict) => message.nested(2, |data| verdict.put(data)),
        Data::Value(value) => message.nested(2, |data| data.attribute(1, value)),
    }
}

pub fn open() -> Result<Socket, Error> {
    Socket::open(Protocol::Netfilter)
}

/// Removes a table with all that is in it; fine if it is not there.
pub fn remove_table(socket: &mut Socket, table: &str) -> Result<(), Error> {
    let mut batch = Batch::ipv4(table);
    batch.delete_table();
    match batch.send(socket) {
        Err(error) if error.is(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
