//! What is held about a person, written out for that person: records as JSON, photographs and pictures as files.
//!
//! Reviewers and other users are given numbers instead of names: the person has a right to what was decided, not to who sat at
//! the desk. Of a template its facts are told and not its components, which nobody can read and somebody else could use. Faces
//! of others are covered by a few solid cells before a file is written.

use crate::cmd::Failure;
use crate::eyes::OpenEyes;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ImageEncoder as _, Rgb, RgbImage};
use sekisho_logic::geometry::Rect;
use sekisho_logic::id::PersonId;
use sekisho_logic::record::AlertId;
use sekisho_logic::time::WallMs;
use sekisho_store::{PhotoRow, Store, SubjectSection};
use sekisho_vision::photo::{self, Photo};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Cells across and down a covered head; eight is what is commonly allowed at the most.
const CELLS: u32 = 6;
/// A head reaches beyond the box of its face by so much of its size, on each side.
const MARGIN: f32 = 0.25;
/// A found face is the person's own when so much of the smaller box lies in the other.
const SAME_FACE: f32 = 0.5;
/// As good as the photograph itself.
const JPEG_QUALITY: u8 = 92;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records by section.
    pub records: BTreeMap<&'static str, u64>,
    /// Photographs and pictures.
    pub files: u64,
    /// Faces of others that were covered.
    pub covered: u64,
    /// Files that were left out, and why.
    pub left_out: Vec<String>,
}

/// Names of users as the export tells them.
#[derive(Debug, Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// Puts a number in the place of every user's name, wherever it stands as a whole value.
    fn hide(&mut self, value: &mut Value) {
        match value {
            Value::String(text) if text.starts_with("uid:") || text.starts_with("reviewer:") => {
                let next = format!("user-{}", self.0.len() + 1);
                *text = self.0.entry(text.clone()).or_insert(next).clone();
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.hide(field)),
            _ => {}
        }
    }
}

/// A folder for one export, which must be new: files of another person must not lie in it.
///
/// # Errors
/// [`Failure::No`] when it is there already or cannot be made.
pub fn folder(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(|error| {
        Failure::No(format!("{}: {error}; give the name of a folder that is not there yet", path.display()))
    })
}

