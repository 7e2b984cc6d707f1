//! `sekisho cameras discover` against a small ONVIF device of the test's own, by real multicast on the loopback: it is found
//! once, its streams are asked for with a digest, and whoever answers with rubbish is passed over.

use sekisho_tests::site::binary;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// Listens where cameras do, on the loopback. All tests of this file share the port, so they are one test each process.
fn listening() -> Option<UdpSocket> {
    let socket = UdpSocket::bind((GROUP, 3702)).and_then(|socket| {
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
        Ok(socket)
    });
    match socket {
        Ok(socket) => Some(socket),
        Err(error) => {
            eprintln!("SKIPPED: no multicast on the loopback here ({error})");
            None
        }
    }
}

fn discover(args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(["cameras", "discover", "--interface", "127.0.0.1", "--seconds", "2"]).args(args);
    command.output().expect("the program starts")
}

fn matches(question: &str, endpoint: &str, scopes: &str, services: &str) -> String {
    let id = question.split_once("MessageID>").and_then(|(_, rest)| rest.split_once('<')).map_or("", |(id, _)| id);
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\">\
         <s:Header><a:RelatesTo>{id}</a:RelatesTo></s:Header><s:Body><d:ProbeMatches>\
         <d:ProbeMatch><a:EndpointReference><a:Address>{endpoint}</a:Address></a:EndpointReference>\
         <d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{services}</d:XAddrs>\
         </d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"
    )
}

/// The camera's web services: answers four questions, keeps what it was asked.
fn services() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let heard = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut request, mut piece) = (Vec::new(), [0_u8; 4096]);
            while !String::from_utf8_lossy(&request).contains("</s:Envelope>") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend_from_slice(&piece[..read]),
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&request);
            let body = match () {
                () if request.contains("GetSystemDateAndTime") => {
                    "<r><UTCDateTime><Time><Hour>1</Hour><Minute>2</Minute><Second>3</Second></Time><Date><Year>2026</Year>\
                     <Month>4</Month><Day>5</Day></Date></UTCDateTime></r>"
                        .to_owned()
                }
                () if request.contains("GetCapabilities") => {
                    format!("<r><Media><XAddr>http://127.0.0.1:{port}/media</XAddr></Media></r>")
                }
                () if request.contains("GetProfiles") => {
                    let size = "<Width>640</Width><Height>360</Height>";
                    let profile = |token: &str| {
                        format!("<Profiles token=\"{token}\"><VideoEncoderConfiguration>{size}</VideoEncoderConfiguration></Profiles>")
                    };
                    format!("<r>{}{}</r>", profile("away"), profile("sub"))
                }
                () if request.contains(">away<") => {
                    "<r><MediaUri><Uri>rtsp://ann:secret-word@192.0.2.66/live</Uri></MediaUri></r>".to_owned()
                }
                () => "<r><MediaUri><Uri>rtsp://ann:secret-word@127.0.0.1/live</Uri></MediaUri></r>".to_owned(),
            };
            let _gone = stream.write_all(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}").as_bytes());
        }
    });
    (port, heard)
}

