CREATE TABLE certificate_body (
  id INTEGER PRIMARY KEY,
  eui64 BLOB,
  serial_number BLOB NOT NULL,  -- big-endian magnitude
  sha1 INTEGER NOT NULL,        -- the first 8 bytes of it: enough to find one
  sha256 BLOB NOT NULL,
  body BLOB NOT NULL            -- DER
);

CREATE TABLE certificate_status (  -- apart: a change of status writes some bytes among few, not among bodies
  id INTEGER PRIMARY KEY,          -- the body's
  profile INTEGER NOT NULL,
  status TEXT NOT NULL,
  manufacturing INTEGER NOT NULL,
  page INTEGER                     -- of the full extract that brought it; null: a delta did
);

CREATE VIEW certificate AS
  SELECT * FROM certificate_body JOIN certificate_status USING (id);
