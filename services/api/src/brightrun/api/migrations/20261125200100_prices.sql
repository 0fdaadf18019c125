-- migrate:up
CREATE TABLE prices (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('gpu', 'base_model', 'fee')),
    name        text        NOT NULL,
    terms       jsonb       NOT NULL,
    active      boolean     NOT NULL DEFAULT true,
    valid_from  timestamptz NOT NULL DEFAULT now(),
    changed_by  uuid        REFERENCES users ON DELETE SET NULL
);
CREATE INDEX prices_newest ON prices (kind, name, id DESC);
COMMENT ON TABLE prices IS 'The journal of the price table: the newest row of a (kind, name) holds, the others are its history.';
COMMENT ON COLUMN prices.active IS 'Whether it can be asked for.';
COMMENT ON COLUMN prices.changed_by IS 'The admin; unknown for what the installation came with.';

INSERT INTO prices (kind, name, terms, active)
SELECT 'gpu', type,
    jsonb_build_object(
        'price_per_hour', price_per_hour::text,
        'tokens_per_second', tokens_per_second,
        'memory_gib',
        CASE type WHEN 'A100-80GB' THEN '80' WHEN 'A100-40GB' THEN '40' WHEN 'H100' THEN '80' WHEN 'V100-32GB' THEN '32' END
    ),
    active
FROM gpu_prices ORDER BY type;

INSERT INTO prices (kind, name, terms)
SELECT 'fee', name, jsonb_build_object('amount', amount::text) FROM fees;

INSERT INTO prices (kind, name, terms) VALUES (
    'base_model', 'tiny',
    '{"aliases": ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"],
      "shape": {"parameters": 1049728, "layers": 4, "hidden_size": 128, "intermediate_size": 384, "vocabulary": 2048,
                "attention_heads": 4, "kv_heads": 2, "head_size": 32}}'
);

DROP TABLE gpu_prices;
DROP TABLE fees;

-- migrate:down
CREATE TABLE gpu_prices (
    type               text          PRIMARY KEY,
    price_per_hour     numeric(14,4) NOT NULL CHECK (price_per_hour >= 0),
    tokens_per_second  integer       NOT NULL CHECK (tokens_per_second > 0),
    active             boolean       NOT NULL DEFAULT true
);
CREATE TABLE fees (
    name    text          PRIMARY KEY,
    amount  numeric(14,4) NOT NULL CHECK (amount >= 0)
);
INSERT INTO gpu_prices
SELECT DISTINCT ON (name) name, (terms ->> 'price_per_hour')::numeric, (terms ->> 'tokens_per_second')::integer, active
FROM prices WHERE kind = 'gpu' ORDER BY name, id DESC;
INSERT INTO fees
SELECT DISTINCT ON (name) name, (terms ->> 'amount')::numeric FROM prices WHERE kind = 'fee' ORDER BY name, id DESC;
DROP TABLE prices;
