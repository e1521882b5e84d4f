use super::*;
use expect_test::{Expect, expect};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a decoder makes of bytes, given all at once and one by one.
fn check(side: Side, bytes: &[u8], expected: Expect) {
    let whole = decode(side, &[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
    let texts = |events: &[Result<Event, Violation>]| join(events);
    assert_eq!(texts(&whole), texts(&decode(side, &pieces)));
    expected.assert_eq(&texts(&whole));
}

fn decode(side: Side, chunks: &[&[u8]]) -> Vec<Result<Event, Violation>> {
    let (mut decoder, mut buffer, mut events) = (Decoder::new(side), BytesMut::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(event)) => events.push(Ok(event)),
                Ok(None) => break,
                Err(violation) => {
                    events.push(Err(violation));
                    return events;
                }
            }
        }
    }
    events
}

/// Pieces of one message put together, so that the arrival's cut does not show.
fn join(events: &[Result<Event, Violation>]) -> String {
    let (mut lines, mut message) = (Vec::new(), String::new());
    for event in events {
        match event {
            Ok(Event::Piece(piece)) => {
                message += &piece.data.escape_ascii().to_string();
                if piece.last {
                    lines.push(format!("message {:?}", std::mem::take(&mut message)));
                }
            }
            Ok(other) => lines.push(format!("{other:?}")),
            Err(violation) => lines.push(format!("refused, {}: {violation}", violation.close_code())),
        }
    }
    if !message.is_empty() {
        lines.push(format!("so far {message:?}"));
    }
    lines.join("\n")
}

#[test]
fn the_examples_of_the_rfc() {
    check(Side::Client, &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], expect![[r#"message "Hello""#]]);
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    check(Side::Server, &masked, expect![[r#"message "Hello""#]]);
    assert_eq!(encode(TEXT, &[b"Hel", b"lo"], Some(MASK))[..], masked);
    check(Side::Client, &[0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f], expect![[r#"message "Hello""#]]);
}

#[test]
fn control_frames_come_between_fragments() {
    let mut bytes = encode_fragment(BINARY, false, &[b"\0ab"], Some(MASK)).to_vec();
    bytes.extend(encode(PING, &[b"hi"], Some(MASK)));
    bytes.extend(encode_fragment(CONTINUATION, false, &[], Some(MASK)));
    bytes.extend(encode(PONG, &[], Some(MASK)));
    bytes.extend(encode(CONTINUATION, &[b"cde"], Some(MASK)));
    bytes.extend(encode(BINARY, &[], Some(MASK)));
    bytes.extend(encode(CLOSE, &[&1000u16.to_be_bytes(), b"bye"], Some(MASK)));
    check(
        Side::Server,
        &bytes,
        expect![[r#"
            Ping(b"hi")
            Pong
            message "\\x00abcde"
            message ""
            Close(Some(1000))"#]],
    );
}

#[test]
fn frames_against_the_rules_are_refused() {
    check(Side::Server, &[0xc2, 0x80, 0, 0, 0, 0], expect!["refused, 1002: reserved bits are set"]);
    check(Side::Server, &[0x83, 0x80, 0, 0, 0, 0], expect!["refused, 1002: unknown opcode 3"]);
    check(Side::Server, &[0x82, 0x01, 0], expect!["refused, 1002: the frame is masked wrongly for its direction"]);
    check(Side::Client, &[0x82, 0x81, 0, 0, 0, 0, 0], expect!["refused, 1002: the frame is masked wrongly for its direction"]);
    check(Side::Server, &[0x09, 0x80, 0, 0, 0, 0], expect!["refused, 1002: a control frame is fragmented or too long"]);
    check(Side::Server, &[0x89, 0xfe, 0, 126], expect!["refused, 1002: a control frame is fragmented or too long"]);
    check(
        Side::Server,
        &[0x80, 0x80, 0, 0, 0, 0],
        expect!["refused, 1002: a message continues that has not begun, or begins within another"],
    );
    let begun_twice = [encode_fragment(TEXT, false, &[b"a"], Some(MASK)), encode(TEXT, &[b"b"], Some(MASK))].concat();
    check(
        Side::Server,
        &begun_twice,
        expect![[r#"
            refused, 1002: a message continues that has not begun, or begins within another
            so far "a""#]],
    );
}

#[test]
fn a_message_has_a_limit() {
    let too_long = [&[0x82, 0xff][..], &(MESSAGE_LIMIT_BYTES + 1).to_be_bytes(), &MASK].concat();
    check(Side::Server, &too_long, expect!["refused, 1009: the message is longer than 33554432 bytes"]);
    let endless = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &MASK].concat();
    check(Side::Server, &endless, expect!["refused, 1009: the message is longer than 33554432 bytes"]);
    let mut decoder = Decoder { message: Some(MESSAGE_LIMIT_BYTES), ..Decoder::new(Side::Server) };
    let mut buffer = BytesMut::from(&encode(CONTINUATION, &[b"x"], Some(MASK))[..]);
    assert_eq!(decoder.next(&mut buffer), Err(Violation::TooLong));
}

#[test]
fn lengths_of_all_three_forms_come_back() {
    for length in [0usize, 1, 125, 126, 127, 0xffff, 0x10000, 100_000] {
        let data: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let events = decode(Side::Server, &[&encode(BINARY, &[&data], Some(MASK))]);
        let mut together = Vec::new();
        for event in &events {
            let Ok(Event::Piece(piece)) = event else { panic!("{event:?}") };
            assert!(piece.data.len() <= crate::flow::PIECE_LIMIT_BYTES);
            together.extend_from_slice(&piece.data);
        }
        assert_eq!(together, data);
    }
}
