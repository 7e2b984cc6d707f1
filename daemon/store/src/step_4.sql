-- Schema, version 4: what a data-protection officer signs for. Conventions as in schema.sql.

-- Whose face an evidence picture shows, because it is sealed with that person's key; NULL in rows from before this version.
ALTER TABLE evidence ADD COLUMN person TEXT;
-- The picture's size in pixels: a sealed PNG does not tell. NULL in rows from before this version.
ALTER TABLE evidence ADD COLUMN width INTEGER;
ALTER TABLE evidence ADD COLUMN height INTEGER;
CREATE INDEX evidence_by_person ON evidence (person);

-- Erasures of people: the work under way, the receipt, and the memory that lets a restored backup forget them again. Holds
-- the opaque id and nothing else about the person.
CREATE TABLE erasures (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    person          TEXT NOT NULL,              -- the opaque id
    cause           TEXT NOT NULL,              -- 'asked', 'withdrawn', 'expired', 'restored'
    asked_ms        INTEGER NOT NULL,           -- when it was asked for; enrolments after this are other ones
    asked_by        TEXT NOT NULL,              -- by whom ('uid:0', 'daemon')
    step            TEXT NOT NULL,              -- the last step that is done; a start goes on after it
    finished_ms     INTEGER,                    -- when the last step was done; NULL while under way
    counts          TEXT,                       -- what was erased, as JSON: photos, templates, pictures, alerts, deliveries
    receipt         TEXT                        -- the signed receipt, as JSON; NULL while under way
) STRICT;
CREATE UNIQUE INDEX erasures_under_way ON erasures (person) WHERE finished_ms IS NULL;
CREATE INDEX erasures_by_person ON erasures (person, asked_ms);

-- People whose records must not be erased or purged for now (a dispute, an order of a court).
CREATE TABLE holds (
    person          TEXT NOT NULL PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    since_ms        INTEGER NOT NULL,           -- when it was put in force
    by              TEXT NOT NULL,              -- by whom
    reason          TEXT NOT NULL               -- the file reference or the words
) STRICT, WITHOUT ROWID;

-- Switches that outlive a restart.
CREATE TABLE switches (
    name            TEXT NOT NULL PRIMARY KEY,  -- 'pause-matching'
    since_ms        INTEGER NOT NULL,           -- when it was turned on; the row goes when it is turned off
    by              TEXT NOT NULL,              -- by whom
    reason          TEXT NOT NULL               -- why, in their words
) STRICT, WITHOUT ROWID;

-- The audit trail's head, signed from time to time: what somebody without the signing key cannot make anew.
CREATE TABLE audit_checkpoints (
    seq             INTEGER PRIMARY KEY,        -- of the audit row that was the last one then
    hash            BLOB NOT NULL CHECK (length(hash) = 32),       -- its hash
    wall_ms         INTEGER NOT NULL,           -- when it was signed
    key_id          TEXT NOT NULL,              -- which key: the first 16 hex digits of the public key's SHA-256
    signature       BLOB NOT NULL CHECK (length(signature) = 64)   -- Ed25519; sign.rs says over what
) STRICT;

-- Where the audit trail begins, once rows older than the audit retention were given up: the chain goes on from here.
CREATE TABLE audit_floor (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    seq             INTEGER NOT NULL,           -- of the last row given up; 0 while all are there
    hash            BLOB NOT NULL CHECK (length(hash) = 32),       -- its hash
    wall_ms         INTEGER,                    -- when it was given up; NULL while all are there
    key_id          TEXT,                       -- which key, as in audit_checkpoints
    signature       BLOB CHECK (length(signature) = 64)            -- Ed25519 for a domain of its own: no checkpoint is a floor
) STRICT;
INSERT INTO audit_floor (id, seq, hash) VALUES (1, 0, zeroblob(32));

-- Which values are plain or sealed with older keys is asked often; without these every photograph would be read for it.
CREATE INDEX photos_by_sealing ON photos (sealing, person);
CREATE INDEX templates_by_sealing ON templates (sealing, person);
CREATE INDEX evidence_by_sealing ON evidence (sealing, person);
-- The audit row that was written with the event, so that its receiver holds the head of the trail; NULL in rows from before.
ALTER TABLE outbox ADD COLUMN audit_seq INTEGER;
