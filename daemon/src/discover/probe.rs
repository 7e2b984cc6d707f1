//! The two messages of WS-Discovery (April 2005) that are needed: a `Probe` for video transmitters, and `ProbeMatches`. Pure.

use super::{fit, harmless, xml};
use roxmltree::Node;

const DISCOVERY: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery";
const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
/// Elements of one answer; a real one has about twenty.
const NODES_MAX: u32 = 2_000;
/// Devices in one answer; a camera speaks for itself, a proxy for a few.
const MATCHES_MAX: usize = 32;
/// Addresses of one device.
const ADDRESSES_MAX: usize = 4;

/// What one device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Match {
    /// Its lasting name, mostly a UUID.
    pub endpoint: String,
    /// What it is called.
    pub name: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Where somebody says that it is.
    pub location: Option<String>,
    /// Where its services answer, HTTP.
    pub services: Vec<String>,
}

/// A question for everybody who sends video, and the id that its answers name.
pub(super) fn question() -> (String, String) {
    let id = format!("uuid:{}", uuid());
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:w=\"{ADDRESSING}\" xmlns:d=\"{DISCOVERY}\" \
         xmlns:dn=\"http://www.onvif.org/ver10/network/wsdl\"><e:Header><w:MessageID>{id}</w:MessageID>\
         <w:To e:mustUnderstand=\"true\">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>\
         <w:Action e:mustUnderstand=\"true\">{DISCOVERY}/Probe</w:Action></e:Header>\
         <e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>",
    );
    (text, id)
}

/// Random, as a question must have an id of its own; without randomness any id will do.
fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    let _zeros_do_as_well = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

/// The devices of an answer to the question `id`; `None` for what is no such answer.
pub(super) fn matches(datagram: &[u8], id: &str) -> Option<Vec<Match>> {
    let text = std::str::from_utf8(datagram).ok()?;
    let document = xml::parsed(text.trim_matches(['\0', ' ', '\r', '\n']), NODES_MAX)?;
    let to = document.descendants().find(|node| node.has_tag_name((ADDRESSING, "RelatesTo")))?.text()?.trim();
    // Some devices write another scheme before the id.
    if !to.to_ascii_lowercase().ends_with(&id.to_ascii_lowercase()) {
        return None;
    }
    let each = document.descendants().filter(|node| node.has_tag_name((DISCOVERY, "ProbeMatch"))).take(MATCHES_MAX);
    let matches: Vec<_> = each.map(one).collect();
    // A greeting (Hello, Bye) or a fault is no answer either.
    (!matches.is_empty()).then_some(matches)
}

fn one(node: Node<'_, '_>) -> Match {
    let text = |space: &str, name: &str| {
        let found = node.descendants().find(|child| child.has_tag_name((space, name)));
        found.and_then(|child| child.text()).unwrap_or_default()
    };
    let scopes = text(DISCOVERY, "Scopes");
    let scope = |kind: &str| {
        let prefix = format!("onvif://www.onvif.org/{kind}/");
        let found = scopes.split_whitespace().find_map(|scope| scope.strip_prefix(prefix.as_str()));
        found.map(|value| harmless(&decoded(value))).filter(|value| !value.is_empty())
    };
    let is_service = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
    let services = text(DISCOVERY, "XAddrs").split_whitespace().filter_map(fit).filter(is_service).take(ADDRESSES_MAX);
    Match {
        endpoint: harmless(text(ADDRESSING, "Address")),
        name: scope("name"),
        model: scope("hardware"),
        location: scope("location"),
        services: services.map(str::to_owned).collect(),
    }
}

