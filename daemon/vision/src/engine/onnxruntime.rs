//! Networks in ONNX Runtime: on the processor, on OpenVINO, on QNN.
//!
//! A provider never shares a network with the processor: what it cannot run whole it must refuse, because a graph that is
//! cut into pieces copies between devices and hides what was not supported.

use super::{Engine, Outputs, Shapes, TensorInfo, Tensors, one_line};
use crate::accelerator::{Accelerator, Device, Provider};
use crate::manifest::{Dim, Entry, Role};
use crate::session::{Run, Runtime};
use ort::ep::{ArbitrarilyConfigurableExecutionProvider as _, CPU, OpenVINO};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

/// The name under which QNN's plugin is registered and its devices are found.
const QNN: &str = "QNNExecutionProvider";

/// A network in one session that takes whatever shapes the network allows.
#[derive(Debug)]
struct Free {
    session: Session,
}

/// A network in one session a shape.
#[derive(Debug)]
struct ByShape {
    sessions: Vec<Session>,
    shapes: Shapes,
}

/// A network on the processor.
///
/// # Errors
/// What the runtime said, in one line.
pub fn on_cpu(runtime: &Runtime, bytes: &[u8], run: Run) -> Result<Box<dyn Engine>, String> {
    let make = || -> ort::Result<Session> {
        plain(runtime)?
            .with_execution_providers([CPU::default().with_arena_allocator(run == Run::Often).build()])?
            .commit_from_memory(bytes)
    };
    Ok(Box::new(Free { session: make().map_err(|error| one_line(&error.to_string()))? }))
}

/// A network on an accelerator, the whole of it.
///
/// # Errors
/// What the runtime said, in one line.
pub fn on(
    accelerator: &Accelerator,
    runtime: &Runtime,
    entry: &Entry,
    bytes: &[u8],
) -> Result<Box<dyn Engine>, String> {
    let said = |error: ort::Error| one_line(&error.to_string());
    if !accelerator.compiles_shapes() {
        let builder = prepared(accelerator, runtime).and_then(|mut builder| builder.commit_from_memory(bytes));
        return Ok(Box::new(Free { session: builder.map_err(said)? }));
    }
    let shapes = shapes(entry);
    let mut sessions = Vec::with_capacity(shapes.len());
    for shape in &shapes {
        let make = || -> ort::Result<Session> {
            let mut builder = prepared(accelerator, runtime)?;
            for (dim, size) in entry.input.shape.iter().zip(shape) {
                if let Dim::Free(name) = dim {
                    builder = builder.with_dimension_override(name, i64::try_from(*size).unwrap_or(1))?;
                }
            }
            builder.commit_from_memory(bytes)
        };
        sessions.push(make().map_err(said)?);
    }
    Ok(Box::new(ByShape { sessions, shapes: Shapes::Only(shapes) }))
}

/// Every shape that is ever run: a detector's inputs, and one crop at a time for an embedder.
fn shapes(entry: &Entry) -> Vec<[usize; 4]> {
    match &entry.role {
        Role::Detector(_) => {
            crate::detector::INPUT_SHAPES_PX.iter().map(|(width, height)| [1, 3, *height, *width]).collect()
        }
        Role::Embedder(contract) => vec![[1, 3, contract.input_size_px.1, contract.input_size_px.0]],
    }
}

/// What all sessions have in common.
fn plain(runtime: &Runtime) -> ort::Result<SessionBuilder> {
    // One thread and no spinning: cameras are the parallelism, and a spinning pool would take the cores from the decoders.
    // The memory pattern is off because a detector's input has several shapes, and the runtime would plan and keep memory
    // for each.
    Ok(Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_memory_pattern(false)?
        .with_log_level(ort::logging::LogLevel::Warning)?)
}

