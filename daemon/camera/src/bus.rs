//! What GStreamer says on the bus, translated into faults and notices.

use crate::fault::{Fault, printable};
use crate::source::Source;
use crate::tap::Notice;
use gstreamer as gst;

/// What is needed to understand a message.
#[derive(Clone)]
pub(crate) struct Interpreter {
    source: Source,
}

impl Interpreter {
    pub(crate) const fn new(source: Source) -> Self {
        Self { source }
    }

    /// What a message means to the supervisor; nothing for the many that mean nothing.
    pub(crate) fn read(&self, message: &gst::Message) -> Option<Notice> {
        match message.view() {
            gst::MessageView::Eos(_) => Some(Notice::Ended),
            gst::MessageView::SegmentDone(_) => Some(Notice::SegmentDone),
            gst::MessageView::Error(error) => {
                Some(Notice::Fault(self.fault(&error.error(), error.debug().as_deref().unwrap_or_default())))
            }
            gst::MessageView::Warning(warning) => {
                warning.error().is::<gst::StreamError>().then_some(Notice::DecodeWarning)
            }
            // After 25 s without any byte from the camera, followed by an end of stream that says less.
            gst::MessageView::Element(element) => element
                .structure()
                .is_some_and(|said| said.name() == "GstRTSPSrcTimeout")
                .then_some(Notice::Fault(Fault::TimedOut)),
            _ => None,
        }
    }

    fn fault(&self, error: &gst::glib::Error, debug: &str) -> Fault {
        let credential = match &self.source {
            Source::Rtsp { credential, .. } => credential.as_ref(),
            Source::Clip { .. } => return self.clip_fault(error, debug),
        };
        match error.kind::<gst::ResourceError>() {
            Some(gst::ResourceError::NotAuthorized) if credential.is_some() => return Fault::WrongPassword,
            Some(gst::ResourceError::NotAuthorized) => return Fault::NoCredential,
            Some(gst::ResourceError::NotFound) => return Fault::NotFound,
            Some(_) if debug.contains("Timeout") => return Fault::TimedOut,
            Some(_) => return Fault::Unreachable { said: self.quoted(error) },
            None => {}
        }
        if debug.contains("not-negotiated") {
            return Fault::FormatRefused;
        }
        match error.kind::<gst::StreamError>() {
            // "No supported stream was found": the tap knows better when it saw a coding we do not decode.
            Some(gst::StreamError::CodecNotFound | gst::StreamError::TypeNotFound) => Fault::NoVideo,
            _ => Fault::Broken { said: self.quoted(error) },
        }
    }

    fn clip_fault(&self, error: &gst::glib::Error, debug: &str) -> Fault {
        if debug.contains("not-negotiated") {
            Fault::FormatRefused
        } else {
            Fault::BadClip { said: self.quoted(error) }
        }
    }

    /// GStreamer's sentence, without its debug text, which may quote addresses.
    fn quoted(&self, error: &gst::glib::Error) -> String {
        let said = match &self.source {
            Source::Rtsp { credential: Some(credential), .. } => credential.password.scrub(error.message()),
            _ => error.message().to_owned(),
        };
        printable(&said)
    }
}

/// The first error waiting on a bus, for the clip reader, which reads its bus itself.
pub(crate) fn first_fault(bus: &gst::Bus, interpreter: &Interpreter) -> Option<Fault> {
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match interpreter.read(&message)? {
        Notice::Fault(fault) => Some(fault),
        _ => None,
    }
}
