-- Schema, version 2: what is counted about strangers' scores, and the state of the calibration. Conventions as in schema.sql.
-- Nothing here tells of a person, a track or a moment: numbers of many tracks together, by week, size and frame count.

-- Scores of strangers. A row is a week, a size bin and a frame count.
CREATE TABLE shadow_scores (
    model_digest    TEXT NOT NULL,          -- SHA-256 of the embedder's file, in hex: scores of another one mean nothing
    preprocessing   TEXT NOT NULL,          -- version of alignment and scaling
    week            INTEGER NOT NULL,       -- weeks since 1970-01-01, in UTC
    from_mpx        INTEGER NOT NULL,       -- lower edge of the size bin, thousandths of an inter-eye pixel
    frames          INTEGER NOT NULL,       -- frames fused
    tracks          INTEGER NOT NULL,       -- tracks counted; repeated from the tally for reading
    tally           BLOB NOT NULL,          -- histograms, in the form that daemon/logic/src/calibrate/tally.rs writes
    PRIMARY KEY (model_digest, preprocessing, week, from_mpx, frames)
) STRICT, WITHOUT ROWID;

-- Tracks a day and camera, for error budgets by camera and day.
CREATE TABLE shadow_traffic (
    day             INTEGER NOT NULL,       -- days since 1970-01-01, in UTC
    camera          TEXT NOT NULL,          -- where
    strangers       INTEGER NOT NULL,       -- tracks that could be judged and were not identified
    candidates      INTEGER NOT NULL,       -- tracks that became a candidate, or would have in shadow mode
    PRIMARY KEY (day, camera)
) STRICT, WITHOUT ROWID;

-- One row: what the running daemon and the command line tell each other about the calibration.
CREATE TABLE calibration_state (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    epoch           INTEGER NOT NULL,       -- goes up when the statistics are erased; counts of an older one are not added
    stale           TEXT,                   -- why the calibration does not fit any more, as JSON; NULL while it does
    watch_id        TEXT NOT NULL,          -- calibration the windows below were gathered under
    watch           TEXT NOT NULL           -- control charts, as JSON
) STRICT;
INSERT INTO calibration_state (id, epoch, stale, watch_id, watch) VALUES (1, 1, NULL, '', '{}');

-- Windows being filled for the next test of each row.
CREATE TABLE drift_windows (
    from_mpx        INTEGER NOT NULL,       -- as in shadow_scores
    frames          INTEGER NOT NULL,       -- as in shadow_scores
    tally           BLOB NOT NULL,          -- as in shadow_scores
    PRIMARY KEY (from_mpx, frames)
) STRICT, WITHOUT ROWID;
