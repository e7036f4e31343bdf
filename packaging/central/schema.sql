-- What the central log host keeps of the alerts and heartbeats of all hosts. PostgreSQL 13 or newer.
--
--   createdb --encoding=UTF8 --template=template0 hostguard
--   psql -v ON_ERROR_STOP=1 -d hostguard -f schema.sql        (as a superuser; once more does no harm)
--
-- The rules kept here:
--
-- * Everything comes in by `take`, which never fails: what is no record of ours becomes a row of `rejects`, so
--   that one message can neither stop the queue before it nor get lost in it.
-- * Messages come at least once, and out of order (several workers, urgent before idle). Whatever is kept is
--   therefore the same in whatever order they came, and a repeat changes nothing.
-- * What a view would have to scan ten million alerts for is kept up to date by `take`: where a host's numbers
--   have gaps, which findings are open, what was seen on how many hosts. No view reads `alerts`.
-- * A host may say anything about itself: names, numbers, times. It speaks for itself only, and from which
--   addresses a name spoke is kept beside it.

\set ON_ERROR_STOP on
SET client_min_messages = warning;

-- The roles: who owns, who may only hand in, who may only look, who may also say what was looked into. ----------

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hostguard_owner') THEN
        CREATE ROLE hostguard_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hostguard_writer') THEN
        CREATE ROLE hostguard_writer LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hostguard_reader') THEN
        CREATE ROLE hostguard_reader NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hostguard_keeper') THEN
        CREATE ROLE hostguard_keeper NOLOGIN;
    END IF;
    GRANT hostguard_reader TO hostguard_keeper;
    EXECUTE format('GRANT CREATE, CONNECT, TEMPORARY ON DATABASE %I TO hostguard_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO hostguard_writer, hostguard_reader', current_database());
END $$;

-- Bytes come through as they are: in LATIN1 each is a character, so that none makes the statement itself fail.
-- `take` makes bytes of them again, and only there it is decided whether they are UTF-8.
ALTER ROLE hostguard_writer SET client_encoding = 'LATIN1';
ALTER ROLE hostguard_writer SET standard_conforming_strings = on;
ALTER ROLE hostguard_writer SET client_min_messages = error;

CREATE SCHEMA IF NOT EXISTS hostguard AUTHORIZATION hostguard_owner;
REVOKE ALL ON SCHEMA hostguard FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;  -- before PostgreSQL 15 everybody may
GRANT USAGE ON SCHEMA hostguard TO hostguard_writer, hostguard_reader;

SET ROLE hostguard_owner;
SET search_path = hostguard;

-- The tables. --------------------------------------------------------------------------------------------------

