CREATE TABLE state (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  day TEXT,               -- business date of the newest file that was applied; null before the first
  in_use TEXT NOT NULL,   -- set digest of the certificates with status I
  index_at TEXT           -- when the newest signed index that was seen was written, UTC; null before the first
);
INSERT INTO state VALUES (1, NULL, '0:0000000000000000000000000000000000000000000000000000000000000000', NULL);

CREATE TABLE applied (    -- files that made the state, since the full extract that began it
  name TEXT PRIMARY KEY,
  day TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,   -- of the file, hex
  records INTEGER NOT NULL,
  in_use TEXT NOT NULL,   -- set digest after it
  applied_at TEXT NOT NULL
);

CREATE TABLE page (       -- of the full extract that began it: what no delta has touched since
  number INTEGER PRIMARY KEY,
  xml_sha256 BLOB NOT NULL
);

CREATE TABLE profile (    -- what several certificates have in common
  id INTEGER PRIMARY KEY,
  class TEXT NOT NULL,    -- OCA and DCA are not told apart by a certificate's own bytes: CA
  issuer BLOB NOT NULL,   -- Name, DER
  common_name TEXT,
  role INTEGER,
  usage TEXT,
  not_after TEXT NOT NULL -- UTC
);

CREATE TABLE authority (  -- the CA certificates, by the Name that others have as their issuer
  subject BLOB NOT NULL,  -- equal for equal Names
  certificate INTEGER NOT NULL,
  PRIMARY KEY (subject, certificate)
) WITHOUT ROWID;
