-- migrate:up
CREATE TABLE notifications (
    id               uuid         PRIMARY KEY,
    source_event_id  uuid         NOT NULL UNIQUE,
    user_id          uuid         NOT NULL,
    type             text         NOT NULL,
    title            text         NOT NULL,
    message          text         NOT NULL,
    priority         text         NOT NULL CHECK (priority IN ('low', 'medium', 'high')),
    action_url       text         NOT NULL,
    metadata         jsonb        NOT NULL,
    read_at          timestamptz,
    created_at       timestamptz  NOT NULL
);
CREATE INDEX notifications_newest ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id, created_at DESC, id DESC) WHERE read_at IS NULL;

-- migrate:down
DROP TABLE notifications;
