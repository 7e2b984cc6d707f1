//! Every network is run once on a picture made of arithmetic before it is trusted: the answer must have the declared
//! shape, be finite and, where the manifest names a golden file, point the same way as the stored answer.

use crate::manifest::{Dim, OutputContract, Role};
use crate::session::{RunError, Session};
use std::path::Path;

/// Cosine with the stored answer below which another computation is at work. Libraries and vector widths differ in the
/// sixth digit; an 8-bit rendering of a network that is worth using stays above this.
const GOLDEN_COSINE_MIN: f32 = 0.99;

/// Height and width used where the contract leaves them free: the smallest shape the detector is used with.
const FREE_SIDE_PX: usize = 128;

/// Values in 0..=255: a slow gradient with blocks and grain, different in every channel and image, the same everywhere.
#[must_use]
pub fn test_picture(shape: [usize; 4]) -> Vec<f32> {
    let [batch, channels, height, width] = shape;
    let mut values = Vec::with_capacity(batch * channels * height * width);
    // A linear congruential generator (Knuth's MMIX constants); its high bits are even enough for grain.
    let mut state = 0x5eed_u64;
    for image in 0..batch {
        for channel in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let grain = (state >> 59) as usize;
                    let block = ((x / 16 + y / 16 + image) % 3) * 40;
                    let slope = x * 64 / width + y * 64 / height + channel * 8;
                    values.push(u16::try_from(grain + block + slope).map_or(0.0, f32::from).min(255.0));
                }
            }
        }
    }
    values
}

/// Runs the self-test.
///
/// # Errors
/// A sentence that says what differed.
pub(crate) fn run(session: &mut Session, golden: Option<&Path>) -> Result<(), String> {
    let shape = test_shape(session, 1);
    let golden = golden.map(Golden::read).transpose()?;
    check(session, shape, golden.as_ref())?;
    let entry = session.entry().clone();
    if let Role::Embedder(contract) = &entry.role
        && session.batch_max(contract.batch_max) > 1
    {
        check(session, test_shape(session, session.batch_max(contract.batch_max)), None)?;
    }
    Ok(())
}

/// The input shape of a self-test with `batch` images.
#[must_use]
pub fn test_shape(session: &Session, batch: usize) -> [usize; 4] {
    let shape = &session.entry().input.shape;
    let side = |dim: &Dim, free| if let Dim::Fixed(size) = dim { *size } else { free };
    [side(&shape[0], batch), 3, side(&shape[2], FREE_SIDE_PX), side(&shape[3], FREE_SIDE_PX)]
}

/// What the network answers to the test picture at one output.
///
/// # Errors
/// [`RunError`] when the run fails, the shape is not the declared one or a value is not finite.
pub fn answer(session: &mut Session, shape: [usize; 4], output: &str) -> Result<Vec<f32>, RunError> {
    let entry = session.entry().clone();
    let declared = entry.outputs.iter().find(|declared| declared.name == output);
    let expected = declared.map(|declared| expected_shape(declared, shape)).unwrap_or_default();
    let picture = test_picture(shape);
    session.run(shape, &picture)?.finite_tensor(output, &expected).map(<[f32]>::to_vec)
}

fn expected_shape(output: &OutputContract, shape: [usize; 4]) -> Vec<usize> {
    let size = |(at, dim): (usize, &Dim)| match dim {
        Dim::Fixed(size) => *size,
        Dim::Free(_) if at == 0 => shape[0],
        Dim::Free(_) => anchors(&output.name, shape),
    };
    output.shape.iter().enumerate().map(size).collect()
}

fn check(session: &mut Session, shape: [usize; 4], golden: Option<&Golden>) -> Result<(), String> {
    let entry = session.entry().clone();
    let picture = test_picture(shape);
    let answer = session.run(shape, &picture).map_err(|e| e.to_string())?;
    for output in &entry.outputs {
        let values = answer.finite_tensor(&output.name, &expected_shape(output, shape)).map_err(|e| e.to_string())?;
        if let Some(golden) = golden.filter(|golden| golden.output == output.name) {
            golden.compare(values)?;
        }
    }
    if let Some(golden) = golden.filter(|golden| entry.outputs.iter().all(|o| o.name != golden.output)) {
        return Err(format!("its golden file is for an output `{}` that it does not have", golden.output));
    }
    Ok(())
}

/// A detector's free dimension counts the cells of its stride, which its outputs carry in their names (`cls_8`).
fn anchors(output: &str, [_, _, height, width]: [usize; 4]) -> usize {
    let stride = output.rsplit('_').next().and_then(|tail| tail.parse::<usize>().ok()).filter(|s| *s > 0).unwrap_or(1);
    (height / stride) * (width / stride)
}

/// A stored answer.
struct Golden {
    output: String,
    values: Vec<f32>,
}

impl Golden {
    fn read(path: &Path) -> Result<Self, String> {
        let at = |what: String| format!("golden file {}: {what}", path.display());
        let text = crate::manifest::read_bounded(path).map_err(|e| at(e.to_string()))?;
        let table = text.parse::<toml::Table>().map_err(|e| at(e.to_string()))?;
        let output = table.get("output").and_then(toml::Value::as_str).ok_or_else(|| at("names no output".into()))?;
        let list = table.get("values").and_then(toml::Value::as_array).ok_or_else(|| at("has no values".into()))?;
        #[expect(clippy::cast_possible_truncation, reason = "tensor values are f32")]
        let values: Option<Vec<f32>> = list.iter().map(|v| v.as_float().map(|f| f as f32)).collect();
        let values = values
            .filter(|values| !values.is_empty() && values.iter().all(|v| v.is_finite()))
            .ok_or_else(|| at("its values must be finite numbers with a decimal point".into()))?;
        Ok(Self { output: output.to_owned(), values })
    }

    fn compare(&self, found: &[f32]) -> Result<(), String> {
        if found.len() < self.values.len() {
            return Err(format!("`{}` has {} values, the golden file {}", self.output, found.len(), self.values.len()));
        }
        let cosine = cosine(&self.values, &found[..self.values.len()]);
        if cosine < GOLDEN_COSINE_MIN {
            return Err(format!(
                "cosine of `{}` with the stored answer is {cosine:.4} (least {GOLDEN_COSINE_MIN}); \
                 the runtime computes something else",
                self.output
            ));
        }
        Ok(())
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| sekisho_logic::embedding::dot(a, b);
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_the_same_everywhere_and_uses_the_range() {
        let values = test_picture([2, 3, 32, 64]);
        assert_eq!(values.len(), 2 * 3 * 32 * 64);
        assert!(values.iter().all(|v| (0.0..=255.0).contains(v)));
        assert_ne!(values[..2048], values[2048..4096]);
        assert_ne!(values[..6144], values[6144..]);
        // Golden answers hold only as long as these do.
        let sum: f32 = values.iter().sum();
        assert!((sum - TEST_PICTURE_SUM).abs() < 0.5, "the test picture changed: {sum}");
    }

    const TEST_PICTURE_SUM: f32 = 1_547_722.0;

    #[test]
    fn cells_follow_the_stride_in_the_name() {
        assert_eq!(anchors("cls_8", [1, 3, 128, 64]), 128);
        assert_eq!(anchors("kps_32", [1, 3, 128, 64]), 8);
    }
}
