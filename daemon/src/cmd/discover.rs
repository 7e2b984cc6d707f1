//! `sekisho cameras discover`: which cameras are on the local network.

use super::output::{json, line, table};
use super::terminal::secret_from;
use super::{Failure, JsonFlag};
use crate::discover::media::{self, Offer, Who};
use crate::discover::{ANSWERS_OF_ONE_MAX, DEVICES_OF_ONE_MAX, Found, Patience, Search, interfaces, search};
use clap::Args;
use serde_json::{Value, json as document};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `cameras discover`.
#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// How long to listen for answers, 1 to 60.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60), value_name = "N")]
    seconds: u64,
    /// Search only from this address of this machine; may be given several times. Without it from every interface.
    #[arg(long, value_name = "ADDRESS")]
    interface: Vec<Ipv4Addr>,
    /// Also ask each camera for the addresses of its streams, with the user:password in this file (mode 0600).
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    #[command(flatten)]
    json: JsonFlag,
}

/// What a camera said of its streams, or why it did not.
type Asked = Result<Offer, String>;

/// Searches and prints.
///
/// # Errors
/// [`Failure::No`] when no question can be sent, or nobody answers.
pub fn run(args: &DiscoverArgs) -> Result<(), Failure> {
    let secret = args.credential_file.as_deref().map(secret_from).transpose()?;
    let who = secret.as_ref().map(|text| {
        text.split_once(':').ok_or_else(|| {
            Failure::Wrong("the credential file has no colon; write `user:password` on one line".to_owned())
        })
    });
    let who = who.transpose()?.map(|(user, password)| Who { user, password });
    let search = look(&args.interface, args.seconds)?;
    let streams = |found: &Found| who.map(|who| ask(found, who));
    let each: Vec<_> = search.found.iter().map(|found| (found, streams(found))).collect();
    if args.json.json {
        json(&document!({
            "schema-version": 1,
            "searched-from": search.from,
            "unreadable-answers": search.unreadable,
            "left-out": search.left_out,
            "elsewhere": search.elsewhere,
            "cameras": each.iter().map(|(found, streams)| camera(found, streams.as_ref())).collect::<Vec<_>>(),
        }));
    } else {
        print(&each);
        left_out(&search);
    }
    if search.found.is_empty() {
        let from: Vec<_> = search.from.iter().map(ToString::to_string).collect();
        return Err(Failure::No(format!(
            "no camera answered within {} s on the networks of {}; cameras in other networks, or with ONVIF switched off, do \
             not answer: look up their address in their own page and use `sekisho setup --camera-url rtsp://ADDRESS`",
            args.seconds,
            from.join(", "),
        )));
    }
    Ok(())
}

/// Searches from the given addresses, or from every interface.
///
/// # Errors
/// [`Failure::No`] when no question can be sent.
pub(crate) fn look(from: &[Ipv4Addr], seconds: u64) -> Result<Search, Failure> {
    let no = |error: std::io::Error| {
        Failure::No(format!("the local network cannot be searched: {error}; check `ip address`, or give --interface"))
    };
    let all = if from.is_empty() { interfaces().map_err(no)? } else { from.to_vec() };
    search(&all, Duration::from_secs(seconds)).map_err(no)
}

/// The streams of a camera, from the first of its services that answers.
///
/// # Errors
/// One sentence.
pub(crate) fn ask(found: &Found, who: Who<'_>) -> Asked {
    let (mut last, patience) = ("it names no service".to_owned(), Patience::default());
    for service in &found.about.services {
        match media::streams(found.address, service, who, &patience) {
            Ok(offer) => return Ok(offer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn camera(found: &Found, asked: Option<&Asked>) -> Value {
    let (listed, left_out, error) = match asked {
        None => (Value::Null, Value::Null, None),
        Some(Err(error)) => (Value::Null, Value::Null, Some(error)),
        Some(Ok(Offer { streams, left_out })) => {
            let each = streams.iter().map(|stream| {
                let (width, height) = stream.size.unzip();
                document!({ "profile": stream.profile, "width": width, "height": height, "url": stream.url })
            });
            (Value::Array(each.collect()), document!(left_out), None)
        }
    };
    let about = &found.about;
    document!({
        "address": found.address, "name": about.name, "model": about.model, "location": about.location,
        "endpoint": about.endpoint, "services": about.services, "streams": listed,
        "streams-left-out": left_out, "streams-error": error,
    })
}

fn print(each: &[(&Found, Option<Asked>)]) {
    if each.is_empty() {
        return;
    }
    let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let rows = each.iter().map(|(found, _)| {
        let about = &found.about;
        let service = about.services.first().cloned().unwrap_or_else(|| "-".into());
        vec![found.address.to_string(), word(&about.name), word(&about.model), word(&about.location), service]
    });
    line(&table(&["address", "name", "model", "location", "service"], &rows.collect::<Vec<_>>()));
    for (found, streams) in each {
        match streams {
            None => {}
            Some(Err(error)) => line(&format!("{}: {error}", found.address)),
            Some(Ok(offer)) => {
                for stream in &offer.streams {
                    let size = stream.size.map_or_else(String::new, |(width, height)| format!(" {width}x{height}"));
                    line(&format!("{}: {}{size} {}", found.address, stream.profile, stream.url));
                }
                offer.left_out.iter().for_each(|why| line(&format!("{}: {why}", found.address)));
            }
        }
    }
}

/// What was heard and is not listed.
pub(crate) fn left_out(search: &Search) {
    if search.left_out > 0 {
        line(&format!(
            "{} more are not listed: from one address {DEVICES_OF_ONE_MAX} devices and {ANSWERS_OF_ONE_MAX} answers are taken",
            search.left_out
        ));
    }
    if !search.elsewhere.is_empty() {
        let all: Vec<_> = search.elsewhere.iter().map(ToString::to_string).collect();
        line(&format!("not listed, as on no network of this machine: {}", all.join(", ")));
    }
}
