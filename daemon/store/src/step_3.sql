-- Schema, version 3: the people who review alerts, and what they are shown. Conventions as in schema.sql.

-- People who log in to the review page. Whoever uses the socket needs no row: the kernel says who they are.
CREATE TABLE reviewers (
    name            TEXT NOT NULL PRIMARY KEY,  -- as they type it: lower-case letters, digits, '-', '_'
    role            TEXT NOT NULL CHECK (role IN ('viewer', 'reviewer', 'admin', 'dpo')),
    secret          TEXT NOT NULL,              -- argon2id hash in the PHC string format
    unix_uid        INTEGER UNIQUE,             -- the same person's Unix user, so that both count as one; NULL: none known
    added_ms        INTEGER NOT NULL,           -- when the row was made
    added_by        TEXT NOT NULL,              -- by whom ('uid:0')
    secret_ms       INTEGER NOT NULL,           -- when the password was set last; sessions from before are over
    seen_ms         INTEGER                     -- when they logged in last; NULL: never
) STRICT, WITHOUT ROWID;

-- Why a reviewer voted as they did.
ALTER TABLE votes ADD COLUMN reason TEXT;

-- Where the face is in an enrolment photograph, so that a reviewer is shown the face and not the holiday around it:
-- 'x,y,width,height' in pixels of the upright photograph; NULL until the photograph is looked at again.
ALTER TABLE photos ADD COLUMN face TEXT;

-- What the camera saw, for tracks that raised an alert only. Faces that match nobody are never written.
CREATE TABLE evidence (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    alert           TEXT NOT NULL,              -- the alert; no foreign key, a picture may be written just before its alert
    taken_ms        INTEGER NOT NULL,           -- when the frame was taken
    inter_eye_px    REAL NOT NULL,              -- distance between the eyes in the camera's picture
    quality         TEXT NOT NULL,              -- sharpness, pose, brightness, contrast and alignment, as JSON
    sealing         INTEGER NOT NULL DEFAULT 0, -- 0: picture is plain; otherwise version of the per-alert key
    written_ms      INTEGER NOT NULL,           -- when it was written
    expires_ms      INTEGER NOT NULL,           -- deleted after this; settled by what became of the alert
    picture         BLOB NOT NULL,              -- PNG at the camera's own resolution, or its sealed form; last, so that
                                                -- the columns before it are read without its pages
    UNIQUE (alert, taken_ms)
) STRICT;
CREATE INDEX evidence_by_age ON evidence (expires_ms);

-- People and cameras whose alerts are held back because too many were rejected.
CREATE TABLE suspensions (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    kind            TEXT NOT NULL CHECK (kind IN ('person', 'camera')),
    subject         TEXT NOT NULL,              -- opaque id of the person, or name of the camera
    since_ms        INTEGER NOT NULL,           -- when it began
    rejected        INTEGER NOT NULL,           -- alerts rejected that led to it ...
    decided         INTEGER NOT NULL,           -- ... of so many that people decided
    lifted_ms       INTEGER,                    -- when somebody lifted it; NULL while in force
    lifted_by       TEXT                        -- who
) STRICT;
CREATE UNIQUE INDEX suspensions_in_force ON suspensions (kind, subject) WHERE lifted_ms IS NULL;
