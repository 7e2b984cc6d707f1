//! A camera for tests and demonstrations: an RTSP server in this process, with digest passwords and faults on demand.
//!
//! The server's clients run on the thread of its own main context (`set_max_threads(0)`), and everything that removes
//! them runs there too: removing clients from another thread corrupted the heap of GStreamer 1.22's server.

use crate::feed::Feed;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_rtsp as gst_rtsp;
use gstreamer_rtsp_server as server;
use gstreamer_rtsp_server::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Who may look.
#[derive(Clone, Debug)]
pub struct Login {
    /// User.
    pub user: String,
    /// Password, asked for by digest.
    pub password: String,
}

/// What can go wrong with one stream while it runs. Set from any thread.
#[derive(Debug, Default)]
pub struct Faults {
    frozen: AtomicBool,
    loss_per_mille: AtomicU32,
    dropped_total: AtomicU64,
    random: AtomicU32,
    smuggled: Mutex<Option<Arc<Vec<Vec<u8>>>>>,
    smuggled_total: AtomicU64,
    medias: Mutex<Vec<glib::WeakRef<server::RTSPMedia>>>,
    played_total: AtomicU64,
}

impl Faults {
    /// Stops or resumes the pictures; the RTSP connection and RTCP live on.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Release);
    }

    /// Drops so many of a thousand RTP packets, chosen by a fixed pseudo-random sequence.
    pub fn lose(&self, per_mille: u32) {
        self.loss_per_mille.store(per_mille, Ordering::Release);
    }

    /// Packets dropped so far.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped_total.load(Ordering::Relaxed)
    }

    /// From now on every packet carries a payload out of `packets` instead of its own, under its own header: what a
    /// camera does whose coding is changed in its settings while it streams. New connections are not affected.
    pub fn smuggle(&self, packets: Vec<Vec<u8>>) {
        *lock(&self.smuggled) = Some(Arc::new(packets));
    }

    /// How often somebody has begun to watch: a client that stays connected counts once.
    pub fn played_total(&self) -> u64 {
        self.played_total.load(Ordering::Acquire)
    }

    /// Changes the size of a generated picture in mid-stream.
    pub fn resize(&self, (width, height): (i32, i32)) {
        for media in lock(&self.medias).iter().filter_map(glib::WeakRef::upgrade) {
            let filter = media.element().downcast::<gst::Bin>().ok().and_then(|bin| bin.by_name("size"));
            let Some(filter) = filter else { continue };
            let mut caps = filter.property::<gst::Caps>("caps");
            caps.make_mut().set("width", width);
            caps.make_mut().set("height", height);
            filter.set_property("caps", caps);
        }
    }

    fn on_media(self: &Arc<Self>, media: &server::RTSPMedia) {
        let mut medias = lock(&self.medias);
        medias.retain(|known| known.upgrade().is_some());
        medias.push(media.downgrade());
        drop(medias);
        self.played_total.fetch_add(1, Ordering::AcqRel);
        let payloader = media.element().downcast::<gst::Bin>().ok().and_then(|bin| bin.by_name("pay0"));
        let Some(pad) = payloader.and_then(|payloader| payloader.static_pad("src")) else { return };
        let smuggled = lock(&self.smuggled).clone();
        let is_new = smuggled.is_some();
        let faults = self.clone();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |_, info| {
            let kept = match info.data.take() {
                Some(gst::PadProbeData::Buffer(buffer)) => faults.pass(buffer, is_new).map(gst::PadProbeData::Buffer),
                Some(gst::PadProbeData::BufferList(list)) => {
                    let kept: gst::BufferList =
                        list.iter_owned().filter_map(|buffer| faults.pass(buffer, is_new)).collect();
                    (!kept.is_empty()).then_some(gst::PadProbeData::BufferList(kept))
                }
                other => other,
            };
            let result = if kept.is_some() { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop };
            info.data = kept;
            result
        });
    }

    fn pass(&self, packet: gst::Buffer, is_new: bool) -> Option<gst::Buffer> {
        if self.frozen.load(Ordering::Acquire) {
            return None;
        }
        let loss = self.loss_per_mille.load(Ordering::Acquire);
        if loss > 0 {
            // Numerical Recipes' linear congruential generator: the same losses in every run.
            let step = |seed: u32| Some(seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
            let drawn = self.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or_default();
            if (drawn >> 8) % 1000 < loss {
                self.dropped_total.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        let smuggled = if is_new { None } else { lock(&self.smuggled).clone() };
        Some(match smuggled {
            Some(foreign) => self.disguise(&packet, &foreign),
            None => packet,
        })
    }

    /// A foreign payload under our header.
    fn disguise(&self, packet: &gst::Buffer, foreign: &[Vec<u8>]) -> gst::Buffer {
        const HEADER: usize = 12;
        let at = self.smuggled_total.fetch_add(1, Ordering::Relaxed);
        let foreign = &foreign[usize::try_from(at).unwrap_or(0) % foreign.len()];
        let mut bytes = vec![0_u8; HEADER];
        let _copied = packet.copy_to_slice(0, &mut bytes);
        bytes.extend_from_slice(foreign.get(HEADER..).unwrap_or_default());
        let mut disguised = gst::Buffer::from_mut_slice(bytes);
        disguised.make_mut().set_pts(packet.pts());
        disguised.make_mut().set_dts(packet.dts());
        disguised
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running server with its streams.
pub struct RtspServer {
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    server: server::RTSPServer,
    attached: Option<glib::SourceId>,
    thread: Option<JoinHandle<()>>,
    port: u16,
    address: String,
    needs_login: bool,
    faults: BTreeMap<String, Arc<Faults>>,
    keep_alives: Arc<AtomicU64>,
}

impl RtspServer {
    /// Starts serving `streams` by name at `address`; port 0 takes a free one. With a `login` everybody is asked for it.
    ///
    /// # Errors
    /// A sentence: GStreamer does not start, or the port is taken.
    pub fn start(address: &str, port: u16, login: Option<&Login>, streams: &[(&str, Feed)]) -> Result<Self, String> {
        gst::init().map_err(|error| error.to_string())?;
        let (context, server) = (glib::MainContext::new(), server::RTSPServer::new());
        let main_loop = glib::MainLoop::new(Some(&context), false);
        server.thread_pool().ok_or("the server has no thread pool")?.set_max_threads(0);
        server.set_address(address);
        server.set_service(&port.to_string());
        if let Some(login) = login {
            let auth = server::RTSPAuth::new();
            auth.set_supported_methods(gst_rtsp::RTSPAuthMethod::Digest);
            let token = server::RTSPToken::builder().field("media.factory.role", "viewer").build();
            auth.add_digest(&login.user, &login.password, &token);
            server.set_auth(Some(&auth));
        }
        let keep_alives = Arc::new(AtomicU64::new(0));
        let count = keep_alives.clone();
        server.connect_client_connected(move |_, client| {
            let count = count.clone();
            client.connect_get_parameter_request(move |_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        let mut this = Self {
            context,
            main_loop,
            server,
            attached: None,
            thread: None,
            port,
            address: address.to_owned(),
            needs_login: login.is_some(),
            faults: BTreeMap::new(),
            keep_alives,
        };
        for (name, feed) in streams {
            this.mount(name, feed)?;
        }
        let attached = this.server.attach(Some(&this.context));
        this.attached = Some(attached.map_err(|_| format!("{address}:{port} cannot be listened on"))?);
        this.port = u16::try_from(this.server.bound_port()).map_err(|_| "no port".to_owned())?;
        let (context, main_loop) = (this.context.clone(), this.main_loop.clone());
        this.thread = Some(std::thread::spawn(move || {
            let _ran = context.with_thread_default(|| main_loop.run());
        }));
        Ok(this)
    }

    /// Puts a stream up, or another in its place: whoever is connected keeps what they have, new connections get this.
    ///
    /// # Errors
    /// A sentence, when the server has no mount points.
    pub fn mount(&mut self, name: &str, feed: &Feed) -> Result<(), String> {
        let factory = server::RTSPMediaFactory::new();
        factory.set_launch(&feed.launch());
        factory.set_shared(true);
        if self.needs_login {
            let viewer = gst::Structure::builder("viewer")
                .field("media.factory.access", true)
                .field("media.factory.construct", true)
                .build();
            factory.add_role_from_structure(&viewer);
        }
        let faults = self.faults.entry(name.to_owned()).or_default().clone();
        let (feed, shown) = (feed.clone(), AtomicBool::new(false));
        factory.connect_media_configure(move |_, media| {
            faults.on_media(media);
            let source = media.element().downcast::<gst::Bin>().ok().and_then(|bin| bin.by_name("feed"));
            let source = source.and_then(|source| source.downcast::<gst_app::AppSrc>().ok());
            match (&feed, source) {
                (Feed::Clip(clip), Some(source)) => clip.show(&source, None),
                // Whoever connects again, after the silence, finds a camera that shows nothing.
                (Feed::ClipOnce(clip), Some(source)) => {
                    clip.show(&source, Some(usize::from(!shown.swap(true, Ordering::AcqRel))));
                }
                _ => {}
            }
        });
        let mounts = self.server.mount_points().ok_or("the server has no mount points")?;
        mounts.add_factory(&format!("/{name}"), factory);
        Ok(())
    }

    /// The port it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address of a stream, without login.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("rtsp://{}:{}/{name}", self.address, self.port)
    }

    /// The faults of a stream.
    ///
    /// # Panics
    /// When there is no stream of that name.
    #[must_use]
    pub fn faults(&self, name: &str) -> &Faults {
        self.faults.get(name).unwrap_or_else(|| panic!("no stream {name}"))
    }

    /// Requests for a parameter answered so far, which is how clients say that they are alive.
    #[must_use]
    pub fn keep_alives(&self) -> u64 {
        self.keep_alives.load(Ordering::Relaxed)
    }

    /// Ends every connection and stops listening, as a camera does that restarts. Returns when it is done.
    pub fn kill(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let (server, main_loop) = (self.server.clone(), self.main_loop.clone());
        let (attached, context) = (self.attached.take(), self.context.clone());
        self.context.invoke(move || {
            server.client_filter(Some(&mut |_, _| server::RTSPFilterResult::Remove));
            if let Some(source) = attached.and_then(|attached| context.find_source_by_id(&attached)) {
                source.destroy();
            }
            // The removed clients say goodbye in this loop; it runs a moment longer.
            let quit = move || {
                main_loop.quit();
                glib::ControlFlow::Break
            };
            let later = Duration::from_millis(50);
            glib::source::timeout_source_new(later, None, glib::Priority::DEFAULT, quit).attach(Some(&context));
        });
        let _ended = thread.join();
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.kill();
    }
}
