//! The codings we decode and the elements that do it. Nothing is plugged automatically: a camera chooses from this
//! table or is refused by name.

use crate::fault::Fault;
use gstreamer::{self as gst, prelude::*};

/// A coding a camera may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264, also called AVC.
    H264,
    /// H.265, also called HEVC.
    H265,
    /// Motion JPEG.
    Mjpeg,
}

/// Whether a decoder in hardware may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Hardware {
    /// When one is registered for the coding, it is used.
    #[default]
    Preferred,
    /// Software only; also what a camera falls back to when its hardware decoder gave no frame.
    Avoided,
}

impl Codec {
    /// The word in status and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Mjpeg => "mjpeg",
        }
    }

    /// From the encoding name in RTP caps.
    pub(crate) fn from_rtp(encoding_name: &str) -> Option<Self> {
        match encoding_name {
            "H264" => Some(Self::H264),
            "H265" => Some(Self::H265),
            "JPEG" => Some(Self::Mjpeg),
            _ => None,
        }
    }

    /// From the media type a demuxer gives.
    pub(crate) fn from_media_type(name: &str) -> Option<Self> {
        match name {
            "video/x-h264" => Some(Self::H264),
            "video/x-h265" => Some(Self::H265),
            "image/jpeg" => Some(Self::Mjpeg),
            _ => None,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::H264 => "video/x-h264",
            Self::H265 => "video/x-h265",
            Self::Mjpeg => "image/jpeg",
        }
    }

    /// The depayloader, set to wait for a key frame after a loss where it can (without that one frame in ten is damaged
    /// at 2 % loss and none is marked; GStreamer 1.22 can for H.264 only, for H.265 the loss gate stands alone), and the
    /// caps that make it give out whole access units, which is what waiting needs. Parameter sets travel in these caps,
    /// not in the stream: many cameras say them once, and a unit that the loss gate drops must not take them along.
    pub(crate) fn depayloader(self) -> Result<(gst::Element, gst::Caps), Fault> {
        let (name, streams) = match self {
            Self::H264 => ("rtph264depay", "avc"),
            Self::H265 => ("rtph265depay", "hvc1"),
            Self::Mjpeg => return Ok((element("rtpjpegdepay")?, gst::Caps::new_empty_simple("image/jpeg"))),
        };
        let depayloader = element(name)?;
        if depayloader.has_property("wait-for-keyframe") {
            depayloader.set_property("wait-for-keyframe", true);
        }
        let caps =
            gst::Caps::builder(self.media_type()).field("stream-format", streams).field("alignment", "au").build();
        Ok((depayloader, caps))
    }

    /// The parser, when it is installed. Software decoders do without; hardware decoders want what it finds out.
    pub(crate) fn parser(self) -> Option<gst::Element> {
        let name = match self {
            Self::H264 => "h264parse",
            Self::H265 => "h265parse",
            Self::Mjpeg => return None,
        };
        gst::ElementFactory::make(name).build().ok()
    }

    /// A decoder: in hardware by rank if allowed and there is one, else FFmpeg's, else what else is installed.
    pub(crate) fn decoder(self, hardware: Hardware) -> Result<gst::Element, Fault> {
        if hardware == Hardware::Preferred
            && let Some(decoder) = self.hardware_decoder()
        {
            return Ok(decoder);
        }
        let names: &[&'static str] = match self {
            Self::H264 => &["avdec_h264", "openh264dec"],
            Self::H265 => &["avdec_h265", "libde265dec"],
            Self::Mjpeg => &["jpegdec", "avdec_mjpeg"],
        };
        let decoder = names.iter().find_map(|name| gst::ElementFactory::make(name).build().ok());
        let Some(decoder) = decoder else {
            return Err(missing(names[0]));
        };
        if decoder.has_property_with_type("max-threads", i32::static_type()) {
            // One thread a camera: the cameras are the parallelism, and FFmpeg's frame threads add a frame of delay each.
            decoder.set_property("max-threads", 1_i32);
        }
        Ok(decoder)
    }

    fn hardware_decoder(self) -> Option<gst::Element> {
        let caps = gst::Caps::new_empty_simple(self.media_type());
        let mut found: Vec<gst::ElementFactory> = gst::ElementFactory::factories_with_type(
            gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO,
            gst::Rank::MARGINAL,
        )
        .into_iter()
        .filter(|factory| is_hardware(factory) && factory.can_sink_any_caps(&caps))
        .collect();
        found.sort_by_key(|factory| std::cmp::Reverse(factory.rank()));
        found.into_iter().find_map(|factory| factory.create().build().ok())
    }
}

/// Whether the element decodes in hardware, as its factory's class says.
fn is_hardware(factory: &gst::ElementFactory) -> bool {
    factory.metadata(gst::ELEMENT_METADATA_KLASS).is_some_and(|klass| klass.contains("Hardware"))
}

/// Whether this decoder works in hardware.
pub(crate) fn decodes_in_hardware(decoder: &gst::Element) -> bool {
    decoder.factory().as_ref().is_some_and(is_hardware)
}

/// Makes an element that must be there.
pub(crate) fn element(name: &'static str) -> Result<gst::Element, Fault> {
    gst::ElementFactory::make(name).build().map_err(|_| missing(name))
}

fn missing(element: &'static str) -> Fault {
    let package = match element {
        "filesrc" | "capsfilter" => "libgstreamer1.0-0",
        "appsink" | "videoconvert" => "gstreamer1.0-plugins-base",
        "avdec_h264" | "avdec_h265" => "gstreamer1.0-libav",
        "h264parse" | "h265parse" => "gstreamer1.0-plugins-bad",
        _ => "gstreamer1.0-plugins-good",
    };
    Fault::MissingElement { element, package }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_element_names_its_package() {
        gst::init().expect("GStreamer starts");
        let fault = element("rtspsrc-of-nowhere").expect_err("no such element");
        assert!(fault.to_string().contains("install gstreamer1.0-plugins-good"), "{fault}");
    }

    #[test]
    fn software_decoders_run_on_one_thread() {
        gst::init().expect("GStreamer starts");
        for codec in [Codec::H264, Codec::H265] {
            let decoder = codec.decoder(Hardware::Avoided).expect("a decoder is installed");
            assert!(!decodes_in_hardware(&decoder), "{}", decoder.name());
            if decoder.has_property("max-threads") {
                assert_eq!(decoder.property::<i32>("max-threads"), 1);
            }
        }
    }

    #[test]
    fn other_codings_are_not_taken_for_ours() {
        assert_eq!(Codec::from_rtp("MP4V-ES"), None);
        assert_eq!(Codec::from_media_type("video/x-vp9"), None);
        assert_eq!(Codec::from_rtp("H265"), Some(Codec::H265));
    }
}
