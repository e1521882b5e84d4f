use super::*;
use crate::testing::{SpdyClient, WebSocketClient};
use crate::websocket::frame::{BINARY, CLOSE, Event, PING, TEXT, close};
use tokio::io::DuplexStream;

const ALL: Options = Options { stdin: true, stdout: true, stderr: true, tty: false };

fn websocket(version: u8, base64: bool) -> Protocol {
    Protocol { transport: Transport::WebSocket { base64 }, version }
}

fn spdy(version: u8) -> Protocol {
    Protocol { transport: Transport::Spdy, version }
}

/// A command as these tests need one: puts out what it is given, complains, and ends with 3.
async fn echo(mut session: Session) {
    let (mut stdin, stdout) = (session.stdin.take().unwrap(), session.stdout.take().unwrap());
    while let Some(data) = stdin.next().await {
        stdout.send(&data).await.unwrap();
    }
    stdout.finish().await;
    if let Some(stderr) = session.stderr.take() {
        stderr.send(b"enough").await.unwrap();
        stderr.finish().await;
    }
    session.end.report(&Exit::Code(3)).await;
}

async fn served(protocol: Protocol, options: Options) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move { echo(open(far, protocol, options).await.unwrap()).await });
    near
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))).collect()
}

#[test]
fn the_protocols_are_told_apart() {
    let over_websocket = |protocol| {
        let mut all =
            headers(&[("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-key", "x")]);
        all.insert("sec-websocket-protocol", http::HeaderValue::from_static(protocol));
        negotiate(&all).map(|(protocol, _)| protocol)
    };
    assert_eq!(over_websocket("v5.channel.k8s.io"), Ok(websocket(5, false)));
    assert_eq!(over_websocket("v4.base64.channel.k8s.io"), Ok(websocket(4, true)));
    assert_eq!(over_websocket("base64.channel.k8s.io"), Ok(websocket(1, true)));
    assert_eq!(over_websocket(""), Ok(websocket(1, false)));
    assert!(over_websocket("SPDY/3.1+portforward.k8s.io").is_err());
    let over_spdy = headers(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v2.channel.k8s.io")]);
    assert_eq!(negotiate(&over_spdy).unwrap().0, spdy(2));
}

#[tokio::test]
async fn websocket_v5_closes_stdin_and_hears_the_exit_code() {
    let mut client = WebSocketClient::new(served(websocket(5, false), ALL).await);
    assert_eq!(client.message().await.unwrap(), [1]);
    client.send(BINARY, b"\0hello ").await;
    client.send(PING, b"there?").await;
    client.send(BINARY, b"\0world").await;
    client.send(BINARY, &[255, 0]).await;
    let mut said = [const { Vec::new() }; 4];
    let mut ponged = false;
    let mut channel = None;
    loop {
        match client.event().await.unwrap() {
            Event::Piece(piece) => {
                let (number, data) = channel.map_or_else(|| (piece.data[0], &piece.data[1..]), |number| (number, &piece.data[..]));
                said[usize::from(number)].extend_from_slice(data);
                channel = (!piece.last).then_some(number);
            }
            Event::Pong => ponged = true,
            Event::Close(code) => break assert_eq!(code, Some(close::NORMAL)),
            other => panic!("{other:?}"),
        }
    }
    let [_, stdout, stderr, status] = said.map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((stdout.as_str(), stderr.as_str(), ponged), ("hello world", "enough", true));
    assert_eq!(status, Exit::Code(3).status());
    client.send(CLOSE, &close::NORMAL.to_be_bytes()).await;
    assert_eq!(client.event().await, None);
}

#[tokio::test]
async fn websocket_base64_is_text_both_ways() {
    let mut client = WebSocketClient::new(served(websocket(4, true), Options { stderr: false, ..ALL }).await);
    assert_eq!(client.message().await.unwrap(), b"1");
    client.send(TEXT, b"0not base64!").await;
    client.send(TEXT, b"0aGVsbG8=").await;
    assert_eq!(client.message().await.unwrap(), b"1aGVsbG8=");
    client.send(CLOSE, &[]).await;
    assert_eq!(client.message().await, None);
}

#[tokio::test]
async fn a_client_that_closes_what_there_is_not_is_sent_away() {
    for bad in [&[255u8][..], &[255, 9], &[255, 0, 0]] {
        let mut client = WebSocketClient::new(served(websocket(5, false), ALL).await);
        client.message().await.unwrap();
        client.send(BINARY, bad).await;
        loop {
            if let Event::Close(code) = client.event().await.unwrap() {
                break assert_eq!(code, Some(close::PROTOCOL_ERROR));
            }
        }
    }
    // Before v5 the number is that of a channel like any other that is not there.
    let mut client = WebSocketClient::new(served(websocket(4, false), ALL).await);
    client.message().await.unwrap();
    client.send(BINARY, &[255, 0]).await;
    client.send(BINARY, b"\0still there").await;
    assert_eq!(client.message().await.unwrap(), b"\x01still there");
}

#[tokio::test]
async fn spdy_v4_half_closes_stdin_and_hears_the_exit_code() {
    let mut client = SpdyClient::new(served(spdy(4), ALL).await);
    let errors = client.open(&[("streamtype", "error")]).await;
    let stdin = client.open(&[("streamtype", "stdin")]).await;
    let stdout = client.open(&[("streamtype", "stdout")]).await;
    let stderr = client.open(&[("streamtype", "stderr")]).await;
    client.write(crate::spdy::frame::encode_data(stdin, false, b"hello")).await;
    client.write(crate::spdy::frame::encode_data(stdin, true, b" world")).await;
    assert_eq!(client.rest(stdout).await, "hello world");
    assert_eq!(client.rest(stderr).await, "enough");
    assert_eq!(client.rest(errors).await, Exit::Code(3).status());
    assert_eq!(client.frame().await, Some(crate::spdy::frame::Frame::GoAway { last: 0, status: 0 }));
    assert_eq!(client.frame().await, None);
}

#[tokio::test]
async fn a_terminal_tells_its_sizes() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let options = Options { stdin: false, stdout: true, stderr: false, tty: true };
    let opening = tokio::spawn(open(far, spdy(4), options));
    let mut client = SpdyClient::new(near);
    client.open(&[("streamtype", "error")]).await;
    client.open(&[("streamtype", "stdout")]).await;
    let resize = client.open(&[("streamtype", "resize")]).await;
    let mut session = opening.await.unwrap().unwrap();
    client.write(crate::spdy::frame::encode_data(resize, false, b"{\"Width\":120,\"Height\":40}\n")).await;
    assert_eq!(session.sizes.next().await, Some(TerminalSize { width: 120, height: 40 }));
    drop(client);
    session.end.closed().await;
    assert_eq!(session.sizes.next().await, None);
}

