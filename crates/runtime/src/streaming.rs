//! Streaming over the network: `Exec`, `Attach` and `PortForward` answer with a URL that works once; behind it the bytes travel.
//! Here are the tickets: what a URL stands for, for a short while. `server` redeems them.
mod forward;
pub(crate) mod server;
mod session;

use crate::image::store::random_name;
use crate::problem::{Outcome, Problem};
use cri::v1::{AttachRequest, ExecRequest, PortForwardRequest};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a URL waits to be used.
const TICKET_LIFE: Duration = Duration::from_secs(60);
/// How many URLs may wait.
const TICKET_LIMIT: usize = 1000;

#[derive(Clone, Debug)]
pub enum Asked {
    Exec(ExecRequest),
    Attach(AttachRequest),
    PortForward(PortForwardRequest),
}

impl Asked {
    /// The first part of a URL's path.
    fn kind(&self) -> &'static str {
        match self {
            Asked::Exec(_) => "exec",
            Asked::Attach(_) => "attach",
            Asked::PortForward(_) => "portforward",
        }
    }
}

#[derive(Default)]
pub struct Tickets {
    waiting: Mutex<HashMap<String, (Instant, Asked)>>,
    /// Where the streaming server listens, once it does.
    address: Mutex<Option<SocketAddr>>,
}

impl Tickets {
    pub fn serve_at(&self, address: SocketAddr) {
        *self.address.lock() = Some(address);
    }

    /// A URL for what was asked, good for one use.
    pub fn issue(&self, asked: Asked) -> Outcome<String> {
        let address = (*self.address.lock()).ok_or_else(|| Problem::failed("the streaming server is not running"))?;
        let kind = asked.kind();
        let mut waiting = self.waiting.lock();
        waiting.retain(|_, (since, _)| since.elapsed() < TICKET_LIFE);
        if waiting.len() >= TICKET_LIMIT {
            return Err(Problem::failed("maximum number of in-flight requests exceeded"));
        }
        let token = random_name();
        waiting.insert(token.clone(), (Instant::now(), asked));
        Ok(format!("http://{address}/{kind}/{token}"))
    }

    /// Redeems the token of a URL.
    pub fn redeem(&self, token: &str) -> Option<Asked> {
        let (since, asked) = self.waiting.lock().remove(token)?;
        (since.elapsed() < TICKET_LIFE).then_some(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_works_once() {
        let tickets = Tickets::default();
        assert!(tickets.issue(Asked::Exec(ExecRequest::default())).is_err());
        tickets.serve_at(([127, 0, 0, 1], 7).into());
        let url = tickets.issue(Asked::Exec(ExecRequest::default())).unwrap();
        let token = url.strip_prefix("http://127.0.0.1:7/exec/").unwrap();
        assert!(tickets.redeem(token).is_some());
        assert!(tickets.redeem(token).is_none());
    }
}
