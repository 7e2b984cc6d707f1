//! `GET /api/events`: something changed, look again.

use super::Shared;
use crate::web::Web;
use crate::web::refusal::Refusal;
use crate::web::relay::{Told, missed};
use crate::web::sessions::Caller;
use axum::extract::{Extension, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};

/// Something is said at least this often, if only that nothing happened.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// A place among the event streams; free again when dropped.
struct Place {
    web: Arc<Web>,
    _own: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.web.around.counts.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place {
    fn take(web: &Arc<Web>, caller: &Caller) -> Result<Self, Refusal> {
        let counts = &web.around.counts;
        let full = |said: &str| {
            counts.streams_refused_total.fetch_add(1, Ordering::Relaxed);
            Refusal::too_many(said, Duration::from_secs(30))
        };
        let own = Arc::clone(&caller.streams).try_acquire_owned();
        let own = own.map_err(|_| full("this log-in waits for events in enough tabs already; close one"))?;
        let most = web.settings(|settings| settings.review.clients_max / 2);
        let taken =
            counts.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1));
        if taken.is_err() {
            return Err(full("too many pages wait for events; this one asks from time to time instead"));
        }
        Ok(Self { web: Arc::clone(web), _own: own })
    }
}

pub(super) async fn events(
    State(web): Shared,
    Extension(caller): Extension<Caller>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let place = Place::take(&web, &caller)?;
    let told = BroadcastStream::new(web.told.subscribe()).map(|told| {
        Some(match told {
            Ok(told) => event(&told),
            Err(BroadcastStreamRecvError::Lagged(count)) => event(&missed(count)),
        })
    });
    // The log-in ends the stream, whatever ended the log-in.
    let over = WatchStream::new(caller.over.clone()).filter(|over| *over).map(|_| None);
    let stream = told.merge(over).map_while(move |event| {
        let _held = &place;
        event.map(Ok)
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(COMMENT_EVERY)))
}

fn event(told: &Told) -> Event {
    Event::default().event(told.name).data(&told.data)
}
