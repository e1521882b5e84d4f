//! Plain bytes through a WebSocket: the payload of binary messages, their borders of no meaning. So SPDY reaches servers behind
//! proxies that only know WebSocket.
use super::Reader;
use super::frame;
use crate::flow::{PIECE_LIMIT_BYTES, carry};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

/// How much may lie in the tunnel, each way.
const TUNNEL_BYTES: usize = 2 * PIECE_LIMIT_BYTES;

/// The near end of a tunnel through an upgraded WebSocket connection. Closing it closes the WebSocket.
pub fn tunnel<IO: AsyncRead + AsyncWrite + Send + 'static>(io: IO) -> DuplexStream {
    let (near, far) = tokio::io::duplex(TUNNEL_BYTES);
    let (mut leaving, mut arriving) = tokio::io::split(far);
    let line = carry(io, frame::ping(), |reading, line| async move {
        let mut reader = Reader::new(reading, line);
        while let Some(piece) = reader.next().await {
            // An end that is closed reads no more; the rest is waited for all the same, so that the close is seen.
            arriving.write_all(&piece.data).await.ok();
        }
        arriving.shutdown().await.ok();
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; PIECE_LIMIT_BYTES];
        loop {
            let read = tokio::select! {
                read = leaving.read(&mut buffer) => read,
                () = line.closed() => return,
            };
            match read {
                Ok(count) if count > 0 => {
                    if line.send(frame::encode(frame::BINARY, &[&buffer[..count]], None)).await.is_err() {
                        return;
                    }
                }
                _ => return line.send_last(frame::encode_close(frame::close::NORMAL)).await,
            }
        }
    });
    near
}
