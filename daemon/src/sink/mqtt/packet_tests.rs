use super::*;
use proptest::prelude::*;

fn message() -> Message {
    Message {
        topic: "s/a".into(),
        payload: b"{}".to_vec(),
        retain: true,
        expiry_s: Some(60),
        content_type: Some("x/y"),
        event_id: Some("a.1".into()),
    }
}

#[test]
fn packets_are_byte_for_byte_what_the_standard_says() {
    let with = Connect { client_id: "me", keep_alive_s: 30, will_topic: "s/up", will: "off", login: Some(("u", "p")) };
    let wanted = b"\x10\x2d\0\x04MQTT\x05\xee\0\x1e\x05\x27\0\0\x40\0\0\x02me\0\0\x04s/up\0\x03off\0\x01u\0\x01p";
    let mut fixed = connect(&with);
    assert_eq!(fixed.len() - 2, usize::from(fixed[1]), "the length in front is that of the rest");
    fixed[1] = 0x2d;
    assert_eq!(fixed, wanted);
    let anonymous = connect(&Connect { login: None, ..with });
    assert_eq!(anonymous[9], 0x2e, "no login announced");
    let published = publish(7, &message());
    let body = b"\0\x03s/a\0\x07\x1a\x01\x01\x03\0\x03x/y\x02\0\0\0\x3c\x26\0\x08event-id\0\x03a.1{}";
    assert_eq!(published[0], 0x33, "QoS 1, retained, not a duplicate");
    let properties = published.len() - 2 - 10;
    assert_eq!(usize::from(published[9]), properties, "{published:02x?}");
    assert_eq!(published[2..9], body[..7]);
    assert_eq!(published[10..], body[8..]);
    assert_eq!(subscribe(9, &["a/+".into()]), b"\x82\x09\0\x09\0\0\x03a/+\x0c");
}

fn one(bytes: &[u8]) -> Result<Option<Packet>, Malformed> {
    take(&mut bytes.to_vec())
}

#[test]
fn what_a_broker_sends_is_understood() {
    let reason = |code, words: &str| Reason { code, words: words.into() };
    let Ok(Some(Packet::Connack(terms))) = one(b"\x20\x0e\0\0\x0b\x21\0\x14\x27\0\0\x20\0\x13\0\x3c") else {
        panic!("a connack")
    };
    assert_eq!((terms.receive_max, terms.packet_max, terms.keep_alive_s), (20, 8192, Some(60)));
    assert!(terms.retains && terms.qos_1 && terms.reason.code == 0);
    let Ok(Some(Packet::Connack(old))) = one(b"\x20\x02\0\x01") else { panic!("an answer of MQTT 3") };
    assert_eq!(old.reason.code, 1);
    for (bytes, wanted) in [
        (b"\x40\x02\0\x07".as_slice(), Packet::Puback { id: 7, reason: reason(0, "") }),
        (b"\x40\x03\0\x07\x10", Packet::Puback { id: 7, reason: reason(0x10, "") }),
        (b"\x40\x0a\0\x07\x87\x06\x1f\0\x03no!", Packet::Puback { id: 7, reason: reason(0x87, "no!") }),
        (b"\x90\x05\0\x09\0\0\x87", Packet::Suback { codes: vec![0, 0x87] }),
        (b"\x31\x08\0\x03s/a\0{}", Packet::Publish { topic: "s/a".into(), empty: false }),
        (b"\x31\x06\0\x03s/a\0", Packet::Publish { topic: "s/a".into(), empty: true }),
        (b"\xd0\0", Packet::Pingresp),
        (b"\xe0\0", Packet::Disconnect { reason: reason(0, "") }),
        (b"\xe0\x01\x8e", Packet::Disconnect { reason: reason(0x8e, "") }),
    ] {
        assert_eq!(one(bytes), Ok(Some(wanted)), "{bytes:02x?}");
    }
}

#[test]
fn a_packet_comes_in_pieces_and_with_others() {
    let whole = b"\x40\x02\0\x07\xd0\0";
    let mut bytes = Vec::new();
    let mut found = Vec::new();
    for byte in whole {
        bytes.push(*byte);
        while let Some(packet) = take(&mut bytes).expect("sound") {
            found.push(packet);
        }
    }
    assert_eq!(found.len(), 2);
    assert!(bytes.is_empty());
}

#[test]
fn what_is_against_the_protocol_ends_the_connection() {
    for bytes in [
        b"\x00\0".as_slice(),
        b"\x36\x06\0\x03s/a\0",
        b"\x40\x01\0",
        b"\xd0\x01\0",
        b"\x20\x05\0\0\x02\x99\0",
        b"\x31\x05\0\x03\xff\xff\xff",
        b"\xff\xff\xff\xff\xff",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        assert!(one(bytes).is_err(), "{bytes:02x?}");
    }
    assert_eq!(one(b"\x31\xff\xff\x7f"), Err(Malformed::TooLarge));
    assert_eq!(one(b"\x31\xff\xff"), Ok(None));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_or_stand_still(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut left = bytes.clone();
        while let Ok(Some(_)) = take(&mut left) {
            prop_assert!(left.len() < bytes.len());
        }
    }

    #[test]
    fn lengths_are_read_as_they_were_written(length in 0_usize..268_435_455) {
        let mut bytes = Vec::new();
        variable(&mut bytes, length);
        prop_assert_eq!(Cursor(&bytes).variable(), Ok(length));
    }
}
