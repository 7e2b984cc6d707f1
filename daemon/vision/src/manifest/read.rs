//! From TOML tables to contracts, collecting problems instead of stopping at the first.

use super::{
    Colour, Decoder, Dim, EmbedderContract, Entry, InputContract, OutputContract, PREPROCESSING_VERSION, Role, Usage,
};
use sekisho_logic::geometry::CROP_PX;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, PathBuf};
use std::sync::Arc;
use toml::{Table, Value};

/// More networks than anybody installs; bounds the work a hostile file can cause.
const ENTRIES_MAX: usize = 64;

/// One table being read: every access marks its key as known, so that what is left over is an error.
struct Section<'a> {
    key: String,
    table: &'a Table,
    seen: BTreeSet<&'static str>,
    problems: Vec<String>,
}

impl<'a> Section<'a> {
    fn new(key: impl Into<String>, table: &'a Table) -> Self {
        Self { key: key.into(), table, seen: BTreeSet::new(), problems: Vec::new() }
    }

    fn say(&mut self, name: &str, what: impl std::fmt::Display) {
        let dot = if self.key.is_empty() { "" } else { "." };
        self.problems.push(format!("{}{dot}{name}: {what}", self.key));
    }

    fn optional(&mut self, name: &'static str) -> Option<&'a Value> {
        self.seen.insert(name);
        self.table.get(name)
    }

    fn required(&mut self, name: &'static str) -> Option<&'a Value> {
        let value = self.optional(name);
        if value.is_none() {
            self.say(name, "is missing");
        }
        value
    }

    fn as_text(&mut self, name: &'static str, value: &'a Value) -> Option<&'a str> {
        let text = value.as_str().map(str::trim).filter(|text| !text.is_empty());
        if text.is_none() {
            self.say(name, "must be text that is not empty");
        }
        text
    }

    fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.required(name)?;
        self.as_text(name, value)
    }

    fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.say(name, format!("\"{text}\" is not one of {}", words.join(", ")));
        }
        found
    }

    fn whole(&mut self, name: &'static str, least: usize, most: usize) -> Option<usize> {
        let value = self.required(name)?;
        let number = value.as_integer().and_then(|n| usize::try_from(n).ok()).filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.say(name, format!("must be a whole number from {least} to {most}"));
        }
        number
    }

    fn three(&mut self, name: &'static str) -> Option<[f32; 3]> {
        let value = self.required(name)?;
        #[expect(clippy::cast_possible_truncation, reason = "pixel arithmetic is done in f32")]
        let numbers: Option<Vec<f32>> = value
            .as_array()
            .and_then(|list| list.iter().map(|v| v.as_float().map(|f| f as f32).filter(|f| f.is_finite())).collect());
        let three = numbers.and_then(|list| <[f32; 3]>::try_from(list).ok());
        if three.is_none() {
            self.say(name, "must be three finite numbers with a decimal point, such as [127.5, 127.5, 127.5]");
        }
        three
    }

    /// A path that stays below the folder it is relative to.
    fn relative_path(&mut self, name: &'static str, value: &'a Value) -> Option<PathBuf> {
        let path = PathBuf::from(self.as_text(name, value)?);
        if path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Some(path);
        }
        self.say(name, "must be a relative path without `..`");
        None
    }

    fn section(&mut self, name: &'static str) -> Option<Section<'a>> {
        let value = self.required(name)?;
        if value.as_table().is_none() {
            self.say(name, "must be a table");
        }
        Some(Section::new(format!("{}.{name}", self.key), value.as_table()?))
    }

    /// What is wrong in this section, unknown keys included.
    fn finish(mut self) -> Vec<String> {
        let unknown: Vec<_> = self.table.keys().filter(|key| !self.seen.contains(key.as_str())).cloned().collect();
        for key in unknown {
            let known: Vec<_> = self.seen.iter().copied().collect();
            self.say(&key, format!("is not a key; known here are {}", known.join(", ")));
        }
        self.problems
    }
}

/// What a manifest states: its entries, and where its file of pairs and its golden picture are.
pub(super) struct Stated {
    pub(super) entries: BTreeMap<String, Arc<Entry>>,
    pub(super) pairs: Option<PathBuf>,
    pub(super) golden_picture: Option<PathBuf>,
}

