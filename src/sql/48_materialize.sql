-- Rows of a model into a table, in the caller's transaction.

CREATE FUNCTION dp_materialize(model text, target text, n bigint DEFAULT NULL, conditions jsonb DEFAULT NULL,
                               seed bigint DEFAULT NULL, purpose text DEFAULT NULL, existing boolean DEFAULT NULL)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_materialize(text, text, bigint, jsonb, bigint, text, boolean) IS
'writes n synthetic rows of a model into a table, which is created like the one that the model was trained on where it does not exist; returns how many were written';
