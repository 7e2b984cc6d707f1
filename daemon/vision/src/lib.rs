//! From a picture to faces and their embeddings: the only user of ONNX Runtime.
//!
//! ```text
//! FrameView -> motion -> plan -> detector -> aligner -> quality -> FoundFace -> embedder -> Embedding
//! ```

pub mod accelerator;
pub mod aligner;
pub mod analyser;
pub mod detector;
pub mod embedder;
pub mod engine;
pub mod letterbox;
pub mod manifest;
pub mod model_file;
pub mod motion;
pub mod photo;
pub mod plan;
pub mod planes;
pub mod quality;
pub mod selftest;
pub mod session;
pub mod trial;
pub mod verify;