/// The whole of a manifest.
pub(super) fn entries(table: &Table) -> Result<Stated, Vec<String>> {
    let mut root = Section::new("", table);
    root.whole("manifest-version", 1, 1);
    let pairs = root.optional("pairs").and_then(|value| root.relative_path("pairs", value));
    let golden_picture = root.optional("golden-picture").and_then(|value| root.relative_path("golden-picture", value));
    let models = root.required("models");
    let mut entries = BTreeMap::new();
    let mut problems = Vec::new();
    match models.map(Value::as_table) {
        Some(Some(models)) if models.is_empty() || models.len() > ENTRIES_MAX => {
            root.say("models", format!("has {} entries, expected 1 to {ENTRIES_MAX}", models.len()));
        }
        Some(Some(models)) => {
            for (id, value) in models {
                match value.as_table() {
                    Some(table) => match entry(id, table) {
                        Ok(entry) => _ = entries.insert(id.clone(), Arc::new(entry)),
                        Err(found) => problems.extend(found),
                    },
                    None => problems.push(format!("models.{id}: must be a table")),
                }
            }
        }
        Some(None) => root.say("models", "must be a table"),
        None => {}
    }
    let mut all = root.finish();
    all.extend(problems);
    if all.is_empty() { Ok(Stated { entries, pairs, golden_picture }) } else { Err(all) }
}

fn entry(id: &str, table: &Table) -> Result<Entry, Vec<String>> {
    let mut s = Section::new(format!("models.{id}"), table);
    let file = s.required("file").and_then(|value| s.relative_path("file", value));
    let sha256 = s.text("sha256").map(str::to_ascii_lowercase);
    if sha256.as_deref().is_some_and(|hash| hash.len() != 64 || hex::decode(hash).is_err()) {
        s.say("sha256", "must be 64 hexadecimal digits");
    }
    let source = s.text("source");
    let licence = s.text("licence");
    let licence_note = s.text("licence-note");
    let usage = s.choice("usage", &[("commercial", Usage::Commercial), ("non-commercial", Usage::NonCommercial)]);
    let golden = s.optional("golden").and_then(|value| s.relative_path("golden", value));
    let rendering_of = s.optional("rendering-of").and_then(|value| s.as_text("rendering-of", value));
    if rendering_of == Some(id) {
        s.say("rendering-of", "names the entry itself; name the other one, or leave it out");
    }
    let outputs = outputs(&mut s);
    let mut problems = Vec::new();
    let input = s.section("input").and_then(|mut section| {
        let input = input(&mut section);
        problems.extend(section.finish());
        input
    });
    let role = match s.choice("role", &[("detector", RoleWord::Detector), ("embedder", RoleWord::Embedder)]) {
        Some(RoleWord::Detector) => s.section("detector").and_then(|mut section| {
            let decoder = section.choice("decoder", &[("yunet", Decoder::Yunet)]);
            problems.extend(section.finish());
            decoder.map(Role::Detector)
        }),
        Some(RoleWord::Embedder) => s.section("embedder").and_then(|mut section| {
            let contract = embedder(&mut section, input.as_ref(), outputs.as_deref());
            problems.extend(section.finish());
            contract.map(Role::Embedder)
        }),
        None => {
            s.seen.extend(["detector", "embedder"]);
            None
        }
    };
    let mut all = s.finish();
    all.extend(problems);
    if !all.is_empty() {
        return Err(all);
    }
    let whole = || {
        Some(Entry {
            id: id.to_owned(),
            file: file?,
            sha256: sha256?,
            source: source?.to_owned(),
            licence: licence?.to_owned(),
            licence_note: licence_note?.to_owned(),
            usage: usage?,
            input: input?,
            outputs: outputs?,
            role: role?,
            golden,
            rendering_of: rendering_of.map(str::to_owned),
        })
    };
    // Whoever returned None above also said why, so this fallback names only the entry.
    whole().ok_or_else(|| vec![format!("models.{id}: is not complete")])
}

#[derive(Clone, Copy)]
enum RoleWord {
    Detector,
    Embedder,
}

