-- migrate:up
ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL, ADD COLUMN disabled_at timestamptz;
COMMENT ON COLUMN users.password_hash IS 'NULL where only the identity provider lets its owner in.';

ALTER TABLE sessions
    ADD COLUMN id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN created_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN client      text        NOT NULL DEFAULT '';
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_keys (
    id            uuid        PRIMARY KEY,
    user_id       uuid        NOT NULL REFERENCES users,
    name          text        NOT NULL,
    scopes        text[]      NOT NULL,
    prefix        text        NOT NULL,
    key_sha256    bytea       NOT NULL UNIQUE,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id) WHERE revoked_at IS NULL;
COMMENT ON COLUMN api_keys.prefix IS 'How the key begins, for its owner to know it by.';
COMMENT ON COLUMN api_keys.last_used_at IS 'To the minute.';

CREATE TABLE identities (
    issuer   text NOT NULL,
    subject  text NOT NULL,
    user_id  uuid NOT NULL REFERENCES users,
    PRIMARY KEY (issuer, subject)
);
COMMENT ON TABLE identities IS 'Whom the identity provider means by a subject.';

CREATE TABLE sign_in_codes (
    code_sha256  bytea       PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users,
    challenge    text        NOT NULL,
    expires_at   timestamptz NOT NULL
);
COMMENT ON TABLE sign_in_codes IS 'Sign-ins with the identity provider that wait for their token to be fetched, once.';
COMMENT ON COLUMN sign_in_codes.challenge IS 'The S256 challenge of RFC 7636 whose verifier fetches the token.';

CREATE TABLE sign_in_tries (
    source         bytea       PRIMARY KEY,
    tries          integer     NOT NULL DEFAULT 0,
    last_at        timestamptz NOT NULL DEFAULT now(),
    blocked_until  timestamptz,
    signed_in_at   timestamptz
);
COMMENT ON TABLE sign_in_tries IS 'Attempts to sign in since the last that succeeded.';
COMMENT ON COLUMN sign_in_tries.source IS 'SHA-256 of an account, a network, or an account in a network.';
COMMENT ON COLUMN sign_in_tries.signed_in_at IS 'When the account was last signed in to from the network.';

-- migrate:down
DROP TABLE sign_in_tries;
DROP TABLE sign_in_codes;
DROP TABLE identities;
DROP TABLE api_keys;
ALTER TABLE sessions DROP COLUMN id, DROP COLUMN created_at, DROP COLUMN client;
ALTER TABLE users DROP COLUMN disabled_at;