/// Answers questions as a camera, and at the same time as whoever means no good, until it gets a single byte. Keeps the last
/// question.
fn respond(socket: UdpSocket, service: String, asked: Arc<Mutex<String>>) -> JoinHandle<()> {
    let good = move |question: &str| {
        let scopes = "onvif://www.onvif.org/name/Front%20Door onvif://www.onvif.org/hardware/IPC-7 onvif://www.onvif.org/location/gate";
        matches(question, "urn:uuid:42", scopes, &service)
    };
    std::thread::spawn(move || {
        let mut datagram = [0_u8; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            if length == 1 {
                return;
            }
            let question = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let good = good(&question);
            let liar = "onvif://www.onvif.org/name/%1b%5b2Jliar";
            let stranger = matches(&question, "urn:uuid:43", liar, "http://192.0.2.9/onvif");
            let to_another = matches("<w:MessageID>uuid:0</w:MessageID>", "urn:uuid:44", liar, "");
            let made_up: Vec<_> =
                (0..40).map(|nth| matches(&question, &format!("urn:uuid:9{nth}"), liar, "")).collect();
            *asked.lock().unwrap_or_else(PoisonError::into_inner) = question;
            let bomb = format!("<!DOCTYPE x [<!ENTITY a \"{}\">]>{good}", "a".repeat(4000));
            let deep = "<a>".repeat(20_000);
            let huge = vec![b'<'; 65_000];
            let answers: [&[u8]; 10] = [
                good.as_bytes(),
                good.as_bytes(),
                &good.as_bytes()[..good.len() / 2],
                b"",
                b"\xff\xfe\x00not XML",
                bomb.as_bytes(),
                deep.as_bytes(),
                &huge,
                stranger.as_bytes(),
                to_another.as_bytes(),
            ];
            for answer in answers.into_iter().chain(made_up.iter().map(String::as_bytes)) {
                let _too_large_for_this_machine = socket.send_to(answer, from);
            }
        }
    })
}

#[test]
fn a_camera_is_found_once_and_liars_are_passed_over() {
    let Some(socket) = listening() else { return };
    let (port, heard) = services();
    let question = Arc::new(Mutex::new(String::new()));
    let service = format!("http://127.0.0.1:{port}/onvif/device_service");
    let responder = respond(socket, service, Arc::clone(&question));
    let credential = tempfile::NamedTempFile::new().expect("a file of mode 600");
    std::fs::write(credential.path(), "ann:secret-word\n").expect("written");

    let output = discover(&["--json", "--credential-file", &credential.path().display().to_string()]);
    let plain = discover(&[]);
    let ends = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    ends.send_to(b"x", (GROUP, 3702)).expect("sent");
    responder.join().expect("no panic");

    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let question = question.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(question.contains("NetworkVideoTransmitter") && question.contains("/Probe<"), "{question}");
    let cameras = found["cameras"].as_array().expect("a list");
    assert_eq!(cameras.len(), 8, "twice the same answer is one camera, and one sender names eight: {found:#}");
    assert!(found["left-out"].as_u64() >= Some(34), "{found:#}");
    assert!(!found.to_string().contains("urn:uuid:44"), "an answer to another question: {found:#}");
    let first = &cameras[0];
    assert_eq!(
        (&first["name"], &first["model"], &first["location"]),
        (&"Front Door".into(), &"IPC-7".into(), &"gate".into())
    );
    assert_eq!(first["streams"][0]["url"], "rtsp://127.0.0.1/live", "the password in the address is left out");
    assert_eq!(first["streams"][0]["width"], 640);
    assert_eq!(first["streams"].as_array().map(Vec::len), Some(1), "{first:#}");
    let left_out = first["streams-left-out"][0].as_str().expect("a sentence");
    assert!(left_out.contains("192.0.2.66 is another machine than 127.0.0.1"), "{left_out}");
    assert!(cameras[1]["streams-error"].as_str().is_some_and(|text| text.contains("another machine")), "{found:#}");
    assert!(found["unreadable-answers"].as_u64() >= Some(4), "{found:#}");
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(
        heard.contains("PasswordDigest") && heard.contains("2026-04-05T01:02:03Z"),
        "the camera's own time: {heard}"
    );
    assert!(!heard.contains("secret-word") && !found.to_string().contains("secret-word"), "no password travels plain");

    let page = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(page.contains("more are not listed: from one address"), "{page}");
    assert!(page.contains("Front Door") && !page.contains('\x1b'), "{page}");
}

#[test]
fn nobody_there_is_a_no_and_a_wrong_interface_a_sentence() {
    let nobody = discover(&["--seconds", "1", "--interface", "192.0.2.1"]);
    // The second --seconds is refused by the command line itself.
    assert_eq!(nobody.status.code(), Some(2));
    let mut command = Command::new(binary());
    let output =
        command.args(["cameras", "discover", "--interface", "192.0.2.1", "--seconds", "1"]).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("cannot be searched"), "{said}");
}