fn dims(s: &mut Section<'_>, name: &str, value: Option<&Value>) -> Option<Vec<Dim>> {
    let list = value.and_then(Value::as_array).filter(|list| (1..=8).contains(&list.len()));
    let dims = list.and_then(|list| {
        list.iter()
            .map(|dim| match dim {
                Value::Integer(n) => usize::try_from(*n).ok().filter(|n| (1..=65_536).contains(n)).map(Dim::Fixed),
                Value::String(word) if !word.trim().is_empty() => Some(Dim::Free(word.clone())),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
    });
    if dims.is_none() {
        s.say(name, "must be a list of sizes (1 to 65536) or names, such as [\"batch\", 3, 112, 112]");
    }
    dims
}

fn input(s: &mut Section<'_>) -> Option<InputContract> {
    let name = s.text("name");
    s.choice("layout", &[("nchw", ())]);
    let shape = s.required("shape");
    let shape = shape.and_then(|shape| dims(s, "shape", Some(shape)));
    let shape = shape.and_then(|dims| {
        let four = <[Dim; 4]>::try_from(dims).ok().filter(|dims| dims[1] == Dim::Fixed(3));
        if four.is_none() {
            s.say("shape", "must be [batch, 3, height, width]");
        }
        four
    });
    let colour = s.choice("colour", &[("rgb", Colour::Rgb), ("bgr", Colour::Bgr)]);
    let (mean, scale) = (s.three("mean"), s.three("scale"));
    Some(InputContract { name: name?.to_owned(), shape: shape?, colour: colour?, mean: mean?, scale: scale? })
}

fn outputs(s: &mut Section<'_>) -> Option<Vec<OutputContract>> {
    let value = s.required("outputs")?;
    let Some(list) = value.as_array().filter(|list| (1..=32).contains(&list.len())) else {
        s.say("outputs", "must be a list of 1 to 32 tables { name, shape }");
        return None;
    };
    let mut outputs = Vec::new();
    for (at, value) in list.iter().enumerate() {
        let key = format!("outputs[{at}]");
        let table = value.as_table();
        let name = table.and_then(|t| t.get("name")).and_then(Value::as_str);
        let extra = table.is_some_and(|t| t.keys().any(|key| key != "name" && key != "shape"));
        let Some(name) = name.filter(|_| !extra) else {
            s.say(&key, "must be a table of exactly name and shape");
            continue;
        };
        let shape = dims(s, &key, table.and_then(|t| t.get("shape")));
        outputs.push(OutputContract { name: name.to_owned(), shape: shape? });
    }
    Some(outputs)
}

fn embedder(
    s: &mut Section<'_>,
    input: Option<&InputContract>,
    outputs: Option<&[OutputContract]>,
) -> Option<EmbedderContract> {
    let output = s.text("output");
    let size = s.whole("size", 8, 4096);
    let version = s.whole("preprocessing-version", 1, u32::MAX as usize).and_then(|n| u32::try_from(n).ok());
    if version.is_some_and(|version| version != PREPROCESSING_VERSION) {
        s.say("preprocessing-version", format!("this program samples crops as version {PREPROCESSING_VERSION} only"));
    }
    if s.whole("crop-side-px", 1, 4096).is_some_and(|side| side != CROP_PX) {
        s.say("crop-side-px", format!("only {CROP_PX} is supported"));
    }
    let crop_part = match s.optional("crop-part") {
        None => Some([0, 0, CROP_PX, CROP_PX]),
        Some(value) => crop_part(s, value),
    };
    let batch_max = s.whole("batch-max", 1, 8);
    if batch_max.is_some_and(|batch| !batch.is_power_of_two()) {
        s.say("batch-max", "must be 1, 2, 4 or 8");
    }
    let calibration = s.optional("calibration").and_then(|value| s.relative_path("calibration", value));
    if let (Some(output), Some(size), Some(outputs)) = (output, size, outputs) {
        match outputs.iter().find(|o| o.name == output) {
            None => s.say("output", format!("`{output}` is not among the outputs")),
            Some(found) if found.shape.len() != 2 || found.shape[1] != Dim::Fixed(size) => {
                s.say("size", format!("output `{output}` is not declared as [batch, {size}]"));
            }
            Some(_) => {}
        }
    }
    let input_size_px = match input.map(|input| &input.shape) {
        Some([_, _, Dim::Fixed(height), Dim::Fixed(width)]) if *height <= 512 && *width <= 512 => {
            Some((*width, *height))
        }
        Some(_) => {
            s.say("output", "an embedder's input must have a fixed height and width of at most 512");
            None
        }
        None => None,
    };
    if let Some([Dim::Fixed(batch), ..]) = input.map(|input| &input.shape)
        && (*batch != 1 || batch_max.is_some_and(|most| most != 1))
    {
        s.say("batch-max", "an input whose batch is fixed must have a batch of 1, and then batch-max is 1");
    }
    Some(EmbedderContract {
        output: output?.to_owned(),
        size: size?,
        crop_part: crop_part?,
        input_size_px: input_size_px?,
        batch_max: batch_max?,
        preprocessing_version: version?,
        calibration,
    })
}

fn crop_part(s: &mut Section<'_>, value: &Value) -> Option<[usize; 4]> {
    let numbers: Option<Vec<usize>> = value
        .as_array()
        .and_then(|list| list.iter().map(|v| v.as_integer().and_then(|n| usize::try_from(n).ok())).collect());
    let part = numbers.and_then(|list| <[usize; 4]>::try_from(list).ok()).filter(|[x, y, width, height]| {
        *width > 0 && *height > 0 && x.saturating_add(*width) <= CROP_PX && y.saturating_add(*height) <= CROP_PX
    });
    if part.is_none() {
        s.say("crop-part", format!("must be [x, y, width, height] inside the {CROP_PX}x{CROP_PX} crop"));
    }
    part
}
