//! The server: UDP and TCP on one address. A question that cannot be read is dropped; nobody's slowness holds up another.
use crate::forward::Forwarder;
use crate::records::{Caches, Records};
use crate::zone::{Answer, Zone};
use client::Informers;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

/// Questions to resolvers under way at once; more wait for nobody and are refused.
const MAX_FORWARDED: usize = 1_000;
const MAX_CONNECTIONS: usize = 500;
const IDLE: Duration = Duration::from_secs(10);
const PLAIN_UDP_BYTES: usize = 512;
const MAX_UDP_BYTES: u16 = 1232;
/// External names that lead to external names are followed so far.
const MAX_CHAIN: usize = 8;

pub struct Config {
    pub listen: SocketAddr,
    /// `cluster.local`
    pub domain: String,
    pub forwarder: Forwarder,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the cluster domain {0:?} is not a domain name")]
    Domain(String),
    #[error("DNS cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
}

/// The running server; ends when dropped.
pub struct Server {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    caches: Arc<Caches>,
}

impl Server {
    pub async fn start(config: Config, informers: &Informers) -> Result<Server, Error> {
        let mut domain = Name::from_ascii(&config.domain).map_err(|_| Error::Domain(config.domain.clone()))?;
        domain.set_fqdn(true);
        let failed = |error| Error::Listen { address: config.listen, error };
        let udp = Arc::new(UdpSocket::bind(config.listen).await.map_err(failed)?);
        let tcp = TcpListener::bind(config.listen).await.map_err(failed)?;
        let caches = Arc::new(Caches::new(informers));
        let answerer = Arc::new(Answerer {
            zone: Zone { domain },
            records: caches.clone(),
            forwarder: config.forwarder,
            forwarded: Arc::new(Semaphore::new(MAX_FORWARDED)),
        });
        let tasks = vec![tokio::spawn(serve_udp(udp, answerer.clone())), tokio::spawn(serve_tcp(tcp, answerer))];
        Ok(Server { tasks, caches })
    }

    /// Waits until it knows what the API server had at the start.
    pub async fn synced(&self) {
        self.caches.synced().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|task| task.abort());
    }
}

struct Answerer {
    zone: Zone,
    records: Arc<Caches>,
    forwarder: Forwarder,
    forwarded: Arc<Semaphore>,
}

impl Answerer {
    /// The answer from memory, or what has to be asked elsewhere before.
    fn now(&self, request: &Message) -> Result<Message, Query> {
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata.recursion_desired = request.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.add_queries(request.queries.iter().cloned());
        let query = match request.queries.as_slice() {
            [query] if request.metadata.op_code == OpCode::Query => query,
            _ => {
                response.metadata.response_code = ResponseCode::NotImp;
                return Ok(response);
            }
        };
        response.metadata.authoritative = true;
        match self.zone.answer(&*self.records as &dyn Records, &query.name, query.query_type) {
            Answer::NotOurs | Answer::Elsewhere(..) => return Err(query.clone()),
            Answer::Found(records) if records.is_empty() => drop(response.add_authority(self.zone.authority())),
            Answer::Found(records) => drop(response.add_answers(records)),
            Answer::NoSuchName => {
                response.metadata.response_code = ResponseCode::NXDomain;
                response.add_authority(self.zone.authority());
            }
        }
        Ok(response)
    }

    /// The answer to a question that needs the resolvers.
    async fn later(&self, request: &Message, query: Query, over_tcp: bool) -> Message {
        let mut response = Message::response(request.metadata.id, OpCode::Query);
        response.metadata.recursion_desired = request.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        response.add_queries(request.queries.iter().cloned());
        let mut name = query.name.clone();
        for _ in 0..MAX_CHAIN {
            match self.zone.answer(&*self.records as &dyn Records, &name, query.query_type) {
                Answer::Elsewhere(record, target) => {
                    response.add_answer(record);
                    name = target;
                }
                Answer::Found(records) => {
                    response.add_answers(records);
                    return response;
                }
                Answer::NoSuchName => return response,
                Answer::NotOurs => {
                    self.forward(&mut response, &name, query.query_type, over_tcp).await;
                    return response;
                }
            }
        }
        response
    }

    async fn forward(&self, response: &mut Message, name: &Name, wanted: RecordType, over_tcp: bool) {
        if wanted == RecordType::CNAME && !response.answers.is_empty() {
            return;
        }
        match self.forwarder.ask(&Query::query(name.clone(), wanted), over_tcp).await {
            Ok(answer) => {
                let known: Vec<Record> = std::mem::take(&mut response.answers);
                response.metadata.response_code = if known.is_empty() { answer.metadata.response_code } else { ResponseCode::NoError };
                response.metadata.truncation = answer.metadata.truncation;
                response.add_answers(known.into_iter().chain(answer.answers));
                response.add_authorities(answer.authorities);
            }
            Err(error) => {
                tracing::debug!(%name, %error, "a question could not be forwarded");
                if response.answers.is_empty() {
                    response.metadata.response_code = ResponseCode::ServFail;
                }
            }
        }
    }
}

fn read(bytes: &[u8]) -> Option<Message> {
    Message::from_vec(bytes).ok().filter(|message| message.metadata.message_type == MessageType::Query)
}

async fn serve_udp(socket: Arc<UdpSocket>, answerer: Arc<Answerer>) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((count, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(request) = read(&buffer[..count]) else { continue };
        match answerer.now(&request) {
            Ok(response) => send(&socket, &request, response, peer).await,
            Err(query) => {
                let Ok(permit) = answerer.forwarded.clone().try_acquire_owned() else { continue };
                let (socket, answerer) = (socket.clone(), answerer.clone());
                tokio::spawn(async move {
                    let response = answerer.later(&request, query, false).await;
                    send(&socket, &request, response, peer).await;
                    drop(permit);
                });
            }
        }
    }
}

/// What does not fit is cut, and the client asks again over TCP.
async fn send(socket: &UdpSocket, request: &Message, mut response: Message, peer: SocketAddr) {
    let room = request.edns.as_ref().map_or(PLAIN_UDP_BYTES, |edns| usize::from(edns.max_payload().clamp(512, MAX_UDP_BYTES)));
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP_BYTES);
        response.set_edns(edns);
    }
    let Ok(mut bytes) = response.to_vec() else { return };
    if bytes.len() > room {
        let Ok(cut) = response.truncate().to_vec() else { return };
        bytes = cut;
    }
    let _ = socket.send_to(&bytes, peer).await; // who asked may have gone
}

async fn serve_tcp(listener: TcpListener, answerer: Arc<Answerer>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let answerer = answerer.clone();
        tokio::spawn(async move {
            let _ = converse(stream, &answerer).await;
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, answerer: &Answerer) -> std::io::Result<()> {
    loop {
        let length = tokio::time::timeout(IDLE, stream.read_u16()).await??;
        let mut bytes = vec![0; usize::from(length)];
        tokio::time::timeout(IDLE, stream.read_exact(&mut bytes)).await??;
        let Some(request) = read(&bytes) else { return Ok(()) };
        let response = match answerer.now(&request) {
            Ok(response) => response,
            Err(query) => answerer.later(&request, query, true).await,
        };
        let bytes = response.to_vec().map_err(std::io::Error::other)?;
        stream.write_all(&(bytes.len() as u16).to_be_bytes()).await?;
        stream.write_all(&bytes).await?;
    }
}
