use super::*;

/// Frames analysed in ten seconds of a camera with `fps`, looked at the moment they are due, when the newest frame
/// is up to one frame interval old.
fn analysed(fps: f64, analysed_fps: f64) -> usize {
    let mut settings = Settings::default();
    settings.detect.analysed_fps = analysed_fps;
    let text =
        format!("[cameras.gate]\nsource = \"file:///a.mp4\"\nlists = [\"staff\"]\nanalysed-fps = {analysed_fps}\n");
    let parsed = crate::config::parse(std::path::Path::new("test.toml"), &text).expect("valid");
    let camera = CameraId::try_new("gate").expect("a name");
    let mut look = Look::new(&settings, &camera, &parsed.cameras[&camera], 0);
    let (mut count, mut taken_frame) = (0, None);
    for ms in 0..10_000_u32 {
        let at = Mono::from_millis(u64::from(ms) + 1000);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        let newest = (f64::from(ms) * fps / 1000.0) as u64;
        if look.is_due(at) && taken_frame != Some(newest) {
            taken_frame = Some(newest);
            look.schedule(at);
            count += 1;
        }
    }
    count
}

#[test]
fn the_analysed_rate_is_kept_whatever_the_camera_sends() {
    for fps in [6.0, 10.0, 12.0, 15.0, 25.0, 30.0] {
        let count = analysed(fps, 5.0);
        assert!((48..=52).contains(&count), "{count} of {fps} frames a second in ten seconds");
    }
    assert!((28..=31).contains(&analysed(3.0, 5.0)), "a slow camera is looked at as often as it sends");
}
