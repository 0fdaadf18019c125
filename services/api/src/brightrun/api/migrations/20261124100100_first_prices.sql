-- migrate:up
INSERT INTO gpu_prices (type, price_per_hour, tokens_per_second) VALUES
    ('A100-80GB', 3.50, 1800),
    ('A100-40GB', 2.80, 1500),
    ('H100',      4.20, 2200),
    ('V100-32GB', 2.10, 1200),
    -- Electricity of one machine; slower than the tiny model trains, so that estimates err on the safe side.
    ('CPU',       0.05, 2000);

INSERT INTO fees (name, amount) VALUES ('storage', 0.50);

-- migrate:down
DELETE FROM fees;
DELETE FROM gpu_prices;
