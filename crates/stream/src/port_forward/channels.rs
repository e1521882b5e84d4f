//! The older protocol: the request names the ports, each gets a channel for data and one for an error's text. Both begin with the
//! port, two bytes, the lower first.
use super::{Forward, PORTS_LIMIT};
use crate::flow::{Framing, Input, Output, carry};
use crate::websocket::Reader;
use crate::websocket::channels::Channels;
use crate::websocket::frame::{close, encode_close, ping};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

pub async fn open<IO>(io: IO, base64: bool, ports: &[u16], accepting: mpsc::Sender<Forward>)
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let ports = &ports[..ports.len().min(PORTS_LIMIT)];
    let (mut inboxes, mut inputs) = (Vec::new(), Vec::new());
    for _ in ports {
        let (inbox, input) = Input::new();
        inboxes.extend([Some(inbox), None]);
        inputs.push(input);
    }
    let channels = Channels { inboxes, base64, close_signal: false };
    let line = carry(io, ping(), |reading, line| channels.run(Reader::new(reading, line)));
    let output = |number: usize| Output::new(line.clone(), Framing::Channel { number: number as u8, base64 });
    let mut forwards = Vec::new();
    for (index, (port, input)) in ports.iter().zip(inputs).enumerate() {
        let (output, errors) = (output(2 * index), output(2 * index + 1));
        output.send_piece(&port.to_le_bytes()).await.ok();
        errors.send_piece(&port.to_le_bytes()).await.ok();
        forwards.push(Forward { port: *port, input, output, errors });
    }
    tokio::spawn(async move {
        for forward in forwards {
            if accepting.send(forward).await.is_err() {
                break;
            }
        }
        // No more come, but the connection lasts until the client goes or nobody waits for it.
        tokio::select! {
            () = accepting.closed() => line.send_last(encode_close(close::NORMAL)).await,
            () = line.closed() => {}
        }
    });
}
