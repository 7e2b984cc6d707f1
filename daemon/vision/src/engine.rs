//! What runs a network: one small trait, so that the rest of this crate does not know on what.
//!
//! ONNX Runtime is behind all engines there are: on the processor, on OpenVINO's devices (CPU, GPU, NPU) and on Qualcomm's
//! HTP through QNN. Accelerators that ONNX Runtime does not reach (Rockchip's RKNN, Hailo) come as engines of their own:
//! such an engine is made from a file in its maker's format that the manifest names as a rendering of the network, says in
//! [`Engine::tensors`] what the file holds, computes in [`Engine::run`] into buffers it keeps, and lends these as another
//! kind of [`Outputs`]. It takes part in everything else (contract, self-test, trial, fall to the processor) as it is.

pub mod onnxruntime;

use std::fmt::Debug;

/// What an engine knows of one tensor of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its sizes, -1 where each run chooses; `None` when it holds no 32-bit floats.
    pub shape: Option<Vec<i64>>,
}

/// All tensors that go in and come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensors {
    /// What goes in.
    pub inputs: Vec<TensorInfo>,
    /// What comes out.
    pub outputs: Vec<TensorInfo>,
}

/// Which input shapes an engine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shapes {
    /// Whatever the network allows.
    Free,
    /// These only: an accelerator compiles the network for each.
    Only(Vec<[usize; 4]>),
}

/// One network, loaded. It belongs to the thread that runs it.
pub trait Engine: Debug + Send {
    /// The network's tensors. An engine for fixed shapes says the sizes of its first.
    fn tensors(&self) -> Tensors;

    /// The input shapes it runs.
    fn shapes(&self) -> &Shapes;

    /// Runs the network on one NCHW tensor that goes in at `input`.
    ///
    /// # Errors
    /// What the library said, in one line; also when `values` does not fill `shape` or the shape is none of [`Engine::shapes`].
    fn run<'s>(&'s mut self, input: &str, shape: [usize; 4], values: &[f32]) -> Result<Outputs<'s>, String>;
}

/// What came out of a run, still in the engine's memory.
#[derive(Debug)]
pub enum Outputs<'s> {
    /// ONNX Runtime's values.
    OnnxRuntime(ort::session::SessionOutputs<'s>),
}

impl Outputs<'_> {
    /// Sizes and values of one output.
    ///
    /// # Errors
    /// A sentence when there is no such output or it holds something else than 32-bit floats.
    pub fn tensor(&self, name: &str) -> Result<(&[i64], &[f32]), String> {
        match self {
            Self::OnnxRuntime(values) => {
                let value = values.get(name).ok_or_else(|| format!("there is no output `{name}`"))?;
                let (shape, values) = value.try_extract_tensor::<f32>().map_err(|e| one_line(&e.to_string()))?;
                Ok((shape, values))
            }
        }
    }
}

/// Runtime messages carry line breaks and source positions; the first line says what happened.
pub(crate) fn one_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim();
    line.chars().take(400).collect()
}
