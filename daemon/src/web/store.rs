//! Asking the store from where nobody may wait for the disk.

use super::refusal::Refusal;
use sekisho_store::{Store, StoreError, StoreHandle};
use tokio::sync::oneshot;

/// Has `question` run on the store thread and gives the answer.
///
/// # Errors
/// [`Refusal`] with 503 when the store is busy, stopped, or the disk refuses.
pub async fn ask<T: Send + 'static>(
    store: &StoreHandle,
    question: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    store.submit(move |store| {
        // Whoever asked may have gone meanwhile.
        let _gone = reply.send(question(store));
    })?;
    let answer = answer.await.map_err(|_| Refusal::unavailable("the store is being closed"))?;
    Ok(answer?)
}

/// Has `job` run on the store thread, and logs `unless` with the reason when it was not done.
pub fn note(
    store: &StoreHandle,
    unless: &'static str,
    job: impl FnOnce(&mut Store) -> Result<(), StoreError> + Send + 'static,
) {
    let taken = store.submit(move |store| {
        if let Err(error) = job(store) {
            tracing::warn!("review: {unless}: {error}");
        }
    });
    if let Err(error) = taken {
        tracing::warn!("review: {unless}: {error}");
    }
}