#[tokio::test]
async fn much_data_comes_through_whole() {
    let data: Vec<u8> = (0..3_000_000u32).map(|index| (index / 7) as u8).collect();
    let mut client = SpdyClient::new(served(spdy(4), Options { stderr: false, ..ALL }).await);
    client.open(&[("streamtype", "error")]).await;
    let stdin = client.open(&[("streamtype", "stdin")]).await;
    let stdout = client.open(&[("streamtype", "stdout")]).await;
    let (mut reading, mut writing) = tokio::io::split(client.io);
    let sent = data.clone();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        writing.write_all(&crate::spdy::frame::encode_data(stdin, true, &sent)).await.unwrap();
        std::future::pending::<()>().await;
    });
    let (mut decoder, mut buffer, mut got) = (crate::spdy::frame::Decoder::default(), bytes::BytesMut::new(), Vec::new());
    while got.len() < data.len() {
        match decoder.next(&mut buffer).unwrap() {
            Some(crate::spdy::frame::Frame::Data { id, data, .. }) if id == stdout => got.extend_from_slice(&data),
            Some(_) => {}
            None => assert!(crate::flow::fill(&mut reading, &mut buffer).await),
        }
    }
    assert!(got == data);
}

/// Whatever arrives, the connection ends or goes on; nothing panics and nothing is gathered without end.
#[tokio::test]
async fn noise_is_survived() {
    use tokio::io::AsyncWriteExt;
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    for round in 0..200 {
        let protocol = if round % 2 == 0 { spdy(4) } else { websocket(5, round % 4 == 1) };
        let (mut near, far) = tokio::io::duplex(1 << 16);
        let opening = tokio::spawn(open(far, protocol, ALL));
        let mut noise: Vec<u8> = (0..400).map(|_| random()).collect();
        // Half of them begin like a frame.
        if round % 8 < 4 {
            noise[..4].copy_from_slice(if round % 2 == 0 { &[0x80, 3, 0, 1] } else { &[0x82, 0xfe, 0, 90] });
        }
        near.write_all(&noise).await.ok();
        drop(near);
        if let Ok(session) = opening.await.unwrap() {
            session.end.closed().await;
        }
    }
}
