CREATE TABLE certificate (
  id INTEGER PRIMARY KEY,
  profile INTEGER NOT NULL,
  status TEXT NOT NULL,
  manufacturing INTEGER NOT NULL,
  eui64 BLOB,
  serial_number BLOB NOT NULL,  -- big-endian magnitude
  sha1 INTEGER NOT NULL,        -- the first 8 bytes of it: enough to find one
  sha256 BLOB NOT NULL,
  page INTEGER,                 -- of the full extract that brought it; null: a delta did
  body BLOB NOT NULL            -- DER
);
