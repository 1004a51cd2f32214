-- Training. dp_train spends in a transaction of a background worker's: a ROLLBACK of the caller gives nothing back.

CREATE FUNCTION dp_plan(relation regclass, method text DEFAULT 'aim', epsilon float8 DEFAULT 1.0,
                        delta float8 DEFAULT NULL,
                        columns name[] DEFAULT NULL, options jsonb DEFAULT '{}',
                        OUT step text, OUT "column" text, OUT share float8, OUT rho float8, OUT delta_atoms float8,
                        OUT sigma float8, OUT count bigint)
RETURNS SETOF record LANGUAGE C STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_plan(regclass, text, float8, float8, name[], jsonb) IS
'what a training would measure, with what noise and at what price; reads no data';

CREATE FUNCTION dp_train(model text, relation regclass, method text DEFAULT 'aim', epsilon float8 DEFAULT 1.0,
                         delta float8 DEFAULT NULL, columns name[] DEFAULT NULL, options jsonb DEFAULT '{}',
                         wait boolean DEFAULT true)
RETURNS bigint LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_train(text, regclass, text, float8, float8, name[], jsonb, boolean) IS
'trains a model of a protected table in a background worker and returns the job; the charge is committed before a row is read';

CREATE FUNCTION dp_wait(job bigint, timeout interval DEFAULT NULL)
RETURNS text LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_wait(bigint, interval) IS 'waits for a job to end and returns its state';

CREATE FUNCTION dp_cancel(job bigint)
RETURNS boolean LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION dp_cancel(bigint) IS
'asks a running job to stop; what it has reserved stays charged once it has read';
