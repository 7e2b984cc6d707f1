//! `sekisho notice`: the sign at the door and the notice behind it.

use super::Failure;
use super::output::line;
use crate::config::Settings;
use crate::config::privacy::Profile;
use crate::notice::Notice;
use crate::page::Language;
use clap::{Args, ValueEnum};
use sekisho_logic::id::CameraId;
use std::path::Path;

/// Options of `notice`.
#[derive(Debug, Args)]
pub struct NoticeArgs {
    /// The language; with the profile "jp" Japanese unless this says otherwise.
    #[arg(long, value_enum)]
    language: Option<Language>,
    /// For one camera; without it for all that are in use.
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,
    /// Plain text, or a page in which the sign fills one sheet of paper.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text.
    Text,
    /// One HTML file.
    Html,
}

/// The language texts for people are in unless they ask for another.
pub(super) const fn usual_language(settings: &Settings) -> Language {
    match settings.privacy.profile {
        Profile::Jp => Language::Ja,
        Profile::None | Profile::Eu => Language::En,
    }
}

/// Prints both; what is not written down yet is said on standard error.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, args: &NoticeArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let camera = args.camera.as_deref().map(CameraId::try_new).transpose().map_err(Failure::wrong)?;
    if let Some(camera) = camera.as_ref().filter(|camera| !settings.cameras.contains_key(camera)) {
        let known: Vec<_> = settings.cameras.keys().map(ToString::to_string).collect();
        let said = format!("there is no camera {camera}; the configuration has {}", known.join(", "));
        return Err(Failure::Wrong(said));
    }
    let language = args.language.unwrap_or(usual_language(&settings));
    let notice = Notice::new(&settings, camera.as_ref());
    line(&match args.format {
        Format::Text => notice.text(language),
        Format::Html => notice.html(language),
    });
    settings.undone().iter().for_each(|said| eprintln!("sekisho: {said}"));
    Ok(())
}