/// Writes everything about `person` into `folder`. Without `eyes` photographs and pictures are left out, because faces of
/// others could not be covered.
///
/// # Errors
/// [`Failure::No`] when the person is not enrolled, or store or disk refuse.
pub fn export(
    store: &mut Store,
    person: &PersonId,
    folder: &Path,
    eyes: Option<&mut OpenEyes>,
    now: WallMs,
) -> Result<Exported, Failure> {
    let no = |error: io::Error| Failure::No(format!("{}: {error}", folder.display()));
    let mut done = Exported::default();
    let mut to = BufWriter::new(new_file(&folder.join("records.json")).map_err(no)?);
    let head =
        json!({ "person": person, "exported": now.to_rfc3339(), "by": concat!("sekisho ", env!("CARGO_PKG_VERSION")) });
    let head = head.to_string();
    write!(to, "{}", head.trim_end_matches('}')).map_err(no)?;
    let (mut names, mut alerts) = (Names::default(), Vec::new());
    for section in SubjectSection::ALL {
        write!(to, ",\n\"{}\": [", section.as_str()).map_err(no)?;
        let mut first = true;
        let written = store.subject_records(person, section, |mut record| {
            if section == SubjectSection::Pictures
                && let Some(alert) = record["alert"].as_str()
                && alerts.last().is_none_or(|last| last != alert)
            {
                alerts.push(alert.to_owned());
            }
            names.hide(&mut record);
            write!(to, "{}\n{record}", if std::mem::take(&mut first) { "" } else { "," })
        });
        let count = written.map_err(Failure::no)?.map_err(no)?;
        if section == SubjectSection::Person && count == 0 {
            return Err(Failure::No(format!("{person} is not enrolled; `sekisho gallery list` shows who is")));
        }
        done.records.insert(section.as_str(), count);
        write!(to, "]").map_err(no)?;
    }
    writeln!(to, "}}").map_err(no)?;
    to.into_inner().map_err(|error| no(error.into_error()))?.sync_all().map_err(no)?;
    match eyes {
        Some(eyes) => {
            photographs(store, person, folder, eyes, &mut done)?;
            alerts.sort();
            alerts.dedup();
            for alert in alerts {
                pictures(store, &AlertId(alert), folder, eyes, &mut done)?;
            }
        }
        None => done
            .left_out
            .push("photographs and pictures: without the networks faces of others cannot be covered".into()),
    }
    Ok(done)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn photographs(
    store: &mut Store,
    person: &PersonId,
    folder: &Path,
    eyes: &mut OpenEyes,
    done: &mut Exported,
) -> Result<(), Failure> {
    for (PhotoRow { id, face, .. }, nth) in store.person_photos(person).map_err(Failure::no)?.into_iter().zip(1..) {
        let Some(bytes) = store.photo_bytes(id).map_err(Failure::no)? else { continue };
        let name = format!("photograph-{nth}.jpg");
        match covered(&bytes, face, eyes) {
            Ok((picture, count)) => {
                let mut jpeg = Vec::new();
                let encoded = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(&picture);
                encoded.map_err(|error| Failure::No(format!("{name}: {error}")))?;
                put(folder, &name, &jpeg)?;
                done.covered += count;
                done.files += 1;
            }
            Err(said) => done.left_out.push(format!("{name}: {said}")),
        }
    }
    Ok(())
}

fn pictures(
    store: &mut Store,
    alert: &AlertId,
    folder: &Path,
    eyes: &mut OpenEyes,
    done: &mut Exported,
) -> Result<(), Failure> {
    for (row, nth) in store.evidence(alert).map_err(Failure::no)?.into_iter().zip(1..) {
        let Some(bytes) = store.evidence_picture(row.id).map_err(Failure::no)? else { continue };
        let name = format!("alert-{alert}-{nth}.png");
        match covered(&bytes, None, eyes) {
            Ok((picture, count)) => {
                let mut png = Vec::new();
                let encoded = PngEncoder::new(&mut png).write_image(
                    picture.as_raw(),
                    picture.width(),
                    picture.height(),
                    image::ExtendedColorType::Rgb8,
                );
                encoded.map_err(|error| Failure::No(format!("{name}: {error}")))?;
                put(folder, &name, &png)?;
                done.covered += count;
                done.files += 1;
            }
            Err(said) => done.left_out.push(format!("{name}: {said}")),
        }
    }
    Ok(())
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = folder.join(name);
    let written = new_file(&path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Failure::No(format!("{}: {error}", path.display())))
}

/// The picture with every face covered but the person's own: the one that is known, or else the one nearest to the middle,
/// around which pictures of alerts are cut.
fn covered(bytes: &[u8], own: Option<[u32; 4]>, eyes: &mut OpenEyes) -> Result<(RgbImage, u64), String> {
    let decoded = Photo::decode(bytes).map_err(|error| error.to_string())?;
    let faces = photo::faces(&mut eyes.0, decoded.pixels()).map_err(|error| error.to_string())?;
    let picture = upright(bytes).map_err(|error| error.to_string())?;
    Ok(cover_others(picture, own, &faces))
}

/// Upright as its EXIF orientation says, as the networks saw it; without any metadata from here on.
fn upright(bytes: &[u8]) -> Result<RgbImage, image::ImageError> {
    use image::ImageDecoder as _;
    let mut decoder = image::ImageReader::new(io::Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    let turn = decoder.orientation()?;
    let mut picture = image::DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(turn);
    Ok(picture.into_rgb8())
}

#[expect(clippy::cast_precision_loss, reason = "pictures have at most 50 megapixels")]
fn cover_others(mut picture: RgbImage, own: Option<[u32; 4]>, faces: &[Rect]) -> (RgbImage, u64) {
    let own = match own {
        Some([x, y, width, height]) => Some(Rect::new(x as f32, y as f32, width as f32, height as f32)),
        None => {
            let (x, y) = (picture.width() as f32 / 2.0, picture.height() as f32 / 2.0);
            let off = |face: &Rect| (face.x + face.width / 2.0 - x).hypot(face.y + face.height / 2.0 - y);
            faces.iter().min_by(|a, b| off(a).total_cmp(&off(b))).copied()
        }
    };
    let mut count = 0;
    for face in faces.iter().filter(|face| own.is_none_or(|own| shared(&own, face) < SAME_FACE)) {
        cover(&mut picture, face);
        count += 1;
    }
    (picture, count)
}

/// The part of the smaller box that lies in the other.
fn shared(a: &Rect, b: &Rect) -> f32 {
    let side =
        |from: f32, length: f32, other: f32, its: f32| ((from + length).min(other + its) - from.max(other)).max(0.0);
    let both = side(a.x, a.width, b.x, b.width) * side(a.y, a.height, b.y, b.height);
    both / (a.width * a.height).min(b.width * b.height).max(1.0)
}

/// Puts the mean of each cell over the head, for ever.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to the picture, which has at most 50 megapixels"
)]
fn cover(picture: &mut RgbImage, face: &Rect) {
    let edge = |at: f32, of: u32| at.round().clamp(0.0, of as f32) as u32;
    let (across, down) = (picture.width(), picture.height());
    let cell = (face.width * (1.0 + 2.0 * MARGIN) / CELLS as f32, face.height * (1.0 + 2.0 * MARGIN) / CELLS as f32);
    let from = (face.x - face.width * MARGIN, face.y - face.height * MARGIN);
    for (column, row) in (0..CELLS).flat_map(|column| (0..CELLS).map(move |row| (column, row))) {
        let x = |at: u32| edge(from.0 + cell.0 * at as f32, across);
        let y = |at: u32| edge(from.1 + cell.1 * at as f32, down);
        let inside = || (y(row)..y(row + 1)).flat_map(|v| (x(column)..x(column + 1)).map(move |u| (u, v)));
        let mut sum = [0_u64; 3];
        for (u, v) in inside() {
            sum.iter_mut().zip(picture.get_pixel(u, v).0).for_each(|(total, value)| *total += u64::from(value));
        }
        let count = inside().count().max(1) as u64;
        let mean = Rgb(sum.map(|total| u8::try_from(total / count).unwrap_or(u8::MAX)));
        inside().for_each(|(u, v)| picture.put_pixel(u, v, mean));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_covered_by_few_cells_and_the_person_is_not() {
        let noise = |x: u32, y: u32| Rgb([x * 7 + y * 3, x * 13 + y, x ^ y].map(|value| value.to_le_bytes()[0]));
        let before = RgbImage::from_fn(200, 100, noise);
        let faces = [Rect::new(20.0, 30.0, 40.0, 40.0), Rect::new(130.0, 20.0, 44.0, 60.0)];
        let (after, count) = cover_others(before.clone(), Some([18, 28, 44, 44]), &faces);
        assert_eq!(count, 1);
        let region = |picture: &RgbImage, from: u32, to: u32| {
            let pixels = (from..to).flat_map(|x| (20..80).map(move |y| (x, y)));
            pixels.map(|(x, y)| picture.get_pixel(x, y).0).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(region(&after, 0, 110), region(&before, 0, 110));
        assert!(region(&after, 130, 174).len() <= (CELLS * CELLS) as usize);
        assert!(region(&before, 130, 174).len() > 1000);
        // Without a known place the one nearest to the middle is the person.
        let (_, count) = cover_others(before, None, &[Rect::new(90.0, 40.0, 20.0, 20.0), faces[0], faces[1]]);
        assert_eq!(count, 2);
    }

    #[test]
    fn users_become_numbers_wherever_they_stand() {
        let mut names = Names::default();
        let mut record = json!({ "votes": [{ "reviewer": "reviewer:sato" }, { "reviewer": "uid:7" }], "by": "reviewer:sato",
                                 "actor": "daemon", "reason": "see reviewer notes" });
        names.hide(&mut record);
        assert_eq!(record["votes"][0]["reviewer"], record["by"]);
        assert_eq!(
            (record["votes"][1]["reviewer"].as_str(), record["actor"].as_str()),
            (Some("user-2"), Some("daemon"))
        );
        assert!(!record.to_string().contains("sato"));
    }
}
