//! `sekisho gallery rekey`: everything anew that templates, photographs and pictures are sealed and turned with, and the key
//! of the database itself. May be cut off at any moment and simply repeated.

use super::gallery::{actor, bar};
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::Args;
use sekisho_logic::role::Action;
use sekisho_logic::time::Clock as _;
use sekisho_store::{DbKey, InstanceLock, KeySource};
use serde_json::json as document;
use std::path::Path;

/// Values sealed anew in one transaction.
const BATCH: u32 = 256;

/// Options of `gallery rekey`.
#[derive(Debug, Args)]
pub struct RekeyArgs {
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(config: &Path, args: &RekeyArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    roles::require(Action::Rekey, &settings, &args.glass)?;
    let mut store = site::open_store(&settings)?;
    // Its keys are in the memory of a running daemon, and it would go on sealing with the old ones.
    let _lock = InstanceLock::acquire(&settings.daemon.state_dir).map_err(Failure::no)?;
    store.renew_keys().map_err(Failure::no)?;
    let progress = bar(0, args.json);
    let (mut sealed, mut more, mut unreadable) = (0, true, 0);
    while more {
        let done = store.seal_rest(BATCH).map_err(Failure::no)?;
        sealed += done.sealed;
        (more, unreadable) = (done.more, done.unreadable);
        progress.set_message(format!("{sealed} values sealed anew"));
    }
    progress.finish_and_clear();
    let changed = match store.key_source() {
        KeySource::File => {
            let next = DbKey::next_to(&settings.store.key_file).map_err(Failure::no)?;
            store.change_key(next).map_err(Failure::no)?;
            DbKey::install_next(&settings.store.key_file).map_err(Failure::no)?;
            true
        }
        _ => false,
    };
    let detail = document!({ "values": sealed, "unreadable": unreadable, "database-key": changed });
    let now = SystemClock::start().now().wall;
    store.audit(now, &actor(), "rekey", None, detail).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    if args.json.json {
        json(&document!({ "values": sealed, "unreadable": unreadable, "database-key": changed }));
        return Ok(());
    }
    line(&format!("{sealed} values sealed with new keys, templates turned by a new rotation"));
    if unreadable > 0 {
        line(&format!("{unreadable} values could not be read and were left as they are: their key is missing"));
    }
    line(if changed {
        "the database has a new key; backups from before need the old one, which is gone from this disk: make a new backup"
    } else {
        "the database's key comes from a credential or a key server, which only you can change: its key was left as it is"
    });
    Ok(())
}