/// `%20` and its like. What is no such thing stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        match (first, after) {
            (b'%', [high, low, more @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or_default() << 4 | hex(*low).unwrap_or_default());
                rest = more;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use roxmltree::Document;

    const ID: &str = "uuid:0a1b";

    fn answer(body: &str) -> String {
        format!(
            "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" xmlns:a=\"{ADDRESSING}\" xmlns:d=\"{DISCOVERY}\">\
             <s:Header><a:RelatesTo>urn:UUID:0A1B</a:RelatesTo></s:Header>\
             <s:Body><d:ProbeMatches>{body}</d:ProbeMatches></s:Body></s:Envelope>"
        )
    }

    fn camera(scopes: &str) -> String {
        answer(&format!(
            "<d:ProbeMatch><a:EndpointReference><a:Address>urn:uuid:1</a:Address></a:EndpointReference>\
             <d:Scopes>{scopes}</d:Scopes><d:XAddrs>http://192.0.2.7/onvif/device_service file:///etc/passwd</d:XAddrs></d:ProbeMatch>"
        ))
    }

    #[test]
    fn name_model_place_and_services_are_read() {
        let text = camera(
            "onvif://www.onvif.org/name/Front%20Door onvif://www.onvif.org/hardware/DS-2CD onvif://www.onvif.org/location/%E9%96%80",
        );
        let found = matches(text.as_bytes(), ID).expect("an answer");
        let wanted = Match {
            endpoint: "urn:uuid:1".into(),
            name: Some("Front Door".into()),
            model: Some("DS-2CD".into()),
            location: Some("\u{9580}".into()),
            services: vec!["http://192.0.2.7/onvif/device_service".into()],
        };
        assert_eq!(found, [wanted]);
    }

    #[test]
    fn the_question_is_well_formed_and_asks_for_cameras() {
        let (text, id) = question();
        let document = Document::parse(&text).expect("XML");
        let types =
            document.descendants().find(|node| node.has_tag_name((DISCOVERY, "Types"))).and_then(|node| node.text());
        assert_eq!(types, Some("dn:NetworkVideoTransmitter"));
        assert!(matches(text.as_bytes(), &id).is_none(), "a question is no answer");
    }

    #[test]
    fn answers_to_another_question_or_to_none_are_no_answers() {
        let text = camera("");
        assert!(matches(text.as_bytes(), "uuid:0a1c").is_none());
        let without = text.replace("RelatesTo", "Other");
        assert!(matches(without.as_bytes(), ID).is_none() && matches(text.as_bytes(), ID).is_some());
    }

    #[test]
    fn an_address_that_would_have_to_be_cut_is_dropped() {
        let long = format!("http://192.0.2.7/{}", "x".repeat(500));
        let text = camera("").replace("file:///etc/passwd", &format!("{long} http://192.0.2.7/\u{202e}x"));
        let found = matches(text.as_bytes(), ID).expect("an answer");
        assert_eq!(found[0].services, ["http://192.0.2.7/onvif/device_service"]);
    }

    #[test]
    fn hostile_answers_are_no_answers() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>".to_owned() + &camera("&b;");
        let deep = answer(&"<x>".repeat(9_000));
        let closed = answer(&("<x>".repeat(1_500) + &"</x>".repeat(1_500)));
        let wide = answer(&"<x/>".repeat(9_000));
        let whole = camera("");
        for bad in [
            &bomb,
            &deep,
            &closed,
            &wide,
            &whole[..whole.len() - 20].to_owned(),
            &String::new(),
            &"GET / HTTP/1.1".to_owned(),
        ] {
            assert!(matches(bad.as_bytes(), ID).is_none(), "{:.80}", bad);
        }
        let many = answer(&"<d:ProbeMatch/>".repeat(500));
        assert_eq!(matches(many.as_bytes(), ID).map(|found| found.len()), Some(MATCHES_MAX));
        let odd = camera("onvif://www.onvif.org/name/%1b%5b2J%0aX onvif://www.onvif.org/hardware/%zz%4");
        let found = matches(odd.as_bytes(), ID).expect("an answer");
        assert_eq!((found[0].name.as_deref(), found[0].model.as_deref()), (Some("[2J X"), Some("%zz%4")));
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), scopes in ".{0,80}") {
            let _any = matches(&bytes, ID);
            let _other = matches(camera(&scopes).as_bytes(), ID);
        }
    }
}
