-- Schema, version 1. This file is the first migration step: once a release has shipped it, it is never edited again;
-- every later change is a step of its own in migrate.rs.
--
-- Conventions. Times are wall-clock milliseconds since 1970 in UTC and end in `_ms`; they are for people to read and are
-- never used to measure a duration. Words that the program knows as an enum are checked here when the set is closed; open
-- sets (causes, audit actions) are checked by the program alone, because widening a CHECK means rebuilding the table.
-- A person is known by an opaque id everywhere; only `people.display_name` may hold a name.
-- auto_vacuum is INCREMENTAL (set before this file is run), so that freed pages can be given back after an erasure.

-- Facts about this file itself.
CREATE TABLE meta (
    key     TEXT NOT NULL PRIMARY KEY,  -- what is noted: 'created-by', 'created-ms', ...
    value   TEXT NOT NULL               -- the note
) STRICT, WITHOUT ROWID;

-- One row each time the daemon has run, so that every event can be placed in a boot and a run, and so that a run that
-- did not end by itself is noticed.
CREATE TABLE runs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- number of the run, counting up for ever
    boot_id     TEXT NOT NULL,                      -- the kernel's random id of this boot
    version     TEXT NOT NULL,                      -- version of the program
    pid         INTEGER NOT NULL,                   -- its process id
    started_ms  INTEGER NOT NULL,                   -- when it began
    stopped_ms  INTEGER                             -- when it ended in order; NULL while running, and after a crash
) STRICT;

-- Enrolled people. Rows are deleted at erasure; alerts keep the opaque id.
CREATE TABLE people (
    id                  TEXT NOT NULL PRIMARY KEY,  -- opaque reference ('ann-3'): lower-case letters, digits, '-', '_'
    list                TEXT NOT NULL,              -- the list, and with it the policy, the person is on
    display_name        TEXT,                       -- for the operator's eyes only; never in logs, alerts or audit
    status              TEXT NOT NULL DEFAULT 'active'
                        CHECK (status IN ('active', 'withdrawn', 'restricted')),
                        -- active: matched. withdrawn: consent taken back, not matched, to be erased.
                        -- restricted: kept but not matched, at the person's request or while a dispute is open
    status_ms           INTEGER NOT NULL,           -- when the status last changed
    enrolled_ms         INTEGER NOT NULL,           -- when the person was enrolled
    enrolled_by         TEXT NOT NULL,              -- by whom, as the system authenticated them ('uid:1000')
    purpose             TEXT,                       -- grounds: what the person is matched for
    legal_basis         TEXT,                       -- grounds: on which legal basis
    consent_ref         TEXT,                       -- grounds: where the consent or decision is filed
    notice_version      TEXT,                       -- grounds: which version of the notice the person was given
    alternative_offered INTEGER CHECK (alternative_offered IN (0, 1)),
                        -- grounds: whether another way in was offered (consent of staff is void without one)
    expires_ms          INTEGER                     -- after this the person is not matched any more; NULL: no end set
) STRICT, WITHOUT ROWID;

-- Photos given at enrolment, kept so that templates can be made anew when the network changes.
CREATE TABLE photos (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, so a stale reference cannot meet another photo
    person      TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,  -- whose
    bytes       BLOB NOT NULL,                      -- the file as it was given (JPEG or PNG), or its sealed form
    sealing     INTEGER NOT NULL DEFAULT 0,         -- 0: bytes are the file; otherwise version of the per-person key
    sha256      TEXT NOT NULL CHECK (length(sha256) = 64),  -- of the file as given, in hex
    added_ms    INTEGER NOT NULL,                   -- when it was added
    UNIQUE (person, sha256)
) STRICT;

