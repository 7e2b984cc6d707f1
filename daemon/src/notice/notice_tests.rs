use super::*;
use std::path::Path;

fn settings(text: &str) -> Settings {
    crate::config::parse(Path::new("t.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

const SITE: &str = "[privacy]\nprofile = \"jp\"\ncontroller = \"Mori Building K.K.\"\ncontact = \"+81-3-0000-0000\"\n\
    dpo-contact = \"dpo@mori.example\"\nnotice-url = \"https://mori.example/n\"\nnotice-version = \"3\"\n\
    published-at = \"2026-11-01\"\n[evidence]\nkeep-unconfirmed-h = 12\nkeep-days = 14\n[retention]\nsightings-days = 21\n\
    [lists.watch]\nconfirm = \"two-person\"\n\
    [cameras.gate]\nsource = \"file:///a.mp4\"\nlists = [\"watch\"]\npurpose = \"Keep banned visitors out\"\n\
    legal-basis = \"notified-purpose\"\nschedule = [\"mon-fri 08:00-18:00\"]\nzones = [[[0, 0], [1, 0], [1, 1]]]\n\
    [cameras.dock]\nsource = \"file:///b.mp4\"\npurpose = \"Let staff in\"\nlegal-basis = \"consent\"\nlists = [\"staff\"]\n\
    [sinks.hq]\nkind = \"webhook\"\nurl = \"https://hq.example/in\"\nsecret-credential = \"hq\"\n";

#[test]
fn every_text_is_written_in_both_languages() {
    let words = Words::parse(include_str!("words.toml")).expect("valid TOML");
    assert_eq!(words.faults(&[include_str!("mod.rs")]), Vec::<String>::new());
    for basis in LegalBasis::ALL {
        assert!(words.has(&format!("basis-{}", basis.as_str())), "{}", basis.as_str());
    }
    for key in ["rights-none", "rights-eu", "rights-jp", "what-compared", "what-strangers", "what-alert"] {
        assert!(words.has(key), "{key}");
    }
}

#[test]
fn the_notice_says_what_the_configuration_does() {
    let settings = settings(SITE);
    let text = Notice::new(&settings, None).text(Language::En);
    for said in [
        "Mori Building K.K.",
        "+81-3-0000-0000",
        "dpo@mori.example",
        "https://mori.example/n",
        "Version 3, up since 2026-11-01",
        "Keep banned visitors out",
        "Let staff in",
        "APPI Art. 17, 18 and 21",
        "mon-fri 08:00-18:00",
        "Only in marked parts",
        "2 people must look at the pictures",
        "12 hours",
        "14 days",
        "21 days after they ended",
        "hq.example",
        "you can withdraw it",
        "Personal Information Protection Commission",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    assert!(!text.contains(crate::page::words::MISSING) && !text.contains('{'), "{text}");
    let ja = Notice::new(&settings, None).text(Language::Ja);
    // APPI guidance asks that face recognition be named with the purpose.
    let named = "Keep banned visitors out\u{ff08}\u{9854}\u{8b58}\u{5225}\u{306b}\u{3088}\u{308b}\u{ff09}";
    assert!(ja.contains(named), "{ja}");
}

#[test]
fn a_camera_of_ones_own_and_gaps_with_the_key_to_fill() {
    let settings = settings(&SITE.replace("controller = \"Mori Building K.K.\"\n", ""));
    let dock = CameraId::try_new("dock").expect("a name");
    let text = Notice::new(&settings, Some(&dock)).text(Language::En);
    assert!(text.contains("Let staff in") && !text.contains("Keep banned visitors out"), "{text}");
    assert!(text.contains("[not written down: [privacy] controller]"), "{text}");
    assert!(!text.contains("List watch"), "{text}");
}

#[test]
fn what_was_written_cannot_become_markup_on_the_sign() {
    let settings = settings(&SITE.replace("Let staff in", "<img src=x onerror=alert(1)>"));
    let html = Notice::new(&settings, None).html(Language::Ja);
    assert!(!html.contains("<img src=x") && html.contains("&lt;img src=x"));
}
