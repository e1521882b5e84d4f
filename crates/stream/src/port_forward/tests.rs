use super::*;
use crate::spdy::frame::{Frame, encode_data};
use crate::testing::{SpdyClient, WebSocketClient};
use crate::websocket::frame::BINARY;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Port 7 puts out what it is given; others cannot be reached.
async fn served(protocol: Protocol, ports: &'static [u16]) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let mut forwards = open(far, protocol, ports).await;
        while let Some(mut forward) = forwards.next().await {
            tokio::spawn(async move {
                if forward.port != 7 {
                    return forward.fail("nobody listens").await;
                }
                while let Some(data) = forward.input.next().await {
                    forward.output.send(&data).await.unwrap();
                }
                forward.finish().await;
            });
        }
    });
    near
}

async fn use_spdy<IO: AsyncRead + AsyncWrite + Unpin>(io: IO) {
    let mut client = SpdyClient::new(io);
    let errors = client.open(&[("streamtype", "error"), ("port", "7"), ("requestid", "1")]).await;
    let data = client.open(&[("streamtype", "data"), ("port", "7"), ("requestid", "1")]).await;
    client.write(encode_data(data, true, b"ping")).await;
    assert_eq!(client.rest(data).await, "ping");
    assert_eq!(client.rest(errors).await, "");
    // A client without ids opens the error stream first.
    let errors = client.open(&[("streamtype", "error"), ("port", "8")]).await;
    let data = client.open(&[("streamtype", "data"), ("port", "8")]).await;
    assert_eq!(client.rest(errors).await, "nobody listens");
    assert_eq!(client.frame().await, Some(Frame::Reset { id: data, status: 5 }));
    let bad = client.open_unanswered(&[("streamtype", "data"), ("port", "0")]).await;
    assert_eq!(client.frame().await, Some(Frame::Reset { id: bad, status: 5 }));
    client.write(crate::spdy::frame::encode_ping(1)).await;
    assert_eq!(client.frame().await, Some(Frame::Ping(1)));
}

#[tokio::test]
async fn over_spdy() {
    use_spdy(served(Protocol::Spdy, &[]).await).await;
}

#[tokio::test]
async fn over_spdy_inside_a_websocket() {
    let client = WebSocketClient::new(served(Protocol::Tunnel, &[]).await);
    let (near, far) = tokio::io::duplex(1 << 16);
    let (mut arriving, mut leaving) = tokio::io::split(far);
    let (from, mut to) = tokio::io::split(client.io);
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Ok(count @ 1..) = arriving.read(&mut buffer).await {
            to.write_all(&crate::websocket::frame::encode(BINARY, &[&buffer[..count]], Some([9; 4]))).await.unwrap();
        }
    });
    tokio::spawn(async move {
        let mut client = WebSocketClient::new(tokio::io::join(from, tokio::io::sink()));
        while let Some(message) = client.message().await {
            leaving.write_all(&message).await.unwrap();
        }
    });
    use_spdy(near).await;
}

#[tokio::test]
async fn over_channels() {
    let mut client = WebSocketClient::new(served(Protocol::Channels { base64: false }, &[7, 9]).await);
    for first in [[0, 7, 0], [1, 7, 0], [2, 9, 0], [3, 9, 0]] {
        assert_eq!(client.message().await.unwrap(), first);
    }
    assert_eq!(client.message().await.unwrap(), b"\x03nobody listens");
    client.send(BINARY, b"\0ping").await;
    assert_eq!(client.message().await.unwrap(), b"\0ping");
}

#[tokio::test]
async fn half_a_pair_waits_and_a_second_half_of_the_same_kind_is_refused() {
    let mut client = SpdyClient::new(served(Protocol::Spdy, &[]).await);
    let errors = client.open(&[("streamtype", "error"), ("port", "7"), ("requestid", "1")]).await;
    let again = client.open(&[("streamtype", "error"), ("port", "7"), ("requestid", "1")]).await;
    let mut told = Vec::new();
    let refused = loop {
        match client.frame().await.unwrap() {
            Frame::Data { id, data, .. } if id == errors => told.extend_from_slice(&data),
            other => break other,
        }
    };
    assert_eq!(String::from_utf8(told).unwrap(), "error processing stream: error stream already assigned");
    assert_eq!(refused, Frame::Reset { id: again, status: 5 });
}