/// A builder whose sessions run on the accelerator or not at all.
fn prepared(accelerator: &Accelerator, runtime: &Runtime) -> ort::Result<SessionBuilder> {
    let builder = plain(runtime)?;
    let builder = match accelerator.provider {
        Provider::OpenVino => openvino(accelerator, builder)?,
        Provider::Qnn => qnn(accelerator, runtime, builder)?,
    };
    Ok(builder.with_disable_cpu_fallback()?)
}

fn openvino(accelerator: &Accelerator, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
    let mut provider = OpenVINO::default();
    if accelerator.device == Device::Cpu {
        // As on our own processor sessions: one thread a worker.
        provider = provider.with_num_threads(1).with_num_streams(1);
    }
    for (key, value) in &accelerator.options {
        provider = provider.with_arbitrary_config(key, value);
    }
    let provider = provider.with_device_type(accelerator.device.as_str().to_uppercase());
    Ok(builder.with_execution_providers([provider.build().error_on_failure()])?)
}

fn qnn(accelerator: &Accelerator, runtime: &Runtime, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
    runtime.register(QNN, &accelerator.folder.join(Provider::Qnn.library()))?;
    let devices = runtime.environment().devices();
    let devices: Vec<_> = devices.filter(|device| device.ep().is_ok_and(|name| name == QNN)).take(1).collect();
    // An empty list would mean whatever ONNX Runtime thinks best.
    if devices.is_empty() {
        return Err(ort::Error::new("QNN finds no device on this machine"));
    }
    let backend = accelerator.folder.join("libQnnHtp.so").display().to_string();
    let own = std::iter::once(("backend_path".to_owned(), backend));
    let options = own.chain(accelerator.options.iter().map(|(key, value)| (key.clone(), value.clone())));
    let options: Vec<_> = options.map(|(key, value)| (format!("{QNN}.{key}"), value)).collect();
    Ok(builder.with_devices(devices, Some(&options))?)
}

/// What the sessions of these outlets take and give.
fn tensors(session: &Session) -> Tensors {
    let info = |outlet: &Outlet| TensorInfo {
        name: outlet.name().to_owned(),
        shape: match outlet.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => Some(shape.to_vec()),
            ValueType::Tensor { .. } | ValueType::Sequence(_) | ValueType::Map { .. } | ValueType::Optional(_) => None,
        },
    };
    Tensors {
        inputs: session.inputs().iter().map(info).collect(),
        outputs: session.outputs().iter().map(info).collect(),
    }
}

fn run<'s>(session: &'s mut Session, input: &str, shape: [usize; 4], values: &[f32]) -> Result<Outputs<'s>, String> {
    let said = |error: ort::Error| one_line(&error.to_string());
    let view = TensorRef::from_array_view((shape, values)).map_err(said)?;
    Ok(Outputs::OnnxRuntime(session.run(ort::inputs![input => view]).map_err(said)?))
}

impl Engine for Free {
    fn tensors(&self) -> Tensors {
        tensors(&self.session)
    }

    fn shapes(&self) -> &Shapes {
        &Shapes::Free
    }

    fn run<'s>(&'s mut self, input: &str, shape: [usize; 4], values: &[f32]) -> Result<Outputs<'s>, String> {
        run(&mut self.session, input, shape, values)
    }
}

impl Engine for ByShape {
    fn tensors(&self) -> Tensors {
        self.sessions.first().map_or_else(|| Tensors { inputs: Vec::new(), outputs: Vec::new() }, tensors)
    }

    fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    fn run<'s>(&'s mut self, input: &str, shape: [usize; 4], values: &[f32]) -> Result<Outputs<'s>, String> {
        let Shapes::Only(known) = &self.shapes else { return Err("it has no shapes".to_owned()) };
        let session =
            known.iter().zip(&mut self.sessions).find(|(known, _)| **known == shape).map(|(_, session)| session);
        let session = session.ok_or_else(|| format!("an input of {shape:?} was not compiled for this device"))?;
        run(session, input, shape, values)
    }
}