-- What the networks made of those photos. A template is only ever compared with probes of the same model and preprocessing.
CREATE TABLE templates (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    person          TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,     -- whose
    photo           INTEGER REFERENCES photos (id) ON DELETE CASCADE,           -- of which photo; NULL for a prototype
    kind            TEXT NOT NULL CHECK (kind IN ('photo', 'prototype')),
                    -- photo: one photo's embedding. prototype: unit mean over a person's photos; the one matched against
    size_bin_px     INTEGER CHECK (size_bin_px > 0),
                    -- inter-eye pixels the photos were degraded to before embedding; NULL: as they are
    model_digest    TEXT NOT NULL CHECK (length(model_digest) > 0),             -- SHA-256 of the network's file, in hex
    preprocessing   TEXT NOT NULL CHECK (length(preprocessing) > 0),            -- version of alignment and scaling
    dim             INTEGER NOT NULL CHECK (dim > 0),                           -- number of components
    vector          BLOB NOT NULL,                  -- components as little-endian f32, or their sealed form
    sealing         INTEGER NOT NULL DEFAULT 0,     -- 0: vector is plain; otherwise version of the per-person key
    added_ms        INTEGER NOT NULL,               -- when it was made
    CHECK ((kind = 'photo') = (photo IS NOT NULL)),
    CHECK (sealing <> 0 OR length(vector) = 4 * dim)
) STRICT;
CREATE UNIQUE INDEX templates_once
    ON templates (person, kind, coalesce(photo, 0), coalesce(size_bin_px, 0), model_digest, preprocessing);

-- One row that counts changes of people and templates, so that a running daemon sees edits made by another process.
CREATE TABLE gallery_state (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL            -- goes up by at least one with every change
) STRICT;
INSERT INTO gallery_state (id, version) VALUES (1, 1);
CREATE TRIGGER people_added AFTER INSERT ON people BEGIN UPDATE gallery_state SET version = version + 1; END;
CREATE TRIGGER people_changed AFTER UPDATE ON people BEGIN UPDATE gallery_state SET version = version + 1; END;
CREATE TRIGGER people_removed AFTER DELETE ON people BEGIN UPDATE gallery_state SET version = version + 1; END;
CREATE TRIGGER templates_added AFTER INSERT ON templates BEGIN UPDATE gallery_state SET version = version + 1; END;
CREATE TRIGGER templates_changed AFTER UPDATE ON templates BEGIN UPDATE gallery_state SET version = version + 1; END;
CREATE TRIGGER templates_removed AFTER DELETE ON templates BEGIN UPDATE gallery_state SET version = version + 1; END;

