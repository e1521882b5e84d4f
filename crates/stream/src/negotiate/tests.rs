use super::*;
use expect_test::{Expect, expect};

fn headers(text: &str) -> HeaderMap {
    let pairs = text.lines().map(|line| line.split_once(':').unwrap());
    pairs.map(|(name, value)| (name.trim().parse::<HeaderName>().unwrap(), value.trim().parse().unwrap())).fold(
        HeaderMap::new(),
        |mut all, (name, value)| {
            all.append(name, value);
            all
        },
    )
}

fn show(decision: Result<(&'static str, Response<()>), Refusal>, expected: Expect) {
    let text = match decision {
        Ok((chosen, response)) => format!("{chosen:?} {:?}", response.headers()),
        Err(refusal) => format!("{} {:?} {refusal}", refusal.status, refusal.accepted),
    };
    expected.assert_eq(&text);
}

#[test]
fn a_websocket_is_accepted_with_the_clients_first_protocol_we_speak() {
    // The key and its answer are those of RFC 6455, section 1.3.
    let request = headers(
        "Connection: keep-alive, Upgrade
         Upgrade: WebSocket
         Sec-WebSocket-Version: 13
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
         Sec-WebSocket-Protocol: v9.channel.k8s.io, v4.channel.k8s.io
         Sec-WebSocket-Protocol: v5.channel.k8s.io",
    );
    assert!(is_websocket(&request));
    show(
        websocket(&request, &["v5.channel.k8s.io", "v4.channel.k8s.io", ""]),
        expect![[
            r#""v4.channel.k8s.io" {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "sec-websocket-protocol": "v4.channel.k8s.io"}"#
        ]],
    );
    show(
        websocket(&request, &["other"]),
        expect![[
            r#"403 Forbidden [] requested protocol(s) are not supported: [v9.channel.k8s.io v4.channel.k8s.io v5.channel.k8s.io]; supports [other]"#
        ]],
    );
    show(websocket(&headers("Sec-WebSocket-Version: 8"), &[""]), expect!["400 Bad Request [] missing or bad WebSocket Version"]);
}

#[test]
fn spdy_is_accepted_with_the_clients_first_version_we_speak() {
    let request = headers(
        "Connection: Upgrade
         Upgrade: SPDY/3.1
         X-Stream-Protocol-Version: v5.channel.k8s.io
         X-Stream-Protocol-Version: v4.channel.k8s.io",
    );
    assert!(!is_websocket(&request));
    show(
        spdy(&request, &["v4.channel.k8s.io", "channel.k8s.io"]),
        expect![[
            r#""v4.channel.k8s.io" {"connection": "Upgrade", "upgrade": "SPDY/3.1", "x-stream-protocol-version": "v4.channel.k8s.io"}"#
        ]],
    );
    show(
        spdy(&request, &["portforward.k8s.io"]),
        expect![[
            r#"403 Forbidden ["portforward.k8s.io"] unable to upgrade: unable to negotiate protocol: client supports [v5.channel.k8s.io v4.channel.k8s.io], server accepts [portforward.k8s.io]"#
        ]],
    );
    show(
        spdy(&headers("Connection: close"), &["a"]),
        expect!["400 Bad Request [] unable to upgrade: header X-Stream-Protocol-Version does not exist in request with 1 headers"],
    );
    show(
        spdy(&headers("X-Stream-Protocol-Version: a"), &["a"]),
        expect!["400 Bad Request [] unable to upgrade: missing upgrade headers in request"],
    );
}
