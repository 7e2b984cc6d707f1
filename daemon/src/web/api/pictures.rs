//! Pictures: what the camera saw, and the enrolled face beside it.

use super::Shared;
use crate::evidence::portrait::{PortraitError, portrait};
use crate::web::lock;
use crate::web::refusal::Refusal;
use crate::web::store::ask;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sekisho_logic::id::PersonId;
use sekisho_logic::record::AlertId;
use sekisho_store::AlertFilter;
use std::collections::VecDeque;
use std::sync::Arc;

/// Portraits kept in memory; each is some tens of kilobytes. A queue shows a handful of people again and again.
const PORTRAITS_MAX: usize = 32;

/// The portraits asked for last, by the number of the photograph and where the face is in it. Emptied whenever the gallery
/// changes, so that nothing is left of whoever was erased.
#[derive(Debug, Default)]
pub struct Portraits(VecDeque<(Cut, Arc<[u8]>)>);

type Cut = (i64, Option<[u32; 4]>);

impl Portraits {
    fn find(&self, cut: Cut) -> Option<Arc<[u8]>> {
        self.0.iter().find(|(other, _)| *other == cut).map(|(_, jpeg)| Arc::clone(jpeg))
    }

    fn keep(&mut self, cut: Cut, jpeg: Arc<[u8]>) {
        if self.0.len() >= PORTRAITS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((cut, jpeg));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn nth(n: &str) -> Result<usize, Refusal> {
    let nth = n.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    nth.ok_or_else(|| Refusal::absent("pictures are counted from 1"))
}

/// `GET /api/alerts/{id}/pictures/{n}`
pub(super) async fn picture(State(web): Shared, Path((id, n)): Path<(String, String)>) -> Result<Response, Refusal> {
    let nth = nth(&n)?;
    let found = ask(&web.around.store, move |store| {
        let rows = store.evidence(&AlertId(id))?;
        rows.get(nth).map_or(Ok(None), |row| store.evidence_picture(row.id))
    });
    let png = found.await?.ok_or_else(|| Refusal::absent("there is no such picture (any more)"))?;
    Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
}

/// `GET /api/people/{person}/photos/{n}`
pub(super) async fn photo(State(web): Shared, Path((person, n)): Path<(String, String)>) -> Result<Response, Refusal> {
    let absent = || Refusal::absent("there is no such photograph (any more)");
    let (nth, person) = (nth(&n)?, PersonId::try_new(&person).map_err(|_| absent())?);
    let found = ask(&web.around.store, move |store| {
        // Only of people an alert is about: the page is no way to leaf through the gallery.
        let filter = AlertFilter { person: Some(person.clone()), ..AlertFilter::default() };
        if store.alerts(&filter, 1)?.is_empty() {
            return Ok(None);
        }
        Ok(store.person_photos(&person)?.into_iter().nth(nth))
    });
    let photo = found.await?.ok_or_else(absent)?;
    let cut = (photo.id, photo.face);
    let known = lock(&web.portraits).find(cut);
    let jpeg = match known {
        Some(jpeg) => jpeg,
        None => {
            let bytes = ask(&web.around.store, move |store| store.photo_bytes(photo.id)).await?.ok_or_else(absent)?;
            let made = tokio::task::spawn_blocking(move || portrait(&bytes, photo.face)).await;
            let made = made.map_err(|_| Refusal::unavailable("the photograph could not be cut"))?;
            let jpeg: Arc<[u8]> = made.map_err(refused)?.into();
            lock(&web.portraits).keep(cut, Arc::clone(&jpeg));
            jpeg
        }
    };
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg.to_vec()).into_response())
}

fn refused(error: PortraitError) -> Refusal {
    match error {
        PortraitError::TooLarge { .. } | PortraitError::Damaged { .. } => {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portraits_are_bounded_and_forgotten_together() {
        let mut portraits = Portraits::default();
        for id in 0..100 {
            portraits.keep((id, None), Arc::from([0_u8].as_slice()));
        }
        assert_eq!(portraits.0.len(), PORTRAITS_MAX);
        assert!(portraits.find((99, None)).is_some() && portraits.find((99, Some([0, 0, 1, 1]))).is_none());
        portraits.clear();
        assert!(portraits.find((99, None)).is_none());
    }
}
