//! Questions about the rest of the world: asked of the host's resolvers in their order, answers kept as long as they say.
use hickory_proto::op::{Message, Query, ResponseCode};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

/// So many answers are kept.
const MAX_KEPT: usize = 10_000;
/// Nothing is kept longer than this.
const MAX_TTL_S: u32 = 30;
const NEGATIVE_TTL_S: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ANSWER_BYTES: usize = 65_535;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no resolver is configured")]
    NoResolver,
    #[error("no resolver answered: {0}")]
    Unanswered(String),
}

pub struct Forwarder {
    resolvers: Vec<SocketAddr>,
    kept: Mutex<HashMap<Query, (Instant, Message)>>,
}

impl Forwarder {
    pub fn new(resolvers: Vec<SocketAddr>) -> Forwarder {
        Forwarder { resolvers, kept: Mutex::default() }
    }

    /// The `nameserver` lines of a resolv.conf; `own` addresses are left out, they would ask in a circle.
    pub fn from_resolv_conf(path: &Path, own: &[IpAddr]) -> Forwarder {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let address = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
        let others = text.lines().filter_map(address).filter(|address| !own.contains(address));
        Forwarder::new(others.map(|address| SocketAddr::new(address, 53)).collect())
    }

    /// The answer to one question; its id is not set.
    pub async fn ask(&self, query: &Query, over_tcp: bool) -> Result<Message, Error> {
        if let Some(answer) = self.kept(query) {
            return Ok(answer);
        }
        let mut request = Message::query();
        request.metadata.recursion_desired = true;
        request.add_query(query.clone());
        let mut failure = Error::NoResolver;
        for resolver in &self.resolvers {
            match tokio::time::timeout(TIMEOUT, exchange(*resolver, &request, over_tcp)).await {
                Ok(Ok(answer)) => return Ok(self.keep(query, answer)),
                Ok(Err(error)) => failure = Error::Unanswered(format!("{resolver}: {error}")),
                Err(_) => failure = Error::Unanswered(format!("{resolver}: no answer within {} s", TIMEOUT.as_secs())),
            }
        }
        Err(failure)
    }

    fn kept(&self, query: &Query) -> Option<Message> {
        let kept = self.kept.lock();
        kept.get(query).filter(|(until, _)| *until > Instant::now()).map(|(_, answer)| answer.clone())
    }

    fn keep(&self, query: &Query, answer: Message) -> Message {
        let ttl = answer.answers.iter().map(|record| record.ttl).min().unwrap_or(NEGATIVE_TTL_S).min(MAX_TTL_S);
        let final_answer = matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        if ttl > 0 && final_answer && !answer.metadata.truncation {
            let mut kept = self.kept.lock();
            if kept.len() >= MAX_KEPT {
                let now = Instant::now();
                kept.retain(|_, (until, _)| *until > now);
            }
            if kept.len() < MAX_KEPT {
                kept.insert(query.clone(), (Instant::now() + Duration::from_secs(ttl.into()), answer.clone()));
            }
        }
        answer
    }
}

async fn exchange(resolver: SocketAddr, request: &Message, over_tcp: bool) -> std::io::Result<Message> {
    let bytes = request.to_vec().map_err(std::io::Error::other)?;
    let answer = if over_tcp { over_stream(resolver, &bytes).await? } else { over_datagram(resolver, &bytes).await? };
    let answer = Message::from_vec(&answer).map_err(std::io::Error::other)?;
    let same = answer.metadata.id == request.metadata.id && answer.queries == request.queries;
    if same { Ok(answer) } else { Err(std::io::Error::other("the answer is to another question")) }
}

async fn over_datagram(resolver: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(request).await?;
    let mut buffer = vec![0; 4096];
    let count = socket.recv(&mut buffer).await?;
    buffer.truncate(count);
    Ok(buffer)
}

async fn over_stream(resolver: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    stream.write_all(&(request.len() as u16).to_be_bytes()).await?;
    stream.write_all(request).await?;
    let length = usize::from(stream.read_u16().await?).min(MAX_ANSWER_BYTES);
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
