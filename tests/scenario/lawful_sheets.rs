//! What the program prints for people who answer for it comes from the configuration and the database in use, and the profile
//! holds cameras back until what it asks for is written down.

use sekisho_tests::site::{Site, fetched};
use serde_json::Value;

const CAMERA: &str = "[cameras.gate]\nsource = \"file:///nowhere.mp4\"\nlists = [\"watch\"]\n";
const WRITTEN: &str = "purpose = \"Keep banned visitors out\"\nlegal-basis = \"public-interest\"\n\
                       zones = [[[0.0, 0.2], [1.0, 0.2], [1.0, 1.0]]]\nschedule = [\"mon-fri 08:00-18:00\"]\n";

fn checked(site: &Site) -> Value {
    serde_json::from_str(&site.done(&["check-config", "--json"])).expect("JSON")
}

#[test]
fn what_is_not_written_down_is_said_and_with_a_profile_holds_the_camera_back() {
    let mut site = Site::new();
    site.configure(CAMERA);
    let said = checked(&site)["undone"].to_string();
    assert!(said.contains("camera gate: no purpose is written down") && said.contains("all the same"), "{said}");
    assert!(said.contains("published-at"), "{said}");
    site.configure("[privacy]\nprofile = \"eu\"\n");
    let checked = checked(&site);
    assert!(checked["undone"].to_string().contains("its faces are not compared"), "{checked}");
    assert!(checked["profile-changes"].to_string().contains("two people"), "{checked}");
    let clip = site.path("none.mp4").display().to_string();
    if fetched().is_some() {
        let refused = site.cli(&["replay", "--camera", "gate", &clip]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("may not be compared (no-notice)"), "{said}");
    }
}

#[test]
fn the_fact_sheet_holds_what_is_in_force() {
    if fetched().is_none() {
        return;
    }
    let mut site = Site::new();
    site.configure(&format!(
        "{CAMERA}{WRITTEN}[privacy]\ncontroller = \"Mori K.K.\"\n[retention]\nsightings-days = 30\n"
    ));
    let _made = site.done(&["gallery", "list"]);
    let sheet: Value = serde_json::from_str(&site.done(&["dpia", "--json"])).expect("JSON");
    assert_eq!(sheet["cameras"]["gate"]["purpose"], "Keep banned visitors out");
    assert_eq!(sheet["cameras"]["gate"]["zones"][0][2], serde_json::json!([1.0, 1.0]));
    assert_eq!(sheet["kept-s"]["sightings"], 30 * 86_400);
    assert_eq!((&sheet["pad"], &sheet["rows"]["people"]), (&Value::from("none"), &Value::from(0)));
    assert!(sheet["networks"]["embedder"]["licence"].is_string(), "{sheet}");
    assert!(sheet["open-points"].as_array().is_some_and(|points| points.len() > 3), "{sheet}");
    for language in ["en", "ja"] {
        let text = site.done(&["dpia", "--language", language]);
        for said in ["# ", "Mori K.K.", "Keep banned visitors out", "mon-fri 08:00-18:00", "sekisho-student-m"] {
            assert!(text.contains(said), "{said} is not in\n{text}");
        }
        assert!(!text.contains("??"), "{text}");
    }
}

#[test]
fn the_notice_is_printed_for_one_camera_in_the_language_of_the_profile() {
    let mut site = Site::new();
    site.configure(&format!("{CAMERA}{WRITTEN}[privacy]\nprofile = \"jp\"\npublished-at = \"2026-11-01\"\n"));
    let text = site.done(&["notice", "--camera", "gate"]);
    assert!(text.contains("Keep banned visitors out") && !text.is_ascii(), "{text}");
    let page = site.done(&["notice", "--format", "html", "--language", "en"]);
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("class=\"sign\""), "{page}");
    let refused = site.cli(&["notice", "--camera", "dock"]);
    assert_eq!(refused.status.code(), Some(2));
}
