//! Handing in a vote, from the socket or from the review page.

use super::wire;
use crate::run::decide::Order;
use sekisho_logic::alert::Ballot;
use sekisho_logic::record::{AlertEvent, AlertId};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};

/// How long a vote may take to reach the journal before the client is told that it is still on its way.
const VOTE_PATIENCE: Duration = Duration::from_secs(5);

/// Why a vote is not in the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCast {
    /// Try again.
    #[error("the daemon is too busy to take the vote; try again")]
    Busy,
    /// Too late.
    #[error("the daemon is stopping")]
    Stopping,
    /// The alert machine says why.
    #[error("{0}")]
    Refused(String),
    /// It was taken, and the disk has not.
    #[error("the vote counts, but the store has not written it yet; see `sekisho status`")]
    Unwritten,
}

/// Hands a vote to the deciding loop and waits until it is in the journal; `alerts` is where commits are announced.
///
/// # Errors
/// [`NotCast`].
pub async fn cast(
    orders: &SyncSender<Order>,
    alerts: &broadcast::Sender<Arc<str>>,
    alert: AlertId,
    ballot: Ballot,
) -> Result<AlertEvent, NotCast> {
    let mut committed = alerts.subscribe();
    let (reply, answer) = oneshot::channel();
    orders.try_send(Order::Vote { alert, ballot, reply }).map_err(|error| match error {
        TrySendError::Full(_) => NotCast::Busy,
        TrySendError::Disconnected(_) => NotCast::Stopping,
    })?;
    let event = answer.await.map_err(|_| NotCast::Stopping)?.map_err(NotCast::Refused)?;
    let id = format!("\"id\":{}", wire::event(&event)["id"]);
    let written = tokio::time::timeout(VOTE_PATIENCE, async {
        loop {
            match committed.recv().await {
                Ok(line) if line.contains(&id) => return true,
                // Behind for a moment; what was missed may have been it, and the patience decides.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return false,
            }
        }
    });
    if written.await == Ok(true) { Ok(event) } else { Err(NotCast::Unwritten) }
}
