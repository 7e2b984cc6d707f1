//! The page itself: files built into the program, so that what is served is what was released.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::LazyLock;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("page/", $name)).as_slice())),*]
    };
}

/// Every file of the page, by its name in `daemon/src/web/page`.
const FILES: [(&str, &[u8]); 25] = files![
    "alert.js",
    "api.js",
    "app.css",
    "app.js",
    "cameras.js",
    "dom.js",
    "facts.js",
    "history.js",
    "icon-waiting.svg",
    "icon.svg",
    "index.html",
    "live.js",
    "login.js",
    "notices.js",
    "panels.js",
    "pictures.js",
    "prefs.js",
    "queue.js",
    "result.js",
    "state.js",
    "verdict.js",
    "votes.js",
    "words-en.json",
    "words-ja.json",
    "words.js",
];

struct Asset {
    bytes: &'static [u8],
    kind: &'static str,
    tag: String,
}

static ASSETS: LazyLock<BTreeMap<&'static str, Asset>> = LazyLock::new(|| {
    let asset = |(name, bytes): (&'static str, &'static [u8])| {
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(bytes)[..12]));
        (name, Asset { bytes, kind: kind(name), tag })
    };
    FILES.into_iter().map(asset).collect()
});

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// A file of the page, `304` when the browser has it already; `None` when there is no such file. Names are looked up in a
/// table: no path of any file system is ever made of them.
#[must_use]
pub fn answer(name: &str, headers: &HeaderMap) -> Option<Response> {
    let asset = ASSETS.get(name)?;
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tags| tags.as_bytes() == asset.tag.as_bytes());
    let mut answer = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response()
    };
    let lines = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        lines.insert(header::ETAG, tag);
    }
    lines.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_page_is_served_and_no_other() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/page");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the page")
            .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(served, there, "the list in assets.rs and the folder differ");
        assert!(FILES.iter().all(|(name, _)| kind(name) != "application/octet-stream"));
    }

    #[test]
    fn a_browser_that_has_it_is_told_so_and_paths_are_names() {
        let answered = answer("app.js", &HeaderMap::new()).expect("there");
        let tag = answered.headers()[header::ETAG].clone();
        let again = answer("app.js", &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)])).expect("there");
        assert_eq!((answered.status(), again.status()), (StatusCode::OK, StatusCode::NOT_MODIFIED));
        for name in ["", "../assets.rs", "/etc/passwd", "app.js/", "APP.JS", "page/app.js"] {
            assert!(answer(name, &HeaderMap::new()).is_none(), "{name}");
        }
    }

    #[test]
    fn the_page_needs_nothing_that_its_policy_forbids() {
        let text = |name: &str| {
            FILES.iter().find(|(other, _)| *other == name).map(|(_, bytes)| String::from_utf8_lossy(bytes))
        };
        let html = text("index.html").expect("there");
        for inline in [" style=", "<style", "javascript:", " onclick=", "<script>"] {
            assert!(!html.contains(inline), "index.html holds {inline}");
        }
        assert!(!html.contains("http://") && !html.contains("https://"), "index.html reaches elsewhere");
    }
}