-- `epoch` counts how often a host's numbers began anew. `first_sequence` … `last_sequence` are the numbers that
-- came in this epoch, but for those in `gaps`. `last_digest` is the digest of the last line, null if it was
-- shortened on its way. Rows are changed with every alert: room for that in the same page, and no index on
-- what changes.
CREATE TABLE IF NOT EXISTS hosts (
    host            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hostname        text NOT NULL,
    machine_id      text NOT NULL DEFAULT '',
    first_seen      timestamptz NOT NULL DEFAULT now(),
    last_alert      timestamptz,
    epoch           integer NOT NULL DEFAULT 1,
    first_sequence  bigint,
    first_at        timestamptz,
    last_sequence   bigint,
    last_digest     bytea,
    arrived         bigint NOT NULL DEFAULT 0,
    repeats         bigint NOT NULL DEFAULT 0,
    unchecked_links bigint NOT NULL DEFAULT 0,
    retired         boolean NOT NULL DEFAULT false,
    UNIQUE (hostname, machine_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON COLUMN hosts.unchecked_links IS 'links of the chain that cannot be checked: the line before was shortened';
COMMENT ON COLUMN hosts.retired IS 'set by hand: its silence is no news';

CREATE TABLE IF NOT EXISTS peers (
    host       integer NOT NULL REFERENCES hosts ON DELETE CASCADE,
    peer       text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host, peer)
);
CREATE INDEX IF NOT EXISTS peers_peer ON peers (peer);

-- The newest of each host; what is old says nothing that the newest does not.
CREATE TABLE IF NOT EXISTS heartbeats (
    host            integer PRIMARY KEY REFERENCES hosts ON DELETE CASCADE,
    at              timestamptz NOT NULL,
    received_at     timestamptz NOT NULL,
    sequence        bigint,
    digest          bytea,
    generation      bigint,
    baseline_digest text,
    blind           integer NOT NULL DEFAULT 0,
    blind_scopes    jsonb NOT NULL DEFAULT '[]',
    every           interval NOT NULL DEFAULT '60 s',
    alive           timestamptz,
    behind_since    timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- By the record's own time, which is the same in every repeat: by the time of arrival, a repeat just after
-- midnight of the first would be another row.
CREATE TABLE IF NOT EXISTS alerts (
    host        integer NOT NULL,
    sequence    bigint NOT NULL,
    id          text NOT NULL,
    at          timestamptz NOT NULL,
    epoch       integer NOT NULL,
    severity    smallint NOT NULL,
    kind        text NOT NULL,
    action      text NOT NULL,
    rule        text,
    technique   text[],
    key         text,
    message     text NOT NULL,
    finding     text,
    state       text,
    chain       bytea NOT NULL,
    digest      bytea,
    record      jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    peer        text,
    PRIMARY KEY (host, sequence, id, at)
) PARTITION BY RANGE (at);
ALTER TABLE alerts ADD COLUMN IF NOT EXISTS peer text;
COMMENT ON COLUMN alerts.peer IS 'the address that brought it first; null for what came before this was kept';
COMMENT ON COLUMN alerts.digest IS 'SHA-256 of the line; null if it was shortened on its way (hostguard.cut)';
CREATE TABLE IF NOT EXISTS alerts_other PARTITION OF alerts DEFAULT;
CREATE INDEX IF NOT EXISTS alerts_at ON alerts USING brin (at);
CREATE INDEX IF NOT EXISTS alerts_loud ON alerts (at DESC) WHERE severity >= 73;
CREATE INDEX IF NOT EXISTS alerts_finding ON alerts (host, finding) WHERE finding IS NOT NULL;

-- Numbers that did not come: they may still.
CREATE TABLE IF NOT EXISTS gaps (
    host  integer NOT NULL REFERENCES hosts ON DELETE CASCADE,
    epoch integer NOT NULL,
    lo    bigint NOT NULL,
    hi    bigint NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (host, epoch, lo)
);

-- What cannot heal: a chain that does not follow, numbers that began anew, lines damaged in the log itself.
CREATE TABLE IF NOT EXISTS troubles (
    trouble    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host       integer REFERENCES hosts ON DELETE CASCADE,
    epoch      integer NOT NULL,
    kind       text NOT NULL,
    sequence   bigint NOT NULL,
    detail     text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now(),
    times      bigint NOT NULL DEFAULT 1,
    settled_at timestamptz,
    settled    text
);
ALTER TABLE troubles DROP CONSTRAINT IF EXISTS troubles_kind_check;
ALTER TABLE troubles ADD CONSTRAINT troubles_kind_check CHECK (kind IN ('chain', 'rewound', 'damaged', 'address'));
-- A damaged line that nobody's name stands on has no host, and is told once all the same.
ALTER TABLE troubles DROP CONSTRAINT IF EXISTS troubles_host_epoch_kind_sequence_key;
CREATE UNIQUE INDEX IF NOT EXISTS troubles_once ON troubles (coalesce(host, 0), epoch, kind, sequence);

-- What became of each finding last. Those that are over stay for a while: what opened them may come later.
CREATE TABLE IF NOT EXISTS findings (
    host       integer NOT NULL REFERENCES hosts ON DELETE CASCADE,
    finding    text NOT NULL,
    epoch      integer NOT NULL,
    sequence   bigint NOT NULL,
    state      text NOT NULL,
    severity   smallint NOT NULL,
    kind       text NOT NULL,
    action     text NOT NULL,
    rule       text,
    technique  text[],
    key        text,
    message    text,
    opened_at  timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (host, finding)
);
CREATE INDEX IF NOT EXISTS findings_open ON findings (severity DESC, host) WHERE state IN ('opened', 'changed');
CREATE INDEX IF NOT EXISTS findings_over ON findings (changed_at) WHERE state NOT IN ('opened', 'changed');

-- The same change on several hosts: `signature` is of kind, key, action and the digest after it. A host counts
-- once for as long as it was seen there within a week; `tend` takes out who was not.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('spreads') AND attname = 'wave') THEN
        DROP TABLE spreads, spread_hosts CASCADE;  -- as they were counted before, which cannot be put right
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS spreads (
    signature uuid PRIMARY KEY,
    kind      text NOT NULL,
    action    text NOT NULL,
    key       text NOT NULL,
    sha256    text NOT NULL,
    severity  smallint NOT NULL,
    hosts     integer NOT NULL DEFAULT 1,
    first_at  timestamptz NOT NULL,
    last_at   timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS spreads_wide ON spreads (last_at) WHERE hosts >= 2;
CREATE TABLE IF NOT EXISTS spread_hosts (
    signature uuid NOT NULL,
    host      integer NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (signature, host)
);

CREATE TABLE IF NOT EXISTS rejects (
    reject      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    peer        text,
    hostname    text,
    sd          text,
    line        bytea NOT NULL,
    reason      text NOT NULL
);
CREATE INDEX IF NOT EXISTS rejects_at ON rejects (received_at);

-- Handing in. --------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION rank_of(severity text) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE severity WHEN 'critical' THEN 99 WHEN 'high' THEN 73 WHEN 'medium' THEN 47 WHEN 'low' THEN 21
                         WHEN 'info' THEN 1 WHEN 'ignore' THEN 0 ELSE 73 END::smallint
$$;

CREATE OR REPLACE FUNCTION severity_name(rank smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN rank >= 99 THEN 'critical' WHEN rank >= 73 THEN 'high' WHEN rank >= 47 THEN 'medium'
                WHEN rank >= 21 THEN 'low' WHEN rank >= 1 THEN 'info' ELSE 'ignore' END
$$;

CREATE OR REPLACE FUNCTION note_trouble(host integer, epoch integer, kind text, sequence bigint, detail text)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO troubles AS t (host, epoch, kind, sequence, detail)
    VALUES (note_trouble.host, note_trouble.epoch, note_trouble.kind, note_trouble.sequence, note_trouble.detail)
    ON CONFLICT (coalesce(host, 0), epoch, kind, sequence) DO UPDATE
        SET times = t.times + 1, last_seen = now()
$$;

-- The row of a host, made if there is none. One whose machine-id is not known yet gets it from the first record
-- that has it; a record without one is of whichever host of that name spoke last.
CREATE OR REPLACE FUNCTION host_of(name text, machine text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    found_host integer;
BEGIN
    SELECT h.host INTO found_host FROM hosts h WHERE h.hostname = name AND h.machine_id = machine;
    IF found_host IS NOT NULL THEN
        RETURN found_host;
    END IF;
    IF machine = '' THEN
        SELECT h.host INTO found_host FROM hosts h WHERE h.hostname = name
        ORDER BY h.last_alert DESC NULLS LAST, h.host DESC LIMIT 1;
    ELSE
        BEGIN
            UPDATE hosts h SET machine_id = machine WHERE h.hostname = name AND h.machine_id = ''
            RETURNING h.host INTO found_host;
        EXCEPTION WHEN unique_violation THEN
            NULL;  -- another worker was faster
        END;
    END IF;
    IF found_host IS NULL THEN
        INSERT INTO hosts (hostname, machine_id) VALUES (name, machine) ON CONFLICT DO NOTHING;
        SELECT h.host INTO found_host FROM hosts h WHERE h.hostname = name AND h.machine_id = machine;
    END IF;
    RETURN found_host;
END $$;

CREATE OR REPLACE FUNCTION digest_of(hex text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN hex ~ '^[0-9a-f]{64}$' THEN decode(hex, 'hex') END
$$;

CREATE OR REPLACE FUNCTION take_heartbeat(host integer, record jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ours     jsonb := record -> 'hostguard';
    said     timestamptz := least((record ->> '@timestamp')::timestamptz, now());
    head     bigint := (ours #>> '{last,sequence}')::bigint;
    head_is  bytea := digest_of(ours #>> '{last,chain}');
    every    interval := make_interval(secs => least(greatest(coalesce((ours ->> 'interval')::float8, 60), 1), 86400));
    known    hosts%ROWTYPE;
    before   heartbeats%ROWTYPE;
    other    bytea;
BEGIN
    SELECT * INTO before FROM heartbeats h WHERE h.host = take_heartbeat.host FOR UPDATE;
    -- One that was overtaken has nothing to say. A clock that was put back would make all be of that kind, for
    -- which reason it counts when the last one came long ago.
    IF before.host IS NOT NULL AND said < before.at AND now() < before.received_at + 2 * before.every THEN
        RETURN;
    END IF;
    SELECT * INTO known FROM hosts h WHERE h.host = take_heartbeat.host;
    IF head < before.sequence THEN
        SELECT * INTO known FROM hosts h WHERE h.host = take_heartbeat.host FOR UPDATE;
        PERFORM note_trouble(known.host, known.epoch, 'rewound', head, format(
            'the log ended with number %s, and now with %s', before.sequence, head));
        UPDATE hosts h SET epoch = known.epoch + 1, first_sequence = NULL, first_at = NULL, last_sequence = NULL,
            last_digest = NULL WHERE h.host = known.host;
    ELSIF head = known.last_sequence THEN
        other := known.last_digest;
    ELSIF head < known.last_sequence AND head >= known.first_sequence THEN
        SELECT a.digest INTO other FROM alerts a
        WHERE a.host = known.host AND a.sequence = head AND a.epoch = known.epoch LIMIT 1;
    END IF;
    IF other <> head_is THEN
        PERFORM note_trouble(known.host, known.epoch, 'chain', head, format(
            'the host says that line %s has the digest %s, which is not that of the line that came', head,
            encode(head_is, 'hex')));
    END IF;
    INSERT INTO heartbeats AS h (host, at, received_at, sequence, digest, generation, baseline_digest, blind,
                                 blind_scopes, every, alive, behind_since)
    VALUES (take_heartbeat.host, said, now(), head, head_is, (ours #>> '{baseline,generation}')::bigint,
            left(ours #>> '{baseline,digest}', 128),
            CASE jsonb_typeof(ours -> 'blind') WHEN 'number' THEN (ours ->> 'blind')::integer
                 WHEN 'array' THEN jsonb_array_length(ours -> 'blind') ELSE 0 END,
            coalesce(ours -> 'blind_scopes', '[]'), every, (ours #>> '{daemon,alive}')::timestamptz,
            CASE WHEN coalesce(head, before.sequence) > coalesce(known.last_sequence, 0)
                 THEN coalesce(before.behind_since, now()) END)
    ON CONFLICT ON CONSTRAINT heartbeats_pkey DO UPDATE SET
        at = excluded.at, received_at = excluded.received_at,
        -- One that does not say where the log ends does not take back what the ones before it said.
        sequence = coalesce(excluded.sequence, h.sequence),
        digest = CASE WHEN excluded.digest IS NULL AND coalesce(excluded.sequence, h.sequence) = h.sequence
                      THEN h.digest ELSE excluded.digest END, generation = excluded.generation, baseline_digest = excluded.baseline_digest,
        blind = excluded.blind, blind_scopes = excluded.blind_scopes, every = excluded.every,
        alive = excluded.alive, behind_since = excluded.behind_since;
END $$;

-- Takes one number into what is known of a host's numbers and chain; `was` is its row, locked, and comes back
-- as it is then.
CREATE OR REPLACE FUNCTION follow(
    was hosts, number bigint, said timestamptz, chained bytea, own bytea
) RETURNS hosts LANGUAGE plpgsql AS $$
DECLARE
    gap    gaps%ROWTYPE;
    other  record;
    head   heartbeats%ROWTYPE;
BEGIN
    IF was.last_sequence IS NULL OR number = was.last_sequence + 1 THEN
        NULL;  -- as nearly always
    ELSIF number > was.last_sequence THEN
        INSERT INTO gaps VALUES (was.host, was.epoch, was.last_sequence + 1, number - 1, now());
    ELSE
        DELETE FROM gaps g WHERE g.host = was.host AND g.epoch = was.epoch AND g.lo = (
            SELECT max(c.lo) FROM gaps c WHERE c.host = was.host AND c.epoch = was.epoch AND c.lo <= number)
            AND g.hi >= number RETURNING * INTO gap;
        IF gap.host IS NOT NULL THEN
            INSERT INTO gaps SELECT was.host, was.epoch, part.lo, part.hi, gap.since
            FROM (VALUES (gap.lo, number - 1), (number + 1, gap.hi)) part (lo, hi) WHERE part.lo <= part.hi;
        ELSIF number < was.first_sequence AND said <= was.first_at THEN
            IF number < was.first_sequence - 1 THEN
                INSERT INTO gaps VALUES (was.host, was.epoch, number + 1, was.first_sequence - 1, now());
            END IF;
        ELSE
            PERFORM note_trouble(was.host, was.epoch, 'rewound', number, format(
                'number %s came again with something else, after number %s', number, was.last_sequence));
            UPDATE heartbeats h SET sequence = NULL, digest = NULL WHERE h.host = was.host;
            was.epoch := was.epoch + 1;
            was.first_sequence := NULL;
            was.last_sequence := NULL;
            was.last_digest := NULL;
        END IF;
    END IF;

    -- The chain: this line against the one before, and the one after against this line, where they came.
    IF number = 1 THEN
        IF chained <> decode(repeat('0', 64), 'hex') THEN
            PERFORM note_trouble(was.host, was.epoch, 'chain', 1::bigint, 'line 1 does not begin a chain');
        END IF;
    ELSIF was.last_sequence IS NOT NULL AND number = was.last_sequence + 1 THEN
        IF was.last_digest IS NULL THEN
            was.unchecked_links := was.unchecked_links + 1;
        ELSIF was.last_digest <> chained THEN
            PERFORM note_trouble(was.host, was.epoch, 'chain', number, format(
                'line %s does not follow line %s as it came', number, number - 1));
        END IF;
    ELSIF number <= was.last_sequence OR number > was.last_sequence + 1 THEN
        FOR other IN
            SELECT a.sequence, a.chain, a.digest FROM alerts a
            WHERE a.host = was.host AND a.sequence IN (number - 1, number + 1) AND a.epoch = was.epoch
        LOOP
            IF (CASE WHEN other.sequence < number THEN other.digest ELSE own END) IS NULL THEN
                was.unchecked_links := was.unchecked_links + 1;
            ELSIF (other.sequence < number AND other.digest <> chained)
                OR (other.sequence > number AND own <> other.chain)
            THEN
                PERFORM note_trouble(was.host, was.epoch, 'chain', greatest(number, other.sequence), format(
                    'line %s does not follow line %s as it came', greatest(number, other.sequence),
                    least(number, other.sequence)));
            END IF;
        END LOOP;
    END IF;
    IF number < was.last_sequence THEN
        NULL;
    ELSE
        was.last_sequence := number;
        was.last_digest := own;
        -- A heartbeat may have said what this line must be.
        SELECT * INTO head FROM heartbeats h WHERE h.host = was.host AND h.sequence = number;
        IF head.digest <> own THEN
            PERFORM note_trouble(was.host, was.epoch, 'chain', number, format(
                'the host had said that line %s has the digest %s, and another came', number,
                encode(head.digest, 'hex')));
        END IF;
    END IF;
    IF was.first_sequence IS NULL OR number < was.first_sequence THEN
        was.first_sequence := number;
        was.first_at := said;
    END IF;
    RETURN was;
END $$;

-- In plpgsql, which keeps its plans for a session; a function in SQL that cannot be inlined is planned anew each time.
CREATE OR REPLACE FUNCTION techniques(list jsonb) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF list IS NULL OR jsonb_typeof(list) <> 'array' THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT jsonb_array_elements_text(list));
END $$;

CREATE OR REPLACE FUNCTION signature_of(kind text, action text, key text, sha256 text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN encode(substring(pg_catalog.sha256(convert_to(
        jsonb_build_array(kind, action, key, sha256)::text, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid;
END $$;

-- What became of the findings that a record tells of: its own, and those that it lists.
CREATE OR REPLACE FUNCTION note_findings(
    host integer, epoch integer, number bigint, said timestamptz, record jsonb
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ours  jsonb := record -> 'hostguard';
    state text := ours ->> 'state';
    what  text := record #>> '{event,action}';
BEGIN
    IF jsonb_typeof(ours -> 'finding') = 'string' THEN
        INSERT INTO findings AS f
        VALUES (note_findings.host, left(ours ->> 'finding', 64), note_findings.epoch, number, state,
                rank_of(coalesce(ours ->> 'finding_severity', ours ->> 'severity')), ours ->> 'kind',
                what, record #>> '{rule,name}', techniques(record #> '{threat,technique,id}'),
                left(ours ->> 'key', 4096), record ->> 'message', said, said)
        ON CONFLICT ON CONSTRAINT findings_pkey DO UPDATE SET
            epoch = excluded.epoch, sequence = excluded.sequence, state = excluded.state,
            severity = excluded.severity, changed_at = excluded.changed_at, message = excluded.message,
            rule = excluded.rule, action = CASE WHEN excluded.state IN ('opened', 'changed')
                                                THEN excluded.action ELSE f.action END,
            technique = coalesce(excluded.technique, f.technique),
            opened_at = CASE WHEN f.state IN ('opened', 'changed') THEN least(f.opened_at, excluded.opened_at)
                             ELSE excluded.opened_at END
        WHERE (f.epoch, f.sequence) < (excluded.epoch, excluded.sequence);
    END IF;
    IF jsonb_typeof(ours -> 'members') = 'array' THEN
        INSERT INTO findings AS f
        SELECT DISTINCT ON (one ->> 'finding')
               note_findings.host, left(one ->> 'finding', 64), note_findings.epoch, number, state,
               rank_of(one ->> 'severity'), one ->> 'kind', (one ->> 'kind') || '-' || (one ->> 'action'),
               one ->> 'rule', techniques(one -> 'technique'), left(one ->> 'key', 4096), NULL::text, said, said
        FROM jsonb_array_elements(ours -> 'members') one
        WHERE one ->> 'finding' IS NOT NULL AND one ->> 'kind' IS NOT NULL AND one ->> 'action' IS NOT NULL
        ORDER BY one ->> 'finding'
        ON CONFLICT ON CONSTRAINT findings_pkey DO UPDATE SET
            epoch = excluded.epoch, sequence = excluded.sequence, state = excluded.state,
            severity = excluded.severity, changed_at = excluded.changed_at,
            opened_at = CASE WHEN f.state IN ('opened', 'changed') THEN least(f.opened_at, excluded.opened_at)
                             ELSE excluded.opened_at END
        WHERE (f.epoch, f.sequence) < (excluded.epoch, excluded.sequence);
    END IF;
END $$;

-- On how many hosts the changes of a record were seen. In one order, so that two hosts never wait for each other.
CREATE OR REPLACE FUNCTION note_spread(host integer, said timestamptz, arrived timestamptz, record jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ours  jsonb := record -> 'hostguard';
    one   record;
    fresh boolean;
    first boolean;
BEGIN
    -- All hosts share these rows: no host's clock moves them out of the week in which it spoke.
    IF said NOT BETWEEN arrived - interval '7 days' AND arrived + interval '10 minutes' THEN
        said := arrived;
    END IF;
    FOR one IN
        SELECT DISTINCT signature_of(all_of.kind, all_of.action, all_of.key, all_of.sha256) AS signature, all_of.*
        FROM (
            SELECT ours ->> 'kind' AS kind, record #>> '{event,action}' AS action,
                   left(ours ->> 'key', 4096) AS key, coalesce(left(ours #>> '{after,sha256}', 64), '') AS sha256,
                   rank_of(ours ->> 'severity') AS severity
            WHERE jsonb_typeof(ours -> 'finding') = 'string' AND ours ->> 'key' IS NOT NULL
            UNION ALL
            SELECT m ->> 'kind', (m ->> 'kind') || '-' || (m ->> 'action'), left(m ->> 'key', 4096), '',
                   rank_of(m ->> 'severity')
            FROM jsonb_array_elements(
                CASE WHEN jsonb_typeof(ours -> 'members') = 'array' THEN ours -> 'members' ELSE '[]' END) m
            WHERE m ->> 'kind' IS NOT NULL AND m ->> 'action' IS NOT NULL AND m ->> 'key' IS NOT NULL
        ) all_of
        ORDER BY signature
    LOOP
        -- A row that was just made, and not changed, has xmax 0: its first host is counted.
        INSERT INTO spreads AS s (signature, kind, action, key, sha256, severity, first_at, last_at)
        VALUES (one.signature, one.kind, one.action, one.key, one.sha256, one.severity, said, said)
        ON CONFLICT (signature) DO UPDATE SET
            first_at = least(s.first_at, excluded.first_at), last_at = greatest(s.last_at, excluded.last_at),
            severity = greatest(s.severity, excluded.severity)
        RETURNING s.xmax = 0 INTO fresh;
        INSERT INTO spread_hosts AS h VALUES (one.signature, note_spread.host, said)
        ON CONFLICT ON CONSTRAINT spread_hosts_pkey DO UPDATE SET at = greatest(h.at, excluded.at)
        RETURNING h.xmax = 0 INTO first;
        IF first AND NOT fresh THEN
            UPDATE spreads s SET hosts = s.hosts + 1 WHERE s.signature = one.signature;
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION parsed(line bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    said text := convert_from(line, 'UTF8');
BEGIN
    IF said ~ '[0-9][eE][-+]?[0-9]{3}'
       AND regexp_replace(said, '"(?:[^"\\]|\\.)*"', '', 'g') ~ '[0-9][eE][-+]?[0-9]{3}' THEN
        RAISE EXCEPTION 'a number that is longer written out than here';
    END IF;
    RETURN said::jsonb;
END $$;

-- A number that stands for these bytes.
CREATE OR REPLACE FUNCTION number_of(bytes bytea) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || encode(substring(sha256(bytes) FROM 1 FOR 7), 'hex'))::bit(56)::bigint
$$;

-- What an alert that is new says: of the numbers and the chain, of findings, of what is seen elsewhere. `was` is the row of its
-- host, locked.
CREATE OR REPLACE FUNCTION learn(was hosts, alert alerts) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    state text := alert.record #>> '{hostguard,state}';
BEGIN
    was := follow(was, alert.sequence, alert.at, alert.chain, alert.digest);
    IF was.epoch <> alert.epoch THEN
        UPDATE alerts a SET epoch = was.epoch
        WHERE a.host = alert.host AND a.sequence = alert.sequence AND a.id = alert.id AND a.at = alert.at;
    END IF;
    IF state IN ('opened', 'changed', 'cleared', 'accepted') THEN
        PERFORM note_findings(alert.host, was.epoch, alert.sequence, alert.at, alert.record);
        IF state IN ('opened', 'changed') THEN
            PERFORM note_spread(alert.host, alert.at, alert.received_at, alert.record);
        END IF;
    END IF;
    UPDATE hosts h SET epoch = was.epoch, first_sequence = was.first_sequence, first_at = was.first_at,
        last_sequence = was.last_sequence, last_digest = was.last_digest,
        last_alert = greatest(h.last_alert, alert.received_at),
        unchecked_links = was.unchecked_links, arrived = h.arrived + 1
    WHERE h.host = alert.host;
END $$;

-- One line, as bytes. May fail: `take` catches that.
CREATE OR REPLACE FUNCTION take_line(peer text, name text, line bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    record  jsonb := parsed(line);
    ours    jsonb := record -> 'hostguard';
    event   jsonb := record -> 'event';
    kind    text := ours ->> 'kind';
    label   text := left(coalesce(record #>> '{host,hostname}', nullif(name, '-'), ''), 255);
    number  bigint;
    said    timestamptz;
    chained bytea;
    own     bytea;
    who     integer;
    was     hosts%ROWTYPE;
    alert   alerts%ROWTYPE;
BEGIN
    IF jsonb_typeof(ours) IS DISTINCT FROM 'object' OR kind IS NULL OR (ours ->> 'schema') IS DISTINCT FROM '1' THEN
        RAISE EXCEPTION 'no record of schema 1';
    END IF;
    IF record ->> '@timestamp' !~ '^(19[7-9]|20[0-9]|21[0-9])[0-9]-[0-9][0-9]-[0-9][0-9]T[0-9:.]{8,18}Z$'
       OR ours #>> '{daemon,alive}' !~ '^(19[7-9]|20[0-9]|21[0-9])[0-9]-[0-9][0-9]-[0-9][0-9]T[0-9:.]{8,18}Z$' THEN
        RAISE EXCEPTION 'a time that is none';
    END IF;
    IF (event ->> 'sequence')::numeric >= 1e18 OR (ours #>> '{last,sequence}')::numeric NOT BETWEEN 0 AND 1e18 - 1 THEN
        RAISE EXCEPTION 'a number beyond what is counted';
    END IF;
    IF kind <> 'damaged' THEN
        who := host_of(label, left(coalesce(record #>> '{host,id}', ''), 64));
    -- It tells no host: the name that the message came under must do, or the address that it came from.
    ELSIF label <> '' THEN
        who := host_of(label, '');
    ELSE
        SELECT p.host INTO who FROM peers p WHERE p.peer = take_line.peer ORDER BY p.host DESC LIMIT 1;
    END IF;
    INSERT INTO peers (host, peer) SELECT who, take_line.peer
    WHERE who IS NOT NULL AND NOT EXISTS (SELECT FROM peers p WHERE p.host = who AND p.peer = take_line.peer)
    ON CONFLICT DO NOTHING;
    IF FOUND AND EXISTS (SELECT FROM peers p WHERE p.host = who AND p.peer <> take_line.peer) THEN
        PERFORM note_trouble(who, 0, 'address', number_of(convert_to(take_line.peer, 'UTF8')),
            format('%s speaks as this host, which no one there did before', take_line.peer));
    END IF;
    IF kind = 'damaged' THEN
        PERFORM note_trouble(who, 0, 'damaged', number_of(convert_to(take_line.peer, 'UTF8') || line),
            format('from %s: %s', take_line.peer, left(record ->> 'message', 1024)));
        RETURN;
    END IF;
    IF kind = 'heartbeat' THEN
        -- The next one says the same and more: not worth waiting for the disk.
        PERFORM set_config('synchronous_commit', 'off', true);
        PERFORM take_heartbeat(who, record);
        RETURN;
    END IF;

    number := (event ->> 'sequence')::bigint;
    said := (record ->> '@timestamp')::timestamptz;
    chained := digest_of(ours ->> 'chain');
    IF number IS NULL OR number < 1 OR said IS NULL OR chained IS NULL OR event ->> 'id' IS NULL THEN
        RAISE EXCEPTION 'an alert without number, time, id or chain';
    END IF;
    own := CASE WHEN ours ? 'cut' THEN NULL ELSE sha256(line) END;
    SELECT * INTO was FROM hosts h WHERE h.host = who FOR UPDATE;
    INSERT INTO alerts VALUES (
        who, number, left(event ->> 'id', 64), said, was.epoch, coalesce((event ->> 'severity')::smallint, 73),
        kind, coalesce(event ->> 'action', ''), record #>> '{rule,name}',
        techniques(record #> '{threat,technique,id}'), left(ours ->> 'key', 4096),
        coalesce(record ->> 'message', ''), left(ours ->> 'finding', 64), ours ->> 'state', chained, own, record, now(),
        take_line.peer
    ) ON CONFLICT DO NOTHING RETURNING * INTO alert;
    IF NOT FOUND THEN
        UPDATE hosts h SET repeats = h.repeats + 1 WHERE h.host = who;
        RETURN;
    END IF;
    PERFORM learn(was, alert);
END $$;

-- What rsyslog calls, for each message once. It never fails for what a message says. Where the database itself
-- cannot write (a full disk), it waits: the queue before it has a disk of its own, and an error would only be handed in
-- again.
CREATE OR REPLACE FUNCTION take(peer text, name text, sd text, msg text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = hostguard, pg_catalog, pg_temp AS $$
DECLARE
    line    bytea := convert_to(ltrim(msg, ' '),
                                CASE current_setting('client_encoding') WHEN 'LATIN1' THEN 'LATIN1' ELSE 'UTF8' END);
    problem text;
    tries   integer := 0;
BEGIN
    LOOP
        BEGIN
            IF problem IS NULL THEN
                PERFORM take_line(take.peer, take.name, line);
            ELSE
                INSERT INTO rejects (peer, hostname, sd, line, reason)
                VALUES (take.peer, left(take.name, 255), left(take.sd, 1024), line, problem);
            END IF;
            RETURN;
        EXCEPTION
            WHEN deadlock_detected OR serialization_failure OR lock_not_available THEN
                tries := tries + 1;
                IF tries > 100 THEN
                    problem := SQLERRM;
                END IF;
                PERFORM pg_sleep(random() * 0.01);
            WHEN out_of_memory OR configuration_limit_exceeded THEN
                -- May be the message's own doing: not for ever.
                tries := tries + 1;
                IF tries > 5 THEN
                    problem := SQLSTATE || ' ' || SQLERRM;
                END IF;
                PERFORM pg_sleep(1);
            WHEN insufficient_resources OR system_error OR read_only_sql_transaction THEN
                PERFORM pg_sleep(1);
            WHEN OTHERS THEN
                IF problem IS NOT NULL THEN
                    RAISE;
                END IF;
                problem := SQLSTATE || ' ' || SQLERRM;
        END;
    END LOOP;
END $$;

-- Once more with what was rejected, after the reason for it was mended; how many are taken now.
CREATE OR REPLACE FUNCTION retry_rejects() RETURNS bigint LANGUAGE plpgsql SET search_path = hostguard, pg_catalog
AS $$
DECLARE
    one   rejects%ROWTYPE;
    taken bigint := 0;
BEGIN
    FOR one IN SELECT * FROM rejects ORDER BY reject LOOP
        BEGIN
            PERFORM take_line(one.peer, one.hostname, one.line);
            DELETE FROM rejects r WHERE r.reject = one.reject;
            taken := taken + 1;
        EXCEPTION WHEN OTHERS THEN
            UPDATE rejects r SET reason = SQLSTATE || ' ' || SQLERRM WHERE r.reject = one.reject;
        END;
    END LOOP;
    RETURN taken;
END $$;

-- Keeping house: to be called once a day. --------------------------------------------------------------------

-- Makes the partitions of this month and the next ones, and drops what is older than `keep` months. What is
-- open stays whatever its age.
CREATE OR REPLACE FUNCTION tend(keep integer DEFAULT 13, ahead integer DEFAULT 3) RETURNS void LANGUAGE plpgsql
SET search_path = hostguard, pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    this   timestamptz := date_trunc('month', now());
    oldest timestamptz := this - make_interval(months => keep);
    month  timestamptz;
    part   text;
BEGIN
    FOR step IN -1 .. ahead LOOP
        month := this + make_interval(months => step);
        part := 'alerts_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass('hostguard.' || part) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE alerts INCLUDING DEFAULTS)', part);
        EXECUTE format('WITH moved AS (DELETE FROM alerts_other WHERE at >= %L AND at < %L RETURNING *)
                        INSERT INTO %I SELECT * FROM moved', month, month + interval '1 month', part);
        EXECUTE format('ALTER TABLE alerts ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       part, month, month + interval '1 month');
        EXECUTE format('GRANT SELECT ON %I TO hostguard_reader', part);
    END LOOP;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'alerts'::regclass AND c.relname ~ '^alerts_[0-9]{4}_[0-9]{2}$'
          AND to_timestamp(substr(c.relname, 8), 'YYYY_MM') < oldest
    LOOP
        EXECUTE format('DROP TABLE %I', part);
    END LOOP;
    DELETE FROM alerts_other WHERE received_at < oldest;
    DELETE FROM rejects WHERE received_at < oldest;
    DELETE FROM findings WHERE state NOT IN ('opened', 'changed') AND changed_at < now() - interval '31 days';
    PERFORM recount(ARRAY(SELECT DISTINCT h.signature FROM spread_hosts h WHERE h.at < now() - interval '7 days'));
    -- What is as old as the alerts that it is about; and of each kind what a host can make people read.
    DELETE FROM troubles WHERE last_seen < oldest;
    DELETE FROM troubles t USING (
        SELECT trouble, row_number() OVER (PARTITION BY host, kind ORDER BY last_seen DESC) AS place FROM troubles
    ) ranked WHERE ranked.trouble = t.trouble AND ranked.place > 1000;
END $$;

-- Counts anew on which hosts these changes were seen within a week.
CREATE OR REPLACE FUNCTION recount(signatures uuid[]) RETURNS void LANGUAGE sql AS $$
    SELECT FROM spreads s WHERE s.signature = ANY (signatures) ORDER BY s.signature FOR UPDATE;
    DELETE FROM spread_hosts h WHERE h.signature = ANY (signatures) AND h.at < now() - interval '7 days';
    UPDATE spreads s SET hosts = seen.hosts, first_at = seen.first_at, last_at = seen.last_at
    FROM (SELECT h.signature, count(*) AS hosts, min(h.at) AS first_at, max(h.at) AS last_at FROM spread_hosts h
          WHERE h.signature = ANY (signatures) GROUP BY h.signature) seen
    WHERE s.signature = seen.signature;
    DELETE FROM spreads s WHERE s.signature = ANY (signatures)
        AND NOT EXISTS (SELECT FROM spread_hosts h WHERE h.signature = s.signature);
$$;

-- Takes out what a host, or with `peer` what one address in its name, has brought, and what was learned from that; how
-- many alerts that were. What others brought in its name is learned anew. The files stay: they are the evidence.
CREATE OR REPLACE FUNCTION forget(host integer, peer text DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql
SET search_path = hostguard, pg_catalog AS $$
DECLARE
    was    hosts%ROWTYPE;
    alert  alerts%ROWTYPE;
    seen   uuid[];
    number bigint;
BEGIN
    SELECT * INTO was FROM hosts h WHERE h.host = forget.host FOR UPDATE;
    DELETE FROM alerts a WHERE a.host = forget.host AND (forget.peer IS NULL OR a.peer = forget.peer);
    GET DIAGNOSTICS number = ROW_COUNT;
    WITH gone AS (DELETE FROM spread_hosts h WHERE h.host = forget.host RETURNING h.signature)
    SELECT array_agg(signature) INTO seen FROM gone;
    PERFORM recount(seen);
    IF forget.peer IS NULL THEN
        DELETE FROM hosts h WHERE h.host = forget.host;
        RETURN number;
    END IF;
    DELETE FROM peers p WHERE p.host = forget.host AND p.peer = forget.peer;
    DELETE FROM gaps g WHERE g.host = forget.host;
    DELETE FROM findings f WHERE f.host = forget.host;
    DELETE FROM heartbeats h WHERE h.host = forget.host;  -- the next one comes within minutes
    DELETE FROM troubles t WHERE t.host = forget.host AND t.kind IN ('chain', 'rewound');
    DELETE FROM troubles t WHERE t.host = forget.host AND t.kind = 'address'
        AND t.sequence = number_of(convert_to(forget.peer, 'UTF8'));
    UPDATE hosts h SET epoch = 1, first_sequence = NULL, first_at = NULL, last_sequence = NULL, last_digest = NULL,
        last_alert = NULL, arrived = 0, unchecked_links = 0 WHERE h.host = forget.host;
    UPDATE alerts a SET epoch = 0 WHERE a.host = forget.host;  -- in none yet, so that none is compared before its turn
    FOR alert IN SELECT * FROM alerts a WHERE a.host = forget.host ORDER BY a.received_at, a.sequence LOOP
        SELECT * INTO was FROM hosts h WHERE h.host = forget.host;
        PERFORM learn(was, alert);
    END LOOP;
    RETURN number;
END $$;

-- Says that a trouble was looked into. It stays, and is told again if it happens again.
CREATE OR REPLACE FUNCTION settle(trouble bigint, why text) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = hostguard, pg_catalog, pg_temp AS $$
    UPDATE troubles t SET settled_at = now(), settled = session_user || ': ' || why
    WHERE t.trouble = settle.trouble
$$;

-- Looking. -----------------------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW open_findings AS
SELECT h.hostname, h.machine_id, f.finding, severity_name(f.severity) AS severity, f.kind, f.action, f.rule,
       f.technique, f.key, f.message, f.opened_at, f.changed_at, f.host, f.sequence
FROM findings f JOIN hosts h USING (host)
WHERE f.state IN ('opened', 'changed');

CREATE OR REPLACE VIEW open_critical AS
SELECT h.hostname, h.machine_id, f.host, count(*) AS findings, min(f.opened_at) AS oldest, max(f.changed_at) AS newest,
       (array_agg(f.key ORDER BY f.opened_at DESC))[1:5] AS newest_keys
FROM findings f JOIN hosts h USING (host)
WHERE f.state IN ('opened', 'changed') AND f.severity >= 99
GROUP BY h.host, f.host ORDER BY findings DESC, h.hostname;

-- Neither alert nor heartbeat for three heartbeats; or the forwarder speaks and the daemon does not turn.
CREATE OR REPLACE VIEW silent_hosts AS
SELECT h.hostname, h.machine_id, h.host, 'host' AS silent, greatest(b.received_at, h.last_alert, h.first_seen) AS last_heard,
       now() - greatest(b.received_at, h.last_alert, h.first_seen) AS for_so_long,
       coalesce(b.every, interval '60 s') AS every
FROM hosts h LEFT JOIN heartbeats b USING (host)
WHERE NOT h.retired
  AND greatest(b.received_at, h.last_alert, h.first_seen) < now() - 3 * coalesce(b.every, interval '60 s')
UNION ALL
SELECT h.hostname, h.machine_id, h.host, 'daemon', b.received_at - (b.at - b.alive), now() - b.received_at + (b.at - b.alive),
       b.every
FROM hosts h JOIN heartbeats b USING (host)
WHERE NOT h.retired AND b.received_at >= now() - 3 * b.every AND b.alive < b.at - 3 * b.every;

CREATE OR REPLACE VIEW same_change AS
SELECT s.hosts, s.kind, s.action, s.key, s.sha256, severity_name(s.severity) AS severity, s.first_at, s.last_at,
       s.last_at - s.first_at AS within, s.signature
FROM spreads s
WHERE s.hosts >= 2 AND s.last_at >= now() - interval '7 days'
ORDER BY s.hosts DESC, s.last_at DESC;

-- Numbers that did not come, once urgent ones have had the time to let idle ones through.
CREATE OR REPLACE VIEW sequence_gaps AS
SELECT h.hostname, h.machine_id, g.host, g.lo, g.hi, g.hi - g.lo + 1 AS missing, g.since, g.epoch
FROM gaps g JOIN hosts h USING (host) LEFT JOIN heartbeats b USING (host)
WHERE g.since < now() - coalesce(b.every, interval '60 s');

CREATE OR REPLACE VIEW open_troubles AS
SELECT h.hostname, h.machine_id, t.host, t.sequence, t.detail, t.first_seen, t.last_seen, t.times, t.epoch, t.trouble,
       t.kind
FROM troubles t LEFT JOIN hosts h USING (host)
WHERE t.settled_at IS NULL OR t.last_seen > t.settled_at;

CREATE OR REPLACE VIEW broken_chains AS
SELECT hostname, machine_id, host, sequence, detail, first_seen, last_seen, times, epoch, trouble
FROM open_troubles WHERE kind = 'chain';

CREATE OR REPLACE VIEW rewound_hosts AS
SELECT hostname, machine_id, host, sequence, detail, first_seen, last_seen, times, epoch, trouble
FROM open_troubles WHERE kind = 'rewound';

CREATE OR REPLACE VIEW moved_hosts AS
SELECT hostname, machine_id, host, detail, first_seen, trouble FROM open_troubles WHERE kind = 'address';

CREATE OR REPLACE VIEW damaged_lines AS
SELECT hostname, machine_id, host, detail, first_seen, last_seen, times, trouble
FROM open_troubles WHERE kind = 'damaged';

-- The host has written more than came: on its way, held back, or taken out.
CREATE OR REPLACE VIEW held_back AS
SELECT h.hostname, h.machine_id, b.host, b.sequence AS head, h.last_sequence AS arrived,
       b.sequence - coalesce(h.last_sequence, 0) AS behind, b.behind_since
FROM heartbeats b JOIN hosts h USING (host)
WHERE b.sequence > coalesce(h.last_sequence, 0) AND b.behind_since < now() - b.every;

-- How far the chain of each host could be checked: a link whose earlier line was shortened on its way cannot.
CREATE OR REPLACE VIEW chain_coverage AS
SELECT h.hostname, h.machine_id, h.host, h.arrived, h.unchecked_links, h.first_sequence, h.last_sequence,
       h.epoch, h.repeats
FROM hosts h;

CREATE OR REPLACE VIEW blind_hosts AS
SELECT h.hostname, h.machine_id, b.host, b.blind, b.blind_scopes, b.at
FROM heartbeats b JOIN hosts h USING (host) WHERE b.blind > 0;

-- One name from several machines or addresses: a new network card, a clone, or somebody else in its name.
CREATE OR REPLACE VIEW contested_names AS
SELECT h.hostname, count(DISTINCT h.host) AS machines, count(DISTINCT p.peer) AS addresses,
       array_agg(DISTINCT h.machine_id) AS machine_ids, (array_agg(DISTINCT p.peer))[1:10] AS some_addresses,
       max(p.first_seen) AS newest
FROM hosts h JOIN peers p USING (host)
GROUP BY h.hostname HAVING count(DISTINCT h.host) > 1 OR count(DISTINCT p.peer) > 1;

-- One address that speaks in several names: a gateway between, or a host that makes names up.
CREATE OR REPLACE VIEW addresses_of_many AS
SELECT p.peer, count(DISTINCT h.hostname) AS names, (array_agg(DISTINCT h.hostname))[1:10] AS some_names,
       max(p.first_seen) AS newest
FROM peers p JOIN hosts h USING (host)
GROUP BY p.peer HAVING count(DISTINCT h.hostname) > 1 ORDER BY names DESC;

-- Who may do what. ---------------------------------------------------------------------------------------------

REVOKE ALL ON ALL TABLES IN SCHEMA hostguard FROM PUBLIC, hostguard_writer;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA hostguard FROM PUBLIC, hostguard_writer, hostguard_reader, hostguard_keeper;
GRANT EXECUTE ON FUNCTION take(text, text, text, text) TO hostguard_writer;
GRANT EXECUTE ON FUNCTION severity_name(smallint) TO hostguard_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA hostguard TO hostguard_reader;
GRANT EXECUTE ON FUNCTION settle(bigint, text) TO hostguard_keeper;
GRANT UPDATE (retired) ON hosts TO hostguard_keeper;

SELECT tend();
RESET ROLE;