-- Alerts as they stand now: always the state after the journal's highest sequence of that alert.
CREATE TABLE alerts (
    id              TEXT NOT NULL PRIMARY KEY,  -- the incident's id
    camera          TEXT NOT NULL,              -- where
    person          TEXT NOT NULL,              -- who it may be; no foreign key, it outlives the person's enrolment
    list            TEXT NOT NULL,              -- under which policy
    track           INTEGER NOT NULL,           -- number of the track that raised it, within its run
    stage           TEXT NOT NULL CHECK (stage IN
                    ('candidate', 'machine-confirmed', 'confirmed', 'rejected', 'expired', 'withdrawn')),
    cause           TEXT NOT NULL,              -- why it is at that stage
    opened_ms       INTEGER NOT NULL,           -- when the candidate was raised
    changed_ms      INTEGER NOT NULL,           -- when it changed last
    expires_ms      INTEGER,                    -- when it ends by itself; NULL once final
    votes_required  INTEGER NOT NULL,           -- distinct people whose vote to confirm the policy asks for
    sequence        INTEGER NOT NULL CHECK (sequence >= 1),  -- of the event that made it so
    record          TEXT NOT NULL               -- the whole AlertRecord as JSON; the columns above repeat it for searching
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_by_time ON alerts (opened_ms);
CREATE INDEX alerts_by_person ON alerts (person, opened_ms);
CREATE INDEX alerts_by_camera ON alerts (camera, opened_ms);
CREATE INDEX alerts_open ON alerts (opened_ms) WHERE stage IN ('candidate', 'machine-confirmed');

-- Every change of every alert, once, for ever (retention will drop and restore the triggers inside its transaction).
CREATE TABLE journal (
    row             INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of commitment; readers continue from the last row they saw
    event_id        TEXT NOT NULL UNIQUE,       -- '<alert>.<sequence>': the key that makes a repeated append harmless
    alert           TEXT NOT NULL REFERENCES alerts (id),
    sequence        INTEGER NOT NULL CHECK (sequence >= 1),  -- 1 for the first event of the alert
    wall_ms         INTEGER NOT NULL,           -- when it happened
    kind            TEXT NOT NULL CHECK (kind IN ('new', 'update', 'end')),
    before          TEXT,                       -- AlertRecord as JSON before; NULL when the alert is new
    after           TEXT NOT NULL,              -- AlertRecord as JSON after
    run             INTEGER REFERENCES runs (id),  -- the run of the daemon that wrote it; NULL when a tool did
    mono_ns         INTEGER,                    -- monotonic clock of that run, where known
    clock_synced    INTEGER CHECK (clock_synced IN (0, 1)),  -- whether the wall clock was synchronised, where known
    UNIQUE (alert, sequence)
) STRICT;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- What each reviewer last said on each alert.
CREATE TABLE votes (
    alert       TEXT NOT NULL REFERENCES alerts (id),
    reviewer    TEXT NOT NULL,              -- as authenticated ('uid:1000')
    verdict     TEXT NOT NULL CHECK (verdict IN ('confirm', 'reject', 'unsure')),
    wall_ms     INTEGER NOT NULL,           -- when
    PRIMARY KEY (alert, reviewer)
) STRICT, WITHOUT ROWID;

-- Deliveries: one row for each event and each sink that subscribes to its stage, written with the event.
CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    sink            TEXT NOT NULL,              -- name of the sink in the configuration
    event_id        TEXT NOT NULL REFERENCES journal (event_id),
    alert           TEXT NOT NULL,              -- repeated from the journal: events of one alert go out in order
    sequence        INTEGER NOT NULL,           -- repeated from the journal
    state           TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
                    -- dead: given up after the sink's limit; kept and counted, can be requeued
    attempts        INTEGER NOT NULL DEFAULT 0, -- tries that failed
    created_ms      INTEGER NOT NULL,           -- when the event happened
    next_attempt_ms INTEGER NOT NULL,           -- not before this
    changed_ms      INTEGER NOT NULL,           -- when the state or the count of attempts changed last
    last_error      TEXT,                       -- why the last try failed, cut to 300 characters
    UNIQUE (sink, event_id)
) STRICT;
CREATE INDEX outbox_pending ON outbox (sink, id) WHERE state = 'pending';
CREATE INDEX outbox_in_order ON outbox (sink, alert, sequence) WHERE state = 'pending';
CREATE INDEX outbox_states ON outbox (sink, state, changed_ms);

-- Who did what, when. Append-only; each row's hash covers the row and the hash before it (audit.rs says how), so an edit,
-- a deletion or a swap shows. Holds no biometric data and no names.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY,        -- 1, 2, 3 ... without a gap
    wall_ms     INTEGER NOT NULL,           -- when
    actor       TEXT NOT NULL,              -- 'daemon', 'uid:1000', ...
    action      TEXT NOT NULL,              -- 'alert', 'enrol', 'remove', 'status', 'run-start', ...
    subject     TEXT,                       -- opaque id of the person, alert or run concerned
    detail      TEXT NOT NULL,              -- JSON object: counts, stages, versions
    prev_hash   BLOB NOT NULL CHECK (length(prev_hash) = 32),  -- hash of row seq - 1; zeros for the first
    hash        BLOB NOT NULL CHECK (length(hash) = 32)        -- SHA-256 over prev_hash and all columns above
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

-- The last row of the audit trail, kept apart so that cutting off the end shows too.
CREATE TABLE audit_head (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    seq     INTEGER NOT NULL,               -- 0 while the trail is empty
    hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, zeroblob(32));
